from __future__ import annotations

from itertools import pairwise

from softmesh.bgp.route import Family
from softmesh.bgp.route_refresh import FIRST_PAUSE, LONGEST_PAUSE, MARKED_QUIET, QUIET, UNANSWERED, RouteRefresh

V4, V6 = Family.IPV4_UNICAST, Family.IPV6_UNICAST
PEER = "10.0.1.1"


def test_lines_in_order_ask_for_nothing() -> None:
    refresh = RouteRefresh()
    for counter in (17, 18, 19):
        refresh.counted(PEER, counter, 0.0)
    assert refresh.due(1000.0) == []


def test_a_gap_is_counted_by_neighbor_and_asked_for_at_once() -> None:
    refresh = RouteRefresh()
    refresh.counted(PEER, 1, 0.0)
    refresh.counted("10.0.1.9", 1, 0.0)
    refresh.counted(PEER, 4, 1.0)
    refresh.counted(PEER, 6, 1.0)
    assert refresh.due(1.0) == [(PEER, 3)]
    assert refresh.due(1.0) == []


def test_a_count_that_starts_again_is_no_gap() -> None:
    refresh = RouteRefresh()
    refresh.counted(PEER, 900, 0.0)
    refresh.counted(PEER, 1, 0.0)
    refresh.counted(PEER, 2, 0.0)
    assert refresh.due(1000.0) == []


def test_endless_gaps_are_asked_for_less_and_less_often() -> None:
    refresh = RouteRefresh()
    asked = []
    for second in range(4000):
        refresh.counted(PEER, 3 * second, float(second))
        if refresh.due(float(second)):
            asked.append(second)
    pauses = [later - earlier for earlier, later in pairwise(asked)]
    assert pauses[0] <= 2 * FIRST_PAUSE
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE
    assert len(asked) < 15


def test_a_gap_long_after_the_last_is_asked_for_at_once() -> None:
    refresh = RouteRefresh()
    for at in (0.0, 1.0, 1000.0):
        refresh.counted(PEER, int(at) * 10 + 10, at)
        refresh.due(at)
    refresh.counted(PEER, 999_999, 5000.0)
    assert [neighbor for neighbor, _ in refresh.due(5000.0)] == [PEER]


def test_silence_ends_a_refresh_only_after_it_was_sent_and_answered() -> None:
    refresh = RouteRefresh()
    refresh.asked(PEER, V4, 0.0)
    refresh.asked(PEER, V6, 0.0)
    assert refresh.silent(1000.0) == []
    refresh.sent(None, V4, 1000.0)
    refresh.heard(PEER, 1004.0)
    assert refresh.silent(1004.0 + QUIET - 0.1) == []
    assert refresh.silent(1004.0 + QUIET) == [(PEER, V4)]
    assert refresh.silent(2000.0) == []
    assert refresh.deadline() is None


def test_a_refresh_that_nothing_was_answered_to_is_not_complete_because_the_link_is_cut() -> None:
    """Seen in a soak: hook killed, link cut for 5.5 s, and every route taken for withdrawn."""
    refresh = RouteRefresh()
    refresh.asked(PEER, V4, 0.0)
    refresh.sent(PEER, V4, 1.0)
    assert refresh.silent(1.0 + UNANSWERED - 0.1) == []
    assert refresh.deadline() == 1.0 + UNANSWERED
    assert refresh.silent(1.0 + UNANSWERED) == [(PEER, V4)]


def test_an_answer_for_one_family_is_one_for_a_family_that_has_no_routes() -> None:
    refresh = RouteRefresh()
    refresh.asked(PEER, V4, 0.0)
    refresh.asked(PEER, V6, 0.0)
    refresh.sent(None, V4, 1.0)
    refresh.heard(PEER, 2.0)
    refresh.ended(PEER, V4)
    refresh.sent(None, V6, 3.0)
    assert refresh.silent(3.0 + QUIET) == [(PEER, V6)]


def test_where_the_beginning_is_marked_silence_must_last_longer() -> None:
    refresh = RouteRefresh()
    refresh.begun(PEER, V4, 0.0, marked=True)
    refresh.heard(PEER, 1.0)
    assert refresh.silent(1.0 + QUIET) == []
    assert refresh.silent(1.0 + MARKED_QUIET) == [(PEER, V4)]


def test_an_ended_refresh_is_not_ended_again_by_silence() -> None:
    refresh = RouteRefresh()
    refresh.begun(PEER, V4, 0.0, marked=False)
    assert refresh.deadline() == QUIET
    refresh.ended(PEER, V4)
    assert refresh.silent(1000.0) == []
