"""Each sub-TLV's value: typed where well formed, kept as it is where not."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.sub_tlv import (
    Authenticator,
    Certificate,
    Color,
    Disregard,
    DsField,
    EgressEndpoint,
    EmbeddedLabelHandling,
    GreKey,
    L2tpv3Session,
    LabelHandling,
    LoadBalancingBlock,
    MplsLabelStack,
    Opaque,
    PrefixSid,
    ProtocolType,
    PublicKey,
    SubTlv,
    UdpDestinationPort,
    VirtualNetwork,
)
from softmesh.bgp.sub_tlv_decoding import decode_sub_tlv
from tests.unit.bgp.vectors import K1, K1_SPKI

SRGB = bytes.fromhex("030008 0000 003e80001f40")
LABEL_INDEX = bytes.fromhex("010007 00 0000 0000002a")


def sequence(size: int, length: str = "") -> bytes:
    """A DER SEQUENCE of so many zeros; with a length of its own, one that says what is not so."""
    if not length:
        length = f"{size:02x}" if size < 0x80 else f"81{size:02x}" if size < 0x100 else f"82{size:04x}"
    return b"\x30" + bytes.fromhex(length) + bytes(size)


@pytest.mark.parametrize(
    ("tunnel_type", "number", "value", "expected"),
    [
        (TunnelType.L2TPV3, 1, "1234abcd", L2tpv3Session(0x1234ABCD)),
        (TunnelType.L2TPV3, 1, "1234abcd 0102030405060708", L2tpv3Session(0x1234ABCD, bytes(range(1, 9)))),
        (TunnelType.GRE, 1, "12345678", GreKey(0x12345678)),
        (TunnelType.MPLS_IN_GRE, 1, "12345678", GreKey(0x12345678)),
        (
            TunnelType.VXLAN,
            1,
            "c0 00002a 020000000001 0000",
            VirtualNetwork(0xC0, 42, bytes.fromhex("020000000001")),
        ),
        (
            TunnelType.NVGRE,
            1,
            "bf 00002a 000000000000 abcd",
            VirtualNetwork(0xBF, 42, bytes(6), b"\xab\xcd"),
        ),
        (TunnelType.GRE, 2, "0800", ProtocolType(0x0800)),
        (TunnelType.IPSEC_TUNNEL, 3, "0001" + K1.hex(), Authenticator(K1)),
        (TunnelType.IPSEC_TUNNEL, 3, "0002" + "aa" * 32, Authenticator(b"\xaa" * 32, 2)),
        (TunnelType.IPSEC_TUNNEL, 4, "030b 0000 00000064", Color(100)),
        (TunnelType.IPSEC_TUNNEL, 4, "030b c000 ffffffff", Color(0xFFFFFFFF, 0xC000)),
        (TunnelType.L2TPV3, 5, "0018", LoadBalancingBlock(24)),
        (TunnelType.IPSEC_TUNNEL, 6, "00000000 0000", EgressEndpoint(None)),
        (TunnelType.IPSEC_TUNNEL, 6, "00000007 0001 c0000202", EgressEndpoint(ip_address("192.0.2.2"), 7)),
        (
            TunnelType.IPSEC_TUNNEL,
            6,
            "00000000 0002 20010db8000000000000000000000002",
            EgressEndpoint(ip_address("2001:db8::2")),
        ),
        (TunnelType.IPSEC_TUNNEL, 7, "b8", DsField(0xB8)),
        (TunnelType.MPLS_IN_UDP, 8, "19eb", UdpDestinationPort(6635)),
        (TunnelType.VXLAN, 9, "02", EmbeddedLabelHandling(LabelHandling.NOT_IN_PAYLOAD)),
        (TunnelType.MPLS, 10, "000641ff 000011ff", MplsLabelStack((0x000641FF, 0x000011FF))),
        (TunnelType.MPLS, 10, "", MplsLabelStack(())),
        (
            TunnelType.SR_TUNNEL,
            11,
            (LABEL_INDEX + SRGB).hex(),
            PrefixSid(((1, LABEL_INDEX[3:]), (3, SRGB[3:]))),
        ),
        (TunnelType.IPSEC_TUNNEL, 126, K1_SPKI.hex(), PublicKey(K1_SPKI)),
        (TunnelType.IPSEC_TUNNEL, 126, "3081c8" + "00" * 200, PublicKey(b"\x30\x81\xc8" + bytes(200))),
        (TunnelType.IPSEC_TUNNEL, 254, sequence(5).hex(), Certificate(sequence(5))),
        (TunnelType.IPSEC_TUNNEL, 254, sequence(200).hex(), Certificate(sequence(200))),
        (TunnelType.IPSEC_TUNNEL, 254, sequence(2044).hex(), Certificate(sequence(2044))),
        (TunnelType.IPSEC_TUNNEL, 12, "00", Opaque(12, b"\0")),
        (TunnelType.IPSEC_TUNNEL, 255, "", Opaque(255, b"")),
    ],
)
def test_well_formed(tunnel_type: TunnelType, number: int, value: str, expected: SubTlv) -> None:
    octets = bytes.fromhex(value)
    decoded = decode_sub_tlv(number, octets, tunnel_type)
    assert decoded == expected
    assert (decoded.type, decoded.octets()) == (number, octets)
    assert str(decoded)


@pytest.mark.parametrize(
    ("tunnel_type", "number", "value"),
    [
        (TunnelType.L2TPV3, 1, "123456"),
        (TunnelType.L2TPV3, 1, "00000000"),
        (TunnelType.L2TPV3, 1, "12345678" + "00" * 9),
        (TunnelType.GRE, 1, "1234567800"),
        (TunnelType.VXLAN, 1, "80" + "00" * 10),
        (TunnelType.NVGRE, 1, "80" + "00" * 12),
        (TunnelType.GRE, 2, "08"),
        (TunnelType.GRE, 2, "080000"),
        (TunnelType.GRE, 2, "ffff"),
        (TunnelType.IPSEC_TUNNEL, 3, ""),
        (TunnelType.IPSEC_TUNNEL, 3, "0001" + "00" * 19),
        (TunnelType.IPSEC_TUNNEL, 4, "030b 0000 000064"),
        (TunnelType.IPSEC_TUNNEL, 4, "030c 0000 00000064"),
        (TunnelType.GRE, 5, "18"),
        (TunnelType.GRE, 5, "0021"),
        (TunnelType.IPSEC_TUNNEL, 7, ""),
        (TunnelType.MPLS_IN_UDP, 8, "0000"),
        (TunnelType.MPLS_IN_UDP, 8, "01"),
        (TunnelType.VXLAN, 9, "00"),
        (TunnelType.VXLAN, 9, "03"),
        (TunnelType.VXLAN, 9, "0101"),
        (TunnelType.MPLS, 10, "000641"),
        (TunnelType.SR_TUNNEL, 11, "0100"),
        (TunnelType.SR_TUNNEL, 11, "010007 00"),
        (TunnelType.IPSEC_TUNNEL, 126, ""),
        (TunnelType.IPSEC_TUNNEL, 126, "302b" + "00" * 42),
        (TunnelType.IPSEC_TUNNEL, 126, "3081c8" + "00" * 199),
        (TunnelType.IPSEC_TUNNEL, 126, "706c61696e"),
        (TunnelType.IPSEC_TUNNEL, 254, ""),
        (TunnelType.IPSEC_TUNNEL, 254, "3000"),
        (TunnelType.IPSEC_TUNNEL, 254, "3082"),
        (TunnelType.IPSEC_TUNNEL, 254, "308201"),
        (TunnelType.IPSEC_TUNNEL, 254, "706c61696e"),
        (TunnelType.IPSEC_TUNNEL, 254, sequence(2045).hex()),
        (TunnelType.IPSEC_TUNNEL, 254, sequence(300, "82012b").hex()),
        (TunnelType.IPSEC_TUNNEL, 254, sequence(300, "82012d").hex()),
        (TunnelType.IPSEC_TUNNEL, 254, sequence(5, "8105").hex()),
        (TunnelType.IPSEC_TUNNEL, 254, sequence(200, "8200c8").hex()),
        (TunnelType.IPSEC_TUNNEL, 254, sequence(300, "8300012c").hex()),
        (TunnelType.IPSEC_TUNNEL, 254, sequence(5, "80").hex()),
    ],
)
def test_malformed_is_kept_as_it_is(tunnel_type: TunnelType, number: int, value: str) -> None:
    decoded = decode_sub_tlv(number, bytes.fromhex(value), tunnel_type)
    assert isinstance(decoded, Opaque)
    assert decoded.why is Disregard.MALFORMED
    assert decoded.reason
    assert (decoded.type, decoded.octets()) == (number, bytes.fromhex(value))


@pytest.mark.parametrize(
    ("tunnel_type", "number", "value"),
    [
        (TunnelType.IPSEC_TUNNEL, 1, "12345678"),
        (TunnelType.IP_IN_IP, 5, "0018"),
        (TunnelType.GRE, 8, "19eb"),
        (TunnelType.MPLS, 7, "b8"),
    ],
)
def test_meaningless_for_the_tunnel_type_is_not_malformed(tunnel_type: TunnelType, number: int, value: str) -> None:
    decoded = decode_sub_tlv(number, bytes.fromhex(value), tunnel_type)
    assert isinstance(decoded, Opaque)
    assert decoded.why is Disregard.MEANINGLESS
    assert decoded.octets() == bytes.fromhex(value)


def test_fields_derived_from_values() -> None:
    assert MplsLabelStack((0x000641FF, 0x000011FF)).labels == (100, 1)
    assert PrefixSid(((1, LABEL_INDEX[3:]),)).label_index == 42
    assert PrefixSid(((3, SRGB[3:]),)).label_index is None
    assert VirtualNetwork(0x80, 42, bytes(6)).vn_id == 42
    assert VirtualNetwork(0x40, 42, bytes(6)).vn_id is None
