"""When the end of a session is taken for a refusal of attribute 23."""

from __future__ import annotations

import pytest

from softmesh.bgp.attribute_refusal import PROOF, SECONDS, AttributeRefusal, AttributeUse

A, B = "10.0.0.11", "10.0.0.12"

# As ExaBGP 5.0.15 and 4.2.25 print them, with FRR 10.3 and BIRD 2.0.12 at the other end.
UPDATE_ERROR = (
    "notification received (3,9)",
    "peer reset, message (notification received (3,9)) error('utf-8' codec can't decode byte 0xc0 in position 0: "
    "invalid start byte)",
)
GONE = (
    "closing connection",
    "peer reset, message (closing connection) error(the TCP connection was closed by the remote end)",
    "peer reset, message (closing connection) error(Broken TCP connection)",
)
OTHER = (
    "notification received (6,2)",
    "notification received (6,0)",
    "notification received (4,0)",
    "notification sent (4,0)",
    "notification sent (3,9)",
    "peer reset, message (notification received (6,2)) error(Cease / Administrative Shutdown)",
    "peer reset, message (notification sent (4,0)) error(Hold timer expired)",
    "peer reset, message (closing connection) error(closing)",
    "graceful restarted negotiated, closing without sending any notification",
    "stop, message [shutting down]",
    "",
)


def session(refusal: AttributeRefusal, reason: str, *, neighbor: str = A, lives: float = 0.1) -> bool:
    """One session with attribute 23, and how it ends."""
    refusal.began(neighbor)
    refusal.announced([neighbor], 100.0)
    return refusal.ended(neighbor, reason, 100.0 + lives)


@pytest.mark.parametrize("reason", [*UPDATE_ERROR, *GONE])
def test_two_ends_in_a_row_are_a_refusal(reason: str) -> None:
    refusal = AttributeRefusal({})
    assert not session(refusal, reason)
    assert not refusal.left_out
    assert session(refusal, reason)
    assert refusal.left_out == {A}
    assert ("NOTIFICATION 3/9" in refusal.refused[A]) == (reason in UPDATE_ERROR)
    assert not session(refusal, reason), "it is told once"


@pytest.mark.parametrize("reason", OTHER)
def test_ends_about_something_else_are_none(reason: str) -> None:
    refusal = AttributeRefusal({})
    for _ in range(5):
        assert not session(refusal, reason)
    assert not session(refusal, UPDATE_ERROR[0])
    assert not session(refusal, reason)
    assert not session(refusal, UPDATE_ERROR[0]), "the two were not in a row"


@pytest.mark.parametrize("reason", GONE)
def test_a_reflector_that_is_killed_refuses_nothing(reason: str) -> None:
    refusal = AttributeRefusal({})
    for _ in range(5):
        assert not session(refusal, reason, lives=SECONDS + 0.1)
    assert not session(refusal, reason), "killed once, right after it had come up"
    assert not session(refusal, reason, lives=SECONDS + 0.1)
    assert not session(refusal, reason)


def test_an_end_that_was_lived_down_does_not_count() -> None:
    refusal = AttributeRefusal({})
    assert not session(refusal, UPDATE_ERROR[0])
    assert not session(refusal, UPDATE_ERROR[0], lives=PROOF + 1), "that one it had taken, whatever it was about"
    assert session(refusal, UPDATE_ERROR[0])


def test_attempts_without_attribute_23_tell_nothing() -> None:
    """While a daemon starts, ExaBGP reports one end after the other of sessions that never stood."""
    refusal = AttributeRefusal({})
    for _ in range(5):
        assert not refusal.ended(A, GONE[0], 1.0)
    assert not session(refusal, UPDATE_ERROR[0])
    for _ in range(5):
        assert not refusal.ended(A, GONE[0], 1.0)
    assert session(refusal, UPDATE_ERROR[0])


def test_the_first_announcement_on_a_session_counts() -> None:
    refusal = AttributeRefusal({})
    for _ in range(2):
        refusal.began(A)
        refusal.announced([A], 0.0)
        refusal.announced([A], SECONDS + 1)
        assert not refusal.ended(A, GONE[0], SECONDS + 2)
    refusal.announced([A], 0.0)
    refusal.began(A)
    assert not refusal.ended(A, UPDATE_ERROR[0], 1.0), "the line that told of the end before was lost"


def test_neighbors_have_nothing_to_do_with_each_other() -> None:
    refusal = AttributeRefusal({})
    assert not session(refusal, UPDATE_ERROR[0], neighbor=A)
    assert not session(refusal, UPDATE_ERROR[0], neighbor=B)
    assert session(refusal, UPDATE_ERROR[0], neighbor=A)
    assert refusal.left_out == {A}


def test_a_refusal_lasts_until_it_is_tried_again() -> None:
    refusal = AttributeRefusal({A: "an earlier hook saw it"})
    assert refusal.left_out == {A}
    assert refusal.try_again(A)
    assert not refusal.left_out
    assert not refusal.try_again(A)
    assert not session(refusal, UPDATE_ERROR[0])
    assert session(refusal, UPDATE_ERROR[0])
    assert refusal.left_out == {A}


def test_what_is_configured_goes_before_what_was_seen() -> None:
    refusal = AttributeRefusal({A: "seen"})
    refusal.use({A: AttributeUse.ALWAYS, B: AttributeUse.NEVER})
    assert refusal.left_out == {B}
    refusal.use({A: AttributeUse.AUTO})
    assert refusal.left_out == {A}
