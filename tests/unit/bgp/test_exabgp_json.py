from __future__ import annotations

import pytest

from softmesh.bgp.exabgp_json import (
    Acknowledgement,
    EndOfRib,
    Malformed,
    NeighborListed,
    OpenRead,
    OtherLine,
    RefreshMarked,
    SessionChanged,
    Shutdown,
    UpdateReceived,
    parse_line,
)
from softmesh.bgp.route import Family, Origin, PathAttributes, RouteKey
from tests.unit.bgp.exabgp_lines import (
    ATTRIBUTE_23,
    OPEN_42_RECEIVED,
    OPEN_50_RECEIVED,
    OPEN_50_SENT,
    PEER,
    UPDATE_50,
    about_neighbor,
    announce,
    end_of_rib,
    open_read,
    refresh,
    state,
    withdraw,
)

V4 = Family.IPV4_UNICAST


def attributes(*pairs: str) -> PathAttributes:
    """The attributes parsed from an UPDATE that has these JSON members."""
    event = parse_line(
        about_neighbor(
            f'"message": {{ "update": {{ "attribute": {{ {", ".join(pairs)} }}, '
            '"announce": { "ipv4 unicast": { "10.0.1.1": [ { "nlri": "10.2.0.0/16" } ] } } } }'
        )
    )
    assert isinstance(event, UpdateReceived), event
    return event.attributes


def test_the_measured_line_of_5_0() -> None:
    assert parse_line(UPDATE_50) == UpdateReceived(
        neighbor="10.0.1.1",
        asn=65000,
        counter=3,
        attributes=PathAttributes(
            tunnel_encapsulation=ATTRIBUTE_23,
            extended_communities=(219269006857601124, 219550481834311684),
            origin=Origin.IGP,
            local_preference=100,
        ),
        announced=((RouteKey("10.0.1.1", V4, "11.0.0.0/32"), "10.0.1.1"),),
        withdrawn=(),
    )


@pytest.mark.parametrize(("line", "sent"), [(OPEN_50_SENT, True), (OPEN_50_RECEIVED, False), (OPEN_42_RECEIVED, False)])
def test_the_measured_opens(line: bytes, sent: bool) -> None:
    offers = line is not OPEN_42_RECEIVED
    assert parse_line(line) == OpenRead("2001:db8:f::fe", 65000, 2, sent=sent, extended_next_hop=offers)


@pytest.mark.parametrize("sent", [False, True])
def test_only_ipv6_next_hops_for_ipv4_unicast_count(sent: bool) -> None:
    for conversions, offers in [
        ((), False),
        (("ipv4/mpls-vpn/ipv6", "ipv6/unicast/ipv4"), False),
        (("ipv4/mpls-vpn/ipv6", "ipv4/unicast/ipv6"), True),
    ]:
        event = parse_line(open_read(*conversions, sent=sent))
        assert isinstance(event, OpenRead)
        assert event.extended_next_hop == offers


@pytest.mark.parametrize(
    "name",
    [f"attribute-0x17-0x{flags}" for flags in ("C0", "D0", "E0", "F0", "e0", "c0", "C7")] + ["ATTRIBUTE-0X17-0XE0"],
)
def test_attribute_23_whatever_its_flags_and_spelling(name: str) -> None:
    assert attributes(f'"{name}": "0x00040a"').tunnel_encapsulation == b"\x00\x04\x0a"


def test_attribute_23_of_6_0_keeps_every_tunnel_of_a_type_in_order() -> None:
    shape = '"tunnel-encap": { "tunnel-type-4": "0x0102", "tunnel-type-5": "0x", "tunnel-type-4": "0x03" }'
    assert attributes(shape).tunnel_encapsulation == bytes.fromhex("00040002010200050000" + "0004000103")


def test_an_empty_attribute_23_is_not_an_absent_one() -> None:
    assert attributes('"attribute-0x17-0xE0": "0x"').tunnel_encapsulation == b""
    assert attributes('"origin": "igp"').tunnel_encapsulation is None


def test_another_attribute_in_hex_is_not_attribute_23() -> None:
    assert attributes('"attribute-0x80-0xE0": "0x17"').tunnel_encapsulation is None


@pytest.mark.parametrize(
    ("shape", "path"),
    [
        ('"as-path": { "0": { "element": "as-sequence", "value": [ 65001, 65002 ] } }', (65001, 65002)),
        (
            '"as-path": { "0": { "element": "confederation-sequence", "value": [ 7 ] }, '
            '"1": { "element": "as-sequence", "value": [ 8 ] }, "2": { "element": "as-set", "value": [ 9, 10 ] } }',
            (7, 8, 9, 10),
        ),
        ('"as-path": [ 65001, 65002 ], "confederation-path": []', (65001, 65002)),
        ('"as-path": [ 8 ], "as-set": [ 9 ], "confederation-path": [ 7 ]', (7, 8, 9)),
        ('"as-path": {}', ()),
    ],
    ids=["5.0", "5.0 segments", "4.2", "4.2 segments", "empty"],
)
def test_as_path_of_5_0_and_4_2(shape: str, path: tuple[int, ...]) -> None:
    assert attributes(shape).as_path == path


