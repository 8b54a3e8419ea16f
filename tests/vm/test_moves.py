"""A prefix moves to another endpoint, or a softwire becomes one of another type, with the kernel's ESP."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from lab.kinds import CORES, Meshes
from lab.moves import becomes, goes_and_comes_back, moving
from lab.proof import Case

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
    # So many changes within a minute are more than an endpoint is allowed.
    settings = {**PLANES["policy"], "admission": {"dampening": None}}
    with Meshes(settings=settings) as meshes:
        mesh = meshes.over(core)
        for before, tunnel in pairwise((ROUND[-1], *ROUND)):
            becomes(mesh, Case(tunnel, core, "", "encrypt"), before=before)
