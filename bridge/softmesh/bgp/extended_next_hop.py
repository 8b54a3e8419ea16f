"""Which neighbours get none of our IPv4 prefixes with IPv6 next hops, because RFC 8950 was not negotiated with them.

ExaBGP sends such routes regardless, and some speakers reset a session at the first of them, and at the next attempt
again, for ever: OpenBGPD 7.7 with NOTIFICATION 3/9. Both OPENs of a session must have the capability (RFC 8950 §4), and
both are read before it stands. What they said is believed until the next one stands, so that ExaBGP has nothing of the
kind to send when that comes up; a session that comes up without an OPEN read says nothing: ExaBGP does not print them
to everybody.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping


class Lacking(enum.StrEnum):
    """Who does not offer it."""

    NEIGHBOR = "neighbor"
    EXABGP = "exabgp"
    """Ours."""


class ExtendedNextHop:
    """Reads OPENs. Pure. ``lacking``: what was found before."""

    def __init__(self, lacking: Mapping[str, Lacking]) -> None:
        self._lacking = dict(lacking)
        self._offered: dict[str, dict[Lacking, bool]] = {}
        """Who offers it in the OPENs of each session that does not stand yet."""

    @property
    def lacking(self) -> dict[str, Lacking]:
        """The neighbours it is known not to be negotiated with."""
        return dict(self._lacking)

    def opened(self, neighbor: str, by: Lacking, *, offered: bool) -> None:
        """An OPEN was sent to or received from a neighbour."""
        opens = self._offered.setdefault(neighbor, {})
        opens[by] = offered
        # Ours comes first, and alone takes nothing back.
        if not all(opens.values()):
            self._lacking[neighbor] = next(who for who in Lacking if opens.get(who) is False)
        elif Lacking.NEIGHBOR in opens:
            self._lacking.pop(neighbor, None)

    def established(self, neighbor: str) -> None:
        """A session stands."""
        if not self._offered.pop(neighbor, {}):
            self._lacking.pop(neighbor, None)
