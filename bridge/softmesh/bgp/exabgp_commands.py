"""Which command to give ExaBGP next, and which one an acknowledgement is for.

ExaBGP answers each command with a bare ``done`` or ``error``. Answers to routes come in the order of the
commands; others may be answered out of order, so each of those is given alone. Few commands are ever
unanswered: ExaBGP blocks for good once a pipe full of answers is unread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeAlias

from softmesh.bgp.announcement import Announcement, announce_command, checked, withdraw_command

WINDOW = 32
"""Commands without an answer, at most."""

PATIENCE = 20.0
"""Seconds without an answer after which acknowledgements are taken to be switched off (exabgp.api.ack)."""

_Told: TypeAlias = dict[str | None, Announcement]
"""What each neighbour is told of one prefix, without the audience; None stands for all that ExaBGP has, and alone."""


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
    to: Collection[str | None] = ()
    """The neighbours it is for; None: all that ExaBGP has."""
    announcement: Announcement | None = None
    """What they have of the prefix after it."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A command ExaBGP has answered."""

    command: str
    done: bool
    about_route: bool


class ExaBgpCommands:
    """The announcements ExaBGP was told, those it should have, and the commands between the two.

    ``before`` is what an earlier hook may have announced: it is withdrawn unless it is wanted, and wanted
    announcements are always given once, since ExaBGP itself may be new. A prefix may be wanted several times, for
    different neighbours; each is told what it lacks, and loses what is not for it, and the others notice nothing.
    """

    def __init__(self, before: Iterable[Announcement] = ()) -> None:
        self._before: dict[str, _Told] = {}
        for announcement in before:
            # What cannot be told ExaBGP never was, whatever a file says.
            with suppress(ValueError):
                canonical = checked(announcement)
                self._before.setdefault(_nlri(canonical), {}).update(_told(canonical))
        self._told: dict[str, _Told] = {}
        self._wanted: dict[str, _Told] | None = None
        self._refused: dict[str, _Told] = {}
        self._differing: dict[str, None] = {}
        self._questions: deque[str] = deque()
        self._given: deque[_Given] = deque()
        self._answers_expected = True

    @property
    def settled(self) -> bool:
        """Whether nothing is left to be given or answered."""
        return not (self._questions or self._given or self._differing)

    @property
    def unanswered(self) -> int:
        """How many commands ExaBGP has not answered yet."""
        return len(self._given)

    def possibly_announced(self) -> list[Announcement]:
        """Return all that ExaBGP may hold from us, now or as soon as ``following`` has been given."""
        held = {prefix: dict(told) for prefix, told in self._before.items()}
        given = {g.prefix: dict.fromkeys(g.to, g.announcement) for g in self._given if g.prefix and g.announcement}
        for later in (self._told, given, self._wanted or {}):
            for prefix, told in later.items():
                held.setdefault(prefix, {}).update(told)
        return [announcement for prefix in sorted(held) for announcement in _announcements(held[prefix])]

    def want(self, announcements: Iterable[Announcement]) -> list[Failure]:
        """Set what should be announced; return what cannot be."""
        failures = []
        wanted: dict[str, _Told] = {}
        for announcement in sorted(announcements, key=lambda each: each.prefix):
            try:
                canonical = checked(announcement)
            except ValueError as error:
                failures.append(Failure(f"announce route {announcement.prefix!r}", str(error)))
                continue
            nlri = _nlri(canonical)
            told, already = _told(canonical), wanted.get(nlri)
            if already is None:
                wanted[nlri] = told
            elif None in already or None in told or already.keys() & told.keys():
                failures.append(Failure(f"announce route {canonical.prefix}", "is wanted twice, differently"))
            else:
                already.update(told)
        self._wanted = wanted = {prefix: told for prefix, told in wanted.items() if told}
        self._refused = {
            prefix: still
            for prefix, refused in self._refused.items()
            if (still := dict(refused.items() & wanted.get(prefix, {}).items()))
        }
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
        while self._differing:
            prefix = next(iter(self._differing))
            del self._differing[prefix]
            following = self._given_for(prefix, now, neighbors)
            if following is not None:
                self._given.append(following)
                return following.command
        return None

    def _given_for(self, prefix: str, now: float, neighbors: Collection[str]) -> _Given | None:
        wanted = (self._wanted or {}).get(prefix, {})
        if wanted and None not in wanted and neighbors:
            for told in (self._told, self._before):
                if (to_all := told.get(prefix, {}).get(None)) is not None:
                    told[prefix] = dict.fromkeys(neighbors, to_all)
        held = {**self._before.get(prefix, {}), **self._told.get(prefix, {})}
        if surplus := _surplus(held, wanted):
            any_of_it = next(iter(held.values()))
            command = withdraw_command(replace(any_of_it, neighbors=_audience(surplus)))
            return _Given(command, now, alone=False, prefix=prefix, to=surplus)
        lacking = self._lacking(prefix)
        if not lacking:
            return None
        announcement = next(iter(lacking.values()))
        to = [neighbor for neighbor, lacked in lacking.items() if lacked == announcement]
        command = announce_command(replace(announcement, neighbors=_audience(to)))
        return _Given(command, now, alone=False, prefix=prefix, to=to, announcement=announcement)

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
        if prefix is not None:
            told, before = self._told.pop(prefix, {}), self._before.pop(prefix, {})
            if None in given.to:
                told, before = {}, {}
            for neighbor in given.to:
                before.pop(neighbor, None)
                if given.announcement is None:
                    # A refused withdrawal is of a route, or from a neighbour, that ExaBGP does not have.
                    told.pop(neighbor, None)
                elif done:
                    told[neighbor] = given.announcement
                else:
                    self._refused.setdefault(prefix, {})[neighbor] = given.announcement
            if told:
                self._told[prefix] = told
            if before:
                self._before[prefix] = before
            if self._differs(prefix):
                self._differing[prefix] = None
        return Answered(given.command, done, about_route=prefix is not None)

    def _differs(self, prefix: str) -> bool:
        if self._wanted is None:
            return False
        wanted = self._wanted.get(prefix, {})
        held = (self._before.get(prefix), self._told.get(prefix))
        return any(told and _surplus(told, wanted) for told in held) or bool(self._lacking(prefix))

    def _lacking(self, prefix: str) -> _Told:
        """What is wanted that ExaBGP was not told, nor refused."""
        wanted = (self._wanted or {}).get(prefix, {})
        told, refused = self._told.get(prefix, {}), self._refused.get(prefix, {})
        if told == wanted:
            return {}
        return {to: one for to, one in wanted.items() if told.get(to) != one and refused.get(to) != one}


def _nlri(announcement: Announcement) -> str:
    """What ExaBGP knows a route of ours by."""
    return f"{announcement.prefix} encap" if announcement.encapsulation else announcement.prefix


def _told(announcement: Announcement) -> _Told:
    to: Collection[str | None] = (None,) if announcement.neighbors is None else sorted(announcement.neighbors)
    return dict.fromkeys(to, replace(announcement, neighbors=None))


def _announcements(told: _Told) -> list[Announcement]:
    """What ``_told`` made of announcements; all are for all neighbours where one is."""
    by_content: dict[Announcement, list[str | None]] = {}
    for neighbor, announcement in told.items():
        by_content.setdefault(announcement, []).append(neighbor)
    if None in told:
        return list(by_content)[-1:]
    return [replace(announcement, neighbors=_audience(to)) for announcement, to in by_content.items()]


def _surplus(held: Mapping[str | None, Announcement], wanted: _Told) -> Collection[str | None]:
    """Who has what is not for him."""
    return () if None in wanted else [neighbor for neighbor in held if neighbor not in wanted]


def _audience(to: Collection[str | None]) -> frozenset[str] | None:
    return None if None in to else frozenset(neighbor for neighbor in to if neighbor is not None)
