"""Types 5 and 6 and GRE, in interfaces of our making: from the reflector to the kernel's ESP and AH, over either core.

This kernel has no nftables, so nothing is broken on purpose here; that is for tests/machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from lab.eventually import eventually
from lab.kinds import CORES, Meshes, is_up, take_up
from lab.proof import Case, carries, rekeys

INTERFACES = {"dataplane": {"mode": "policy", "guards": "routes"}}
PLANES = {
    "ip-in-ip-ipsec-transport": "protect, sit or ip6tnl",
    "mpls-in-ip-ipsec-transport": "protect, MPLS over sit or ip6tnl",
    "gre": "protect, gre or ip6gre",
}
CASES = [
    Case(tunnel, core, plane, level)
    for core in CORES
    for level in ("encrypt", "integrity", "ah")
    for tunnel, plane in PLANES.items()
]


@pytest.fixture(scope="module")
def meshes() -> Iterator[Meshes]:
    with closing(Meshes(settings=INTERFACES)) as meshes:
        yield meshes


@pytest.mark.parametrize("case", CASES, ids=str)
def test_softwire(meshes: Meshes, case: Case) -> None:
    mesh = meshes.over(case.core)
    take_up(mesh, case)
    eventually(lambda: is_up(mesh, case), within=30, what=f"the softwire is up as {case}", every=0.2)
    carries(mesh, case)
    if case.level == "encrypt":
        rekeys(mesh, case)
