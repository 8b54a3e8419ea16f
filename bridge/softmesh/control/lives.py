"""What softwires have been through since the bridge began: how fast each came up, how often, how long it was down.

Told by the planner's progress, pass by pass; nothing of it is read back by the planner.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from softmesh.charon.failure import Cause
from softmesh.control.histogram import Histogram
from softmesh.control.progress import Progress, State
from softmesh.mesh.softwire import SoftwireId

CONVERGENCE = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds, seconds: peers and networks have their say in it."""
_GONE = 1024
"""How many softwires that nobody asks for any more are remembered, so that they go on counting if they come back."""


@dataclass(slots=True)
class Life:
    """One softwire's. Times are monotonic seconds."""

    wanted_since: float | None = None
    """When the UPDATE came that made it wanted; None once it has stood, or where it stood when the bridge began."""
    established: int = 0
    """How often it came up."""
    down: float = 0.0
    """Seconds it was wanted and not up, as of the last pass."""


class Lives:
    """All softwires'; ``now``: when the bridge began, monotonic seconds."""

    def __init__(self, now: float) -> None:
        self.wanted: dict[SoftwireId, Life] = {}
        self.convergence = Histogram(CONVERGENCE)
        """From the UPDATE that made a softwire wanted until it was up."""
        self.attempts = 0
        """How often we have begun to set up what a softwire lacked."""
        self.failures: Counter[Cause] = Counter()
        """Attempts after which there had to be another, by why."""
        self._began = now
        self._passed = now
        self._progress: Mapping[SoftwireId, Progress] = {}
        self._gone: dict[SoftwireId, Life] = {}
        """Those that are wanted no more, that which has been gone for longest first."""

    def passed(
        self, progress: Mapping[SoftwireId, Progress], now: float, received: Callable[[SoftwireId], float]
    ) -> list[SoftwireId]:
        """Take in what a pass has found; ``received``: when the first of its UPDATEs came.

        Returns the softwires that are remembered no more.
        """
        before, self._progress = self._progress, progress
        elapsed, self._passed = now - self._passed, now
        for wire in before.keys() - progress.keys():
            self._gone[wire] = self.wanted.pop(wire)
        for wire, after in progress.items():
            if wire in before:
                self._live(self.wanted[wire], before[wire], after, elapsed)
            else:
                self._come(wire, after, received)
        forgotten = list(self._gone)[: max(0, len(self._gone) - _GONE)]
        for wire in forgotten:
            del self._gone[wire]
        return forgotten

    def _come(self, wire: SoftwireId, after: Progress, received: Callable[[SoftwireId], float]) -> None:
        life = self.wanted[wire] = self._gone.pop(wire, Life())
        # An UPDATE from before the bridge began says nothing about how fast the bridge is.
        life.wanted_since = None if after.state is State.UP else max(self._began, received(wire))
        self.attempts += after.attempts

    def _live(self, life: Life, before: Progress, after: Progress, elapsed: float) -> None:
        if after.attempts > before.attempts:
            self.attempts += after.attempts - before.attempts
            if before.attempts:
                self.failures[after.cause or Cause.UNKNOWN] += 1
        if before.state is not State.UP:
            life.down += elapsed
            if after.state is State.UP:
                life.established += 1
                if life.wanted_since is not None:
                    self.convergence.observe(after.since - life.wanted_since)
                    life.wanted_since = None
