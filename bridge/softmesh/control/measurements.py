"""What happens in the bridge, counted and timed, for as long as it runs. Plain numbers: ``web.metrics`` names them.

Nothing here is read back by the bridge. Times are monotonic seconds, durations seconds.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import takewhile

from softmesh.charon.observed import IkeSa
from softmesh.control.histogram import Histogram
from softmesh.control.lives import Lives
from softmesh.control.odometer import Odometer
from softmesh.control.plan import Plan
from softmesh.mesh.softwire import SoftwireId

_SUBJECT = re.compile("[A-Za-z0-9-]+")
"""A word that is no address, path or URL."""


class Measurements:
    """All that is measured."""

    def __init__(self, now: float) -> None:
        self.lives = Lives(now)
        self.traffic = Odometer()
        self.passes = Histogram()
        self.last_pass: float | None = None
        """When the last one ended that reached charon."""
        self.vici: dict[str, Histogram] = {}
        """By command: from its turn on the connection to its answer."""
        self.vici_errors: Counter[tuple[str, str]] = Counter()
        """Commands that brought no answer or a refusal, by command and the error's name."""
        self.rekeyings: Counter[str] = Counter()
        """``ike`` and ``child``, as charon told."""
        self.hook_delay = Histogram()
        """From the hook's having a route from ExaBGP to the bridge's having it from the hook."""
        self.configured_at = time.time()
        """When a configuration was last taken over, as seconds since the epoch."""
        self.reload_failed = False
        """Whether the last attempt since then was in vain."""

    def looked(
        self,
        ike_sas: tuple[IkeSa, ...],
        plan: Plan,
        now: float,
        received: Callable[[SoftwireId], float],
    ) -> None:
        """A pass was planned after a look at charon; ``received``: when the first UPDATE for a softwire came."""
        self.traffic.look(ike_sas, plan.installed)
        for wire in self.lives.passed(plan.progress, now, received):
            self.traffic.totals.pop(wire, None)

    def passed(self, started: float, ended: float) -> None:
        """A pass has ended."""
        self.passes.observe(ended - started)
        self.last_pass = ended

    def vici_answered(self, command: str, seconds: float, error: str) -> None:
        """A command to charon has ended; ``error``: empty, or what came instead."""
        self.vici.setdefault(command, Histogram()).observe(seconds)
        if error:
            self.vici_errors[command, error] += 1

    def rekeyed(self, sa: str) -> None:
        """An SA, ``ike`` or ``child``, was rekeyed."""
        self.rekeyings[sa] += 1

    def reloaded(self, *, successfully: bool) -> None:
        """The configuration was read again."""
        self.reload_failed = not successfully
        if successfully:
            self.configured_at = time.time()


def subject_classes(subjects: Iterable[str]) -> Counter[str]:
    """How many problems there are of each class: a subject without the address, path or URL that it ends with."""
    return Counter(" ".join(takewhile(_SUBJECT.fullmatch, subject.split(" "))) for subject in subjects)
