"""Overlaps, against looking at every network."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import combinations

from softmesh.config.prefixes import Overlaps

SPACE = [
    ip_network((base, length), strict=False) for length in (29, 30, 31, 32) for base in range(0, 8, 1 << 32 - length)
]
"""All networks within 0.0.0.0/29."""


def test_finds_one_wherever_there_is_one() -> None:
    assert len(set(SPACE)) == 15
    for held in combinations(SPACE, 3):
        overlaps = Overlaps(held)
        for network in SPACE:
            found = overlaps.find(network)
            assert (found is not None) == any(network.overlaps(other) for other in held), (held, network)
            assert found is None or (found in held and network.overlaps(found))


def test_families_never_overlap() -> None:
    held = Overlaps([IPv4Network("0.0.0.0/0"), IPv6Network("2001:db8::/32")])
    assert held.find(IPv6Network("2001:db9::/32")) is None
    assert held.find(IPv6Network("::/0")) == IPv6Network("2001:db8::/32")
    assert held.find(IPv4Network("10.0.0.0/8")) == IPv4Network("0.0.0.0/0")
    assert Overlaps([]).find(IPv4Network("10.0.0.0/8")) is None
