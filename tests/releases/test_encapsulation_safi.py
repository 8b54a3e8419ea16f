"""The Encapsulation SAFI (RFC 5512) through GoBGP, as each Debian release has it.

Nothing but one announcement of each router's endpoint names a tunnel; what GoBGP holds is looked up in GoBGP itself.
"""

from __future__ import annotations

import asyncio
import functools
import json
import time
from collections.abc import Callable, Iterator

import pytest

from lab.capture import ESP, PLAINTEXT, Capture
from lab.eventually import eventually, until
from lab.fault import Fault, Part, Way, exabgp_pid, hook_pid
from lab.gobgp import GoBgp
from lab.mesh import MIXED, Afbr, Direction, Mesh, meshed
from lab.release import RELEASES, release
from softmesh.bgp.announcement import Announcement
from softmesh.bgp.hook_client import HookClient


def family(direction: Direction) -> str:
    """Of the routers' endpoints."""
    return f"ipv{direction.core} encap"


CASES = [(name, MIXED[count % 2]) for count, name in enumerate([*RELEASES, RELEASES[-1]])]
"""Both families of endpoints, each with an old and a new GoBGP."""


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{case[1].value}")
def mesh(request: pytest.FixtureRequest) -> Iterator[Mesh]:
    """Two AFBRs that name their tunnels in SAFI 7 alone."""
    name, direction = request.param
    reflector = functools.partial(GoBgp, release=release(name), encapsulation=True)
    settings = {
        "bgp": {"managed": True, "families": ["ipv4 unicast", "ipv6 unicast", family(direction)]},
        "announce": {"carrier": "encapsulation-safi"},
    }
    with Mesh(direction, 2, reflectors=(reflector,), release=release(name), settings=settings) as mesh:
        mesh.start()
        eventually(lambda: meshed(mesh.afbrs.values()), within=20, what="every softwire is up")
        yield mesh


def table(mesh: Mesh, name: str) -> dict[str, bool]:
    """The NLRIs in one of GoBGP's tables, and whether each has an attribute 23."""
    assert isinstance(mesh.reflector, GoBgp)
    shown = json.loads(mesh.reflector.gobgp("global", "rib", "-a", name, "--json") or "{}")
    return {
        nlri.partition("/")[0]: any(attribute["type"] == 23 for path in paths for attribute in path["attrs"])
        for nlri, paths in shown.items()
    }


def announced_endpoints(mesh: Mesh) -> dict[str, bool]:
    """The NLRIs of SAFI 7, and whether each has an attribute 23."""
    return table(mesh, f"ipv{mesh.plan.direction.core}-encap")


def complete(afbr: Afbr, since: float) -> bool:
    """Whether the router's one neighbour has told it all, in the Encapsulation SAFI too, on a session that stands.

    ``since``: a hook that was there at that time (CLOCK_MONOTONIC) does not count.
    """
    asked = time.monotonic()
    (neighbor,) = afbr.status().get("neighbors", []) or [{"end_of_rib": [], "state": "", "for": 0.0}]
    told = neighbor["state"] == "up" and family(afbr.mesh.plan.direction) in neighbor["end_of_rib"]
    return told and neighbor["for"] < asked - since


def fresh(afbr: Afbr, since: float = 0.0) -> bool:
    """Whether all is heard again after a fault; ``since`` as for ``complete``."""
    return complete(afbr, since) and not any(wire["stale"] for wire in afbr.up().values())


def another(find: Callable[[Afbr], int], afbr: Afbr, pid: int) -> Callable[[], bool]:
    """Whether a process of the router has come back as another."""
    return lambda: find(afbr) not in {0, pid}


async def announce(afbr: Afbr, wanted: Announcement, done: Callable[[], bool], what: str) -> None:
    """Have the router announce this alone, until its bridge changes its mind; returns when ``done``."""

    async def is_done() -> bool:
        return done()

    client = HookClient(str(afbr.home / "run" / "hook.sock"), on_change=lambda: None)
    client.announce(frozenset({wanted}))
    running = asyncio.create_task(client.run())
    try:
        await until(is_done, within=10, what=what)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_mesh_by_the_encapsulation_safi_alone(mesh: Mesh) -> None:
    plan, (left, right) = mesh.plan, mesh.afbrs.values()
    assert announced_endpoints(mesh) == {left.endpoint: True, right.endpoint: True}
    assert set(table(mesh, f"ipv{plan.direction.island}").values()) == {False}
    capture = Capture(mesh.core, "br0", "core")
    eventually(lambda: left.island.ping(plan.host(2, 10), count=5), within=10, what="packets go through")
    eventually(lambda: capture.count(ESP) >= 4, within=5, what="four ESP packets are captured")
    assert capture.count(PLAINTEXT) == 0

    before = {number: afbr.spis() for number, afbr in mesh.afbrs.items()}
    for part, find in ((Part.EXABGP, exabgp_pid), (Part.HOOK, hook_pid)):
        pid = find(left)
        Fault(mesh, part, Way.KILL).inject()
        struck = time.monotonic()
        eventually(another(find, left, pid), within=20, what=f"{part.value} is back")
        eventually(
            lambda struck=struck: fresh(left, struck) and fresh(right),  # type: ignore[misc]
            within=20, what=f"all is known again after {part.value}'s end",
        )  # fmt: skip
        assert {number: afbr.spis() for number, afbr in mesh.afbrs.items()} == before

    await announce(
        right,
        Announcement(plan.island(2), right.endpoint),
        lambda: right.endpoint not in announced_endpoints(mesh),
        "its endpoint is announced no more",
    )
    eventually(lambda: not left.up(), within=10, what="the softwire is gone with the announcement of its endpoint")
    (refused,) = left.status()["softwires"]
    assert (refused["state"], refused["rule"]) == ("refused", "no-tunnel")
    assert not left.island.ping(plan.host(2, 10), count=1)
    assert len(mesh.reflector.prefixes()) == len(mesh.afbrs), "the routes themselves are announced as before"
    capture.stop()
