from __future__ import annotations

from collections.abc import Collection, Iterable

from softmesh.bgp.announcement import Announcement, announce_command, withdraw_command
from softmesh.bgp.exabgp_commands import PATIENCE, WINDOW, Answered, ExaBgpCommands

A, B, C = "10.0.0.11", "10.0.0.12", "10.0.0.13"


def a(number: int, tunnel: bytes = b"\x01", to: Iterable[str] | None = None) -> Announcement:
    neighbors = None if to is None else frozenset(to)
    return Announcement(f"10.{number}.0.0/16", "10.0.0.1", tunnel, neighbors=neighbors)


def give_all(commands: ExaBgpCommands, *, done: bool = True, neighbors: Collection[str] = ()) -> list[str]:
    """Give and answer one after the other until nothing is left."""
    given = []
    while (command := commands.following(0.0, neighbors)) is not None:
        given.append(command)
        commands.answered(done)
    return given


def test_announces_what_is_wanted_and_withdraws_what_is_not_any_more() -> None:
    commands = ExaBgpCommands()
    assert commands.want([a(1), a(2)]) == []
    assert give_all(commands) == [announce_command(a(1)), announce_command(a(2))]
    commands.want([a(2), a(3)])
    assert give_all(commands) == [withdraw_command(a(1)), announce_command(a(3))]
    commands.want([a(2), a(3)])
    assert give_all(commands) == []
    assert commands.settled
    assert commands.possibly_announced() == [a(2), a(3)]


def test_a_changed_announcement_replaces_without_a_withdrawal() -> None:
    commands = ExaBgpCommands()
    commands.want([a(1)])
    give_all(commands)
    commands.want([a(1, b"\x02")])
    assert give_all(commands) == [announce_command(a(1, b"\x02"))]


def test_what_an_earlier_hook_cannot_have_announced_is_not_withdrawn() -> None:
    """A file may say anything; a prefix that is none once ended the hook when its turn came."""
    garbage = [Announcement("", "10.0.0.1"), Announcement("10.0.0.0/8", "x\nshutdown"), a(1)]
    commands = ExaBgpCommands(garbage)
    commands.want([])
    assert give_all(commands) == [withdraw_command(a(1))]
    assert commands.settled


def test_nothing_is_done_before_somebody_wants_something() -> None:
    commands = ExaBgpCommands([a(1)])
    assert commands.following(0.0) is None
    assert commands.possibly_announced() == [a(1)]


def test_after_a_predecessor_wanted_is_given_again_and_the_rest_withdrawn() -> None:
    commands = ExaBgpCommands([a(1), a(2)])
    commands.want([a(2)])
    assert commands.possibly_announced() == [a(1), a(2)]
    assert give_all(commands) == [withdraw_command(a(1)), announce_command(a(2))]
    assert commands.possibly_announced() == [a(2)]


def test_never_more_than_a_window_unanswered() -> None:
    commands = ExaBgpCommands()
    commands.want([a(number) for number in range(100)])
    given = 0
    while commands.following(0.0) is not None:
        given += 1
    assert given == WINDOW == commands.unanswered
    commands.answered(True)
    assert commands.following(0.0) is not None
    assert commands.following(0.0) is None


def test_an_answer_is_for_the_oldest_command() -> None:
    commands = ExaBgpCommands()
    commands.want([a(1), a(2)])
    first, second = commands.following(0.0), commands.following(0.0)
    assert commands.answered(True) == Answered(first or "", True, True)
    assert commands.answered(False) == Answered(second or "", False, True)
    assert commands.answered(True) is None


def test_a_refused_announcement_is_not_repeated_until_it_changes() -> None:
    commands = ExaBgpCommands()
    commands.want([a(1)])
    assert give_all(commands, done=False) == [announce_command(a(1))]
    commands.want([a(1)])
    assert give_all(commands) == []
    commands.want([a(1, b"\x02")])
    assert give_all(commands) == [announce_command(a(1, b"\x02"))]


def test_a_wish_changed_while_its_command_is_unanswered_is_fulfilled_after() -> None:
    commands = ExaBgpCommands()
    commands.want([a(1)])
    commands.following(0.0)
    commands.want([])
    assert commands.following(0.0) is None
    commands.answered(True)
    assert commands.following(0.0) == withdraw_command(a(1))
    commands.want([a(1, b"\x02")])
    commands.answered(True)
    assert give_all(commands) == [announce_command(a(1, b"\x02"))]


