"""Nothing is torn down on ignorance."""

from __future__ import annotations

from softmesh.bgp.route import Family, Neighbor, SessionState
from softmesh.control.knowledge import Knowledge

BOTH = frozenset({Family.IPV4_UNICAST, Family.IPV6_UNICAST})
V4 = frozenset({Family.IPV4_UNICAST})
EXPECTED = frozenset({"192.0.2.1", "192.0.2.2"})


def neighbor(
    address: str, state: SessionState = SessionState.UP, heard: frozenset[Family] = BOTH
) -> dict[str, Neighbor]:
    return {address: Neighbor(address, 65000, state, 0.0, "", heard)}


def missing(knowledge: Knowledge, *known: dict[str, Neighbor], now: float = 1.0) -> tuple[str, ...]:
    merged = {address: value for entry in known for address, value in entry.items()}
    return knowledge.missing(EXPECTED, BOTH, merged, now)


def test_every_neighbour_must_have_said_all_it_has() -> None:
    knowledge = Knowledge(0.0, 300.0)
    assert missing(knowledge) == ("192.0.2.1", "192.0.2.2")
    assert missing(knowledge, neighbor("192.0.2.1")) == ("192.0.2.2",)
    assert missing(knowledge, neighbor("192.0.2.2", heard=V4)) == ("192.0.2.2 (ipv6 unicast)",)
    assert missing(knowledge, neighbor("192.0.2.2")) == ()


def test_a_session_that_is_down_or_unknown_says_nothing() -> None:
    knowledge = Knowledge(0.0, 300.0)
    for state in (SessionState.DOWN, SessionState.UNKNOWN):
        assert missing(knowledge, neighbor("192.0.2.1", state), neighbor("192.0.2.2", state)) != ()


def test_what_was_heard_once_is_not_forgotten_with_the_session() -> None:
    knowledge = Knowledge(0.0, 300.0)
    assert missing(knowledge, neighbor("192.0.2.1"), neighbor("192.0.2.2")) == ()
    assert missing(knowledge, neighbor("192.0.2.1", SessionState.DOWN, frozenset())) == ()


def test_waiting_ends_with_the_stale_time() -> None:
    knowledge = Knowledge(10.0, 300.0)
    assert missing(knowledge, now=309.9) != ()
    assert missing(knowledge, now=310.0) == ()


def test_a_stale_time_that_a_reload_changes_counts_at_once() -> None:
    knowledge = Knowledge(10.0, 300.0)
    knowledge.stale_time = 20.0
    assert missing(knowledge, now=29.9) != ()
    assert missing(knowledge, now=30.0) == ()
