"""The dialogue with ExaBGP: its lines in; commands for it, messages for the hook's readers and remarks out.

It routes each line and each tick of the clock to those that know: adj_rib_in the routes, exabgp_commands the order of
commands, route_refresh when to ask for routes again, end_of_rib when to say End-of-RIB.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from softmesh.bgp.adj_rib_in import AdjRibIn, Change
from softmesh.bgp.announcement import Announcement
from softmesh.bgp.end_of_rib import EndOfRibDebt
from softmesh.bgp.exabgp_commands import Answered, ExaBgpCommands
from softmesh.bgp.exabgp_json import (
    MAX_LINE,
    Acknowledgement,
    EndOfRib,
    Malformed,
    NeighborEvent,
    NeighborListed,
    RefreshMarked,
    SessionChanged,
    Shutdown,
    UpdateReceived,
    excerpt,
    parse_line,
)
from softmesh.bgp.hook_protocol import CommandFailed, FromHook, LineBuffer, LineTooLong
from softmesh.bgp.route import Family, SessionState
from softmesh.bgp.route_refresh import RouteRefresh

_SILENCE_AFTER_MALFORMED = 10.0
"""Seconds for which one remark stands for all lines that cannot be read."""


class ExaBgpDialogue:
    """What ExaBGP has said and what it is to be told. Pure: it reads neither clock nor pipe.

    ``before`` is what an earlier hook may have announced; routes of a lost session are kept for ``stale_time``
    seconds. ``now`` is always CLOCK_MONOTONIC in seconds.
    """

    def __init__(self, before: Iterable[Announcement], stale_time: float) -> None:
        self.rib = AdjRibIn()
        self.ended = False
        """Whether ExaBGP has said that it is ending."""
        self._stale_time = stale_time
        self._lines = LineBuffer(MAX_LINE)
        self._refresh = RouteRefresh()
        self._debt = EndOfRibDebt()
        self._commands = ExaBgpCommands(before)
        self._remarks: list[str] = []
        self._malformed = 0
        self._malformed_since: float | None = None
        # A hook that was started again has missed whatever came before.
        self._commands.ask("show neighbor summary")
        for family in Family:
            self._commands.ask(_refresh_command(None, family))

    @property
    def settled(self) -> bool:
        """Whether ExaBGP has been given, and has answered, all there is to say."""
        return self._commands.settled

    def possibly_announced(self) -> list[Announcement]:
        """Return all that ExaBGP may hold from us, now or as soon as ``commands`` have been given."""
        return self._commands.possibly_announced()

    def feed(self, data: bytes, now: float) -> list[FromHook]:
        """Take octets as ExaBGP wrote them; return what readers are to be told."""
        messages: list[FromHook] = []
        for line in self._lines.feed(data):
            messages += self._line(line, now)
        return messages

    def want(self, announcements: Iterable[Announcement], now: float) -> list[FromHook]:
        """Set what should be announced; return what readers are to be told."""
        failures = self._commands.want(announcements)
        return [self._failed(failure.command, failure.reason, now) for failure in failures]

    def elapse(self, now: float) -> list[FromHook]:
        """Do what is due by ``now``; return what readers are to be told."""
        messages: list[FromHook] = []
        for answered in self._commands.overdue(now):
            self._remarks.append(f"ExaBGP did not answer: {answered.command[:80]}; is exabgp.api.ack false?")
            messages += self._answered(answered, now)
        for neighbor, missing in self._refresh.due(now):
            self._remarks.append(
                f"{missing} lines about {neighbor} were lost: asking it for its routes again "
                "(a second process on this neighbour, or debug logging, in ExaBGP has the same effect)"
            )
            messages += self._await_refresh(neighbor, now)
            for family in Family:
                self._commands.ask(_refresh_command(neighbor, family))
        for neighbor, family in self._refresh.silent(now):
            messages += self.rib.complete(neighbor, family, now, exact=False)
        messages += self.rib.expire(now, self._stale_time)
        if self._malformed_since is not None and now - self._malformed_since >= _SILENCE_AFTER_MALFORMED:
            if self._malformed > 1:
                self._remarks.append(f"{self._malformed - 1} more lines could not be read")
            self._malformed, self._malformed_since = 0, None
        return messages

    def deadline(self) -> float | None:
        """When ``elapse`` should be called next; for routes that expire, now and then is enough."""
        deadlines = (self._refresh.deadline(), self._commands.deadline())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def commands(self, now: float) -> list[str]:
        """Return the commands to give now, in order and without newlines, and take them as given."""
        if self._commands.settled and self._commands.wanted_known:
            for payment in self._debt.pay():
                self._commands.ask(payment)
        given = []
        while (command := self._commands.following(now, self.rib.neighbors)) is not None:
            given.append(command)
        return given

    def remarks(self) -> list[str]:
        """Return what the operator should read in the log since the last call."""
        remarks, self._remarks = self._remarks, []
        return remarks

    def _line(self, line: bytes | LineTooLong, now: float) -> Sequence[FromHook]:
        if isinstance(line, LineTooLong):
            self._complain(Malformed(excerpt(line.start), f"longer than {MAX_LINE} octets"), now)
            return ()
        event = parse_line(line)
        if isinstance(event, Acknowledgement):
            answered = self._commands.answered(event.done)
            return () if answered is None else self._answered(answered, now)
        if isinstance(event, Malformed):
            self._complain(event, now)
        elif isinstance(event, Shutdown):
            self.ended = True
        elif event.neighbor is not None:
            return self._about_neighbor(event.neighbor, event, now)
        return ()

    def _about_neighbor(self, neighbor: str, event: NeighborEvent | NeighborListed, now: float) -> list[Change]:
        known = neighbor in self.rib.neighbors
        changes = self.rib.apply(event, now)
        self._refresh.heard(neighbor, now)
        if not isinstance(event, NeighborListed) and event.counter is not None:
            self._refresh.counted(neighbor, event.counter, now)
        for family in _families(event):
            self._debt.family_used(neighbor, family)
        if isinstance(event, SessionChanged):
            self._debt.session_changed(neighbor)
            for family in Family:
                self._refresh.ended(neighbor, family)
        elif isinstance(event, RefreshMarked) and event.begins and event.family is not None:
            self._refresh.begun(neighbor, event.family, now, sent=True)
        elif isinstance(event, EndOfRib | RefreshMarked):
            if event.family is not None:
                self._refresh.ended(neighbor, event.family)
        elif not known and self._is_established(neighbor):
            # A session older than this process: the request made at the start brings what it announced.
            changes += self._await_refresh(neighbor, now)
        return changes

    def _is_established(self, neighbor: str) -> bool:
        known = self.rib.neighbors.get(neighbor)
        return known is not None and known.state is SessionState.UP

    def _await_refresh(self, neighbor: str, now: float) -> list[Change]:
        changes: list[Change] = []
        for family in Family:
            changes += self.rib.begin_refresh(neighbor, family)
            self._refresh.begun(neighbor, family, now, sent=False)
        return changes

    def _answered(self, answered: Answered, now: float) -> list[CommandFailed]:
        requested = _refresh_requested(answered.command)
        if requested is not None:
            neighbor, family = requested
            if answered.done:
                self._refresh.sent(neighbor, family, now)
            # An error means that no such session stands: all its routes come with the next one.
            return []
        if answered.done or not answered.about_route:
            return []
        return [self._failed(answered.command, "ExaBGP answered: error; its log says why", now)]

    def _failed(self, command: str, reason: str, now: float) -> CommandFailed:
        self._remarks.append(f"{command[:200]}: {reason}")
        return CommandFailed(command[:1000], reason, now)

    def _complain(self, malformed: Malformed, now: float) -> None:
        self._malformed += 1
        if self._malformed_since is None:
            self._malformed_since = now
            self._remarks.append(f"ExaBGP sent a line that cannot be read: {malformed.reason}: {malformed.excerpt}")


def _families(event: NeighborEvent | NeighborListed) -> set[Family]:
    """The families a neighbour has used in what it sent."""
    if isinstance(event, UpdateReceived):
        return {key.family for key, _ in event.announced} | {key.family for key in event.withdrawn}
    return {event.family} if isinstance(event, EndOfRib) and event.family is not None else set()


def _refresh_command(neighbor: str | None, family: Family) -> str:
    to = "" if neighbor is None else f"neighbor {neighbor} "
    return f"{to}announce route-refresh {family.value}"


def _refresh_requested(command: str) -> tuple[str | None, Family] | None:
    """Return what ``_refresh_command`` was called with."""
    before, found, family = command.partition("announce route-refresh ")
    if not found:
        return None
    return (before.split()[1] if before else None), Family(family)
