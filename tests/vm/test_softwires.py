"""Types 5 and 6 and GRE, in interfaces of our making: from the reflector to the kernel's ESP and AH, over either core.

This kernel has no nftables, so nothing is broken on purpose here; that is for tests/machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TypeAlias

import pytest

from lab.eventually import eventually
from lab.kinds import CORES, is_up, know_each_other, take_up
from lab.mesh import Mesh, meshed
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


MeshOver: TypeAlias = Callable[[str], Mesh]


@pytest.fixture(scope="module")
def mesh_over() -> Iterator[MeshOver]:
    """The mesh over a core, made when a test first asks for it, in place of the one before."""
    with ExitStack() as stack:
        meshes: dict[str, Mesh] = {}

        def over(core: str) -> Mesh:
            if core not in meshes:
                stack.close()
                meshes.clear()
                meshes[core] = stack.enter_context(
                    Mesh(
                        CORES[core], 2, libipsec=False, dual=True, settings=INTERFACES, charon="  install_routes = no\n"
                    )
                )
                meshes[core].start()
                eventually(
                    lambda: meshed(meshes[core].afbrs.values()), within=60, what="every softwire is up", every=0.5
                )
                know_each_other(meshes[core])
            return meshes[core]

        yield over


@pytest.mark.parametrize("case", CASES, ids=str)
def test_softwire(mesh_over: MeshOver, case: Case) -> None:
    mesh = mesh_over(case.core)
    take_up(mesh, case)
    eventually(lambda: is_up(mesh, case), within=30, what=f"the softwire is up as {case}", every=0.2)
    carries(mesh, case)
    if case.level == "encrypt":
        rekeys(mesh, case)
