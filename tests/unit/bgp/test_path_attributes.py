"""Lists of path attributes: headers, duplicates, flags, and what counts when something is wrong."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from softmesh.bgp.path_attributes import decode_attributes
from softmesh.bgp.tunnel_encapsulation import AttributeVerdict, Carrier, TunnelVerdict
from tests.unit.bgp.vectors import (
    K1,
    MP_REACH_ENCAP_V4,
    MP_REACH_ENCAP_V6,
    MP_REACH_V4_VIA_V6,
    MP_REACH_V6_VIA_V4,
    TYPICAL,
    VECTORS,
    attribute,
    sub,
    tlv,
    value_of,
)

USABLE, UNUSABLE, WITHDRAW = AttributeVerdict
ORIGIN = attribute(b"\0", 1, 0x40)
AS_PATH = attribute(b"", 2, 0x40)
TYPE_4 = attribute(bytes.fromhex("030c000000000004"), 16)
TYPE_3 = attribute(bytes.fromhex("030c000000000003"), 16)
COLOR_ONLY = attribute(bytes.fromhex("030b000000000064"), 16)
GOOD = attribute(TYPICAL)


@pytest.mark.parametrize(
    ("octets", "verdict", "section"),
    [
        (VECTORS["C"], USABLE, ""),
        (VECTORS["K"], WITHDRAW, "RFC 9012 §13"),
        (ORIGIN + AS_PATH + GOOD + COLOR_ONLY, USABLE, ""),
        # Flags: partial and extended length are fine, a wrong optional or transitive bit is not.
        (attribute(TYPICAL, flags=0xE0), USABLE, ""),
        (attribute(TYPICAL, flags=0xD0), USABLE, ""),
        (attribute(TYPICAL, flags=0xF0), USABLE, ""),
        (attribute(TYPICAL, flags=0xCF), USABLE, ""),
        (attribute(TYPICAL, flags=0x80), WITHDRAW, "RFC 9012 §13"),
        (attribute(TYPICAL, flags=0x40), WITHDRAW, "RFC 7606 §3 c"),
        (GOOD + attribute(bytes(8), 16, 0x80), WITHDRAW, "RFC 7606 §3 c"),
        (GOOD + attribute(value_of(MP_REACH_V4_VIA_V6), 14, 0xC0), WITHDRAW, "RFC 7606 §3 c"),
        # The list's end.
        (GOOD + b"\xc0", WITHDRAW, "RFC 7606 §4"),
        (GOOD + b"\xc0\x10", WITHDRAW, "RFC 7606 §4"),
        (GOOD + b"\xd0\x10\x00", WITHDRAW, "RFC 7606 §4"),
        (GOOD + TYPE_4[:-1], WITHDRAW, "RFC 7606 §4"),
        (GOOD[:-1], WITHDRAW, "RFC 7606 §4"),
        # Duplicates: the first counts.
        (GOOD + VECTORS["G"], USABLE, ""),
        (VECTORS["G"] + attribute(TYPICAL), WITHDRAW, "RFC 9012 §13"),
        (GOOD + MP_REACH_V4_VIA_V6 + MP_REACH_V4_VIA_V6, WITHDRAW, "RFC 7606 §3 g"),
        # Extended communities.
        (TYPE_4, USABLE, ""),
        (TYPE_3, UNUSABLE, "RFC 5566 §4.1"),
        (attribute(tlv(999)) + TYPE_4, USABLE, ""),
        (attribute(b"") + TYPE_4, WITHDRAW, "RFC 9012 §13"),
        (COLOR_ONLY, UNUSABLE, "RFC 9012 §4.1, §6"),
        (GOOD + attribute(b"", 16), WITHDRAW, "RFC 7606 §7.14"),
        (GOOD + attribute(bytes(9), 16), WITHDRAW, "RFC 7606 §7.14"),
        # Next hop.
        (GOOD + MP_REACH_V4_VIA_V6, USABLE, ""),
        (GOOD + attribute(bytes.fromhex("0001 01 05 0102030405 00"), 14, 0x80), WITHDRAW, "RFC 7606 §7.11"),
        (GOOD + attribute(bytes.fromhex("0001"), 14, 0x80), WITHDRAW, "RFC 7606 §7.11"),
        # Nothing about tunnels at all.
        (ORIGIN + AS_PATH, UNUSABLE, "RFC 9012 §4.1, §6"),
        (b"", UNUSABLE, "RFC 9012 §4.1, §6"),
        (attribute(b""), WITHDRAW, "RFC 9012 §13"),
    ],
)
def test_verdicts(octets: bytes, verdict: AttributeVerdict, section: str) -> None:
    encapsulation = decode_attributes(octets, Carrier.UNICAST).encapsulation
    assert (encapsulation.verdict, encapsulation.section) == (verdict, section)
    assert bool(encapsulation.reason) is (verdict is not USABLE)
    assert bool(encapsulation.usable_tunnels) is (verdict is USABLE)


@pytest.mark.parametrize("octets", [VECTORS["K"], GOOD + b"\xc0", GOOD + attribute(bytes(9), 16)])
def test_a_withdrawn_route_has_no_usable_tunnel(octets: bytes) -> None:
    encapsulation = decode_attributes(octets, Carrier.ENCAPSULATION).encapsulation
    assert encapsulation.verdict is WITHDRAW
    assert [t.verdict for t in encapsulation.tunnels] == [TunnelVerdict.UNUSABLE]
    assert encapsulation.tunnels[0].authenticators == (K1,)


@pytest.mark.parametrize(
    ("octets", "afi", "safi", "next_hop"),
    [
        (MP_REACH_ENCAP_V4, 1, 7, "192.0.2.2"),
        (MP_REACH_ENCAP_V6, 2, 7, "2001:db8::2"),
        (MP_REACH_V4_VIA_V6, 1, 1, "2001:db8::2"),
        (MP_REACH_V6_VIA_V4, 2, 1, "192.0.2.2"),
    ],
)
def test_multiprotocol_next_hop(octets: bytes, afi: int, safi: int, next_hop: str) -> None:
    reach = decode_attributes(octets + GOOD, Carrier.UNICAST).reach
    assert reach is not None
    assert (reach.afi, reach.safi, reach.next_hop.address) == (afi, safi, ip_address(next_hop))


def test_headers_round_trip_and_duplicates_are_kept_apart() -> None:
    long = attribute(tlv(4, sub(200, bytes(300))))
    assert long[0] == 0xD0
    decoded = decode_attributes(ORIGIN + long + COLOR_ONLY + ORIGIN, Carrier.ENCAPSULATION)
    assert b"".join(a.octets() for a in decoded.attributes) == ORIGIN + long + COLOR_ONLY
    assert [a.octets() for a in decoded.discarded] == [ORIGIN]


@pytest.mark.parametrize("flags", [0xC0, 0xD0])
def test_truncation_anywhere_is_never_usable(flags: int) -> None:
    whole = attribute(TYPICAL, flags=flags)
    for size in range(1, len(whole)):
        assert decode_attributes(whole[:size], Carrier.UNICAST).encapsulation.verdict is WITHDRAW
