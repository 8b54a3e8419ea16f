"""Every part of a mesh stopped, killed and hung while a newcomer converges with it."""

from __future__ import annotations

from random import Random

import pytest

from lab.eventually import eventually
from lab.fault import Fault, Part, Way
from lab.fault_table import Moment
from lab.standing import standing
from tests.faults.matrix import chosen, name, survives
from tests.faults.mesh import FRESH, NEWCOMER, SITES, build
from tests.faults.wholeness import held


@pytest.mark.parametrize(("part", "way", "moment"), chosen({Moment.NEWCOMER, Moment.OTHER}), ids=name)
def test_converging(part: Part, way: Way, moment: Moment, chance: Random) -> None:
    with build() as mesh:
        for number in mesh.afbrs.keys() - {NEWCOMER}:
            mesh.afbrs[number].start()
        eventually(lambda: len(held(mesh)) == SITES[1] * SITES[2], within=FRESH, what="the first two have converged")
        newcomer = mesh.afbrs[NEWCOMER]
        newcomer.start()
        # From when its charon has been told of the first peer; many of them may come up within one look at it.
        up = chance.randint(0, SITES[NEWCOMER] * 2)
        eventually(
            lambda: (found := standing(newcomer.charon)).connections and len(found.children) >= up,
            within=FRESH, what=f"{up} of the newcomer's CHILD SAs are up", every=0.002,
        )  # fmt: skip
        fault = Fault(mesh, part, way, router=NEWCOMER if moment is Moment.NEWCOMER else 1)
        survives(fault, moment, held(mesh))
