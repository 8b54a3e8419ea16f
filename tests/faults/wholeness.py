"""Whether a mesh is whole: by every charon's own account, by the bridges', by the reflectors', and by a ping."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from itertools import combinations

from lab.bird import Bird
from lab.eventually import NotReached, eventually
from lab.mesh import Afbr, Mesh
from lab.standing import Key, Standing, standing
from softmesh.control.client import ask
from softmesh.errors import Unreachable

Softwire = tuple[int, int, str, str]
"""A CHILD SA that is wanted: the lower and the higher router, and a prefix of each."""
Held = Mapping[Softwire, frozenset[tuple[str, str]]]
"""The CHILD SAs that stand at both ends: their SPIs, first the one into the lower router."""


def held(mesh: Mesh) -> Held:
    """What stands now, by every charon's list-sas."""
    return _common({number: standing(afbr.charon) for number, afbr in mesh.afbrs.items()}, mesh)


def kept(before: Held, after: Held) -> set[Softwire]:
    """Those of ``before`` that had an SA which stands still, with the same SPIs."""
    return {softwire for softwire, spis in before.items() if spis & after.get(softwire, frozenset())}


def becomes_whole(mesh: Mesh, *, within: float, stays: float = 0.0) -> Held:
    """Wait until a mesh is whole and has stayed so, with the same SPIs, for so many seconds; returns what stands then.

    What was whole may have a CHILD SA twice again for a moment, where both ends have initiated, but never a hole.
    Raises NotReached with all that is lacking.
    """
    found: list[str] = []
    stood: Held = {}
    since = time.monotonic()

    def is_whole() -> bool:
        nonlocal found, stood, since
        looked_at = time.monotonic()
        stands = {number: standing(afbr.charon) for number, afbr in mesh.afbrs.items()}
        found = _lacking(mesh, stands)
        now = _common(stands, mesh)
        assert not stood.keys() - now.keys(), f"it was whole, and then it lost {stood.keys() - now.keys()}"
        if found or now != stood:
            since = looked_at
        stood = stood if found else now
        return not found and time.monotonic() - since >= stays

    try:
        eventually(is_whole, within=within, what="the mesh is whole", every=0.1)
    except NotReached as error:
        raise NotReached(f"{error}; lacking: {'; '.join(found)}") from None
    return stood


def prefixes(afbr: Afbr) -> list[str]:
    """What a router announces."""
    announced: list[str] = afbr.settings["announce"]["prefixes"]
    return announced


def _lacking(mesh: Mesh, stood: Mapping[int, Standing]) -> list[str]:
    """All that a mesh lacks, what is cheap to find first."""
    lacks = [
        f"{mesh.afbrs[number].namespace.name}: {problem}"
        for number, found in stood.items()
        for problem in found.differences(_wanted(mesh, number))
    ]
    if not lacks and len(_common(stood, mesh)) != sum(
        len(prefixes(low)) * len(prefixes(high)) for low, high in combinations(mesh.afbrs.values(), 2)
    ):
        lacks.append("the ends of some CHILD SA have different SPIs")
    lacks = lacks or [
        f"{afbr.namespace.name}: {problem}" for afbr in mesh.afbrs.values() for problem in _bridge_lacks(afbr)
    ]
    return lacks or list(_network_lacks(mesh))


def _wanted(mesh: Mesh, number: int) -> set[Key]:
    ours, peers = mesh.afbrs[number], [afbr for afbr in mesh.afbrs.values() if afbr.number != number]
    return {(peer.endpoint, near, far) for peer in peers for near in prefixes(ours) for far in prefixes(peer)}


def _bridge_lacks(afbr: Afbr) -> Iterator[str]:
    try:
        status, plan = (ask(afbr.home / "run" / "control.sock", command) for command in ("status", "plan"))
    except Unreachable as error:
        yield str(error)
        return
    yield from status["problems"]
    if not status["hook"]["connected"]:
        yield "the hook is not connected"
    if reason := status["charon"]["reason"]:
        yield reason
    for neighbor in status["neighbors"]:
        if neighbor["state"] != "up":
            yield f"neighbour {neighbor['address']} is {neighbor['state']}"
    for wire in status["softwires"]:
        if wire["state"] != "up" or wire["stale"]:
            yield f"to {wire['remote']}: {wire['state']}{', stale' if wire['stale'] else ''} {wire['reason']}"
    if plan["removal_awaits"]:
        yield f"waits for {plan['removal_awaits']}"
    yield from plan["actions"]


def _network_lacks(mesh: Mesh) -> Iterator[str]:
    announced = {prefix for afbr in mesh.afbrs.values() for prefix in prefixes(afbr)}
    for reflector in mesh.reflectors:
        if reflector.prefixes() != announced:
            yield f"{reflector.namespace.name} has {sorted(reflector.prefixes())}"
        # The next fault of a session that has not said all again would take what is only kept (RFC 4724 §4.2).
        if isinstance(reflector, Bird) and reflector.restarting():
            yield f"{reflector.namespace.name} keeps routes of a session that has ended"
    for near in mesh.afbrs.values():
        for far in mesh.afbrs.values():
            last = len(prefixes(far)) - 1
            if near is not far and not near.island.ping(mesh.plan.host(far.number, 10, site=last), within=0.5):
                yield f"no ping crosses from {near.island.name} to {far.island.name}"


def _common(stood: Mapping[int, Standing], mesh: Mesh) -> Held:
    found: dict[Softwire, frozenset[tuple[str, str]]] = {}
    for low, high in combinations(sorted(mesh.afbrs), 2):
        here, there = mesh.afbrs[low].endpoint, mesh.afbrs[high].endpoint
        for (peer, near, far), spis in stood[low].children.items():
            if peer == there:
                opposite = {(spi_out, spi_in) for spi_in, spi_out in stood[high].children.get((here, far, near), ())}
                if same := frozenset(spis) & opposite:
                    found[low, high, near, far] = same
    return found
