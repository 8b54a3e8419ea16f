"""IPsec for the BGP session itself: no session without it, and none of it in the clear, whatever happens to the SAs."""

from __future__ import annotations

import signal
from ipaddress import ip_network
from typing import Any

import pytest

from lab.capture import ESP, Capture
from lab.eventually import PATIENCE, eventually, holds
from lab.mesh import Afbr, Direction, Mesh, meshed
from lab.proof import AH
from lab.session_ipsec import SessionIpsec
from softmesh.mesh.identity import load_identity

BGP = "tcp port 179"


# IPv6 shows the firewall what is behind AH, so that is the case to be tried there.
@pytest.mark.parametrize(
    ("direction", "level", "wire"),
    [(Direction.FOUR_OVER_SIX, "ah", AH), (Direction.SIX_OVER_FOUR, "encrypt", ESP)],
    ids=["IPv6-AH", "IPv4-ESP"],
)
def test_a_session_under_ipsec(direction: Direction, level: str, wire: str) -> None:
    settings = {"charon": {"retry_max": 2.0}, "protection": {"default": level}}
    with Mesh(direction, 2, spare=0, libipsec=False, signed=False, settings=settings) as mesh:
        comes_and_goes(mesh, secured(mesh, ah=level == "ah"), wire)


def secured(mesh: Mesh, *, ah: bool) -> SessionIpsec:
    """Give reflector and routers each other's keys."""
    clients = {afbr.endpoint: load_identity(afbr.home / "identity.key").spki for afbr in mesh.afbrs.values()}
    ipsec = SessionIpsec(mesh.rr, mesh.reflector_address, clients, ah=ah)
    for afbr in mesh.afbrs.values():
        (afbr.home / "keys").mkdir()
        (afbr.home / "keys" / "reflector.der").write_bytes(ipsec.key.spki)
        afbr.settings["trust"] = {"keys": [{"directory": "keys"}, {"announced": True}]}
        afbr.settings["bgp"]["neighbors"] = [
            {
                "address": mesh.reflector_address,
                "protection": "ipsec",
                "authenticators": [ipsec.key.authenticator.hex()],
            }
        ]
        afbr.write_configuration()
    return ipsec


def row(afbr: Afbr, mesh: Mesh) -> dict[str, Any]:
    """What status says of the softwire of the session."""
    return next(row for row in afbr.status()["softwires"] if row["remote"] == mesh.reflector_address)


def session(afbr: Afbr) -> tuple[str, str, bool]:
    """State, protection, and whether that is enough."""
    for found in afbr.status().get("neighbors", []):
        protection = found["protection"]
        return found["state"], protection["kind"], protection["satisfied"]
    return "none", "unknown", False


def dropped(afbr: Afbr) -> int:
    return int(afbr.status().get("data_plane", {}).get("dropped", {}).get("bgp_in_clear", 0))


def reload(afbr: Afbr) -> None:
    afbr.write_configuration()
    assert afbr.bridge is not None
    afbr.bridge.signal(signal.SIGHUP)


def comes_and_goes(mesh: Mesh, ipsec: SessionIpsec, wire: str) -> None:
    """Neither without SAs nor after them is there BGP in the clear; with them there is a mesh."""
    first, second = mesh.afbrs.values()
    capture = Capture(mesh.core, "br0", "session")
    # A reflector that does not speak IPsec yet: nothing is heard of BGP.
    ipsec.unload()
    first.start()
    eventually(lambda: dropped(first) > 0, within=20, what="the session is held back", every=0.5)
    assert session(first)[0] != "up"
    assert row(first, mesh)["state"] in {"wanted", "connecting"}
    ipsec.load()
    second.start()
    eventually(lambda: meshed([first, second]), within=40, what="every softwire is up", every=0.5)
    for afbr in (first, second):
        assert session(afbr) == ("up", "ipsec", True)
        # BGP needs but one of the two.
        eventually(
            lambda afbr=afbr: len(row(afbr, mesh)["children"]) == 2,  # type: ignore[misc]
            within=20, what="both SAs stand", every=0.5,
        )  # fmt: skip
        found = row(afbr, mesh)
        assert (found["type"], found["state"], found["mode"]) == ("BGP session", "up", "transport")
    assert sum(child["packets_out"] for child in row(first, mesh)["children"]) > 0

    # A bridge that starts anew finds all as it was.
    before = first.spis()
    assert first.bridge is not None
    first.bridge.kill()
    first.start()
    eventually(lambda: session(first) == ("up", "ipsec", True), within=30, what="the new bridge is sure", every=0.5)
    eventually(lambda: first.spis() == before, within=10, what="it has found its softwires", every=0.5)
    holds(lambda: first.spis() == before, during=2 * PATIENCE, what="no SPI changes", every=0.5)

    # The SAs end: what BGP has to say now is held back, and what it said before stands.
    were = dropped(first)
    assert capture.packets(BGP) == []
    assert capture.count(wire) > 0
    ipsec.unload()
    eventually(lambda: row(first, mesh)["state"] != "up", within=20, what="the loss of the SAs is seen", every=0.5)
    first.softmesh("withdraw", "-c", str(first.configuration))
    eventually(lambda: dropped(first) > were, within=20, what="BGP in the clear is dropped", every=0.5)
    assert session(first) == ("up", "ipsec", True)
    capture.stop()
    # The reflector has no such firewall; what it sends is not taken.
    assert capture.packets(f"{BGP} and not src host {mesh.reflector_address}") == []
    known = set(map(ip_network, mesh.reflector.prefixes()))
    assert ip_network(mesh.plan.island(1)) in known, "the withdrawal has not got through"

    # Without the firewall there would be no holding back: the routes count no more.
    second.settings["dataplane"] = {"guards": "routes"}
    reload(second)
    eventually(lambda: session(second)[1:] == ("none", False), within=20, what="the session is refused", every=0.5)
    eventually(lambda: not second.wires().get(first.endpoint, {}).get("children"), within=20, what="and its softwires")
    second.settings["dataplane"] = {"guards": "full"}
    reload(second)
    ipsec.load()
    first.softmesh("announce", "-c", str(first.configuration))
    eventually(lambda: meshed([first, second]), within=60, what="with the SAs all is back", every=0.5)
    assert session(second) == ("up", "ipsec", True)
