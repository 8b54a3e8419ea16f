from __future__ import annotations

from dataclasses import replace

import pytest

from softmesh.bgp.adj_rib_in import NeighborChanged, NeighborStale, RouteChanged, RouteWithdrawn
from softmesh.bgp.hook_protocol import VERSION, FromHook, Hello, SnapshotComplete
from softmesh.bgp.mirror import Mirror
from softmesh.bgp.route import Family, Neighbor, PathAttributes, Route, RouteKey, SessionState
from softmesh.errors import OperatorError

V4 = Family.IPV4_UNICAST
PEER = "10.0.1.1"


def route(prefix: str, peer: str = PEER, stale_since: float | None = None) -> Route:
    return Route(RouteKey(peer, V4, prefix), peer, PathAttributes(b"\x01"), 1.0, stale_since)


def neighbor(peer: str = PEER, *, ended: bool = False, state: SessionState = SessionState.UP) -> NeighborChanged:
    return NeighborChanged(Neighbor(peer, 65000, state, 1.0, "", frozenset({V4} if ended else ())))


def connect(mirror: Mirror, instance: str, *messages: FromHook, now: float = 0.0) -> None:
    """A whole snapshot of one hook."""
    mirror.hello(Hello(VERSION, instance, 1, 300.0), now)
    for message in (*messages, SnapshotComplete()):
        mirror.apply(message, now)


def prefixes(mirror: Mirror) -> set[str]:
    return {key.prefix for key in mirror.routes}


def test_snapshot_then_stream() -> None:
    mirror = Mirror()
    mirror.hello(Hello(VERSION, "one", 1, 300.0), 0.0)
    mirror.apply(neighbor(), 0.0)
    mirror.apply(RouteChanged(route("10.2.0.0/16")), 0.0)
    assert not mirror.synced
    mirror.apply(SnapshotComplete(), 0.0)
    assert mirror.synced
    before = mirror.generation
    mirror.apply(RouteChanged(route("10.3.0.0/16")), 0.0)
    mirror.apply(RouteWithdrawn(route("10.2.0.0/16").key), 0.0)
    assert prefixes(mirror) == {"10.3.0.0/16"}
    assert mirror.generation > before


def test_generation_stands_when_nothing_changes() -> None:
    mirror = Mirror()
    connect(mirror, "one", neighbor(), RouteChanged(route("10.2.0.0/16")))
    before = mirror.generation
    mirror.apply(RouteChanged(route("10.2.0.0/16")), 1.0)
    mirror.apply(RouteWithdrawn(route("10.9.0.0/16").key), 1.0)
    mirror.apply(neighbor(), 1.0)
    mirror.expire(1.0)
    assert mirror.generation == before


def test_losing_the_hook_changes_nothing() -> None:
    mirror = Mirror()
    connect(mirror, "one", neighbor(ended=True), RouteChanged(route("10.2.0.0/16")))
    before = (dict(mirror.routes), dict(mirror.neighbors))
    mirror.lost()
    mirror.expire(1e9)
    assert not mirror.synced
    assert (mirror.routes, mirror.neighbors) == before


def test_the_same_hook_again_is_believed_at_once() -> None:
    mirror = Mirror()
    connect(mirror, "one", neighbor(), RouteChanged(route("10.2.0.0/16")), RouteChanged(route("10.3.0.0/16")))
    mirror.lost()
    connect(mirror, "one", neighbor(), RouteChanged(route("10.3.0.0/16")))
    assert prefixes(mirror) == {"10.3.0.0/16"}


def test_a_new_hook_is_believed_about_a_family_once_its_end_of_rib_is_there() -> None:
    mirror = Mirror()
    connect(
        mirror,
        "one",
        neighbor(ended=True),
        RouteChanged(route("10.2.0.0/16")),
        RouteChanged(route("10.3.0.0/16")),
    )
    connect(mirror, "two", neighbor(), RouteChanged(route("10.3.0.0/16")))
    assert prefixes(mirror) == {"10.2.0.0/16", "10.3.0.0/16"}
    mirror.apply(neighbor(ended=True), 1.0)
    assert prefixes(mirror) == {"10.3.0.0/16"}


