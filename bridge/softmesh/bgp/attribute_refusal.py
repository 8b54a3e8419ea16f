"""Which neighbours get our routes without attribute 23, because their sessions do not survive it.

Some speakers reset a session at any attribute 23, and at the next attempt again, for ever: FRR 10.3 reads past it and
sends NOTIFICATION 3/9, forty times a second where ExaBGP connects as often. Two such ends in a row are taken for a
refusal, which lasts until an operator has it tried again: a session that comes and goes is worse than one that tells
less.

An end without a NOTIFICATION may be one whose NOTIFICATION was lost, or a daemon that died of what it read. Or one that
somebody killed: hence it counts only within seconds of what it would be about.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Collection, Mapping

ENDS = 2
"""Sessions in a row that end so."""
SECONDS = 3.0
"""After attribute 23 was first announced on a session: when an end without a NOTIFICATION may be about it."""
PROOF = 30.0
"""Seconds that a session lives with attribute 23, after which earlier ends say nothing any more."""

_UPDATE_ERROR = re.compile(r"notification received \(3,(\d+)\)")
# 5.0 says no more than this; 4.2 adds what went wrong, which is "closing" where ExaBGP itself went.
_WITHOUT_NOTIFICATION = re.compile(
    r"closing connection|peer reset, message \(closing connection\) error\((?!closing\)).*", re.DOTALL
)


class AttributeUse(enum.StrEnum):
    """Whether a neighbour is sent attribute 23."""

    AUTO = "auto"
    """Until it refuses it."""
    ALWAYS = "always"
    NEVER = "never"


class AttributeRefusal:
    """Watches how sessions end. Pure; ``now`` is CLOCK_MONOTONIC in seconds.

    ``refused``: what was found before, the reasons by neighbour.
    """

    def __init__(self, refused: Mapping[str, str]) -> None:
        self._refused = dict(refused)
        self._use: Mapping[str, AttributeUse] = {}
        self._announced: dict[str, float] = {}
        """When attribute 23 was first announced on each session that stands."""
        self._ends: dict[str, int] = {}

    @property
    def refused(self) -> dict[str, str]:
        """The neighbours that refuse it, each with how that was seen."""
        return dict(self._refused)

    def use(self, use: Mapping[str, AttributeUse]) -> None:
        """Set what is configured; a neighbour that is not in it is ``auto``."""
        self._use = use

    @property
    def left_out(self) -> frozenset[str]:
        """The neighbours that get no attribute 23."""
        never = (neighbor for neighbor, use in self._use.items() if use is AttributeUse.NEVER)
        refusing = (each for each in self._refused if self._use.get(each) is not AttributeUse.ALWAYS)
        return frozenset((*never, *refusing))

    def began(self, neighbor: str) -> None:
        """A session begins; nothing is announced on it yet."""
        self._announced.pop(neighbor, None)

    def announced(self, neighbors: Collection[str], now: float) -> None:
        """Attribute 23 goes to these neighbours; their sessions stand."""
        for neighbor in neighbors:
            self._announced.setdefault(neighbor, now)

    def ended(self, neighbor: str, reason: str, now: float) -> bool:
        """A session ended, for ExaBGP's ``reason``; returns whether its neighbour is now seen to refuse."""
        since = self._announced.pop(neighbor, None)
        if since is None:
            return False
        lived = now - since
        before = 0 if lived > PROOF else self._ends.pop(neighbor, 0)
        if error := _UPDATE_ERROR.search(reason):
            how = f"with NOTIFICATION 3/{error[1]} (UPDATE Message Error)"
        elif lived <= SECONDS and _WITHOUT_NOTIFICATION.fullmatch(reason):
            how = "without a NOTIFICATION"
        else:
            self._ends.pop(neighbor, None)
            return False
        self._ends[neighbor] = before + 1
        if before + 1 < ENDS or neighbor in self._refused:
            return False
        self._refused[neighbor] = f"{ENDS} sessions in a row ended at attribute 23, the last {how} after {lived:.1f} s"
        return True

    def try_again(self, neighbor: str) -> bool:
        """Forget that a neighbour refuses it; returns whether it did."""
        self._ends.pop(neighbor, None)
        return self._refused.pop(neighbor, None) is not None
