"""What holds of the codec for any octets: a verdict always, nothing lost, nothing usable that is damaged."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.attribute import check
from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.path_attributes import PathAttribute, decode_attributes
from softmesh.bgp.sub_tlv import (
    Authenticator,
    Certificate,
    Color,
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
from softmesh.bgp.tunnel_encapsulation import AttributeVerdict, Carrier, Tunnel, decode, encode

U8, U16, U24, U32 = (st.integers(0, 2**bits - 1) for bits in (8, 16, 24, 32))
REPEATABLE = settings(derandomize=True, deadline=None)


def of_size(size: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=size, max_size=size)


def der(content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([0x30, size]) + content
    if size < 0x100:
        return bytes([0x30, 0x81, size]) + content
    return b"\x30\x82" + size.to_bytes(2, "big") + content


COMMON: st.SearchStrategy[SubTlv] = st.one_of(
    st.builds(
        EgressEndpoint,
        st.none() | st.ip_addresses(network="10.0.0.0/8") | st.ip_addresses(network="fd00::/8"),
        U32,
    ),
    st.builds(Color, U32, U16),
    st.builds(Authenticator, of_size(20)),
    st.builds(Authenticator, st.binary(max_size=253), st.integers(2, 0xFFFF)),
    st.builds(PublicKey, st.binary(min_size=1, max_size=252).map(der)),
    st.builds(Certificate, st.binary(min_size=1, max_size=600).map(der)),
    st.builds(ProtocolType, st.integers(0, 0xFFFE)),
    st.builds(EmbeddedLabelHandling, st.sampled_from(LabelHandling)),
    st.builds(MplsLabelStack, st.lists(U32, max_size=63).map(tuple)),
    st.builds(PrefixSid, st.lists(st.tuples(U8, st.binary(max_size=20)), max_size=8).map(tuple)),
    st.builds(Opaque, st.integers(12, 125), st.binary(max_size=255)),
    st.builds(Opaque, st.integers(128, 253) | st.just(255), st.binary(max_size=400)),
)
"""Sub-TLVs that mean the same in every tunnel."""

PARTICULAR: dict[int, st.SearchStrategy[SubTlv]] = {
    TunnelType.IPSEC_TUNNEL: st.builds(DsField, U8),
    TunnelType.L2TPV3: st.one_of(
        st.builds(L2tpv3Session, st.integers(1, 2**32 - 1), st.binary(max_size=8)),
        st.builds(LoadBalancingBlock, st.integers(0, 32)),
    ),
    TunnelType.GRE: st.builds(GreKey, U32),
    TunnelType.MPLS_IN_GRE: st.builds(GreKey, U32),
    TunnelType.VXLAN: st.one_of(
        st.builds(VirtualNetwork, U8, U24, of_size(6), of_size(2)),
        st.builds(UdpDestinationPort, st.integers(1, 0xFFFF)),
    ),
    TunnelType.NVGRE: st.builds(VirtualNetwork, U8, U24, of_size(6), of_size(2)),
}


@st.composite
def tunnels(draw: st.DrawFn) -> Tunnel:
    number = draw(st.sampled_from(list(PARTICULAR)) | U16)
    values = COMMON | PARTICULAR.get(number, COMMON)
    return Tunnel(number, tuple(draw(st.lists(values, max_size=8))))


@REPEATABLE
@given(st.lists(tunnels(), max_size=5), st.sampled_from(Carrier))
def test_values_survive_encoding_and_octets_survive_decoding(sent: list[Tunnel], carrier: Carrier) -> None:
    octets = encode(sent)
    received = decode(octets, carrier)
    assert [(t.type, t.sub_tlvs) for t in received.tunnels] == [(t.type, t.sub_tlvs) for t in sent]
    assert encode(received.tunnels) == octets


@REPEATABLE
@given(st.binary(max_size=200), st.sampled_from(Carrier))
def test_any_octets_get_a_verdict(octets: bytes, carrier: Carrier) -> None:
    check(octets)
    check(PathAttribute(0xC0, 23, octets).octets())
    decoded = decode(octets, carrier)
    if decoded.verdict is not AttributeVerdict.USABLE:
        assert decoded.usable_tunnels == ()


@REPEATABLE
@given(
    st.lists(
        st.builds(
            lambda kind, value: bytes([kind]) + len(value).to_bytes(1 if kind < 128 else 2, "big") + value,
            st.integers(0, 13) | st.sampled_from((126, 254)) | U8,
            st.binary(max_size=40),
        ).filter(lambda s: len(s) < 300),
        max_size=8,
    ),
    st.integers(0, 30) | U16,
    st.sampled_from(Carrier),
)
def test_whatever_can_be_delimited_round_trips(inner: list[bytes], number: int, carrier: Carrier) -> None:
    value = b"".join(inner)
    octets = number.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value
    decoded = decode(octets, carrier)
    assert len(decoded.tunnels) == 1
    assert encode(decoded.tunnels) == octets


@REPEATABLE
@given(st.lists(tunnels(), max_size=3), st.binary(max_size=30), st.data())
def test_a_damaged_authenticator_leaves_no_usable_tunnel(
    sent: list[Tunnel], damaged: bytes, data: st.DataObject
) -> None:
    if len(damaged) == 22 and damaged[:2] == b"\0\1":
        damaged = damaged[:-1]
    spoiled = []
    for tunnel in sent:
        kept = tuple(s for s in tunnel.sub_tlvs if not isinstance(s, Authenticator))
        place = data.draw(st.integers(0, len(kept)))
        spoiled.append(Tunnel(tunnel.type, (*kept[:place], Opaque(3, damaged), *kept[place:])))
    for carrier in Carrier:
        assert decode(encode(spoiled), carrier).usable_tunnels == ()


@REPEATABLE
@given(st.lists(st.builds(PathAttribute, U8.map(lambda f: f & 0xEF), U8, st.binary(max_size=300)), max_size=5))
def test_attribute_headers_round_trip(sent: list[PathAttribute]) -> None:
    octets = b"".join(a.octets() for a in sent)
    decoded = decode_attributes(octets, Carrier.UNICAST)
    kept = [*decoded.attributes, *decoded.discarded]
    assert sorted(a.octets() for a in kept) == sorted(a.octets() for a in sent)
    assert len({a.type for a in decoded.attributes}) == len(decoded.attributes)
