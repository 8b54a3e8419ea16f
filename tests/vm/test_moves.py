"""A prefix moves to another endpoint, or a softwire becomes one of another type, with the kernel's ESP."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import Any

import pytest

from lab.eventually import eventually
from lab.kinds import CORES, Meshes, configured, is_up, take_up
from lab.mesh import Afbr, Mesh
from lab.moves import goes_and_comes_back, lossless, moving
from lab.proof import Case, Pinger, reload

# This kernel has neither XFRM interfaces nor nftables.
PLANES: dict[str, dict[str, Any]] = {
    "policy": {"dataplane": {"mode": "policy", "guards": "routes"}},
    "VTI": {"dataplane": {"mode": "route", "guards": "routes"}},
    "VTI, any": {"dataplane": {"mode": "route", "guards": "routes", "selectors": "any"}},
    "type 5": {
        "dataplane": {"guards": "routes"},
        "announce": {"tunnels": [{"type": "ip-in-ip-ipsec-transport"}]},
    },
}


MOVES = [
    ("policy", 1, False),
    ("policy", 3, True),
    *((plane, 1, alone) for plane in PLANES if plane != "policy" for alone in (False, True)),
]
"""Data plane; the router whose packets they are: the first is elected, the third is not; whether the announcers have
other softwires to it."""


@pytest.mark.parametrize(("plane", "mover", "alone"), MOVES)
def test_moves(plane: str, mover: int, alone: bool) -> None:
    routed = "  install_routes = no\n" if "VTI" in plane else ""
    with moving(mover, alone=alone, libipsec=False, settings=PLANES[plane], charon=routed) as state:
        goes_and_comes_back(state)


ROUND = (
    "ip-in-ip-ipsec-transport", "mpls-in-ip-ipsec-transport", "ip-in-ip-ipsec-transport", "gre",
    "ip-in-ip-ipsec-transport", "ipsec-tunnel-mode",
)  # fmt: skip
"""Tunnel types, one after the other, from the last."""


@pytest.mark.parametrize("core", CORES)
def test_another_type(core: str) -> None:
    """Not by VTI, which takes from the others what comes between the same addresses."""
    with closing(Meshes(settings=PLANES["policy"])) as meshes:
        mesh = meshes.over(core)
        left, right = mesh.afbrs.values()
        for tunnel in ROUND:
            case = Case(tunnel, core, "", "encrypt")
            flows = [
                Pinger(mesh, *ends, interval=0.01, host=mesh.plan.host(ends[1].number, 10, family=family))
                for ends, family in zip(((left, right), (right, left)), mesh.plan.families, strict=True)
            ]
            for flow in flows:
                flow.goes_on()
            if tunnel == "gre":
                # It is configured, and preferred to what is announced; that stays until both ends have it.
                reload(mesh, partial(configure, mesh, case))
            else:
                take_up(mesh, case)
            eventually(partial(is_up, mesh, case), within=30, what=f"it is {tunnel}", every=0.2)
            for flow in flows:
                flow.goes_on()
                lossless(flow)


def configure(mesh: Mesh, case: Case, afbr: Afbr) -> None:
    """Have a router ask for the softwire of the case besides what it announces."""
    (other,) = (other for other in mesh.afbrs.values() if other is not afbr)
    afbr.settings["softwires"] = [configured(mesh, case, other)]
