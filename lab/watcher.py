"""Looks at charons all the time, past the bridge, and says how long what must not be was so."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

from lab.mesh import Afbr
from softmesh.charon.listing import ike_sas
from softmesh.charon.observed import INSTALLED, ChildSa, IkeSa
from softmesh.charon.vici import ViciConnection
from softmesh.errors import SoftmeshError

EVERY = 0.05
"""Seconds between looks at each charon."""
_ANSWER = 1.0
"""Seconds to wait for one: a charon that is frozen gives none."""

Traffic: TypeAlias = tuple[str, str, frozenset[str], frozenset[str]]
"""Hosts and selectors, local and remote, of a CHILD SA."""


class Spell:
    """How long, at the longest, something was amiss with any traffic: from the last look before to the first after."""

    def __init__(self) -> None:
        self.longest = 0.0
        """Seconds."""
        self._well: dict[Traffic, float] = {}
        """When each was last seen to be well, monotonic seconds."""

    def look(self, traffic: Traffic, *, well: bool, before: float, now: float) -> None:
        """Take in one look; ``before`` is the time of the last."""
        since = self._well.setdefault(traffic, before)
        if not well or since != before:
            self.longest = max(self.longest, now - since)
        if well:
            self._well[traffic] = now


@dataclass
class Record:
    """What was seen of one charon."""

    looks: int = 0
    last: float = 0.0
    """When it was last seen, monotonic seconds."""
    known: set[Traffic] = field(default_factory=set)
    """All traffic that it has had an SA for."""
    hole: Spell = field(default_factory=Spell)
    """None stood where one had stood before."""
    duplicate: Spell = field(default_factory=Spell)
    """More than one was installed."""
    most: int = 0
    """IKE_SAs at once."""

    def look(self, now: float, sas: Sequence[IkeSa]) -> None:
        """Take in one look."""
        children = [(ike, sa) for ike in sas for sa in ike.children if sa.carries]
        carrying = {_traffic(ike, sa) for ike, sa in children}
        installed = Counter(_traffic(ike, sa) for ike, sa in children if sa.state == INSTALLED)
        before = self.last if self.looks else now
        for traffic in self.known:
            self.hole.look(traffic, well=traffic in carrying, before=before, now=now)
        self.known |= carrying
        for traffic in self.known:
            self.duplicate.look(traffic, well=installed[traffic] < 2, before=before, now=now)
        self.most = max(self.most, len(sas))
        self.looks += 1
        self.last = now


def _traffic(ike: IkeSa, sa: ChildSa) -> Traffic:
    return ike.local_host, ike.remote_host, sa.local_ts, sa.remote_ts


class Watcher:
    """Watches the charons of some routers, from a thread of its own, until it is left."""

    def __init__(self, *afbrs: Afbr) -> None:
        self._paths = {afbr.number: afbr.charon.vici for afbr in afbrs}
        self.seen: Mapping[int, Record] = {number: Record() for number in self._paths}
        """By router."""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._watch()), name="watcher")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def looks(self) -> int:
        """How often the one was looked at that was looked at least."""
        return min(record.looks for record in self.seen.values())

    @property
    def duplicate(self) -> float:
        """The longest that two CHILD SAs stood for the same traffic at any of them, seconds."""
        return max(record.duplicate.longest for record in self.seen.values())

    @property
    def hole(self) -> float:
        """The longest that none did, after one had stood, seconds."""
        return max(record.hole.longest for record in self.seen.values())

    @property
    def most(self) -> int:
        """The most IKE_SAs at once at any of them."""
        return max(record.most for record in self.seen.values())

    def __str__(self) -> str:
        return (
            f"duplicate for {self.duplicate:.2f} s at most, hole {self.hole:.2f} s, "
            f"IKE_SAs {self.most}, looks {self.looks}"
        )

    async def _watch(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for number, path in self._paths.items():
                tasks.create_task(self._follow(path, self.seen[number]))

    async def _follow(self, path: Path, record: Record) -> None:
        vici: ViciConnection | None = None
        while not self._ended.is_set():
            began = time.monotonic()
            try:
                vici = vici or await ViciConnection.open(path, within=_ANSWER)
                listed = await vici.stream("list-sas", None, "list-sa", within=_ANSWER)
                record.look(began, ike_sas(listed))
            except SoftmeshError:
                # It is frozen or gone; what it holds when it answers again tells what was in between.
                if vici is not None:
                    await vici.close()
                vici = None
            await asyncio.sleep(max(0.0, began + EVERY - time.monotonic()))
        if vici is not None:
            await vici.close()
