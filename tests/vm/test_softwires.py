"""Types 5 and 6 and GRE, in interfaces of our making: from the reflector to the kernel's ESP and AH, over either core.

This kernel has no nftables, so nothing is broken on purpose here; that is for tests/machine.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.eventually import eventually
from lab.kinds import CORES, is_up, know_each_other, take_up
from lab.mesh import Mesh, meshed
from lab.proof import Case, carries, rekeys

INTERFACES = {"dataplane": {"mode": "route", "guards": "routes"}}
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
def mesh(request: pytest.FixtureRequest) -> Iterator[Mesh]:
    """Two AFBRs, every softwire up."""
    with Mesh(
        CORES[request.param], 2, libipsec=False, dual=True, settings=INTERFACES, charon="  install_routes = no\n"
    ) as mesh:
        mesh.start()
        eventually(lambda: meshed(mesh.afbrs.values()), within=60, what="every softwire is up", every=0.2)
        know_each_other(mesh)
        yield mesh


@pytest.mark.parametrize(
    ("mesh", "case"), [(case.core, case) for case in CASES], ids=map(str, CASES), indirect=["mesh"]
)
def test_softwire(mesh: Mesh, case: Case) -> None:
    take_up(mesh, case)
    eventually(lambda: is_up(mesh, case), within=30, what=f"the softwire is up as {case}", every=0.2)
    carries(mesh, case)
    if case.level == "encrypt":
        rekeys(mesh, case)