def test_end_of_rib_inside_the_snapshot_waits_for_the_routes_behind_it() -> None:
    mirror = Mirror()
    connect(
        mirror,
        "one",
        neighbor(ended=True),
        RouteChanged(route("10.2.0.0/16")),
        RouteChanged(route("10.3.0.0/16")),
    )
    mirror.hello(Hello(VERSION, "two", 1, 300.0), 0.0)
    mirror.apply(neighbor(ended=True), 0.0)
    assert prefixes(mirror) == {"10.2.0.0/16", "10.3.0.0/16"}
    mirror.apply(RouteChanged(route("10.2.0.0/16")), 0.0)
    mirror.apply(SnapshotComplete(), 0.0)
    assert prefixes(mirror) == {"10.2.0.0/16"}


def test_a_new_hook_that_ends_before_it_knew_leaves_the_mirror_alone() -> None:
    mirror = Mirror()
    connect(mirror, "one", neighbor(ended=True), RouteChanged(route("10.2.0.0/16")))
    for instance in ("two", "three", "four"):
        connect(mirror, instance)
        mirror.lost()
    assert prefixes(mirror) == {"10.2.0.0/16"}


def test_a_neighbor_the_new_hook_does_not_know_is_unknown_and_ages() -> None:
    mirror = Mirror()
    connect(mirror, "one", neighbor(ended=True), RouteChanged(route("10.2.0.0/16")))
    connect(mirror, "two", now=50.0)
    assert mirror.neighbors[PEER].state is SessionState.UNKNOWN
    assert mirror.neighbors[PEER].end_of_rib == set()
    assert mirror.routes[route("10.2.0.0/16").key].stale_since == 50.0
    mirror.expire(349.0)
    assert prefixes(mirror) == {"10.2.0.0/16"}
    mirror.expire(350.0)
    assert prefixes(mirror) == set()
    assert mirror.neighbors == {}


def test_a_neighbor_down_at_the_new_hook_makes_its_old_routes_stale() -> None:
    mirror = Mirror()
    connect(mirror, "one", neighbor(ended=True), RouteChanged(route("10.2.0.0/16")))
    connect(mirror, "two", neighbor(state=SessionState.DOWN), now=50.0)
    assert mirror.routes[route("10.2.0.0/16").key].stale_since == 1.0


def restored(*routes: Route, instance: str = "one", at: float = 40.0) -> Mirror:
    mirror = Mirror()
    mirror.restore(routes, instance, at)
    return mirror


def test_what_an_earlier_bridge_knew_is_stale_since_it_ended() -> None:
    mirror = restored(route("10.2.0.0/16"), route("10.3.0.0/16", stale_since=20.0))
    assert {key.prefix: held.stale_since for key, held in mirror.routes.items()} == {
        "10.2.0.0/16": 40.0, "10.3.0.0/16": 20.0
    }  # fmt: skip
    assert not mirror.synced
    connect(mirror, "two", neighbor(state=SessionState.DOWN), now=50.0)
    assert prefixes(mirror) == {"10.2.0.0/16", "10.3.0.0/16"}
    mirror.apply(RouteChanged(route("10.2.0.0/16")), 60.0)
    assert mirror.routes[route("10.2.0.0/16").key].stale_since is None
    mirror.expire(350.0)
    assert prefixes(mirror) == {"10.2.0.0/16"}


def test_the_hook_that_an_earlier_bridge_knew_is_believed_at_once() -> None:
    mirror = restored(route("10.2.0.0/16"), route("10.3.0.0/16"))
    connect(mirror, "one", neighbor(), RouteChanged(route("10.3.0.0/16")))
    assert prefixes(mirror) == {"10.3.0.0/16"}


