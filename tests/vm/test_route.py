"""Data plane ``route`` by VTI: from the reflector to the kernel's ESP, over either core, islands of both families.

This kernel has no XFRM interfaces, nor nftables; those are shown in tests/machine.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.eventually import eventually
from lab.mesh import Direction, Mesh, meshed
from lab.proof import Case, carries, never_leaks, rekeys

ROUTE = {"dataplane": {"mode": "route", "guards": "routes"}}
CORES = {"IPv6": Direction.FOUR_OVER_SIX, "IPv4": Direction.SIX_OVER_FOUR}


@pytest.fixture(scope="module", params=CORES)
def core(request: pytest.FixtureRequest) -> str:
    """The core's family."""
    return str(request.param)


@pytest.fixture(scope="module")
def mesh(core: str) -> Iterator[Mesh]:
    """Two AFBRs whose softwires are VTIs, all up."""
    with Mesh(CORES[core], 2, libipsec=False, dual=True, settings=ROUTE, charon="  install_routes = no\n") as mesh:
        mesh.start()
        eventually(lambda: meshed(mesh.afbrs.values()), within=60, what="every softwire is up", every=0.2)
        yield mesh


def is_up(mesh: Mesh) -> bool:
    """Whether every softwire is up, by VTI, with both families routed into it."""
    for afbr in mesh.afbrs.values():
        interfaces = [wire["interface"] for wire in afbr.up().values()]
        if [(interface["kind"], len(interface["routes"])) for interface in interfaces] != [("vti", 2)]:
            return False
    return True


def test_softwire(mesh: Mesh, core: str) -> None:
    case = Case("ipsec-tunnel-mode", core, "route, VTI", "encrypt", faults=True)
    eventually(lambda: is_up(mesh), within=30, what="prefixes are routed into a VTI", every=0.2)
    carries(mesh, case)
    rekeys(mesh, case)
    right = list(mesh.afbrs.values())[-1]
    never_leaks(
        mesh, case,
        gone=lambda: print(right.softmesh("withdraw", "-c", str(right.configuration))),
        back=lambda: print(right.softmesh("announce", "-c", str(right.configuration))),
        up=lambda: is_up(mesh),
    )  # fmt: skip
