"""Encapsulation and Colour communities, as numbers and as octets."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from softmesh.bgp.extended_communities import (
    AttributeDigestCommunity,
    ColorCommunity,
    EncapsulationCommunity,
    OtherCommunity,
    attribute_digest,
    colors_from,
    decode_communities,
    digest_from,
    encode_communities,
    read_community,
    tunnels_from,
)
from softmesh.bgp.sub_tlv import EgressEndpoint
from softmesh.bgp.tunnel_encapsulation import Tunnel, TunnelVerdict
from softmesh.bgp.wire import DecodeError

TYPE_4 = 0x030C000000000004
TYPE_5 = 0x030C000000000005
COLOR_100 = 0x030B000000000064
ROUTE_TARGET = 0x0002FDE800000064


def test_as_exabgp_prints_them() -> None:
    assert TYPE_4 == 219550481834311684
    assert COLOR_100 == 219269006857601124


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (TYPE_4, EncapsulationCommunity(4)),
        (0x030CDEADBEEF0005, EncapsulationCommunity(5, 0xDEADBEEF)),
        (COLOR_100, ColorCommunity(100)),
        (0x030BC000FFFFFFFF, ColorCommunity(0xFFFFFFFF, 0xC000)),
        (0x8F17E3B0C44298FC, AttributeDigestCommunity(bytes.fromhex("e3b0c44298fc"))),
        (ROUTE_TARGET, OtherCommunity(ROUTE_TARGET)),
        (0x430C000000000004, OtherCommunity(0x430C000000000004)),  # not transitive: another community
    ],
)
def test_read_and_back(value: int, expected: object) -> None:
    read = read_community(value)
    assert read == expected
    assert int(read) == value
    assert str(read)


def test_octets() -> None:
    communities = (TYPE_4, COLOR_100, ROUTE_TARGET)
    octets = bytes.fromhex("030c000000000004 030b000000000064 0002fde800000064")
    assert decode_communities(octets) == communities
    assert encode_communities(communities) == octets


@pytest.mark.parametrize("size", [0, 1, 7, 9, 15])
def test_length_must_be_a_multiple_of_eight(size: int) -> None:
    with pytest.raises(DecodeError, match="multiple of 8"):
        decode_communities(bytes(size))


def test_tunnels_they_stand_for() -> None:
    tunnels = tunnels_from([TYPE_5, ROUTE_TARGET, TYPE_4, COLOR_100, TYPE_5])
    assert [(t.type, t.verdict, t.egress_endpoint) for t in tunnels] == [
        (5, TunnelVerdict.USABLE, None),
        (4, TunnelVerdict.USABLE, None),
    ]
    odd = tunnels_from([0x030C000000000003, 0x030C00000000FFFF])
    assert [t.verdict for t in odd] == [TunnelVerdict.TRANSMIT_ONLY, TunnelVerdict.IGNORED]


def test_colours_of_a_route() -> None:
    assert colors_from([COLOR_100, TYPE_4, 0x030B000000000007, COLOR_100]) == (100, 7)


def test_the_digest_is_the_start_of_sha_256() -> None:
    assert int(attribute_digest(b"")) == 0x8F17E3B0C44298FC
    assert digest_from((TYPE_4, int(attribute_digest(b"")), COLOR_100)) == attribute_digest(b"")
    assert digest_from((TYPE_4, COLOR_100)) is None


def test_a_digest_emptied_on_the_way_says_nothing() -> None:
    """OpenBGPD up to 8.8 does that to all types that it does not know."""
    assert digest_from((0x8F17 << 48,)) is None


def test_a_community_beside_a_tlv_of_its_type_is_that_tunnel_once_more() -> None:
    next_hop = IPv4Address("192.0.2.1")
    here, there, anywhere = (
        Tunnel(4, (EgressEndpoint(endpoint),)) for endpoint in (next_hop, IPv4Address("192.0.2.9"), None)
    )
    for tlv in (here, anywhere):
        assert [tunnel.type for tunnel in tunnels_from((TYPE_4, TYPE_5), [tlv], next_hop)] == [5]
    assert [tunnel.type for tunnel in tunnels_from((TYPE_4, TYPE_5), [there], next_hop)] == [4, 5]
    assert [tunnel.type for tunnel in tunnels_from((TYPE_4,), [Tunnel(4, ())], next_hop)] == []
