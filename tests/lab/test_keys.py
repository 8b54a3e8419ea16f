"""A router's key changes, is withdrawn, or is replayed; and peers that only transmit are held to theirs."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from lab.eventually import eventually
from lab.impostor import Impostor, ask
from lab.mesh import MIXED, Afbr, Direction, Mesh, meshed
from lab.rollover import UP, Rollover, authenticator, identities, make_key, roll_over, unloaded, use, wire
from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.sub_tlv import Authenticator, EgressEndpoint, PublicKey
from softmesh.bgp.tunnel_encapsulation import Tunnel, encode
from softmesh.mesh.admission import address
from softmesh.mesh.identity import load_identity

REFUSED = "AUTHENTICATION_FAILED"


def private_key(path: Path) -> Ed25519PrivateKey:
    key = load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    return key


def test_rollover_goes_on_and_a_withdrawn_key_is_dead_although_charon_has_it() -> None:
    # Once the router whose key changes is the one that initiates, once the other.
    for direction, rolling in zip(MIXED, (1, 2), strict=True):
        with Mesh(direction, 2) as mesh:
            left, right = mesh.afbrs[rolling], mesh.afbrs[3 - rolling]
            done = roll_over(mesh, left, right)
            assert done.sent > 400
            # IKE has the responder send by an SA that the initiator has not installed yet: some milliseconds.
            assert done.lost <= 3
            nothing_comes_back(mesh, left, right, done)


def nothing_comes_back(mesh: Mesh, left: Afbr, right: Afbr, done: Rollover) -> None:
    """Neither by somebody who has the old key nor by an announcement that somebody kept."""
    before = left.spis()
    # From the right address: the peer's charon has the old key stored to this day.
    ends, prefixes = (left.endpoint, right.endpoint), (mesh.plan.island(left.number), mesh.plan.island(right.number))
    unloaded(left, done.old)
    refused = ask(left.charon, ends, prefixes, f"@#{authenticator(done.old)}", private_key(done.old))
    assert REFUSED in refused, refused
    # Who refuses is rid of the attempt a moment after he has said so.
    eventually(lambda: identities(right) == {authenticator(done.new)}, within=10, what="only the new key's SA stands")
    identity = load_identity(done.old)
    endpoint = EgressEndpoint(address(left.endpoint))
    replay = (endpoint, Authenticator(identity.authenticator), PublicKey(identity.spki))
    with closing(Impostor(mesh, 3)) as stale:
        stale.announce(encode([Tunnel(TunnelType.IPSEC_TUNNEL, replay)]))
        eventually(
            lambda: any(row.get("rule") == "owner" for row in right.status()["softwires"]),
            within=UP, what="the endpoint's owner is another: refused",
        )  # fmt: skip
        assert wire(right, left)["authenticators"] == [authenticator(done.new)]
        assert left.spis() == before


def test_a_key_withdrawn_without_warning_takes_live_sas_along() -> None:
    with Mesh(Direction.FOUR_OVER_SIX, 2) as mesh:
        mesh.start()
        left, right = mesh.afbrs[1], mesh.afbrs[2]
        eventually(lambda: meshed(mesh.afbrs.values()), within=UP, what="the mesh is up")
        old, new = left.home / "identity.key", make_key(left, "next")
        use(left, "next.key")
        eventually(lambda: identities(right) == {authenticator(new)}, within=UP, what="only the new key's SA stands")
        eventually(lambda: meshed(mesh.afbrs.values()), within=UP, what="the mesh is up again")
        unloaded(left, old)
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
        eventually(
            lambda: f"softmesh-{liar.endpoint}-" in listener.charon.swanctl("--list-conns"),
            within=UP, what="it is known",
        )  # fmt: skip
        assert REFUSED in liar.ask(1, f"@#{stolen.authenticator.hex()}", own)
        liar.announce(encode([Tunnel(TunnelType.TRANSMIT_TUNNEL_ENDPOINT, claims[:1])]))
        eventually(
            lambda: listener.wires().get(liar.endpoint, {}).get("rule") == "authenticator",
            within=UP, what="without one it is refused",
        )  # fmt: skip
        assert liar.ask(1, f"@#{stolen.authenticator.hex()}", own)
        assert not liar.established()