def test_an_end_of_rib_ends_what_was_fresh_and_not_what_was_stale_already() -> None:
    mirror = restored(route("10.2.0.0/16"), route("10.3.0.0/16", stale_since=20.0))
    connect(mirror, "two", neighbor(ended=True), now=50.0)
    assert prefixes(mirror) == {"10.3.0.0/16"}


@pytest.mark.parametrize("lost", [NeighborStale(PEER, 9.0), RouteChanged(route("10.2.0.0/16", stale_since=9.0))])
def test_nor_does_one_that_comes_through_a_new_hook(lost: FromHook) -> None:
    """The neighbour was away, and may have less to say than it will have when its other clients are back."""
    mirror = Mirror()
    connect(mirror, "one", neighbor(), RouteChanged(route("10.2.0.0/16")))
    mirror.apply(lost, 9.0)
    connect(mirror, "two", neighbor(ended=True), now=50.0)
    assert prefixes(mirror) == {"10.2.0.0/16"}
    mirror.apply(RouteChanged(route("10.2.0.0/16")), 60.0)
    connect(mirror, "three", neighbor(ended=True), now=70.0)
    assert prefixes(mirror) == set(), "heard anew meanwhile, and not since"


def test_nor_one_of_a_neighbor_that_goes_away_before_it_has_sent_all() -> None:
    mirror = Mirror()
    connect(mirror, "one", neighbor(), RouteChanged(route("10.2.0.0/16")))
    connect(mirror, "two", neighbor(), now=50.0)
    for message in (neighbor(state=SessionState.DOWN), neighbor(), neighbor(ended=True)):
        mirror.apply(message, 60.0)
    assert prefixes(mirror) == {"10.2.0.0/16"}


def test_what_a_hook_never_told_is_not_gone_because_it_is_connected_to_again() -> None:
    mirror = Mirror()
    connect(mirror, "one", neighbor(ended=True), RouteChanged(route("10.2.0.0/16")))
    for now in (50.0, 60.0):
        connect(mirror, "two", neighbor(), RouteChanged(route("10.3.0.0/16")), now=now)
        assert prefixes(mirror) == {"10.2.0.0/16", "10.3.0.0/16"}
        mirror.lost()
    connect(mirror, "two", neighbor(), now=70.0)
    assert prefixes(mirror) == {"10.2.0.0/16"}
    mirror.expire(349.0)
    assert prefixes(mirror) == {"10.2.0.0/16"}
    mirror.expire(350.0)
    assert prefixes(mirror) == set()


def test_stale_is_folded_by_neighbor() -> None:
    mirror = Mirror()
    other = "10.0.1.9"
    connect(
        mirror,
        "one",
        RouteChanged(route("10.2.0.0/16")),
        RouteChanged(route("10.3.0.0/16", stale_since=2.0)),
        RouteChanged(route("10.4.0.0/16", other)),
    )
    mirror.apply(NeighborStale(PEER, 9.0), 9.0)
    assert {key.prefix: held.stale_since for key, held in mirror.routes.items()} == {
        "10.2.0.0/16": 9.0, "10.3.0.0/16": 2.0, "10.4.0.0/16": None
    }  # fmt: skip


def test_equal_attributes_are_one_object() -> None:
    mirror = Mirror()
    second = replace(route("10.3.0.0/16"), attributes=PathAttributes(b"\x01"))
    connect(mirror, "one", RouteChanged(route("10.2.0.0/16")), RouteChanged(second))
    first_held, second_held = (held.attributes for held in mirror.routes.values())
    assert first_held is second_held


def test_another_version_is_refused() -> None:
    with pytest.raises(OperatorError, match="restart ExaBGP and the bridge"):
        Mirror().hello(Hello(VERSION + 1, "one", 1, 300.0), 0.0)
