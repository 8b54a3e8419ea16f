"""A mesh whose softwires are of one kind after the other: what each mesh.yaml says for it, and whether it is up."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from lab.eventually import eventually
from lab.mesh import Afbr, Direction, Mesh, meshed
from lab.proof import Case, reload
from softmesh.config.values import CONFIGURED_TUNNEL_TYPES

ANNOUNCED = ("ipsec-tunnel-mode", "ip-in-ip-ipsec-transport", "mpls-in-ip-ipsec-transport")
"""Asked for by BGP; the others are configured."""
CORES = {"IPv6": Direction.FOUR_OVER_SIX, "IPv4": Direction.SIX_OVER_FOUR}


class Meshes:
    """The mesh over a core, made when a test first asks for it, in place of the one before: a guest is slow."""

    def __init__(self, **options: Any) -> None:
        """``options`` of the meshes, as ``Mesh`` takes them."""
        self._options = options
        self._core = ""
        self._stack = ExitStack()

    def over(self, core: str) -> Mesh:
        """Two routers with islands of both families, every softwire up."""
        if core != self._core:
            self.close()
            self._mesh = self._stack.enter_context(Mesh(CORES[core], 2, libipsec=False, dual=True, **self._options))
            self._core = core
            self._mesh.start()
            eventually(lambda: meshed(self._mesh.afbrs.values()), within=60, what="every softwire is up", every=0.5)
            know_each_other(self._mesh)
        return self._mesh

    def close(self) -> None:
        """Remove the one there is."""
        self._stack.close()
        self._core = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        # It prints what its daemons said, if there is one.
        self._stack.__exit__(*error)


def know_each_other(mesh: Mesh) -> None:
    """Give each router the others' public keys in a directory, as configured softwires need."""
    for afbr in mesh.afbrs.values():
        keys = afbr.home / "keys"
        keys.mkdir()
        for other in mesh.afbrs.values():
            (keys / f"{other.namespace.name}.pem").write_bytes(Path(other.home / "identity.pub").read_bytes())
        afbr.settings["trust"] = {"keys": [{"directory": "keys"}, {"announced": True}]}


def _settle(mesh: Mesh, case: Case, *, there: bool = True, before: str = "") -> Callable[[Afbr], None]:
    """What each mesh.yaml says for a case, or without its softwire; ``before``: as ``take_up`` has it."""
    types = [case.tunnel, *({before} & {*ANNOUNCED})] if case.tunnel in ANNOUNCED else []

    def change(afbr: Afbr) -> None:
        afbr.settings["protection"] = {"default": case.level}
        (other,) = (other for other in mesh.afbrs.values() if other is not afbr)
        # Of what is announced beside a configured softwire nothing is selected.
        afbr.settings["select"] = {"tunnels": types or ["mpls-in-ip-ipsec-transport"]}
        afbr.settings["announce"]["tunnels"] = [{"type": each} for each in types or ["ipsec-tunnel-mode"]]
        afbr.settings["softwires"] = [] if types or not there else [configured(mesh, case, other)]

    return change


def configured(mesh: Mesh, case: Case, other: Afbr) -> dict[str, Any]:
    """A configured softwire to another router."""
    return {
        "remote": other.endpoint,
        "tunnel": case.tunnel,
        "authenticators": [other.status()["authenticator"]],
        "prefixes": mesh.plan.prefixes(other.number) if case.tunnel != "l2tpv3" else [],
    }


def take_up(mesh: Mesh, case: Case, *, before: str = "") -> None:
    """Have every router ask for the softwire of the case and for no other.

    ``before``: the type of the one there is, which stays second best. Otherwise that goes as soon as either router has
    read its file: until it hears of the other's announcement they have no type in common.
    """
    reload(mesh, _settle(mesh, case, before=before))


def is_there(mesh: Mesh, case: Case, *, there: bool) -> None:
    """Withdraw the softwire at one router, or bring it back."""
    right = list(mesh.afbrs.values())[-1]
    if case.tunnel in ANNOUNCED:
        right.softmesh("announce" if there else "withdraw", "-c", str(right.configuration))
    else:
        reload(mesh, _settle(mesh, case, there=there))


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
