"""Who gets a softwire: keys that come and go, and routers that lie."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lab.eventually import eventually, holds
from lab.impostor import Impostor
from lab.mesh import Afbr, Direction, Mesh, meshed
from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.sub_tlv import Authenticator, EgressEndpoint, PublicKey, SubTlv
from softmesh.bgp.tunnel_encapsulation import Tunnel, encode
from softmesh.mesh.admission import address
from softmesh.mesh.identity import load_identity


def announcement(endpoint: str, *claims: SubTlv, kind: int = TunnelType.IPSEC_TUNNEL) -> bytes:
    return encode([Tunnel(kind, (EgressEndpoint(address(endpoint)), *claims))])


def own_key() -> bytes:
    """SubjectPublicKeyInfo of a key the impostor has."""
    key = Ed25519PrivateKey.generate().public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def state(afbr: Afbr, remote: str) -> str:
    return str(afbr.wires().get(remote, {}).get("state", ""))


def test_key_directory_is_watched_and_rsa_keys_work_through_it() -> None:
    with Mesh(Direction.FOUR_OVER_SIX, 0, spare=2) as mesh:
        silent = {"announce": {"public_key": False}}
        left = mesh.add(1, overrides={**silent, "trust": {"keys": [{"directory": "keys"}]}})
        right = mesh.add(2, overrides={**silent, "trust": {"keys": [{"directory": "keys"}]}}, key_type="rsa-3072")
        for afbr in (left, right):
            (afbr.home / "keys").mkdir()
        mesh.start()
        for afbr, other in ((left, right), (right, left)):
            eventually(
                lambda afbr=afbr, other=other: state(afbr, other.endpoint) == "pending-key",  # type: ignore[misc]
                within=20, what="each waits for the other's key",
            )  # fmt: skip
        assert "softmesh-" not in left.charon.swanctl("--list-conns"), "no key, no connection"
        for afbr, other in ((left, right), (right, left)):
            (afbr.home / "keys" / "peer.pem").write_bytes((other.home / "identity.pub").read_bytes())
        eventually(lambda: meshed([left, right]), within=20, what="the keys are noticed and the softwire is up")
        # A source of keys that is no longer trusted counts no more, from the reload on.
        left.settings["trust"]["keys"] = []
        left.reload()
        eventually(lambda: state(left, right.endpoint) == "pending-key", within=20, what="no source, no key")
        eventually(lambda: "softmesh-" not in left.charon.swanctl("--list-sas"), within=20, what="and no SA")
        left.settings["trust"]["keys"] = [{"directory": "keys"}]
        left.reload()
        eventually(lambda: meshed([left, right]), within=40, what="the softwire is back")
        (left.home / "keys" / "peer.pem").unlink()
        eventually(
            lambda: not left.up() and not right.up() and "softmesh-" not in left.charon.swanctl("--list-sas"),
            within=20, what="the softwire goes with the key",
        )  # fmt: skip


@pytest.fixture
def liar(pair: Mesh) -> Iterator[Impostor]:
    eventually(
        # Where both initiated at once there are two for a moment, and the SPIs may yet change.
        lambda: meshed(pair.afbrs.values())
        and all(afbr.charon.swanctl("--list-sas").count("ESTABLISHED") == 1 for afbr in pair.afbrs.values()),
        within=20, what="every softwire is up, by one IKE_SA",
    )  # fmt: skip
    router = Impostor(pair, 3)
    yield router
    router.close()


def test_stolen_authenticator_gets_nothing(pair: Mesh, liar: Impostor) -> None:
    victim, robbed = pair.afbrs[2], pair.afbrs[1]
    identity = load_identity(robbed.home / "identity.key")
    before = {number: afbr.spis() for number, afbr in pair.afbrs.items()}

    # The hash alone: nobody knows a key for it at this endpoint, and none is looked for elsewhere.
    liar.announce(announcement(liar.endpoint, Authenticator(identity.authenticator)))
    eventually(lambda: state(victim, liar.endpoint) == "pending-key", within=30, what="it is refused for want of a key")
    assert liar.attack(2, identity.authenticator), "no connection is loaded for it"
    assert not liar.established()

    # The hash with the public key, both copied from the robbed router's own UPDATE.
    liar.announce(announcement(liar.endpoint, Authenticator(identity.authenticator), PublicKey(identity.spki)))
    eventually(lambda: state(victim, liar.endpoint) in {"connecting", "wanted"}, within=30, what="it is attempted")
    assert liar.attack(2, identity.authenticator), "it cannot prove that it has the key"
    holds(lambda: not liar.established() and liar.endpoint not in victim.up(), during=2, what="it has no SA")

    # A key of its own beside a hash that is not that key's.
    own = own_key()
    liar.announce(announcement(liar.endpoint, Authenticator(identity.authenticator), PublicKey(own)))
    eventually(
        lambda: state(victim, liar.endpoint) == "pending-key", within=30, what="a key that does not hash is no key"
    )
    assert {number: afbr.spis() for number, afbr in pair.afbrs.items()} == before


@pytest.mark.parametrize(
    ("claims", "rule"),
    [
        pytest.param(lambda own: announcement("2001:db8:f::3"), "authenticator", id="no authenticator"),
        pytest.param(
            lambda own: announcement("2001:db8:e::3", Authenticator(b"h" * 20), PublicKey(own)), "endpoint",
            id="endpoint outside admission",
        ),
        pytest.param(lambda own: b"\0\4\0\xff\6", "treat-as-withdraw", id="overrun"),
        pytest.param(
            lambda own: announcement("2001:db8:f::3", Authenticator(b"short")), "tunnel", id="authenticator too short"
        ),
    ],
)  # fmt: skip
def test_refused_with_the_rule(pair: Mesh, liar: Impostor, claims: object, rule: str) -> None:
    assert callable(claims)
    liar.announce(claims(own_key()))
    victim = pair.afbrs[2]
    row: dict[str, Any] = eventually(
        lambda: next((w for w in victim.status()["softwires"] if w.get("rule") == rule), {}),
        within=30, what=f"it is refused by rule {rule}",
    )  # fmt: skip
    assert row["state"] == "refused"
    assert row["reason"]
    assert liar.endpoint not in victim.charon.swanctl("--list-conns")
    assert liar.attack(2, b"x" * 20), "charon knows no such peer"
    assert not liar.established()
