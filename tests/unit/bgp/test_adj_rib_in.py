from __future__ import annotations

import gc

from softmesh.bgp.adj_rib_in import (
    AdjRibIn,
    Change,
    NeighborChanged,
    NeighborStale,
    RouteChanged,
    RouteWithdrawn,
)
from softmesh.bgp.exabgp_json import Acknowledgement, Malformed, Shutdown, parse_line
from softmesh.bgp.route import Family, Neighbor, PathAttributes, RouteKey, SessionState
from tests.unit.bgp.exabgp_lines import PEER, announce, end_of_rib, refresh, state, withdraw

V4 = Family.IPV4_UNICAST
OTHER = "10.0.1.9"


def key(prefix: str, peer: str = PEER) -> RouteKey:
    return RouteKey(peer, V4, prefix)


def fold(rib: AdjRibIn, *lines: bytes, now: float = 1.0) -> list[Change]:
    changes: list[Change] = []
    for line in lines:
        event = parse_line(line)
        assert not isinstance(event, Malformed | Acknowledgement | Shutdown), event
        changes += rib.apply(event, now)
    return changes


def prefixes(rib: AdjRibIn) -> set[str]:
    return {key.prefix for key in rib.routes}


def stale(rib: AdjRibIn) -> set[str]:
    return {key.prefix for key, route in rib.routes.items() if route.stale_since is not None}


def test_announce_replace_withdraw() -> None:
    rib = AdjRibIn()
    first = fold(rib, announce("10.2.0.0/16"), now=5.0)
    assert [type(change) for change in first] == [NeighborChanged, RouteChanged]
    assert rib.routes[key("10.2.0.0/16")].received_at == 5.0
    again = fold(rib, announce("10.2.0.0/16", tunnel="0x0005"), now=6.0)
    assert [type(change) for change in again] == [RouteChanged]
    assert rib.routes[key("10.2.0.0/16")].attributes.tunnel_encapsulation == b"\x00\x05"
    assert fold(rib, withdraw("10.2.0.0/16")) == [RouteWithdrawn(key("10.2.0.0/16"))]
    assert rib.routes == {}
    # A bridge may know what this hook never did.
    assert fold(rib, withdraw("10.2.0.0/16")) == [RouteWithdrawn(key("10.2.0.0/16"))]


def test_the_same_announcement_again_changes_nothing() -> None:
    rib = AdjRibIn()
    fold(rib, announce("10.2.0.0/16"), now=1.0)
    assert fold(rib, announce("10.2.0.0/16"), now=2.0) == []
    assert rib.routes[key("10.2.0.0/16")].received_at == 1.0


def test_neighbors_and_path_identifiers_are_apart() -> None:
    rib = AdjRibIn()
    with_path = announce("10.2.0.0/16").replace(b'/16" }', b'/16", "path-information": "0.0.0.7" }')
    fold(rib, announce("10.2.0.0/16"), announce("10.2.0.0/16", peer=OTHER), with_path)
    assert set(rib.routes) == {
        key("10.2.0.0/16"), key("10.2.0.0/16", OTHER), RouteKey(PEER, V4, "10.2.0.0/16", "0.0.0.7")
    }  # fmt: skip
    fold(rib, withdraw("10.2.0.0/16"))
    assert set(rib.routes) == {key("10.2.0.0/16", OTHER), RouteKey(PEER, V4, "10.2.0.0/16", "0.0.0.7")}


def test_a_lost_session_marks_its_routes_stale_and_keeps_them() -> None:
    rib = AdjRibIn()
    fold(rib, state("up"), announce("10.2.0.0/16"), announce("10.3.0.0/16", peer=OTHER), end_of_rib(), now=1.0)
    changes = fold(rib, state("down", reason="reset"), now=10.0)
    assert changes == [
        NeighborChanged(Neighbor(PEER, 65000, SessionState.DOWN, 10.0, "reset")),
        NeighborStale(PEER, 10.0),
    ]
    assert stale(rib) == {"10.2.0.0/16"}
    assert prefixes(rib) == {"10.2.0.0/16", "10.3.0.0/16"}
    assert fold(rib, state("down", reason="again"), now=11.0) == []


