"""Whether we know enough to tear anything down.

Until every BGP neighbour has told us all it has, a softwire nobody asks for may only be one nobody has asked for *yet*.
Once it has, losing its session is no loss of knowledge: its routes stay in the Adj-RIB-In, stale, until their time is
up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from softmesh.bgp.route import Family, Neighbor, SessionState


@dataclass(slots=True)
class Knowledge:
    """What has been heard since the bridge started. Times are monotonic seconds."""

    started_at: float
    stale_time: float
    """How long to wait for a neighbour that says nothing, seconds."""
    _heard: set[str] = field(default_factory=set)

    def missing(
        self,
        expected: frozenset[str],
        families: frozenset[Family],
        neighbors: Mapping[str, Neighbor],
        now: float,
    ) -> tuple[str, ...]:
        """The expected neighbours whose routes we may not have all of; empty means that removal is safe.

        All families count for each: one softwire carries prefixes of both. Of a neighbour that has said End-of-RIB for
        some, the result names the others, which may be such as it does not speak.
        """
        if now >= self.started_at + self.stale_time:
            return ()
        for address in expected - self._heard:
            neighbor = neighbors.get(address)
            if neighbor is not None and neighbor.state is SessionState.UP and families <= neighbor.end_of_rib:
                self._heard.add(address)
        return tuple(_awaited(address, families, neighbors.get(address)) for address in sorted(expected - self._heard))


def _awaited(address: str, families: frozenset[Family], neighbor: Neighbor | None) -> str:
    if neighbor is None or neighbor.state is not SessionState.UP or not families & neighbor.end_of_rib:
        return address
    return f"{address} ({', '.join(sorted(families - neighbor.end_of_rib))})"
