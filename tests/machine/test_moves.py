"""A prefix moves to another endpoint, or a softwire gets another type, with XFRM interfaces and all guards."""

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


SLOW = 300
"""Pings, 10 ms apart. Who has the new type keeps the old one for 3 s; in this emulated machine a peer's pass may take
longer, and then packets are lost until it is over (docs/failure.md). tests/vm holds changes of type to lose nothing."""


def test_another_type() -> None:
    with Meshes() as meshes:
        mesh = meshes.over("IPv6")
        for before, tunnel in pairwise(("ipsec-tunnel-mode", "ip-in-ip-ipsec-transport", "ipsec-tunnel-mode")):
            becomes(mesh, Case(tunnel, "IPv6", "", "encrypt"), before=before, lost=SLOW)
