"""A prefix moves to another endpoint, with all guards, or a softwire gets another type; with XFRM interfaces."""

from __future__ import annotations

from itertools import pairwise

from lab.kinds import Meshes
from lab.moves import becomes, goes_and_comes_back, moving
from lab.proof import Case


def test_moves() -> None:
    with moving(1, libipsec=False) as state:
        wires = state.router.status()["softwires"]
        assert {wire["interface"]["kind"] for wire in wires} == {"xfrm"}
        goes_and_comes_back(state)


def test_another_type() -> None:
    # Without the firewall: with it a pass may take this machine longer than the 3 s after which the peer closes what it
    # had before (docs/failure.md).
    with Meshes(settings={"dataplane": {"guards": "routes"}}) as meshes:
        mesh = meshes.over("IPv6")
        for before, tunnel in pairwise(("ipsec-tunnel-mode", "ip-in-ip-ipsec-transport", "ipsec-tunnel-mode")):
            becomes(mesh, Case(tunnel, "IPv6", "", "encrypt"), before=before)
