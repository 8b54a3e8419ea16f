"""Hangs that outlast what others have patience for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from lab.eventually import eventually, holds
from lab.fault import Fault, Part, Way
from lab.flooder import Flooder, offer
from lab.mesh import Afbr, Mesh
from tests.faults.mesh import FRESH, build
from tests.faults.wholeness import becomes_whole, held, kept, prefixes

LONG = 25.0
HOLD_TIME = 15
"""Seconds: less than a hang, and more than a busy machine keeps those waiting who do not hang."""
WHOLE = 60.0
FLOOD = [f"10.{100 + (number >> 8)}.{number & 255}.0/24" for number in range(3000)]


@pytest.fixture
def mesh() -> Iterator[Mesh]:
    with build(settings={"bgp": {"hold_time": HOLD_TIME}}, spare=1) as mesh:
        mesh.start()
        yield mesh


def is_fresh(afbr: Afbr, mended: float) -> bool:
    """Whether it has heard everything anew since then. What goes meanwhile is not heard of: it stays, as stale."""
    status, seconds = afbr.status(), time.monotonic() - mended
    sessions = [neighbor["state"] == "up" and neighbor["for"] < seconds for neighbor in status.get("neighbors", [])]
    return len(sessions) > 0 and all(sessions) and not any(wire["stale"] for wire in status["softwires"])


def test_bridge_hung_while_the_mesh_changes(mesh: Mesh) -> None:
    before = becomes_whole(mesh, within=FRESH)
    fault = Fault(mesh, Part.BRIDGE, Way.HANG, router=2)
    fault.inject()
    first = mesh.afbrs[1]
    site = len(prefixes(first))
    first.add_site(site)
    prefixes(first).append(mesh.plan.island(1, site))
    first.reload()
    eventually(lambda: len(held(mesh)) > len(before), within=FRESH, what="routers 1 and 3 have CHILD SAs for it")
    holds(lambda: kept(before, held(mesh)) == before.keys(), during=LONG, what="no SA is lost")
    fault.mend()
    assert kept(before, becomes_whole(mesh, within=WHOLE)) == before.keys()


def test_hook_hung_for_longer_than_the_hold_time_while_nothing_is_said(mesh: Mesh) -> None:
    before = becomes_whole(mesh, within=FRESH)
    fault = Fault(mesh, Part.HOOK, Way.HANG, router=2)
    fault.inject()
    holds(lambda: kept(before, held(mesh)) == before.keys(), during=LONG, what="no SA is lost")
    fault.mend()
    assert kept(before, becomes_whole(mesh, within=WHOLE)) == before.keys()


def test_hook_hung_until_exabgp_hangs_with_it_and_its_sessions_are_lost(mesh: Mesh) -> None:
    before = becomes_whole(mesh, within=FRESH)
    others = {softwire for softwire in before if 2 not in softwire[:2]}
    fault = Fault(mesh, Part.HOOK, Way.HANG, router=2)
    with closing(Flooder(mesh, 4)) as flooder:
        fault.inject()
        # More than the pipe takes: ExaBGP's write to its hook blocks, and with it its keepalives.
        flooder.announce((prefix, offer(f"2001:db8:bad::{number:x}")) for number, prefix in enumerate(FLOOD))
        eventually(
            lambda: not any(set(prefixes(mesh.afbrs[2])) & reflector.prefixes() for reflector in mesh.reflectors),
            within=FRESH + HOLD_TIME,
            what="the reflectors have given the router up",
        )  # fmt: skip
        eventually(lambda: held(mesh).keys() == others, within=FRESH, what="its peers have closed their softwires")
        mended = time.monotonic()
        fault.mend()
        eventually(
            lambda: is_fresh(mesh.afbrs[2], mended), within=WHOLE,
            what="its sessions are back and nothing is stale", every=0.5,
        )  # fmt: skip
        flooder.withdraw(*FLOOD)
        # The reflectors have withdrawn its routes: its peers have closed their softwires with it, and with nobody else.
        assert kept(before, becomes_whole(mesh, within=WHOLE)) == others


def test_charon_hung_until_its_peers_find_it_dead() -> None:
    with build() as mesh:
        mesh.start()
        before = becomes_whole(mesh, within=FRESH)
        others = {softwire for softwire in before if 2 not in softwire[:2]}
        fault = Fault(mesh, Part.CHARON, Way.HANG, router=2)
        fault.inject()
        peers = mesh.afbrs[1], mesh.afbrs[3]
        hung = mesh.afbrs[2].endpoint
        # After 30 s and the retransmissions.
        eventually(lambda: not any(hung in afbr.up() for afbr in peers), within=60, what="its peers find it dead")
        fault.mend()
        assert kept(before, becomes_whole(mesh, within=WHOLE)) == others
