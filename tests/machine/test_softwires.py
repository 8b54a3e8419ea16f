"""Every softwire type through the whole chain, with XFRM interfaces and all guards: route reflector, ExaBGP, bridge,
charon, kernel. Islands have both families, so that each softwire carries its core's own as well.

The mesh of a core is shared: each test has the routers announce what it is about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from lab.eventually import eventually
from lab.mesh import Afbr, Direction, Mesh, meshed
from lab.proof import Case, carries, never_leaks, rekeys, reload
from softmesh.config.values import CONFIGURED_TUNNEL_TYPES
from tests.machine.l2tp import ethernet

ANNOUNCED = ("ipsec-tunnel-mode", "ip-in-ip-ipsec-transport", "mpls-in-ip-ipsec-transport")
CORES = {"IPv6": Direction.FOUR_OVER_SIX, "IPv4": Direction.SIX_OVER_FOUR}
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
def mesh(request: pytest.FixtureRequest) -> Iterator[Mesh]:
    """Two AFBRs with XFRM interfaces and all guards, every softwire up."""
    with Mesh(CORES[request.param], 2, libipsec=False, dual=True) as mesh:
        mesh.start()
        eventually(lambda: meshed(mesh.afbrs.values()), within=120, what="every softwire is up", every=0.5)
        know_each_other(mesh)
        yield mesh


def know_each_other(mesh: Mesh) -> None:
    """Give each router the others' public keys in a directory, as configured softwires need."""
    for afbr in mesh.afbrs.values():
        keys = afbr.home / "keys"
        keys.mkdir()
        for other in mesh.afbrs.values():
            (keys / f"{other.namespace.name}.pem").write_bytes(Path(other.home / "identity.pub").read_bytes())
        afbr.settings["trust"] = {"keys": [{"directory": "keys"}, {"announced": True}]}


def settle(mesh: Mesh, case: Case, *, there: bool = True) -> Callable[[Afbr], None]:
    """What each mesh.yaml says for a case, or without its softwire."""

    def change(afbr: Afbr) -> None:
        afbr.settings["protection"] = {"default": case.level}
        (other,) = (other for other in mesh.afbrs.values() if other is not afbr)
        announced = case.tunnel in ANNOUNCED
        afbr.settings["select"] = {"tunnels": [case.tunnel] if announced else ["mpls-in-ip-ipsec-transport"]}
        afbr.settings["announce"]["tunnels"] = [{"type": case.tunnel if announced else "ipsec-tunnel-mode"}]
        afbr.settings["softwires"] = [] if announced or not there else [configured(mesh, case, other)]

    return change


def configured(mesh: Mesh, case: Case, other: Afbr) -> dict[str, Any]:
    """A configured softwire to another router."""
    return {
        "remote": other.endpoint,
        "tunnel": case.tunnel,
        "authenticators": [other.status()["authenticator"]],
        "prefixes": mesh.plan.prefixes(other.number) if case.tunnel != "l2tpv3" else [],
    }


def is_there(mesh: Mesh, case: Case, *, there: bool) -> None:
    """Withdraw the softwire at one router, or bring it back."""
    right = list(mesh.afbrs.values())[-1]
    if case.tunnel in ANNOUNCED:
        right.softmesh("announce" if there else "withdraw", "-c", str(right.configuration))
    else:
        reload(mesh, settle(mesh, case, there=there))


def is_up(mesh: Mesh, case: Case) -> bool:
    """Whether every router has the softwire of the case up, routed into and with nothing left of another."""
    label = CONFIGURED_TUNNEL_TYPES[case.tunnel].label
    for afbr in mesh.afbrs.values():
        wires = list(afbr.up().values())
        if [(wire["type"], wire["level"]) for wire in wires] != [(label, case.level)]:
            return False
        interface, children = wires[0]["interface"], wires[0]["children"]
        if interface is not None and len(interface["routes"]) < len(mesh.plan.families):
            return False
        if afbr.charon.swanctl("--list-sas").count("INSTALLED") != len(children):
            return False
    return True


@pytest.mark.parametrize(
    ("mesh", "case"), [(case.core, case) for case in CASES], ids=map(str, CASES), indirect=["mesh"]
)
def test_softwire(mesh: Mesh, case: Case) -> None:
    reload(mesh, settle(mesh, case))
    eventually(lambda: is_up(mesh, case), within=90, what=f"the softwire is up as {case}", every=0.5)
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
