"""A prefix that two routers announce, and packets to it while it moves from one to the other.

                          ╔═══ announcer ── island with a host of 10.9.0.0/24
island ── router ═══ core ╣
                          ╚═══ announcer ── island with a host of the same address
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from lab.eventually import eventually
from lab.kinds import ANNOUNCED, configured, is_up, take_up
from lab.mesh import Afbr, Direction, Mesh
from lab.proof import Case, Pinger, reload

MOVING = "10.9.0.0/24"
HOST = "10.9.0.10"
UP = 30.0


@dataclass
class Moving:
    """A mesh of three, of which two announce the prefix, and packets to it."""

    mesh: Mesh
    router: Afbr
    """Whose packets they are."""
    announcers: tuple[Afbr, Afbr]
    flow: Pinger

    def prefer(self, announcer: Afbr) -> None:
        """Have the reflector prefer one announcer's route (RFC 4271 §9.1.1)."""
        self.mesh.bird.prefer(MOVING, announcer.endpoint)

    def carriers(self) -> list[str]:
        """To whom the router sends packets for the prefix."""
        return carriers(self.router)

    def moved(self, announcer: Afbr) -> None:
        """Wait until the prefix is with an announcer, and nobody else."""
        eventually(lambda: self.carriers() == [announcer.endpoint], within=UP, what="the prefix has moved", every=0.2)

    def untouched(self) -> dict[str, tuple[str, str]]:
        """The SPIs of all that does not move."""
        return {key: spis for key, spis in self.router.spis().items() if not key.endswith(MOVING)}

    def passes(self, answers: int = 50) -> None:
        """Wait for more answers, one every 10 ms."""
        before = self.flow.answered
        eventually(lambda: self.flow.answered >= before + answers, within=20, what="packets go through")


def carriers(router: Afbr) -> list[str]:
    """The peers to whom a router sends packets for the prefix: by routes where it has any, else by CHILD SAs."""
    found = []
    for wire in router.status()["softwires"]:
        sas = [child["remote_ts"] for child in wire["children"]]
        found += [wire["remote"]] * (wire["interface"]["routes"] if wire["interface"] else sas).count(MOVING)
    return found


@contextmanager
def moving(mover: int, *, alone: bool = False, **options: Any) -> Iterator[Moving]:
    """The mesh, up, the prefix with the first announcer; in the end nothing of what did not move has changed.

    ``alone``: announce no other, so that the softwire that is to have it does not exist before. ``options``: of the
    mesh, as ``Mesh`` takes them.
    """
    with Mesh(Direction.FOUR_OVER_SIX, 3, **options) as mesh:
        router = mesh.afbrs[mover]
        first, second = (afbr for afbr in mesh.afbrs.values() if afbr is not router)
        for afbr in (first, second):
            afbr.namespace.address("island0", "10.9.0.1/24")
            afbr.island.address("eth0", f"{HOST}/24")
            afbr.settings["announce"]["prefixes"] = [*([] if alone else mesh.plan.prefixes(afbr.number)), MOVING]
            afbr.write_configuration()
        mesh.bird.prefer(MOVING, first.endpoint)
        mesh.start()
        others = {first.endpoint} if alone else {first.endpoint, second.endpoint}
        eventually(
            lambda: router.up().keys() == others and carriers(router) == [first.endpoint],
            within=UP, what="all is up, and the prefix with the first", every=0.2,
        )  # fmt: skip
        state = Moving(mesh, router, (first, second), Pinger(mesh, router, first, interval=0.01, host=HOST))
        before = state.untouched()
        yield state
        # Of one that announces nothing else, by a single SA for all there is, nothing stays.
        assert alone or state.untouched() == before


def goes_and_comes_back(state: Moving) -> None:
    """A better path appears, and the one before is better again: nothing of the flow is lost."""
    for announcer in reversed(state.announcers):
        state.passes()
        state.prefer(announcer)
        state.moved(announcer)
    state.passes()
    lossless(state.flow)


def becomes(mesh: Mesh, case: Case, *, before: str) -> None:
    """The softwire between two routers becomes another, ``before`` being its type: nothing of either family is lost."""
    left, right = mesh.afbrs.values()
    flows = [
        Pinger(mesh, *ends, interval=0.01, host=mesh.plan.host(ends[1].number, 10, family=family))
        for ends, family in zip(((left, right), (right, left)), mesh.plan.families, strict=True)
    ]
    for flow in flows:
        flow.goes_on()
    if case.tunnel in ANNOUNCED:
        take_up(mesh, case, before=before)
    else:
        # It is configured, and preferred to what is announced; that stays until both ends have it.
        reload(mesh, partial(_configure, mesh, case))
    eventually(lambda: is_up(mesh, case), within=UP, what=f"it is {case.tunnel}", every=0.2)
    for flow in flows:
        flow.goes_on()
        lossless(flow)


def _configure(mesh: Mesh, case: Case, afbr: Afbr) -> None:
    """Have a router ask for the softwire of the case besides what it announces."""
    (other,) = (other for other in mesh.afbrs.values() if other is not afbr)
    afbr.settings["softwires"] = [configured(mesh, case, other)]


def lossless(flow: Pinger) -> None:
    """End the flow, and assert that nothing of it was lost."""
    sent, _ = flow.stop()
    lost = flow.unanswered
    print(f"moves: {sent} pings at 10 ms, {len(lost)} lost {lost or ''}")
    # Whoever answers in IKE has its half of an SA some milliseconds before the other has (RFC 7296 §1.3), and sends by
    # it; and is rid of it as much earlier.
    assert len(lost) <= 3, f"of {sent} were lost {lost}"
