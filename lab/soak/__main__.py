"""Random announcements, withdrawals, kills, key rollovers and partitions against real daemons, from a seed.

python -m lab.soak --minutes 30 [--seed 7] [--routers 4] [--replay FILE]     in lab/sandbox
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from lab.mesh import MIXED, Direction
from lab.soak.event import Event, Kind, Model, Recording, draw, renews
from lab.soak.invariants import Snapshot, broken_promises, leaks, silent_ways, snapshot, wrong_softwires
from lab.soak.world import REFLECTORS, World
from lab.standing import standing

_WHOLE = 120.0
"""Seconds within which a mesh must be whole again once everything is mended."""
_REST = 3.0
"""Seconds without a change of any SA after which nothing is taken to be under way any more."""
_REST_AFTER_NEW_SAS = 8.0
"""The same where the end that is not elected may still have a mind to set up an SA: docs/failure.md."""
_WARM = 5
"""Rounds until memory and descriptors count."""
_REPLAYS = 12
"""Attempts at a smaller replay."""


class Violated(Exception):
    """An invariant does not hold; the text says which."""


@dataclass
class Figures:
    """What a soak has done so far."""

    events: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    rounds: int = 0
    softwires: int = 0
    """CHILD SAs that were compared with what ought to be."""
    pings: int = 0
    kept: int = 0
    """CHILD SAs that came through a round with the SPIs they had."""
    whole: list[float] = field(default_factory=list)
    """Seconds from the last mend of each round until the mesh was whole."""


class Soak:
    """One mesh, and the rounds it goes through."""

    def __init__(self, direction: Direction, model: Model) -> None:
        self.figures = Figures()
        self.model = model
        self._world = World(direction, model)
        try:
            self._settle()
            self._last = self._baseline = snapshot(self._world)
        except BaseException:
            self.close()
            raise

    def round(self, events: list[Event]) -> None:
        """Let one round of events happen, and check what must hold after it. Raises Violated."""
        figures, world = self.figures, self._world
        for event in events:
            world.wait(event.after)
            print(f"  {event.describe()}", flush=True)
            self.model.apply(event)
            world.do(event, self.model)
            figures.events[event.kind.value] += 1
            if event.kind is Kind.FAULT:
                assert event.part is not None
                assert event.way is not None
                figures.faults[f"{event.part.value}, {event.way.value}"] += 1
        world.mend()
        figures.whole.append(self._settle(events))
        now = snapshot(world)
        broken = [*broken_promises(world, self._last, now, events)]
        if figures.rounds == _WARM:
            self._baseline = now
        if figures.rounds > _WARM:
            broken += leaks(self._baseline, now)
        self._count(now)
        self._last = now
        if broken:
            raise Violated("\n".join(broken))

    def _settle(self, events: Sequence[Event] = ()) -> float:
        """Wait until the mesh is whole and at rest; returns the seconds until it was whole. Raises Violated."""
        began = time.monotonic()
        rest = _REST_AFTER_NEW_SAS if renews(events) else _REST
        wrong: list[str] = []
        whole_since: tuple[float, object] | None = None
        while whole_since is None or time.monotonic() - whole_since[0] < rest:
            time.sleep(0.25)
            wrong = wrong_softwires(self._world, self.model) or silent_ways(self._world, self.model)
            now = [standing(afbr.charon).children for afbr in self._world.mesh.afbrs.values()]
            if wrong:
                whole_since = None
            elif whole_since is None or whole_since[1] != now:
                whole_since = time.monotonic(), now
            if time.monotonic() - began > _WHOLE:
                raise Violated("\n".join([f"not whole and at rest within {_WHOLE:g} s:", *wrong]))
        return whole_since[0] - began

    def _count(self, now: Snapshot) -> None:
        figures = self.figures
        figures.rounds += 1
        figures.pings += sum(len(self.model.pairs(number)) for number in now.standing) // 2
        for number, held in now.standing.items():
            before = self._last.standing[number].children
            figures.softwires += len(held.children)
            figures.kept += sum(before.get(key) == spis for key, spis in held.children.items())

    def report(self) -> None:
        """Print what the daemons said last."""
        self._world.mesh.report()

    def close(self) -> None:
        """Stop it all."""
        self._world.close()

    def summary(self) -> str:
        """The figures, for people."""
        figures, held = self.figures, self._last.footprints
        whole = sorted(figures.whole)
        lines = [
            f"{figures.rounds} rounds, {figures.events.total()} events: "
            + ", ".join(f"{count} {name}" for name, count in figures.events.most_common()),
            f"{figures.faults.total()} faults survived: "
            + ", ".join(f"{count} {name}" for name, count in sorted(figures.faults.items())),
            f"{figures.softwires} CHILD SAs compared with what ought to be, {figures.kept} of them with the SPIs of "
            f"the round before; {figures.pings} pings between islands answered",
        ]
        if whole:
            lines.append(
                f"whole after {statistics.median(whole):.1f} s (median), {whole[-1]:.1f} s (longest) of all mended"
            )
        for name, now in held.items():
            then = self._baseline.footprints[name]
            since = "since the warm-up" if now.pid == then.pid else "restarted since"
            lines.append(
                f"{name} of the spared router: {then.resident} -> {now.resident} KiB, "
                f"{then.descriptors} -> {now.descriptors} descriptors ({since})"
            )
        return "\n".join(lines)


def soak(minutes: float, seed: int, size: int) -> int:
    """Run one from a seed; returns the exit code."""
    chance = random.Random(seed)  # noqa: S311 - to be had again is the point
    direction = chance.choice(MIXED)
    print(f"soak: seed {seed}, {size} routers, {direction.value}, {minutes:g} minutes", flush=True)
    model = Model(range(1, size + 1))
    failed = None
    run = Soak(direction, model)
    try:
        end = time.monotonic() + 60 * minutes
        while failed is None and time.monotonic() < end:
            start = run.model.copy()
            events = draw(chance, start, REFLECTORS)
            print(f"round {run.figures.rounds + 1}", flush=True)
            try:
                run.round(events)
            except Violated as violated:
                print(f"VIOLATED, seed {seed}:\n{violated}")
                run.report()
                failed = _recording(seed, direction, start, [events])
            else:
                print(f"  whole after {run.figures.whole[-1]:.1f} s", flush=True)
        print(f"soak: seed {seed}: {'nothing' if failed is None else 'AN INVARIANT'} violated\n{run.summary()}")
    finally:
        run.close()
    return 0 if failed is None else _failed(failed)


def replay(recording: Recording) -> bool:
    """Have the rounds of a recording again; returns whether all went well."""
    run = Soak(Direction(recording.direction), recording.model())
    try:
        for events in recording.rounds:
            run.round(events)
    except Violated as violated:
        print(f"VIOLATED again:\n{violated}", flush=True)
        return False
    finally:
        run.close()
    return True


def _recording(seed: int, direction: Direction, start: Model, rounds: list[list[Event]]) -> Recording:
    sites = [sorted(start.sites[router]) for router in sorted(start.sites)]
    return Recording(seed, direction.value, sites, sorted(start.absent), rounds)


def _failed(recording: Recording) -> int:
    """Look for fewer events that fail as well, and tell how to have them again."""
    (events,) = recording.rounds
    found = not replay(recording)
    tries, position = 1, 0
    while found and position < len(events) and tries < _REPLAYS:
        fewer = events[:position] + events[position + 1 :]
        smaller = msgspec.structs.replace(recording, rounds=[fewer])
        tries += 1
        if fewer and _makes_sense(smaller) and not replay(smaller):
            events, recording = fewer, smaller
        else:
            position += 1
    path = Path(f"soak-{recording.seed}.json")
    path.write_bytes(msgspec.json.format(msgspec.json.encode(recording)))
    print("the last round alone fails too; least events found:" if found else "the last round alone does not fail:")
    for event in events:
        print(f"  {event.describe()}")
    print(f"again: make soak REPLAY={path}", flush=True)
    return 1


def _makes_sense(recording: Recording) -> bool:
    """Whether no event presupposes one that is missing."""
    model = recording.model()
    for event in recording.rounds[0]:
        sites = model.sites.get(event.router, set())
        if event.kind is Kind.RETURN and event.router not in model.absent:
            return False
        if event.kind is Kind.WITHDRAW and (event.site not in sites or len(sites) == 1):
            return False
        model.apply(event)
    return True


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m lab.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=None, help="default: another one each time; it is printed")
    parser.add_argument("--routers", type=int, default=4)
    parser.add_argument("--replay", type=Path, default=None, metavar="FILE")
    arguments = parser.parse_args()
    if arguments.replay is not None:
        return 0 if replay(msgspec.json.decode(arguments.replay.read_bytes(), type=Recording)) else 1
    seed = random.SystemRandom().randrange(10**6) if arguments.seed is None else arguments.seed
    return soak(arguments.minutes, seed, arguments.routers)


if __name__ == "__main__":
    sys.exit(main())
