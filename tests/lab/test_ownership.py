"""What other people have is untouched, whatever we do: from the first start of a mesh to ``softmesh flush``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing

import pytest

from lab.eventually import eventually, until
from lab.life import Life
from lab.mesh import Direction, Mesh
from lab.others import Holdings, Others, lost, populate
from softmesh.charon.actions import TerminateIke
from softmesh.charon.watch import Watch
from softmesh.errors import Unreachable


@pytest.fixture
def others() -> Iterator[Others]:
    with Mesh(Direction.FOUR_OVER_SIX, 2) as mesh:
        populate(mesh.afbrs[1].namespace)
        with closing(Others(mesh.afbrs[1])) as made:
            yield made


def test_a_life_among_others(others: Others) -> None:
    """charon with other people's live SAs, and a kernel with their routes, rules, addresses and firewall."""
    Life(others.afbr.mesh, others).live()


def at_rest(others: Others) -> Holdings:
    """What they have once it has not changed for a second: their peer may still be tidying up the charon of before."""
    seen: list[Holdings] = []

    def unchanged() -> bool:
        seen.append(others.in_charon())
        return len(seen) > 1 and seen[-1] == seen[-2]

    eventually(unchanged, within=20, what="their SAs are at rest", every=1.0)
    return seen[-1]


async def test_what_was_planned_for_one_charon_is_not_done_to_the_next(others: Others) -> None:
    """It numbers SAs from 1 when it is started again, and then the first may be somebody else's."""
    charon = others.afbr.charon
    watch = Watch(charon.vici, on_change=lambda: None)
    running = asyncio.create_task(watch.run())
    await watch.wait_connected()
    await watch.look()
    planned = [TerminateIke(str(number), "softmesh-2001:db8:f::2-78e57f06a452e35f") for number in range(1, 9)]
    await asyncio.to_thread(charon.restart)
    await asyncio.to_thread(others.connect)
    before = at_rest(others)

    async def connected() -> bool:
        return watch.connected

    await until(connected, within=10, what="the new charon is connected")
    with pytest.raises(Unreachable, match="connected anew"):
        await watch.apply(planned)
    assert lost(before, others.in_charon()) == {}
    eventually(others.carries, within=10, what="their own tunnels carry packets")
    # For this charon it would have been a plan, and they are there to be hit by one.
    await watch.look()
    assert await watch.apply(planned) == []
    eventually(lambda: "sas" in lost(before, others.in_charon()), within=5, what="their SAs are gone")
    running.cancel()
