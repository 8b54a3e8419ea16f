"""What must hold of a mesh in a soak."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from lab.fault import exabgp_pid, hook_pid
from lab.namespace import LAB
from lab.soak.event import SPARED, Event, Model, undisturbed, withdrawn
from lab.soak.observation import Footprint, footprint, foreign, namespaces, processes
from lab.soak.world import World
from lab.standing import Standing, standing

_GROWTH = 12 * 1024
"""KiB by which a process may grow over a soak: allocators keep some of what they once had."""
_DESCRIPTORS = 4
"""By which a process may differ from itself at two quiet moments: a connection is being made anew, say."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A mesh at rest."""

    standing: Mapping[int, Standing]
    foreign: Mapping[int, dict[str, Any]]
    footprints: Mapping[str, Footprint]
    """Of the spared router's processes, by name."""
    namespaces: int
    processes: int
    files: frozenset[str]
    """Beside the routers' sockets."""


def snapshot(world: World) -> Snapshot:
    """Look at everything."""
    afbrs = world.mesh.afbrs
    spared = afbrs[SPARED]
    assert spared.bridge is not None
    pids = {
        "bridge": spared.bridge.pid,
        "hook": hook_pid(spared),
        "ExaBGP": exabgp_pid(spared),
        "charon": spared.charon.process.pid,
    }
    return Snapshot(
        {number: standing(afbr.charon) for number, afbr in afbrs.items()},
        {number: foreign(afbr) for number, afbr in afbrs.items()},
        {name: footprint(pid) for name, pid in pids.items()},
        namespaces(),
        processes(),
        frozenset(str(path.relative_to(LAB)) for path in LAB.glob("*/run/*")),
    )


def wrong_softwires(world: World, model: Model) -> list[str]:
    """What differs between what ought to be and what every charon has; empty once the mesh is whole."""
    return [problem for number in world.mesh.afbrs for problem in _wrong_softwires(world, model, number)]


def _wrong_softwires(world: World, model: Model, number: int) -> Iterator[str]:
    plan = world.mesh.plan
    expected = {
        (plan.endpoint(peer), _prefix(world, number, ours), _prefix(world, peer, theirs))
        for peer, ours, theirs in model.pairs(number)
    }
    found = standing(world.mesh.afbrs[number].charon)
    return (f"router {number} {problem}" for problem in found.differences(expected))


def _prefix(world: World, router: int, site: int) -> str:
    """As charon prints it."""
    return str(ip_network(world.mesh.plan.island(router, site)))


def silent_ways(world: World, model: Model) -> list[str]:
    """The pairs of islands that ought to reach each other and do not."""
    plan = world.mesh.plan
    return [
        f"no answer from island {peer}, site {theirs}, to island {number}, site {ours}"
        for number, afbr in world.mesh.afbrs.items()
        for peer, ours, theirs in sorted(model.pairs(number))
        # Each way once; the answer goes the other.
        if number < peer and not afbr.island.ping(plan.host(peer, 10, theirs), source=plan.host(number, 10, ours))
    ]


def broken_promises(world: World, before: Snapshot, after: Snapshot, events: Sequence[Event]) -> Iterator[str]:
    """What a round has disturbed that it must not."""
    plan = world.mesh.plan
    gone = {_prefix(world, router, site) for router, site in withdrawn(events)}
    for low, high in sorted(undisturbed(events, world.mesh.afbrs)):
        for number, peer in ((low, high), (high, low)):
            had, has = (shot.standing[number].children for shot in (before, after))
            yield from (
                f"router {number}: nothing touched {' '.join(key)}, but its SPIs were {had[key]} and are {has[key]}"
                for key in sorted(had.keys() & has.keys())
                if key[0] == plan.endpoint(peer) and not gone & set(key[1:]) and had[key] != has[key]
            )
    for number, theirs in before.foreign.items():
        if after.foreign[number] != theirs:
            yield f"router {number}: what is not ours was {theirs} and is {after.foreign[number]}"
    if after.namespaces != before.namespaces:
        yield f"{after.namespaces} network namespaces, {before.namespaces} before"


def leaks(first: Snapshot, last: Snapshot) -> Iterator[str]:
    """What has grown from one moment at rest to another that must not."""
    for name, now in last.footprints.items():
        then = first.footprints[name]
        if now.pid != then.pid:
            continue
        if now.resident > then.resident + _GROWTH:
            yield f"{name} of router {SPARED} has grown from {then.resident} to {now.resident} KiB"
        if now.descriptors > then.descriptors + _DESCRIPTORS:
            yield f"{name} of router {SPARED} had {then.descriptors} descriptors open and has {now.descriptors}"
    if last.processes > first.processes:
        yield f"{first.processes} processes became {last.processes}"
    if new := {path for path in last.files - first.files if not path.endswith("/withdrawn")}:
        yield f"files were left behind: {', '.join(sorted(new))}"