def test_a_stale_route_announced_again_is_fresh() -> None:
    rib = AdjRibIn()
    fold(rib, state("up"), announce("10.2.0.0/16"), state("down"), state("up"), now=1.0)
    assert stale(rib) == {"10.2.0.0/16"}
    changes = fold(rib, announce("10.2.0.0/16"), now=7.0)
    assert [type(change) for change in changes] == [RouteChanged]
    assert rib.routes[key("10.2.0.0/16")].stale_since is None
    assert rib.routes[key("10.2.0.0/16")].received_at == 7.0


def test_end_of_rib_flushes_no_stale_route_but_the_timer_does() -> None:
    rib = AdjRibIn()
    fold(rib, state("up"), announce("10.2.0.0/16"), announce("10.3.0.0/16"), state("down"), now=100.0)
    fold(rib, state("up"), announce("10.3.0.0/16"), end_of_rib(), now=110.0)
    assert prefixes(rib) == {"10.2.0.0/16", "10.3.0.0/16"}
    assert rib.expire(399.0, 300.0) == []
    assert rib.expire(400.0, 300.0) == [RouteWithdrawn(key("10.2.0.0/16"))]
    assert rib.expire(9999.0, 300.0) == []
    assert prefixes(rib) == {"10.3.0.0/16"}


def test_each_loss_has_its_own_stale_timer() -> None:
    rib = AdjRibIn()
    fold(rib, announce("10.2.0.0/16"), announce("10.3.0.0/16", peer=OTHER), now=1.0)
    fold(rib, state("down"), now=10.0)
    fold(rib, state("down", peer=OTHER), now=20.0)
    assert rib.expire(15.0, 10.0) == []
    assert rib.expire(20.0, 10.0) == [RouteWithdrawn(key("10.2.0.0/16"))]
    assert rib.expire(29.9, 10.0) == []
    assert rib.expire(30.0, 10.0) == [RouteWithdrawn(key("10.3.0.0/16", OTHER))]


def test_up_without_a_down_is_a_new_session_too() -> None:
    rib = AdjRibIn()
    fold(rib, state("up"), announce("10.2.0.0/16"), end_of_rib(), now=1.0)
    fold(rib, state("up"), now=5.0)
    assert stale(rib) == {"10.2.0.0/16"}
    assert rib.neighbors[PEER] == Neighbor(PEER, 65000, SessionState.UP, 5.0)


def test_end_of_rib_is_known_by_family_until_the_next_session() -> None:
    rib = AdjRibIn()
    fold(rib, state("up"), end_of_rib())
    assert rib.neighbors[PEER].end_of_rib == {V4}
    assert fold(rib, end_of_rib()) == []
    fold(rib, end_of_rib("ipv6"))
    assert rib.neighbors[PEER].end_of_rib == {V4, Family.IPV6_UNICAST}
    fold(rib, state("down"))
    assert rib.neighbors[PEER].end_of_rib == set()


def test_a_refresh_with_both_ends_marked_removes_what_was_not_sent_again() -> None:
    rib = AdjRibIn()
    fold(rib, state("up"), announce("10.2.0.0/16"), announce("10.3.0.0/16"), end_of_rib())
    fold(rib, refresh("begin"))
    assert rib.neighbors[PEER].end_of_rib == set()
    fold(rib, announce("10.2.0.0/16"))
    changes = fold(rib, refresh("end"))
    assert RouteWithdrawn(key("10.3.0.0/16")) in changes
    assert prefixes(rib) == {"10.2.0.0/16"}
    assert rib.neighbors[PEER].end_of_rib == {V4}


