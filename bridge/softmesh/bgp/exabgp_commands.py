"""Which command to give ExaBGP next, and which one an acknowledgement is for.

ExaBGP answers each command with a bare ``done`` or ``error``. Answers to routes come in the order of the
commands; others may be answered out of order, so each of those is given alone. Few commands are ever
unanswered: ExaBGP blocks for good once a pipe full of answers is unread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from softmesh.bgp.announcement import Announcement, announce_command, checked, withdraw_command

WINDOW = 32
"""Commands without an answer, at most."""

PATIENCE = 20.0
"""Seconds without an answer after which acknowledgements are taken to be switched off (exabgp.api.ack)."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A command that was refused or cannot be given."""

    command: str
    reason: str


@dataclass(slots=True)
class _Given:
    command: str
    at: float
    alone: bool
    prefix: str | None = None
    announcement: Announcement | None = None
    """What ExaBGP has of the prefix after it."""
    recalls: bool = False
    """Whether it takes an announcement back from some neighbours only."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A command ExaBGP has answered."""

    command: str
    done: bool
    about_route: bool


class ExaBgpCommands:
    """The announcements ExaBGP was told, those it should have, and the commands between the two.

    ``before`` is what an earlier hook may have announced: it is withdrawn unless it is wanted, and wanted
    announcements are always given once, since ExaBGP itself may be new. An announcement that is wanted for fewer
    neighbours than have it is withdrawn from the others, and only from them.
    """

    def __init__(self, before: Iterable[Announcement] = ()) -> None:
        self._before = {announcement.prefix: announcement for announcement in before}
        self._told: dict[str, Announcement] = {}
        self._wanted: dict[str, Announcement] | None = None
        self._refused: dict[str, Announcement] = {}
        self._differing: dict[str, None] = {}
        self._questions: deque[str] = deque()
        self._given: deque[_Given] = deque()
        self._answers_expected = True

    @property
    def settled(self) -> bool:
        """Whether nothing is left to be given or answered."""
        return not (self._questions or self._given or self._differing)

    @property
    def wanted_known(self) -> bool:
        """Whether anybody has said what should be announced."""
        return self._wanted is not None

    @property
    def unanswered(self) -> int:
        """How many commands ExaBGP has not answered yet."""
        return len(self._given)

    def possibly_announced(self) -> list[Announcement]:
        """Return all that ExaBGP may hold from us, now or as soon as ``following`` has been given."""
        held = dict(self._before)
        given = {given.prefix: given.announcement for given in self._given if given.prefix and given.announcement}
        for later in (self._told, given, self._wanted or {}):
            held.update({prefix: _together(held.get(prefix), announcement) for prefix, announcement in later.items()})
        return sorted(held.values(), key=_prefix)

    def want(self, announcements: Iterable[Announcement]) -> list[Failure]:
        """Set what should be announced; return what cannot be."""
        failures = []
        wanted: dict[str, Announcement] = {}
        for announcement in sorted(announcements, key=_prefix):
            try:
                canonical = checked(announcement)
            except ValueError as error:
                failures.append(Failure(f"announce route {announcement.prefix!r}", str(error)))
                continue
            if canonical.prefix in wanted:
                failures.append(Failure(f"announce route {canonical.prefix}", "is wanted twice, differently"))
                continue
            wanted[canonical.prefix] = canonical
        wanted = {prefix: canonical for prefix, canonical in wanted.items() if canonical.neighbors != frozenset()}
        self._wanted = wanted
        self._refused = {p: a for p, a in self._refused.items() if wanted.get(p) == a}
        in_flight = {given.prefix for given in self._given}
        prefixes = {*wanted, *self._told, *self._before} - in_flight
        self._differing = {prefix: None for prefix in sorted(prefixes) if self._differs(prefix)}
        return failures

    def ask(self, command: str) -> None:
        """Queue a command that is about no route of ours, ahead of those that are."""
        self._questions.append(command)

    def following(self, now: float, neighbors: Collection[str] = ()) -> str | None:
        """Return the command to give now, without newline; None when there is none or it must wait.

        ``neighbors``: the addresses of all that ExaBGP has, as far as known.
        """
        if self._given and (self._given[-1].alone or len(self._given) >= WINDOW):
            return None
        if self._questions:
            if self._given:
                return None
            given = _Given(self._questions.popleft(), now, alone=True)
            self._given.append(given)
            return given.command
        if not self._differing:
            return None
        prefix = next(iter(self._differing))
        del self._differing[prefix]
        given = self._given_for(prefix, now, neighbors)
        self._given.append(given)
        return given.command

    def _given_for(self, prefix: str, now: float, neighbors: Collection[str]) -> _Given:
        wanted = (self._wanted or {}).get(prefix)
        if wanted is None:
            return _Given(withdraw_command(self._held(prefix)), now, alone=False, prefix=prefix)
        if wanted.neighbors is not None and (prefix in self._told or prefix in self._before):
            held = self._held(prefix)
            holders = frozenset(neighbors) if held.neighbors is None else held.neighbors
            if surplus := holders - wanted.neighbors:
                recall = withdraw_command(replace(held, neighbors=surplus))
                left = replace(held, neighbors=holders - surplus)
                return _Given(recall, now, alone=False, prefix=prefix, announcement=left, recalls=True)
        return _Given(announce_command(wanted), now, alone=False, prefix=prefix, announcement=wanted)

    def _held(self, prefix: str) -> Announcement:
        """What ExaBGP may have of a prefix that it was told, and for whom."""
        told = self._told.get(prefix)
        return self._before[prefix] if told is None else _together(self._before.get(prefix), told)

    def answered(self, done: bool) -> Answered | None:
        """Take one acknowledgement; None where no command awaits one."""
        self._answers_expected = True
        if not self._given:
            return None
        return self._settle(self._given.popleft(), done)

    def overdue(self, now: float) -> list[Answered]:
        """Return the commands taken as done because answers seem to be switched off."""
        patience = PATIENCE if self._answers_expected else 1.0
        if not self._given or now - self._given[0].at < patience:
            return []
        self._answers_expected = False
        settled = [self._settle(given, True) for given in self._given]
        self._given.clear()
        return settled

    def deadline(self) -> float | None:
        """When ``overdue`` should be asked next."""
        if not self._given:
            return None
        return self._given[0].at + (PATIENCE if self._answers_expected else 1.0)

    def _settle(self, given: _Given, done: bool) -> Answered:
        prefix = given.prefix
        if prefix is not None and given.recalls and given.announcement is not None:
            # A refused withdrawal is of a route, or from a neighbour, that ExaBGP does not have.
            for held in (self._told, self._before):
                if prefix in held and given.announcement.neighbors:
                    held[prefix] = replace(held[prefix], neighbors=given.announcement.neighbors)
                else:
                    held.pop(prefix, None)
            if self._differs(prefix):
                self._differing[prefix] = None
        elif prefix is not None:
            self._before.pop(prefix, None)
            if given.announcement is None:
                # A refused withdrawal is of a route ExaBGP does not have.
                self._told.pop(prefix, None)
            elif done:
                self._told[prefix] = given.announcement
            else:
                self._told.pop(prefix, None)
                self._refused[prefix] = given.announcement
            if self._differs(prefix):
                self._differing[prefix] = None
        return Answered(given.command, done, about_route=prefix is not None)

    def _differs(self, prefix: str) -> bool:
        if self._wanted is None:
            return False
        wanted = self._wanted.get(prefix)
        if wanted is not None and self._refused.get(prefix) == wanted:
            return False
        return prefix in self._before or self._told.get(prefix) != wanted


def _together(earlier: Announcement | None, later: Announcement) -> Announcement:
    """The later announcement, for all neighbours of both."""
    if earlier is None or earlier.neighbors == later.neighbors:
        return later
    if earlier.neighbors is None or later.neighbors is None:
        return replace(later, neighbors=None)
    return replace(later, neighbors=earlier.neighbors | later.neighbors)


def _prefix(announcement: Announcement) -> str:
    return announcement.prefix
