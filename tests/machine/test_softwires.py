"""Every softwire type through the whole chain, with XFRM interfaces and all guards: route reflector, ExaBGP, bridge,
charon, kernel. Islands have both families, so that each softwire carries its core's own as well.

The mesh of a core is shared: each test has the routers announce what it is about.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, nullcontext

import pytest

from lab.eventually import eventually
from lab.kinds import Meshes, is_there, is_up, take_up
from lab.proof import Case, carries, never_leaks, rekeys
from tests.machine.l2tp import ethernet

XFRM, GRE, L2TP = "route, XFRM interface", "protect, gre or ip6gre", "protect, l2tpeth of others"
TUNNEL, LABEL = "protect, sit or ip6tnl", "protect, MPLS over sit or ip6tnl"
CASES = (
    Case("ipsec-tunnel-mode", "IPv6", XFRM, "encrypt", faults=True),
    Case("ip-in-ip-ipsec-transport", "IPv6", TUNNEL, "encrypt", faults=True),
    Case("mpls-in-ip-ipsec-transport", "IPv6", LABEL, "encrypt"),
    Case("gre", "IPv6", GRE, "encrypt"),
    Case("l2tpv3", "IPv6", L2TP, "encrypt", faults=True),
    Case("ipsec-tunnel-mode", "IPv6", XFRM, "integrity"),
    Case("gre", "IPv6", GRE, "ah"),
    Case("ipsec-tunnel-mode", "IPv4", XFRM, "encrypt"),
    Case("ip-in-ip-ipsec-transport", "IPv4", TUNNEL, "encrypt"),
    Case("mpls-in-ip-ipsec-transport", "IPv4", LABEL, "encrypt", faults=True),
    Case("gre", "IPv4", GRE, "encrypt", faults=True),
    Case("l2tpv3", "IPv4", L2TP, "encrypt"),
    Case("ip-in-ip-ipsec-transport", "IPv4", TUNNEL, "integrity"),
    Case("ipsec-tunnel-mode", "IPv4", XFRM, "ah"),
)


@pytest.fixture(scope="module")
def meshes() -> Iterator[Meshes]:
    with closing(Meshes()) as meshes:
        yield meshes


@pytest.mark.parametrize("case", CASES, ids=str)
def test_softwire(meshes: Meshes, case: Case) -> None:
    mesh = meshes.over(case.core)
    take_up(mesh, case)
    eventually(lambda: is_up(mesh, case), within=30, what=f"the softwire is up as {case}", every=0.5)
    with ethernet(mesh) if case.tunnel == "l2tpv3" else nullcontext():
        carries(mesh, case)
        if case.faults:
            rekeys(mesh, case)
            never_leaks(
                mesh, case,
                gone=lambda: is_there(mesh, case, there=False),
                back=lambda: is_there(mesh, case, there=True),
                up=lambda: is_up(mesh, case),
            )  # fmt: skip