def test_the_other_attributes() -> None:
    found = attributes(
        '"origin": "egp"', '"med": 5', '"local-preference": 200', '"originator-id": "10.0.0.9"',
        '"cluster-list": [ "10.0.0.1", "10.0.0.2" ]', '"extended-community": [ { "value": 18446744073709551615 } ]',
    )  # fmt: skip
    assert found == PathAttributes(
        None, (18446744073709551615,), Origin.EGP, (), 200, 5, "10.0.0.9", ("10.0.0.1", "10.0.0.2")
    )


def test_several_next_hops_families_and_path_identifiers() -> None:
    event = parse_line(
        about_neighbor(
            '"message": { "update": { "attribute": { "origin": "igp" }, "announce": { '
            '"ipv4 unicast": { "2001:db8::1": [ { "nlri": "10.2.0.0/16", "path-information": "0.0.0.7" } ], '
            '"2001:db8::2": [ "10.3.0.0/16" ] }, "ipv6 unicast": { "2001:db8::1": [ { "nlri": "2001:db8:2::/48" } ] }, '
            '"ipv4 flow": { "no-nexthop": [ { "string": "flow" } ] } }, '
            '"withdraw": { "ipv4 unicast": [ { "nlri": "10.4.0.0/16", "path-information": "0.0.0.8" } ], '
            '"ipv6 unicast": [ { "nlri": "2001:db8:3::/48" } ] } } }'
        )
    )
    assert isinstance(event, UpdateReceived)
    assert event.announced == (
        (RouteKey(PEER, V4, "10.2.0.0/16", "0.0.0.7"), "2001:db8::1"),
        (RouteKey(PEER, V4, "10.3.0.0/16"), "2001:db8::2"),
        (RouteKey(PEER, Family.IPV6_UNICAST, "2001:db8:2::/48"), "2001:db8::1"),
    )
    assert event.withdrawn == (
        RouteKey(PEER, V4, "10.4.0.0/16", "0.0.0.8"),
        RouteKey(PEER, Family.IPV6_UNICAST, "2001:db8:3::/48"),
    )


def test_endpoints_of_the_encapsulation_safi() -> None:
    event = parse_line(
        about_neighbor(
            '"message": { "update": { "attribute": { "origin": "igp", "attribute-0x17-0xE0": "0x00040000" }, '
            '"announce": { "ipv4 encap": { "192.0.2.1": [ { "nlri": "192.0.2.1/32" } ] }, '
            '"ipv6 encap": { "2001:db8::1": [ { "nlri": "2001:db8::1/128" } ] } }, '
            '"withdraw": { "ipv4 encap": [ { "nlri": "192.0.2.2/32" } ], "ipv6 encap": [ "2001:db8::2/128" ] } } }'
        )
    )
    assert isinstance(event, UpdateReceived)
    v4, v6 = Family.IPV4_ENCAPSULATION, Family.IPV6_ENCAPSULATION
    assert event.attributes.tunnel_encapsulation == b"\0\4\0\0"
    assert event.announced == (
        (RouteKey(PEER, v4, "192.0.2.1/32"), "192.0.2.1"),
        (RouteKey(PEER, v6, "2001:db8::1/128"), "2001:db8::1"),
    )
    assert event.withdrawn == (RouteKey(PEER, v4, "192.0.2.2/32"), RouteKey(PEER, v6, "2001:db8::2/128"))
    marked = '"message": { "eor": { "afi" : "ipv6", "safi" : "encap" } }'
    assert parse_line(about_neighbor(marked)) == EndOfRib(PEER, 65000, 1, v6)


def test_equal_communities_and_cluster_lists_are_one_object() -> None:
    one, other = (
        attributes('"cluster-list": [ "10.0.0.1" ]', '"extended-community": [ { "value": 1311768467294899695 } ]')
        for _ in range(2)
    )
    assert one.cluster_list is other.cluster_list
    assert one.extended_communities is other.extended_communities


