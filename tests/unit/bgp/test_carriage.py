"""What the digest tells of attribute 23 on its way."""

from __future__ import annotations

from softmesh.bgp.carriage import Seen, Tally, seen_in, tally
from softmesh.bgp.extended_communities import attribute_digest
from softmesh.bgp.route import Family, PathAttributes, Route, RouteKey

A, B = "10.0.0.11", "10.0.0.12"
SENT, OTHER = b"\x00\x04\x00\x00", b"\x00\x05\x00\x00"
DIGEST = int(attribute_digest(SENT))
US = "10.255.0.1"


def route(
    attributes: PathAttributes, prefix: str = "10.2.0.0/24", neighbor: str = A, stale_since: float | None = None
) -> Route:
    return Route(RouteKey(neighbor, Family.IPV4_UNICAST, prefix), "10.0.0.2", attributes, 0.0, stale_since)


def ours(value: bytes | None, *communities: int) -> PathAttributes:
    return PathAttributes(value, communities, originator_id=US)


def test_a_route_tells_by_its_digest() -> None:
    assert seen_in(PathAttributes(SENT, (1, DIGEST, 2))) is Seen.INTACT
    assert seen_in(PathAttributes(OTHER, (DIGEST,))) is Seen.REWRITTEN
    assert seen_in(PathAttributes(b"", (DIGEST,))) is Seen.REWRITTEN
    assert seen_in(PathAttributes(None, (DIGEST,))) is Seen.STRIPPED
    assert seen_in(PathAttributes(SENT, (1, 2))) is Seen.UNKNOWN
    assert seen_in(PathAttributes()) is Seen.UNKNOWN


def test_the_worst_of_a_neighbor_is_shown_with_counts_and_an_example() -> None:
    whole, bare = PathAttributes(SENT, (DIGEST,)), PathAttributes(None, (DIGEST,))
    found = tally(
        [
            route(whole, "10.2.0.0/24"),
            route(whole, "10.3.0.0/24"),
            route(bare, "10.4.0.0/24"),
            route(bare, "10.5.0.0/24"),
            route(PathAttributes(OTHER), "10.6.0.0/24"),
            route(bare, "10.7.0.0/24", stale_since=1.0),
            route(whole, "10.2.0.0/24", neighbor=B),
        ],
        US,
        {},
    )
    assert found[A].worst is Seen.STRIPPED
    assert found[A].routes == {Seen.INTACT: 2, Seen.STRIPPED: 2}
    assert found[A].examples[Seen.STRIPPED] == "10.4.0.0/24"
    assert found[B].worst is Seen.INTACT
    assert Tally().worst is Seen.UNKNOWN


def test_our_own_routes_come_back_without_the_digest_too() -> None:
    announced = {(A, "10.1.0.0/24"): SENT}
    for came_back, seen in (
        (ours(SENT), Seen.INTACT),
        (ours(None), Seen.STRIPPED),
        (ours(OTHER), Seen.REWRITTEN),
        (ours(OTHER, int(attribute_digest(OTHER))), Seen.INTACT),  # what we announced a moment ago
        (ours(None, DIGEST), Seen.STRIPPED),
    ):
        assert tally([route(came_back, "10.1.0.0/24")], US, announced)[A].worst is seen
    for came_back, prefix, neighbor in (
        (ours(None), "10.1.0.0/24", B),  # where it is left out
        (ours(None), "10.9.0.0/24", A),
        (PathAttributes(), "10.1.0.0/24", A),
        (PathAttributes(None, originator_id="10.255.0.2"), "10.1.0.0/24", A),
    ):
        assert tally([route(came_back, prefix, neighbor)], US, announced) == {}
    assert tally([route(PathAttributes(), "10.1.0.0/24")], None, announced) == {}, "nobody said who we are"