def test_a_refresh_ended_otherwise_only_marks_stale_what_was_not_sent_again() -> None:
    rib = AdjRibIn()
    fold(rib, state("up"), announce("10.2.0.0/16"), announce("10.3.0.0/16"), end_of_rib())
    rib.begin_refresh(PEER, V4)
    fold(rib, announce("10.2.0.0/16"), end_of_rib(), now=50.0)
    assert stale(rib) == {"10.3.0.0/16"}
    assert rib.expire(350.0, 300.0) == [RouteWithdrawn(key("10.3.0.0/16"))]


def test_a_withdrawal_during_a_refresh_is_a_withdrawal() -> None:
    rib = AdjRibIn()
    fold(rib, state("up"), announce("10.2.0.0/16"), refresh("begin"), withdraw("10.2.0.0/16"))
    assert fold(rib, refresh("end")) == [
        NeighborChanged(Neighbor(PEER, 65000, SessionState.UP, 1.0, "", frozenset({V4})))
    ]


def test_a_session_lost_during_a_refresh_ends_it() -> None:
    rib = AdjRibIn()
    fold(
        rib,
        state("up"),
        announce("10.2.0.0/16"),
        refresh("begin"),
        state("down"),
        state("up"),
        refresh("end"),
    )
    assert prefixes(rib) == {"10.2.0.0/16"}


def test_equal_attributes_are_one_object_and_are_not_kept_when_no_route_has_them() -> None:
    rib = AdjRibIn()
    fold(rib, announce("10.2.0.0/16"), announce("10.3.0.0/16"))
    held = [route.attributes for route in rib.routes.values()]
    assert held[0] is held[1]
    before = alive()
    for number in range(5000):
        fold(rib, announce("10.2.0.0/16", tunnel=f"0x{number:08x}"))
    assert alive() - before < 2000


def alive() -> int:
    return sum(isinstance(thing, PathAttributes) for thing in gc.get_objects())


def test_a_withdrawal_by_one_neighbor_ends_what_a_lost_one_had_of_the_same_router() -> None:
    """Found by a soak: a router left while one of two reflectors was away, and was wanted for its stale time."""
    rib = AdjRibIn()
    for peer in (PEER, OTHER):
        fold(rib, *(announce(prefix, peer=peer, next_hop="10.0.1.77") for prefix in ("10.2.0.0/16", "10.3.0.0/16")))
    fold(rib, state("down", peer=OTHER))
    assert fold(rib, withdraw("10.2.0.0/16")) == [
        RouteWithdrawn(key("10.2.0.0/16")),
        RouteWithdrawn(key("10.2.0.0/16", OTHER)),
    ]
    assert set(rib.routes) == {key("10.3.0.0/16"), key("10.3.0.0/16", OTHER)}


def test_a_withdrawal_ends_neither_what_stands_nor_what_another_router_announced() -> None:
    rib = AdjRibIn()
    first, second = (announce("10.2.0.0/16", peer=peer, next_hop="10.0.1.77") for peer in (PEER, OTHER))
    fold(rib, first, second)
    assert fold(rib, withdraw("10.2.0.0/16")) == [RouteWithdrawn(key("10.2.0.0/16"))]
    assert set(rib.routes) == {key("10.2.0.0/16", OTHER)}, "its session stands: it will say so itself"
    fold(rib, announce("10.2.0.0/16", next_hop="10.0.1.78"), state("down", peer=OTHER))
    assert fold(rib, withdraw("10.2.0.0/16")) == [RouteWithdrawn(key("10.2.0.0/16"))]
    assert stale(rib) == {"10.2.0.0/16"}


def test_a_withdrawal_of_one_path_leaves_the_others_of_its_neighbor() -> None:
    rib = AdjRibIn()
    with_path = announce("10.2.0.0/16").replace(b'/16" }', b'/16", "path-information": "0.0.0.7" }')
    fold(rib, announce("10.2.0.0/16"), with_path, state("down"))
    fold(rib, withdraw("10.2.0.0/16"))
    assert set(rib.routes) == {RouteKey(PEER, V4, "10.2.0.0/16", "0.0.0.7")}
