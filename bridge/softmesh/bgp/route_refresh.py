"""When to ask a neighbour to send its routes again, and when it has.

Each line of ExaBGP about a neighbour has a number one higher than the last; a number left out is a line lost.
The count is one for all of ExaBGP's child processes, so a second process on the same neighbour makes it jump
for ever: hence the growing pause between two requests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from softmesh.bgp.route import Family

QUIET = 5.0
"""Seconds without a line from the neighbour after which a refresh that it has answered counts as complete, where it has
not marked its beginning: not all mark the end (RFC 7313 §4)."""

MARKED_QUIET = 30.0
"""The same where it has. FRR then marks no end of a family without routes; all others do."""

UNANSWERED = 300.0
"""The same for one to which nothing at all was answered. Before that the link may be cut and the session stand all the
same, as long as its hold time (RFC 4271 §4.2) has not passed."""

FIRST_PAUSE = 10.0
LONGEST_PAUSE = 600.0


@dataclass(slots=True)
class _Requests:
    at: float
    pause: float
    missing: int = 0


@dataclass(slots=True)
class _Refresh:
    sent: bool
    heard: float
    answered: bool
    """Whether anything was heard of the neighbour since it was asked."""
    marked: bool
    """Whether the neighbour has marked its beginning."""

    @property
    def patience(self) -> float:
        if not self.answered:
            return UNANSWERED
        return MARKED_QUIET if self.marked else QUIET


class RouteRefresh:
    """Counts lines, schedules requests and watches for silence; times are CLOCK_MONOTONIC seconds."""

    def __init__(self) -> None:
        self._counters: dict[str, int] = {}
        self._requests: dict[str, _Requests] = {}
        self._refreshes: dict[tuple[str, Family], _Refresh] = {}

    def counted(self, neighbor: str, counter: int, now: float) -> None:
        """Take a line's number; lines missing before it make a refresh due."""
        last = self._counters.get(neighbor)
        self._counters[neighbor] = counter
        # A count that starts again is a neighbour ExaBGP has configured anew, with a new session.
        if last is None or counter <= last + 1:
            return
        requests = self._requests.setdefault(neighbor, _Requests(-math.inf, FIRST_PAUSE))
        if not requests.missing:
            recent = now - requests.at < 2 * requests.pause
            requests.pause = min(2 * requests.pause, LONGEST_PAUSE) if recent else FIRST_PAUSE
        requests.missing += counter - last - 1

    def due(self, now: float) -> list[tuple[str, int]]:
        """Return the neighbours to be asked now, each with how many lines are missing; take them as asked."""
        asked = []
        for neighbor, requests in self._requests.items():
            if requests.missing and now - requests.at >= requests.pause:
                asked.append((neighbor, requests.missing))
                requests.missing = 0
                requests.at = now
        return asked

    def asked(self, neighbor: str, family: Family, now: float) -> None:
        """A request is on its way to ExaBGP."""
        self._refreshes[neighbor, family] = _Refresh(sent=False, heard=now, answered=False, marked=False)

    def begun(self, neighbor: str, family: Family, now: float, *, marked: bool) -> None:
        """The neighbour has begun to send; ``marked``: it has said so (RFC 7313 §4)."""
        self._refreshes[neighbor, family] = _Refresh(sent=True, heard=now, answered=True, marked=marked)

    def sent(self, neighbor: str | None, family: Family, now: float) -> None:
        """ExaBGP has taken the request to one neighbour, or to all of them."""
        for (of, about), refresh in self._refreshes.items():
            if about is family and neighbor in {None, of}:
                refresh.sent = True
                refresh.heard = now

    def heard(self, neighbor: str, now: float) -> None:
        """A line from the neighbour: its refreshes are not silent."""
        about = [refresh for (of, _), refresh in self._refreshes.items() if of == neighbor]
        # To the request for a family without routes some answer nothing: it counts what they say to that for another.
        answers = any(refresh.sent for refresh in about)
        for refresh in about:
            refresh.heard = now
            refresh.answered |= answers

    def ended(self, neighbor: str, family: Family) -> None:
        """The refresh is complete, or its session is gone."""
        self._refreshes.pop((neighbor, family), None)

    def silent(self, now: float) -> list[tuple[str, Family]]:
        """Return the refreshes that silence has completed, and take them as ended."""
        ended = [
            of for of, refresh in self._refreshes.items() if refresh.sent and now - refresh.heard >= refresh.patience
        ]
        for of in ended:
            del self._refreshes[of]
        return ended

    def deadline(self) -> float | None:
        """When ``due`` or ``silent`` should be asked next."""
        times = [refresh.heard + refresh.patience for refresh in self._refreshes.values() if refresh.sent]
        times += [requests.at + requests.pause for requests in self._requests.values() if requests.missing]
        return min(times, default=None)