def test_what_else_is_said_of_a_neighbor() -> None:
    assert parse_line(end_of_rib("ipv6", counter=9)) == EndOfRib(PEER, 65000, 9, Family.IPV6_UNICAST)
    assert parse_line(end_of_rib("l2vpn")) == EndOfRib(PEER, 65000, 1, None)
    assert parse_line(state("up")) == SessionChanged(PEER, 65000, 1, True, "")
    assert parse_line(state("down", reason="peer reset")) == SessionChanged(PEER, 65000, 1, False, "peer reset")
    assert parse_line(state("connected", counter=4)) == OtherLine(PEER, 65000, 4)
    assert parse_line(refresh("begin")) == RefreshMarked(PEER, 65000, 1, V4, begins=True)
    assert parse_line(refresh("end", "ipv6")) == RefreshMarked(PEER, 65000, 1, Family.IPV6_UNICAST, begins=False)
    assert parse_line(refresh("query")) == OtherLine(PEER, 65000, 1)
    assert parse_line(announce("10.0.0.0/8").replace(b'"receive"', b'"send"')) == OtherLine(PEER, 65000, 1)


def test_route_refresh_as_4_2_misprints_it() -> None:
    line = refresh("end").replace(b'"ipv4"', b'""ipv4""').replace(b'"unicast"', b'""unicast""')
    assert parse_line(line.replace(b'"end"', b'""end""')) == RefreshMarked(PEER, 65000, 1, V4, begins=False)


def test_what_is_said_of_no_neighbor() -> None:
    assert parse_line(b"done") == Acknowledgement(done=True)
    assert parse_line(b"error") == Acknowledgement(done=False)
    assert parse_line(b'{ "answer": "error", "message": "no" }') == Acknowledgement(done=False)
    assert parse_line(
        b'{ "exabgp": "5.0.0", "time": 1.0, "host" : "vm", "pid" : 1, "ppid" : 1, "type": "notification", '
        b'"notification": "shutdown" }'
    ) == Shutdown()  # fmt: skip


def test_show_neighbor_summary() -> None:
    header = b"Peer            AS        up/down state       |     #sent     #recvd"
    assert parse_line(header) == OtherLine(None, None, None)
    row = b"2001:db8:f::fe  65000   1 day, 0:00:04 established           4          9"
    assert parse_line(row) == NeighborListed("2001:db8:f::fe", 65000, "established")
    row = b"10.0.1.1        65000        down active                0          0"
    assert parse_line(row) == NeighborListed("10.0.1.1", 65000, "active")


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"null",
        b"[]",
        b"\xff\xfe",
        b"\x1b[31mred",
        b"{" * 100_000,
        b'{"x":' * 100_000,
        b"Done",
        UPDATE_50[:-1],
        UPDATE_50.replace(b"0x0004", b"0x000"),
        UPDATE_50.replace(b"0x0004", b"zz"),
        UPDATE_50.replace(b'"attribute-0x17-0xE0": "0x', b'"tunnel-encap": { "gre": "0x01" }, "y": "0x'),
        UPDATE_50.replace(b'"value": 219269006857601124', b'"value": "219269006857601124"'),
        announce("10.2.0.0/33"),
        announce("anything"),
        withdraw("10.2.0.0"),
        b"1 \xb8 d 4 2",
        b"1 65000 d 4 2",
        announce("10.2.0.0/24", peer="x announce route 0.0.0.0/0"),
        b"::1 " + b"a" * 60_000,
        b'{"neighbor": {"address": {}}}',
    ],
)
def test_anything_else_is_malformed_and_says_why(line: bytes) -> None:
    event = parse_line(line)
    assert isinstance(event, Malformed)
    assert event.reason
    assert event.excerpt.isprintable()
    assert len(event.excerpt) < 700


@pytest.mark.parametrize("said", ["no-nexthop", "null", ""])
def test_without_a_next_hop_it_is_a_withdrawal(said: str) -> None:
    """5.0.15 prints the first for an UPDATE without NEXT_HOP; it once ended in the fold, and the bridge with it."""
    event = parse_line(UPDATE_50.replace(b'"10.0.1.1": [ {', b'"%s": [ {' % said.encode()))
    assert isinstance(event, UpdateReceived)
    assert event.announced == ()
    assert event.withdrawn == (RouteKey(PEER, V4, "11.0.0.0/32"),)


def test_of_two_addresses_of_a_next_hop_the_global_one_counts() -> None:
    """ExaBGP prints the routes once for each, as it received the two (RFC 2545 §3)."""
    routes = b'[ { "nlri": "11.0.0.0/32" } ]'
    both = UPDATE_50.replace(b'"10.0.1.1": %s' % routes, b'"2001:db8::2": %s, "fe80::2": %s' % (routes, routes))
    event = parse_line(both)
    assert isinstance(event, UpdateReceived)
    assert event.announced == ((RouteKey(PEER, V4, "11.0.0.0/32"), "2001:db8::2"),)
    assert event.withdrawn == ()


def test_withdrawal_has_no_attributes() -> None:
    event = parse_line(withdraw("10.2.0.0/16", counter=8))
    assert event == UpdateReceived(
        PEER, 65000, 8, PathAttributes(), (), (RouteKey(PEER, V4, "10.2.0.0/16"),)
    )  # fmt: skip
