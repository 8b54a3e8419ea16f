"""A router gets another key while packets go both ways: announced beside the old, then preferred, then alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.eventually import eventually, holds
from lab.mesh import Afbr, Mesh, meshed
from lab.proof import Pinger
from lab.standing import connected
from softmesh.mesh.identity import load_identity

UP = 30.0
"""Seconds within which a step must be over."""


@dataclass(frozen=True, slots=True)
class Rollover:
    """What came of it."""

    old: Path
    new: Path
    sent: int
    """Pings, one every 10 ms in either direction."""
    lost: int


def roll_over(mesh: Mesh, left: Afbr, right: Afbr) -> Rollover:
    """Give ``left`` another key, step by step; what is up stays up, and on the new key also when the old one goes."""
    mesh.start()
    eventually(lambda: meshed(mesh.afbrs.values()), within=2 * UP, what="the mesh is up")
    old, new = left.home / "identity.key", make_key(left, "next")
    before = left.spis()
    eventually(lambda: left.island.ping(mesh.plan.host(right.number, 10)), within=5, what="packets go through")
    flows = [Pinger(mesh, left, right, interval=0.01), Pinger(mesh, right, left, interval=0.01)]
    for flow in flows:
        flow.goes_on()

    use(left, "identity.key", "next.key")
    eventually(
        lambda: set(wire(right, left)["authenticators"]) == {authenticator(old), authenticator(new)},
        within=UP, what="both keys are known to the peer",
    )  # fmt: skip
    assert left.spis() == before, "to announce a second key moves nothing"

    use(left, "next.key", "identity.key")
    eventually(
        lambda: (
            identities(right) == {authenticator(new)}
            and len(left.spis()) == len(right.spis()) == len(before)
            and not set(left.spis().values()) & set(before.values())
        ),
        within=UP, what="the softwire stands on the new key alone",
    )  # fmt: skip
    moved = left.spis()

    use(left, "next.key")
    eventually(
        lambda: wire(right, left)["authenticators"] == [authenticator(new)], within=UP, what="the old one is withdrawn"
    )
    holds(lambda: left.spis() == moved, during=2, what="which moves nothing")
    sent = sum(flow.stop()[0] for flow in flows)
    lost = sum(len(flow.unanswered) for flow in flows)
    print(f"rollover: {sent} pings at 10 ms, {lost} lost")
    return Rollover(old, new, sent, lost)


def use(afbr: Afbr, first: str, *further: str) -> None:
    """Have a router prefer one key and announce others beside it."""
    afbr.settings["identity"] = {"private_key": first, "also": [{"private_key": name} for name in further]}
    afbr.reload()


def make_key(afbr: Afbr, name: str) -> Path:
    """Make a further key of a router."""
    afbr.softmesh("keygen", "--out", str(afbr.home / name))
    return afbr.home / f"{name}.key"


def unloaded(afbr: Afbr, private_key: Path) -> None:
    """Wait until a router's charon has been rid of a key; it would go from under whoever loads it again before."""
    identifier = load_identity(private_key).key_id

    def is_gone() -> bool:
        with connected(afbr.charon) as session:
            return identifier.hex().encode() not in session.get_keys()["keys"]

    eventually(is_gone, within=UP, what="the old key is unloaded")


def authenticator(private_key: Path) -> str:
    """The authenticator of a key, in hex."""
    return load_identity(private_key).authenticator.hex()


def wire(afbr: Afbr, other: Afbr) -> dict[str, Any]:
    """What a router's status says of another."""
    return afbr.wires().get(other.endpoint, {})


def identities(afbr: Afbr) -> set[str]:
    """The peers' identities, by charon's own account of the IKE_SAs that stand."""
    found = re.findall(r"remote +'([^']+)' @", afbr.charon.swanctl("--list-sas"))
    return {identity.replace(":", "") for identity in found}
