"""The data plane as the bridge keeps it: one look at the kernel serves for a while, guards come first."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace

from softmesh.dataplane import difference
from softmesh.dataplane.guard import Guard, Guarded
from softmesh.dataplane.kernel import Kernel
from softmesh.dataplane.layout import KernelState
from softmesh.dataplane.nftables import Nftables
from softmesh.dataplane.steps import Step
from softmesh.mesh.softwire import Address, Network

_AUDIT = 10.0
"""Seconds for which a look serves: others may change the kernel's state without our hearing of it."""


class Plane:
    """One network namespace's devices, routes and guards, as far as they are ours."""

    def __init__(self, kernel: Kernel, nftables: Nftables, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._kernel = kernel
        self._nftables = nftables
        self._monotonic = monotonic
        self._state = KernelState()
        self._look_due = 0.0
        self._audit_due = 0.0
        self._asked: tuple[frozenset[Address], frozenset[Network]] = frozenset(), frozenset()

    @property
    def look_due(self) -> float:
        """When the last look will serve no more; monotonic seconds."""
        return self._look_due

    def suspect(self) -> None:
        """Let no look serve that was made before now."""
        self._look_due = 0.0

    async def look(self, endpoints: Collection[Address], destinations: Collection[Network]) -> KernelState:
        """What the kernel holds of ours, and how it reaches these endpoints; raises as ``Kernel.observe``."""
        now = self._monotonic()
        asked = frozenset(endpoints), frozenset(destinations)
        if now >= self._look_due or asked != self._asked:
            self._state = await self._kernel.observe(*asked)
            self._look_due, self._asked = now + _AUDIT, asked
        return self._state

    async def apply(self, steps: Iterable[Step]) -> list[tuple[Step, str]]:
        """Take steps in order; returns those refused, with the reason in words."""
        steps = tuple(steps)
        if not steps:
            return []
        refused = await self._kernel.apply(steps)
        failed = {step for step, _ in refused}
        done = [step for step in steps if step not in failed]
        self._state = replace(self._state, layout=difference.after(self._state.layout, done))
        if refused:
            self.suspect()
        return refused

    @property
    def state(self) -> KernelState:
        """What the last look found and the steps since then made of it."""
        return self._state

    async def guard(self, guard: Guard, guarded: Guarded) -> None:
        """Make the guards so, and put right what somebody changed; raises as ``Nftables.ensure``."""
        await self._nftables.ensure(guard, guarded)
        now = self._monotonic()
        if now >= self._audit_due:
            self._audit_due = now + _AUDIT
            await self._nftables.audit()

    async def counters(self) -> Mapping[str, int]:
        """Packets that the guards dropped, by rule."""
        return await self._nftables.counters()
