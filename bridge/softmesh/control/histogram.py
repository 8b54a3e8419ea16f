"""A histogram as Prometheus has it: fixed bounds, counts and a sum."""

from __future__ import annotations

from bisect import bisect_left

DURATIONS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of what the machine alone takes: a VICI command, a pass, a line from the hook."""


class Histogram:
    """How often a duration was at most so long."""

    def __init__(self, bounds: tuple[float, ...] = DURATIONS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """How many lie within each bound and not within the one before; the last: beyond all of them."""
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum += seconds
