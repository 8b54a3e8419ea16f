"""A VTI that charon routes past. In a file of its own, for it makes a mesh of its own."""

from __future__ import annotations

from lab.eventually import eventually, holds
from lab.mesh import Direction, Mesh, meshed
from tests.vm.test_route import ROUTE


def test_no_vti_where_charon_routes_past_it() -> None:
    # charon's own routes would lead past the interface into the core, in the clear while there is no guard but routes.
    with Mesh(Direction.FOUR_OVER_SIX, 2, libipsec=False, settings=ROUTE) as mesh:
        mesh.start()
        left = mesh.afbrs[1]

        def reasons() -> str:
            return " ".join(wire["reason"] for wire in left.wires().values() if wire["state"] == "refused")

        eventually(
            lambda: "set charon.install_routes = no" in reasons(), within=60, what="the softwire is refused", every=0.2
        )
        eventually(lambda: "ESTABLISHED" not in left.charon.swanctl("--list-sas"), within=20, what="its SA is gone")
        # With the SA charon's route goes too; that is no reason to try again.
        holds(lambda: not left.up(), during=12.0, what="it stays refused")
        # Until the remedy is taken at both ends, and no longer.
        for afbr in mesh.afbrs.values():
            afbr.charon.configure("  install_routes = no\n")
            afbr.charon.restart()
        eventually(lambda: meshed(mesh.afbrs.values()), within=30, what="the softwire is up", every=0.2)
