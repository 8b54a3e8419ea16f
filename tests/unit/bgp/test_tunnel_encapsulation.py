"""Verdicts on attribute 23: wire octets beside what must come of them."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.sub_tlv import Authenticator, Color, Disregard, EgressEndpoint, Opaque, PublicKey
from softmesh.bgp.tunnel_encapsulation import (
    AttributeVerdict,
    Carrier,
    Tunnel,
    TunnelVerdict,
    decode,
    decode_repeated,
    encode,
)
from softmesh.errors import OperatorError
from tests.unit.bgp.vectors import (
    AUTHENTICATOR_K1,
    COLOR_100,
    K1,
    K1_SPKI,
    K2,
    TYPICAL,
    VECTORS,
    endpoint,
    sub,
    tlv,
    value_of,
)

USABLE, UNUSABLE, WITHDRAW = AttributeVerdict
STRIPPED, IGNORED = TunnelVerdict.STRIPPED, TunnelVerdict.IGNORED


@pytest.mark.parametrize(
    ("name", "encapsulation", "unicast"),
    [
        ("A", USABLE, WITHDRAW),
        ("B", USABLE, WITHDRAW),
        ("C", USABLE, USABLE),
        ("D", USABLE, USABLE),
        ("E", USABLE, WITHDRAW),
        ("F", USABLE, USABLE),
        ("G", UNUSABLE, WITHDRAW),
        ("H", WITHDRAW, WITHDRAW),
        ("I", UNUSABLE, WITHDRAW),
        ("J", USABLE, WITHDRAW),
        ("K", USABLE, WITHDRAW),  # its clear transitive bit is in the header: test_path_attributes
        ("L", USABLE, WITHDRAW),
        ("M", USABLE, WITHDRAW),
    ],
)
def test_vectors(name: str, encapsulation: AttributeVerdict, unicast: AttributeVerdict) -> None:
    value = value_of(VECTORS[name])
    for carrier, verdict in ((Carrier.ENCAPSULATION, encapsulation), (Carrier.UNICAST, unicast)):
        decoded = decode(value, carrier)
        assert decoded.verdict is verdict
        assert bool(decoded.reason) is bool(decoded.section) is (verdict is not USABLE)
        for tunnel in decoded.tunnels:
            assert bool(tunnel.reason) is bool(tunnel.section) is (tunnel.verdict is not TunnelVerdict.USABLE)
        if name != "H":
            assert encode(decoded.tunnels) == value


def test_what_a_tunnel_says() -> None:
    (tunnel,) = decode(value_of(VECTORS["D"]), Carrier.UNICAST).tunnels
    assert tunnel.type == TunnelType.IP_IN_IP_IPSEC_TRANSPORT
    assert tunnel.name == "IP in IP Tunnel with IPsec Transport Mode"
    assert tunnel.egress_endpoint == ip_address("2001:db8::2")
    assert (tunnel.color, tunnel.colors) == (100, (100,))
    assert tunnel.authenticators == (K1, K2)
    assert tunnel.public_keys == ()
    assert tunnel.unknown == ()


def test_public_key_and_next_hop_endpoint() -> None:
    (tunnel,) = decode(TYPICAL, Carrier.UNICAST).usable_tunnels
    assert tunnel.public_keys == (K1_SPKI,)
    (tunnel,) = decode(value_of(VECTORS["F"]), Carrier.UNICAST).tunnels
    assert tunnel.egress_endpoint is None


def test_unknown_sub_tlv_with_two_octet_length_is_kept() -> None:
    (tunnel,) = decode(value_of(VECTORS["J"]), Carrier.ENCAPSULATION).tunnels
    assert [(s.type, s.value) for s in tunnel.unknown] == [(130, b"\0abc")]
    assert tunnel.authenticators == (K1,)


def test_transmit_only_peer_is_unusable_but_its_key_is_known() -> None:
    decoded = decode(tlv(3, endpoint(), AUTHENTICATOR_K1), Carrier.UNICAST)
    assert decoded.verdict is UNUSABLE
    assert "only transmits" in decoded.reason
    assert decoded.tunnels[0].authenticators == (K1,)
    assert decoded.usable_tunnels == ()


def test_among_several_tunnels_one_usable_suffices() -> None:
    decoded = decode(value_of(VECTORS["E"]), Carrier.ENCAPSULATION)
    assert [(t.type, t.verdict) for t in decoded.tunnels] == [
        (4, TunnelVerdict.USABLE),
        (5, TunnelVerdict.USABLE),
        (3, TunnelVerdict.TRANSMIT_ONLY),
    ]
    assert [t.type for t in decoded.usable_tunnels] == [4, 5]


@pytest.mark.parametrize(
    "damaged",
    [
        sub(3, b""),
        sub(3, b"\0"),
        sub(3, b"\0\1"),
        sub(3, b"\0\1" + K1[:19]),
        sub(3, b"\0\1" + K1 + b"\0"),
        sub(3, b"\0\2" + bytes(32)),
        sub(3, b"\0\0" + K1),
        sub(3, b"\0\1" + K1[:19]) + AUTHENTICATOR_K1,
        AUTHENTICATOR_K1 + sub(3, b"\0\1" + K1[:19]),
    ],
)
@pytest.mark.parametrize("carrier", Carrier)
@pytest.mark.parametrize("number", [4, 5, 6, 2])
def test_damaged_authenticator_never_becomes_no_authenticator(number: int, carrier: Carrier, damaged: bytes) -> None:
    value = tlv(number, endpoint(), damaged)
    decoded = decode(value, carrier)
    assert decoded.verdict is UNUSABLE
    assert decoded.section == "RFC 5566 §4"
    assert decoded.usable_tunnels == ()
    assert encode(decoded.tunnels) == value


def test_an_authenticator_of_unknown_type_beside_a_known_one_does_no_harm() -> None:
    decoded = decode(tlv(4, endpoint(), sub(3, b"\0\2" + bytes(32)), AUTHENTICATOR_K1), Carrier.UNICAST)
    assert decoded.verdict is USABLE
    assert decoded.tunnels[0].authenticators == (K1,)


@pytest.mark.parametrize(
    ("sub_tlvs", "unicast", "encapsulation"),
    [
        (b"", STRIPPED, TunnelVerdict.USABLE),
        (endpoint() + endpoint("c0000203"), STRIPPED, TunnelVerdict.USABLE),
        (endpoint("c00002"), STRIPPED, STRIPPED),
        (endpoint("c000020200"), STRIPPED, STRIPPED),
        (endpoint("c0000202", 2), STRIPPED, STRIPPED),
        (endpoint("c0000202", 0), STRIPPED, STRIPPED),
        (endpoint("20010db8000000000000000000000002", 1), STRIPPED, STRIPPED),
        (sub(6, b""), STRIPPED, STRIPPED),
        (sub(6, "0000000000"), STRIPPED, STRIPPED),
        (endpoint("7f000001"), STRIPPED, STRIPPED),
        (endpoint("00000000000000000000000000000001", 2), STRIPPED, STRIPPED),
        (endpoint() + endpoint("7f000001"), STRIPPED, STRIPPED),
        # Another address family is "unrecognized", as if absent (RFC 9012 §3.1): a good one may stand beside.
        (endpoint("0011223344556677", 25), STRIPPED, TunnelVerdict.USABLE),
        (endpoint("0011223344556677", 25) + endpoint(), TunnelVerdict.USABLE, TunnelVerdict.USABLE),
        # Reserved octets are disregarded.
        (sub(6, "ffffffff 0001 c0000202"), TunnelVerdict.USABLE, TunnelVerdict.USABLE),
    ],
)
def test_egress_endpoint_rules(sub_tlvs: bytes, unicast: TunnelVerdict, encapsulation: TunnelVerdict) -> None:
    value = tlv(4, sub_tlvs, AUTHENTICATOR_K1)
    for carrier, verdict in ((Carrier.UNICAST, unicast), (Carrier.ENCAPSULATION, encapsulation)):
        decoded = decode(value, carrier)
        assert decoded.tunnels[0].verdict is verdict
        assert decoded.verdict is (WITHDRAW if verdict is STRIPPED else USABLE)
        assert encode(decoded.tunnels) == value


def test_of_two_endpoints_the_first_counts_under_encapsulation_rules() -> None:
    (tunnel,) = decode(tlv(4, endpoint(), endpoint("c0000203")), Carrier.ENCAPSULATION).tunnels
    assert tunnel.egress_endpoint == ip_address("192.0.2.2")


def test_documentation_endpoints_are_refused_on_request() -> None:
    value = value_of(VECTORS["C"])
    assert decode(value, Carrier.UNICAST).verdict is USABLE
    assert decode(value, Carrier.UNICAST, refuse_documentation=True).verdict is WITHDRAW


@pytest.mark.parametrize("carrier", Carrier)
def test_empty_attribute_is_treated_as_withdraw(carrier: Carrier) -> None:
    decoded = decode(b"", carrier)
    assert (decoded.verdict, decoded.section, decoded.tunnels) == (WITHDRAW, "RFC 9012 §13", ())


def test_unknown_tunnel_type_is_ignored_but_not_malformed() -> None:
    alone = decode(tlv(999, sub(200, b"x")), Carrier.UNICAST)
    assert [t.verdict for t in alone.tunnels] == [IGNORED]
    assert alone.verdict is UNUSABLE
    beside = decode(tlv(999) + tlv(0) + tlv(4, endpoint()), Carrier.UNICAST)
    assert [t.verdict for t in beside.tunnels] == [IGNORED, IGNORED, TunnelVerdict.USABLE]
    assert beside.verdict is USABLE


def test_stripped_tunnel_does_not_spoil_the_others() -> None:
    decoded = decode(tlv(4, AUTHENTICATOR_K1) + tlv(5, endpoint()), Carrier.UNICAST)
    assert decoded.verdict is USABLE
    assert [t.type for t in decoded.usable_tunnels] == [5]


@pytest.mark.parametrize("carrier", Carrier)
@pytest.mark.parametrize("whole", [TYPICAL, value_of(VECTORS["E"]), tlv(4, sub(200, bytes(300)), endpoint())])
def test_truncation_anywhere_is_treated_as_withdraw(whole: bytes, carrier: Carrier) -> None:
    boundaries = {0}
    while max(boundaries) < len(whole):
        start = max(boundaries)
        boundaries.add(start + 4 + int.from_bytes(whole[start + 2 : start + 4], "big"))
    for size in set(range(len(whole))) - boundaries:
        decoded = decode(whole[:size], carrier)
        assert decoded.verdict is WITHDRAW, size
        assert decoded.usable_tunnels == ()


@pytest.mark.parametrize(
    "inner",
    [
        b"\x06",
        AUTHENTICATOR_K1 + b"\x03",
        b"\x03\x16\x00",
        b"\x82\x00",
        b"\x82\x00\x05abcd",
        endpoint() + b"\0",
    ],
)
@pytest.mark.parametrize("number", [4, 999])
def test_last_sub_tlv_must_end_with_its_tlv(number: int, inner: bytes) -> None:
    decoded = decode(tlv(4, endpoint()) + tlv(number, inner), Carrier.UNICAST)
    assert (decoded.verdict, decoded.section) == (WITHDRAW, "RFC 9012 §13")
    assert "tunnel 2" in decoded.reason
    assert [t.verdict for t in decoded.tunnels] == [TunnelVerdict.UNUSABLE]


def test_virtual_network_without_identifier_is_unusable_outside_evpn() -> None:
    without = tlv(8, endpoint(), sub(1, "00 000000 000000000000 0000"))
    assert decode(without, Carrier.UNICAST).verdict is UNUSABLE
    assert decode(without, Carrier.UNICAST).section == "RFC 9012 §3.2.1"
    with_identifier = tlv(9, endpoint(), sub(1, "80 00002a 000000000000 0000"))
    assert decode(with_identifier, Carrier.UNICAST).verdict is USABLE


def test_protocols_of_x_in_y_types_are_only_x() -> None:
    protocols = sub(2, "0800") + sub(2, "8847") + sub(2, "86dd") + sub(2, "ffff")
    for number, expected in ((2, (0x0800, 0x8847, 0x86DD)), (7, (0x0800, 0x86DD)), (11, (0x8847,))):
        (tunnel,) = decode(tlv(number, endpoint(), protocols), Carrier.UNICAST).tunnels
        assert tunnel.protocols == expected
        assert [(s.type, s.why) for s in tunnel.unknown] == [(2, Disregard.MALFORMED)]


def test_equal_octets_share_one_decoded_object() -> None:
    first = decode_repeated(bytes(bytearray(TYPICAL)), Carrier.UNICAST)
    assert decode_repeated(bytes(bytearray(TYPICAL)), Carrier.UNICAST) is first
    assert first == decode(TYPICAL, Carrier.UNICAST)
    assert decode_repeated(value_of(VECTORS["A"]), Carrier.ENCAPSULATION).verdict is USABLE
    assert decode_repeated(value_of(VECTORS["A"]), Carrier.UNICAST).verdict is WITHDRAW


def test_encoding_what_we_announce() -> None:
    tunnel = Tunnel(
        TunnelType.IPSEC_TUNNEL,
        (EgressEndpoint(ip_address("2001:db8::2")), Color(100), Authenticator(K1), PublicKey(K1_SPKI)),
    )
    assert encode([tunnel]) == TYPICAL


def test_rsa_key_does_not_fit_and_the_message_names_the_remedy() -> None:
    with pytest.raises(OperatorError, match=r"294 octets does not fit.*key directory"):
        encode([Tunnel(TunnelType.IPSEC_TUNNEL, (PublicKey(bytes(294)),))])


def test_lengths_that_do_not_fit_are_refused() -> None:
    with pytest.raises(OperatorError, match="255 at most"):
        encode([Tunnel(4, (Opaque(99, bytes(256)),))])
    with pytest.raises(OperatorError, match="65535 at most"):
        encode([Tunnel(4, (Opaque(200, bytes(40000)), Opaque(200, bytes(40000))))])
    long = encode([Tunnel(4, (Opaque(200, bytes(256)),))])
    assert long == tlv(4, sub(200, bytes(256)))


def test_colour_community_flags_survive() -> None:
    value = tlv(4, endpoint(), sub(4, "030b ffff 00000064"), COLOR_100)
    decoded = decode(value, Carrier.UNICAST)
    assert decoded.tunnels[0].colors == (100, 100)
    assert encode(decoded.tunnels) == value
