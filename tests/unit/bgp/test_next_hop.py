"""Next hop forms by length."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

import pytest

from softmesh.bgp.next_hop import NextHop, decode_next_hop, encode_next_hop, parse_next_hop, unmapped
from softmesh.bgp.wire import DecodeError

V4 = ip_address("192.0.2.2")
V6 = ip_address("2001:db8::2")
LINK_LOCAL = IPv6Address("fe80::2")
MAPPED = ip_address("::ffff:192.0.2.2")
RD = bytes(8)


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (V4.packed, NextHop(V4)),
        (V6.packed, NextHop(V6)),
        (V6.packed + LINK_LOCAL.packed, NextHop(V6, LINK_LOCAL)),
        (V6.packed + bytes(16), NextHop(V6)),
        (V6.packed + V6.packed, NextHop(V6)),
        (MAPPED.packed, NextHop(V4)),
        (RD + V4.packed, NextHop(V4)),
        (RD + V6.packed, NextHop(V6)),
        (RD + V6.packed + RD + LINK_LOCAL.packed, NextHop(V6, LINK_LOCAL)),
        (RD + MAPPED.packed, NextHop(V4)),
    ],
)
def test_decoded_by_length(octets: bytes, expected: NextHop) -> None:
    assert decode_next_hop(octets) == expected


@pytest.mark.parametrize("size", [n for n in range(60) if n not in (4, 12, 16, 24, 32, 48)])
def test_other_lengths_are_refused(size: int) -> None:
    with pytest.raises(DecodeError, match=f"next hop of {size} octets"):
        decode_next_hop(bytes(size))


@pytest.mark.parametrize(
    ("next_hop", "afi", "expected"),
    [
        (NextHop(V4), 1, V4.packed),
        (NextHop(V4), 2, MAPPED.packed),
        (NextHop(V6), 1, V6.packed),
        (NextHop(V6, LINK_LOCAL), 2, V6.packed + LINK_LOCAL.packed),
    ],
)
def test_encoded_for_the_family_of_the_nlri(next_hop: NextHop, afi: int, expected: bytes) -> None:
    assert encode_next_hop(next_hop, afi) == expected
    assert decode_next_hop(expected) == next_hop


def test_text_as_exabgp_prints_it() -> None:
    assert parse_next_hop("::ffff:172.31.0.1") == ip_address("172.31.0.1")
    assert parse_next_hop("2001:db8::2") == V6
    assert unmapped(V4) == V4
    with pytest.raises(DecodeError, match="'self' is not an IP address"):
        parse_next_hop("self")