def test_questions_go_first_and_alone() -> None:
    commands = ExaBgpCommands()
    commands.want([a(1)])
    commands.ask("one")
    commands.ask("two")
    assert commands.following(0.0) == "one"
    assert commands.following(0.0) is None
    assert commands.answered(False) == Answered("one", False, False)
    assert commands.following(0.0) == "two"
    commands.answered(True)
    assert commands.following(0.0) == announce_command(a(1))
    commands.ask("three")
    assert commands.following(0.0) is None
    commands.answered(True)
    assert commands.following(0.0) == "three"


def test_without_answers_commands_still_flow_a_window_a_second() -> None:
    commands = ExaBgpCommands()
    commands.want([a(number) for number in range(3 * WINDOW)])
    while commands.following(0.0) is not None:
        pass
    assert commands.overdue(PATIENCE - 1) == []
    assert len(commands.overdue(PATIENCE)) == WINDOW
    while commands.following(PATIENCE) is not None:
        pass
    assert commands.unanswered == WINDOW
    assert commands.overdue(PATIENCE + 0.9) == []
    assert len(commands.overdue(PATIENCE + 1)) == WINDOW


def test_what_cannot_be_announced_is_reported_and_the_rest_is_announced() -> None:
    commands = ExaBgpCommands()
    failures = commands.want([Announcement("10.0.0.0/8\nshutdown", "10.0.0.1"), a(1), a(1, b"\x02")])
    assert len(failures) == 2
    assert all("\n" not in failure.command + failure.reason for failure in failures)
    assert give_all(commands) == [announce_command(a(1))]


def test_what_may_be_announced_includes_what_is_on_its_way() -> None:
    commands = ExaBgpCommands()
    commands.want([a(1)])
    assert commands.possibly_announced() == [a(1)]
    give_all(commands)
    commands.want([])
    assert commands.possibly_announced() == [a(1)]
    give_all(commands)
    assert commands.possibly_announced() == []


def test_only_the_neighbors_it_is_for_are_told() -> None:
    commands = ExaBgpCommands()
    commands.want([a(1, to=[A]), a(2, to=[]), a(3)])
    assert give_all(commands) == [announce_command(a(1, to=[A])), announce_command(a(3))]
    assert commands.possibly_announced() == [a(1, to=[A]), a(3)]
    commands.want([])
    assert give_all(commands) == [withdraw_command(a(1, to=[A])), withdraw_command(a(3))]


def test_fewer_neighbors_are_withdrawn_from_and_the_others_notice_nothing() -> None:
    commands = ExaBgpCommands()
    commands.want([a(1, to=[A, B]), a(2)])
    give_all(commands)
    commands.want([a(1, to=[A]), a(2, to=[A])])
    assert give_all(commands, neighbors=[A, B, C]) == [
        withdraw_command(a(1, to=[B])),
        withdraw_command(a(2, to=[B, C])),
    ]
    assert commands.possibly_announced() == [a(1, to=[A]), a(2, to=[A])]


def test_more_neighbors_are_told_without_a_withdrawal() -> None:
    commands = ExaBgpCommands()
    commands.want([a(1, to=[A])])
    give_all(commands)
    commands.want([a(1, to=[A, B])])
    assert give_all(commands) == [announce_command(a(1, to=[B]))]
    commands.want([a(1)])
    assert give_all(commands) == [announce_command(a(1))]


def test_a_successor_knows_which_neighbors_may_have_what() -> None:
    commands = ExaBgpCommands([a(1, to=[A, B]), a(2)])
    commands.want([a(1, to=[B, C]), a(2, to=[A])])
    assert commands.possibly_announced() == [a(1, to=[A, B, C]), a(2)]
    assert give_all(commands, neighbors=[A, B, C]) == [
        withdraw_command(a(1, to=[A])),
        withdraw_command(a(2, to=[B, C])),
        announce_command(a(1, to=[B, C])),
        announce_command(a(2, to=[A])),
    ]
    assert commands.possibly_announced() == [a(1, to=[B, C]), a(2, to=[A])]


def test_a_recall_that_is_refused_does_not_stop_the_rest() -> None:
    commands = ExaBgpCommands()
    commands.want([a(1, to=[A])])
    give_all(commands)
    commands.want([a(1, to=[B])])
    assert commands.following(0.0) == withdraw_command(a(1, to=[A]))
    commands.answered(False)
    commands.want([])
    assert give_all(commands) == [], "nobody has it any more"
    assert commands.settled


def test_what_all_have_is_withdrawn_from_all_while_nobody_knows_who_they_are() -> None:
    commands = ExaBgpCommands([a(1)])
    commands.want([a(1, to=[A])])
    assert give_all(commands) == [withdraw_command(a(1)), announce_command(a(1, to=[A]))]
    assert commands.possibly_announced() == [a(1, to=[A])]
