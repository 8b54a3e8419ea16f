"""Until when the certificates are valid that a mesh rests on."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from lab.authority import Authority
from softmesh.control.expiry import Expiry, expiries
from softmesh.mesh.credential import Certified, Credential, PinnedCertificate, PinnedKey
from softmesh.mesh.desired import Desired
from tests.unit.charon.examples import PEER, softwire
from tests.unit.control.world import OWN

CA = Authority("mesh")
CA_DER = CA.certificate.public_bytes(Encoding.DER)
CERTIFICATE = CA.certify(Ed25519PrivateKey.generate().public_key(), ["2001:db8:f::2"])
DER = CERTIFICATE.public_bytes(Encoding.DER)
CERTIFIED = Certified("2001:db8:f::1", "2001:db8:f::2", (CA_DER,))


def until(moment: datetime) -> float:
    return moment.timestamp()


def held(*credentials: Credential) -> Desired:
    """Two softwires that rest on these."""
    both = [replace(softwire(remote=remote), credentials=credentials) for remote in ("2001:db8:f::2", "2001:db8:f::3")]
    return Desired({each.id: each for each in both})


def test_of_peers_that_show_theirs_to_charon_only_the_authority_is_known() -> None:
    (authority,) = expiries([], held(CERTIFIED))
    assert (authority.holder, authority.not_after) == ("authority", until(CA.certificate.not_valid_after_utc))


def test_what_a_peer_announced_is_known_by_its_softwire() -> None:
    pinned = PinnedCertificate(replace(PEER, certificate=DER), CERTIFIED)
    found = expiries([], held(pinned))
    assert {(each.holder, each.name) for each in found if each.holder == "peer"} == {
        ("peer", "2001:db8:f::2/ipsec-tunnel-mode"),
        ("peer", "2001:db8:f::3/ipsec-tunnel-mode"),
    }
    assert {each.not_after for each in found if each.holder == "peer"} == {until(CERTIFICATE.not_valid_after_utc)}


def test_who_is_held_to_a_key_needs_no_certificate() -> None:
    assert expiries([], held(PinnedKey(b"a" * 20, b"spki", "keys/peer.pem", DER))) == ()


def test_ours_is_named_by_the_authenticator() -> None:
    assert expiries([replace(OWN, certificate=DER)], Desired()) == (
        Expiry("own", OWN.authenticator.hex(), until(CERTIFICATE.not_valid_after_utc)),
    )


def test_what_is_damaged_has_no_end() -> None:
    assert expiries([OWN], Desired()) == (), "it is reported where it is read"
