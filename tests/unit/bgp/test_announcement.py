from __future__ import annotations

import pytest

from softmesh.bgp.announcement import Announcement, announce_command, withdraw_command


def test_everything_at_once() -> None:
    announcement = Announcement(
        "10.1.0.0/24", "2001:db8:f::1", b"\x00\x04\x00\x00", (0x030C000000000004, 5), (65000 << 16 | 7,)
    )
    assert announce_command(announcement) == (
        "announce route 10.1.0.0/24 next-hop 2001:db8:f::1 attribute [ 0x17 0xc0 0x00040000 ] "
        "extended-community [ 0x030c000000000004 0x0000000000000005 ] community [ 65000:7 ]"
    )
    assert withdraw_command(announcement) == "withdraw route 10.1.0.0/24 next-hop 2001:db8:f::1"


def test_ipv6_prefix_across_an_ipv4_core() -> None:
    announcement = Announcement("2001:db8:1::/64", "172.31.0.1")
    assert announce_command(announcement) == "announce route 2001:db8:1::/64 next-hop ::ffff:172.31.0.1"


def test_plain_routes_have_plain_next_hops() -> None:
    assert announce_command(Announcement("10.0.0.0/8", "10.0.0.1")) == "announce route 10.0.0.0/8 next-hop 10.0.0.1"
    assert announce_command(Announcement("2001:db8::/32", "2001:db8::1")) == (
        "announce route 2001:db8::/32 next-hop 2001:db8::1"
    )


def test_an_endpoint_in_the_encapsulation_safi() -> None:
    announcement = Announcement("192.0.2.1/32", "192.0.2.1", b"\x00\x04\x00\x00", encapsulation=True)
    assert announce_command(announcement) == (
        "announce route 192.0.2.1/32 safi encap next-hop 192.0.2.1 attribute [ 0x17 0xc0 0x00040000 ]"
    )
    assert withdraw_command(announcement) == "withdraw route 192.0.2.1/32 safi encap next-hop 192.0.2.1"


def test_for_some_neighbors_only() -> None:
    announcement = Announcement("10.0.0.0/8", "10.0.0.1", neighbors=frozenset({"2001:DB8::0:2", "10.0.0.9"}))
    assert announce_command(announcement) == (
        "neighbor 10.0.0.9 , neighbor 2001:db8::2 announce route 10.0.0.0/8 next-hop 10.0.0.1"
    )
    assert withdraw_command(announcement) == (
        "neighbor 10.0.0.9 , neighbor 2001:db8::2 withdraw route 10.0.0.0/8 next-hop 10.0.0.1"
    )


@pytest.mark.parametrize(
    "announcement",
    [
        Announcement("10.1.0.0/24\nshutdown", "10.0.0.1"),
        Announcement("10.1.0.0/24", "10.0.0.1\nshutdown"),
        Announcement("10.1.0.0/24 next-hop self", "10.0.0.1"),
        Announcement("10.1.0.1/24", "10.0.0.1"),
        Announcement("10.1.0.0/24", "self"),
        Announcement("10.1.0.0/24", "fe80::1%\nshutdown"),
        Announcement("10.1.0.0/24", "10.0.0.1", None, (1 << 64,)),
        Announcement("10.1.0.0/24", "10.0.0.1", None, (), (-1,)),
        Announcement("10.1.0.0/24", "10.0.0.1", neighbors=frozenset({"10.0.0.9 shutdown"})),
        Announcement("10.1.0.0/24", "10.0.0.1", neighbors=frozenset({"fe80::1%\nshutdown"})),
        Announcement("10.1.0.0/24", "10.0.0.1", neighbors=frozenset({"*"})),
        Announcement("10.1.0.0/24", "10.0.0.1", neighbors=frozenset()),
    ],
)
def test_nothing_else_gets_into_a_command(announcement: Announcement) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        announce_command(announcement)
    with pytest.raises(ValueError, match=r"\S"):
        withdraw_command(announcement)
