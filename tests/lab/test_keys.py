"""A router's key changes, is withdrawn, or is replayed; and peers that only transmit are held to theirs."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from lab.eventually import eventually, holds
from lab.impostor import Impostor, ask
from lab.mesh import MIXED, Afbr, Direction, Mesh, meshed
from lab.proof import Pinger
from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.sub_tlv import Authenticator, EgressEndpoint, PublicKey
from softmesh.bgp.tunnel_encapsulation import Tunnel, encode
from softmesh.mesh.admission import address
from softmesh.mesh.identity import load_identity

REFUSED = "AUTHENTICATION_FAILED"
UP = 20.0


def wire(afbr: Afbr, other: Afbr) -> dict[str, Any]:
    return afbr.wires().get(other.endpoint, {})


def new_key(afbr: Afbr, name: str) -> Path:
    afbr.softmesh("keygen", "--out", str(afbr.home / name))
    return afbr.home / f"{name}.key"


def private_key(path: Path) -> Ed25519PrivateKey:
    key = load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    return key


def authenticator(path: Path) -> str:
    return load_identity(path).authenticator.hex()


def use(afbr: Afbr, first: str, *further: str) -> None:
    """Have a router prefer one key and announce others beside it."""
    afbr.settings["identity"] = {"private_key": first, "also": [{"private_key": name} for name in further]}
    afbr.reload()


def test_rollover_loses_no_packet_and_a_withdrawn_key_is_dead_although_charon_has_it() -> None:
    # Once the router whose key changes is the one that initiates, once the other.
    for direction, rolling in zip(MIXED, (1, 2), strict=True):
        with Mesh(direction, 2) as mesh:
            roll_over(mesh, mesh.afbrs[rolling], mesh.afbrs[3 - rolling])


def roll_over(mesh: Mesh, left: Afbr, right: Afbr) -> None:
    """``left`` gets another key while packets go both ways."""
    mesh.start()
    eventually(lambda: meshed(mesh.afbrs.values()), within=UP, what="the mesh is up")
    old, new = left.home / "identity.key", new_key(left, "next")
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
        lambda: identities(right) == {authenticator(new)} and len(left.spis()) == len(right.spis()) == 1,
        within=UP, what="the softwire stands on the new key alone",
    )  # fmt: skip
    moved = left.spis()
    assert moved != before

    use(left, "next.key")
    eventually(
        lambda: wire(right, left)["authenticators"] == [authenticator(new)], within=UP, what="the old one is withdrawn"
    )
    holds(lambda: left.spis() == moved, during=2, what="which moves nothing")
    for flow in flows:
        sent, answered = flow.stop()
        assert sent > 200
        # The last may be on its way just now.
        assert sent - answered <= 1, f"{sent - answered} of {sent} lost"

    # The old key, from the right address: the peer's charon has it stored to this day.
    ends, prefixes = (left.endpoint, right.endpoint), (mesh.plan.island(left.number), mesh.plan.island(right.number))
    refused = ask(left.charon, ends, prefixes, f"@#{authenticator(old)}", private_key(old))
    assert REFUSED in refused, refused
    assert identities(right) == {authenticator(new)}
    # And what was withdrawn does not come back by an announcement that somebody kept.
    identity = load_identity(old)
    endpoint = EgressEndpoint(address(left.endpoint))
    replay = (endpoint, Authenticator(identity.authenticator), PublicKey(identity.spki))
    with closing(Impostor(mesh, 3)) as stale:
        stale.announce(encode([Tunnel(TunnelType.IPSEC_TUNNEL, replay)]))
        eventually(
            lambda: any(row.get("rule") == "owner" for row in right.status()["softwires"]),
            within=UP, what="the endpoint's owner is another: refused",
        )  # fmt: skip
        assert wire(right, left)["authenticators"] == [authenticator(new)]
        assert left.spis() == moved


def identities(afbr: Afbr) -> set[str]:
    """The peers' identities, by charon's own account of the IKE_SAs that stand."""
    found = re.findall(r"remote +'([^']+)' @", afbr.charon.swanctl("--list-sas"))
    return {identity.replace(":", "") for identity in found}


def test_a_key_withdrawn_without_warning_takes_live_sas_along() -> None:
    with Mesh(Direction.FOUR_OVER_SIX, 2) as mesh:
        mesh.start()
        left, right = mesh.afbrs[1], mesh.afbrs[2]
        eventually(lambda: meshed(mesh.afbrs.values()), within=UP, what="the mesh is up")
        old, new = left.home / "identity.key", new_key(left, "next")
        use(left, "next.key")
        eventually(lambda: identities(right) == {authenticator(new)}, within=UP, what="only the new key's SA stands")
        eventually(lambda: meshed(mesh.afbrs.values()), within=UP, what="the mesh is up again")
        ends, prefixes = (left.endpoint, right.endpoint), (mesh.plan.island(1), mesh.plan.island(2))
        assert REFUSED in ask(left.charon, ends, prefixes, f"@#{authenticator(old)}", private_key(old))


def test_a_peer_that_only_transmits_is_answered_and_held_to_its_authenticator() -> None:
    with Mesh(Direction.FOUR_OVER_SIX, 0, spare=3) as mesh, closing(Impostor(mesh, 3)) as liar:
        listener = mesh.add(1)
        sender = mesh.add(2, overrides={"announce": {"tunnels": [{"type": "transmit-only"}]}})
        mesh.start()
        eventually(lambda: meshed([listener, sender]), within=UP, what="it sets its softwire up, whoever is elected")
        row = wire(listener, sender)
        assert row["authenticators"] == [authenticator(sender.home / "identity.key")]
        held = listener.spis()
        # Restarted, it is answered again; of itself the listener does nothing.
        sender.charon.kill()
        sender.charon.start()
        eventually(lambda: meshed([listener, sender]) and listener.spis() != held, within=60, what="it comes back")

        # Tunnel type 3 with another's authenticator, and with its own: the reciprocal check of RFC 5566 §4.1.
        own, stolen = Ed25519PrivateKey.generate(), load_identity(sender.home / "identity.key")
        claims = (EgressEndpoint(address(liar.endpoint)), Authenticator(stolen.authenticator), PublicKey(stolen.spki))
        liar.announce(encode([Tunnel(TunnelType.TRANSMIT_TUNNEL_ENDPOINT, claims)]))
        eventually(lambda: liar.endpoint in listener.wires(), within=UP, what="it is known")
        assert REFUSED in liar.ask(1, f"@#{stolen.authenticator.hex()}", own)
        liar.announce(encode([Tunnel(TunnelType.TRANSMIT_TUNNEL_ENDPOINT, claims[:1])]))
        eventually(
            lambda: listener.wires().get(liar.endpoint, {}).get("rule") == "authenticator",
            within=UP, what="without one it is refused",
        )  # fmt: skip
        assert liar.ask(1, f"@#{stolen.authenticator.hex()}", own)
        assert not liar.established()
