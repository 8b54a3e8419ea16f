"""Trust by authorities, by authorities and pinned keys, and by a group's key: meshes, and attackers at them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lab.authority import Authority
from lab.eventually import eventually, holds
from lab.impostor import Impostor
from lab.mesh import Afbr, Direction, Mesh, meshed
from softmesh.bgp.sub_tlv import Authenticator, Certificate, EgressEndpoint, PublicKey, SubTlv
from softmesh.bgp.tunnel_encapsulation import Tunnel, encode
from softmesh.mesh.admission import address
from softmesh.mesh.public_key import authenticator

REFUSED = "AUTHENTICATION_FAILED"


class Certified:
    """Two routers and an impostor, with certificates of one authority."""

    def __init__(self, mesh: Mesh, trust: dict[str, Any]) -> None:
        self.mesh = mesh
        self.authority = Authority("the mesh")
        self.certificates: dict[int, x509.Certificate] = {}
        mesh.settings = {"trust": {"authorities": ["ca.pem"], "revocation_lists": ["ca.crl"], **trust}}
        for number in (1, 2):
            afbr = mesh.add(number)
            afbr.settings["identity"]["certificate"] = "identity.crt"
            afbr.write_configuration()
            self.authority.write(afbr.home / "ca.pem")
            self.certificates[number] = self.authority.certify_file(
                afbr.home / "identity.key", [afbr.endpoint], afbr.home / "identity.crt"
            )
        self.publish()
        self.impostor = Impostor(mesh, 3)
        mesh.start()

    def publish(self) -> None:
        """Give both routers the list of certificates that were taken back."""
        for afbr in self.mesh.afbrs.values():
            self.authority.write_revocation_list(afbr.home / "ca.crl")

    def announce(self, *claims: SubTlv) -> None:
        """Have the impostor announce its prefix with a tunnel that makes these claims."""
        self.impostor.announce(encode([Tunnel(4, (EgressEndpoint(address(self.impostor.endpoint)), *claims))]))


def certified(**trust: Any) -> Iterator[Certified]:
    with Mesh(Direction.FOUR_OVER_SIX, 0, spare=3) as mesh:
        made = Certified(mesh, trust)
        with closing(made.impostor):
            yield made


@pytest.fixture
def pki() -> Iterator[Certified]:
    yield from certified()


@pytest.fixture
def pinned() -> Iterator[Certified]:
    yield from certified(mode="pinned+pki")


def wire(afbr: Afbr, remote: str) -> dict[str, Any]:
    return afbr.wires().get(remote, {})


def awaited(victim: Afbr, liar: Impostor) -> None:
    """Wait until charon would take the impostor, if only it could prove who it is."""
    eventually(
        lambda: f"softmesh-{liar.endpoint}-" in victim.charon.swanctl("--list-conns"),
        within=20, what="there is a connection for the impostor",
    )  # fmt: skip


def refused(
    what: str, liar: Impostor, identity: str, key: Ed25519PrivateKey | bytes, **shown: x509.Certificate
) -> None:
    """See that the second router refuses the impostor for what it shows, and that no SA is left of that."""

    def answered() -> bool:
        said = liar.ask(2, identity, key, **shown)
        assert said, f"{what}: it was let in"
        # The victim attempts it too, and for as long as it has not seen what it gets, the impostor's charon has an
        # IKE_SA, in which it then asks: the end of that says nothing.
        return REFUSED in said

    eventually(answered, within=30, what=f"it is refused: {what}", every=0.5)
    eventually(lambda: not liar.established(), within=20, what=f"the impostor has no SA: {what}")
    assert liar.endpoint not in liar.mesh.afbrs[2].up(), what


def let_in(what: str, liar: Impostor, identity: str, key: Ed25519PrivateKey | bytes, **shown: x509.Certificate) -> None:
    """See that the second router takes the impostor for what it shows, whichever of them is the first to ask."""
    victim = liar.mesh.afbrs[2]
    eventually(
        lambda: liar.ask(2, identity, key, **shown) == "" or liar.endpoint in victim.up(),
        within=30, what=f"it comes in: {what}", every=0.5,
    )  # fmt: skip


def anew(victim: Afbr, before: dict[str, tuple[str, str]]) -> bool:
    """Whether its mesh is up, and not by the SAs that it had before."""
    spis = victim.spis()
    return meshed(victim.mesh.afbrs.values()) and bool(spis) and not set(spis.values()) & set(before.values())


def spki(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def test_pki_takes_members_with_the_right_name_and_nobody_else(pki: Certified) -> None:
    afbrs, liar = pki.mesh.afbrs, pki.impostor
    eventually(lambda: meshed(afbrs.values()), within=20, what="certificates alone bring the mesh up")
    victim = afbrs[2]
    assert wire(victim, afbrs[1].endpoint)["trust"] == ["pki"]
    assert wire(victim, afbrs[1].endpoint)["authenticators"] == []
    before = victim.spis()
    # A tunnel with nothing but an endpoint travels as a community (RFC 9012 §4.1): the impostor's does as attribute.
    pki.announce()
    awaited(victim, liar)
    key = Ed25519PrivateKey.generate()
    ca = pki.authority.certificate
    for what, certificate in {
        "signed by an authority of its own": Authority("the mesh").certify(key.public_key(), [liar.endpoint]),
        "for another router": pki.authority.certify(key.public_key(), [afbrs[1].endpoint]),
        "out of date": pki.authority.certify(key.public_key(), [liar.endpoint], expired=True),
    }.items():
        refused(what, liar, liar.endpoint, key, certificate=certificate, authority=ca)
        refused(f"{what}, as another", liar, afbrs[1].endpoint, key, certificate=certificate, authority=ca)
    refused("no certificate at all", liar, liar.endpoint, key)
    # The very same with what the authority gives to a member comes through.
    member = pki.authority.certify(key.public_key(), [liar.endpoint])
    let_in("a member", liar, liar.endpoint, key, certificate=member, authority=ca)
    assert victim.spis().items() >= before.items()


def test_pki_certificate_that_is_taken_back_ends_its_softwire_and_gets_no_other(pki: Certified) -> None:
    afbrs = pki.mesh.afbrs
    eventually(lambda: meshed(afbrs.values()), within=20, what="the mesh is up")
    before = afbrs[2].spis()
    # A list that takes nobody back moves nobody, and charon gets the newest again when it has lost it.
    pki.publish()
    afbrs[2].charon.kill()
    afbrs[2].charon.start()
    eventually(lambda: anew(afbrs[2], before), within=60, what="the mesh is up again")
    before = afbrs[2].spis()
    pki.authority.revoke(pki.authority.certify(Ed25519PrivateKey.generate().public_key(), ["192.0.2.1"]))
    pki.publish()
    eventually(lambda: anew(afbrs[2], before), within=60, what="who is not taken back authenticates anew and is up")
    pki.authority.revoke(pki.certificates[1])
    pki.publish()
    eventually(
        lambda: not afbrs[2].up() and not afbrs[1].up(), within=60, what="the softwire of a revoked certificate goes"
    )
    eventually(
        lambda: "certificate is revoked" in wire(afbrs[2], afbrs[1].endpoint).get("reason", ""),
        within=30, what="status says that it is revoked",
    )  # fmt: skip
    holds(lambda: not afbrs[2].up(), during=3, what="and it does not come back")


def test_pinned_and_certified_needs_both(pinned: Certified) -> None:
    afbrs, liar = pinned.mesh.afbrs, pinned.impostor
    eventually(lambda: meshed(afbrs.values()), within=20, what="the certificates of sub-TLV 254 bring the mesh up")
    victim = afbrs[2]
    before = victim.spis()
    row = wire(victim, afbrs[1].endpoint)
    assert row["trust"] == ["pinned+pki"]
    assert row["key_from"] == ["sub-TLV 254, certified by our authorities"]
    assert len(row["authenticators"]) == 1
    ca = pinned.authority
    key, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    member = ca.certify(key.public_key(), [liar.endpoint])
    stranger = Authority("the mesh").certify(key.public_key(), [liar.endpoint])

    # A key that is pinned and that no authority vouches for; then one that only another authority does.
    pinned.announce(Authenticator(authenticator(spki(key))), PublicKey(spki(key)))
    eventually(
        lambda: wire(victim, liar.endpoint).get("state") == "pending-key", within=20, what="it lacks a certificate"
    )
    pinned.announce(Authenticator(authenticator(spki(key))), Certificate(der(stranger)))
    eventually(lambda: wire(victim, liar.endpoint).get("rule") == "certificate", within=20, what="it is refused")
    assert "bears no signature" in wire(victim, liar.endpoint)["reason"]
    pinned.announce()
    eventually(lambda: wire(victim, liar.endpoint).get("rule") == "authenticator", within=20, what="none is not enough")

    # The right key and certificate announced, and another one of the authority shown: valid, and not the one pinned.
    pinned.announce(Authenticator(authenticator(spki(key))), Certificate(der(member)))
    awaited(victim, liar)
    valid = ca.certify(other.public_key(), [liar.endpoint])
    forged = ca.certify(other.public_key(), [liar.endpoint], key_identifier=authenticator(spki(key)))
    for what, certificate in (("valid", valid), ("forged", forged)):
        refused(what, liar, liar.endpoint, other, certificate=certificate, authority=ca.certificate)
    let_in("the one announced", liar, liar.endpoint, key, certificate=member, authority=ca.certificate)

    # Taken back: known beforehand, so it goes at once, and with the right reason.
    ca.revoke(member)
    pinned.publish()
    eventually(lambda: wire(victim, liar.endpoint).get("rule") == "certificate", within=20, what="it is refused")
    assert "is revoked" in wire(victim, liar.endpoint)["reason"]
    eventually(lambda: not liar.established(), within=20, what="its SA is gone")
    eventually(lambda: meshed(afbrs.values()), within=20, what="the others are up")
    assert before


def test_group_key_makes_a_mesh_and_says_how_little_it_proves() -> None:
    settings = {"trust": {"mode": "group-psk", "secret_file": "group.key"}}
    with Mesh(Direction.SIX_OVER_FOUR, 0, spare=3, settings=settings) as mesh, closing(Impostor(mesh, 3)) as liar:
        for number in (1, 2):
            afbr = mesh.add(number)
            write_secret(afbr.home / "group.key", "correct-horse-battery-staple")
        warned = mesh.afbrs[1].softmesh("check", str(mesh.afbrs[1].configuration))
        assert "one key for all routers" in warned
        mesh.start()
        eventually(lambda: meshed(mesh.afbrs.values()), within=20, what="one key brings the mesh up")
        victim = mesh.afbrs[2]
        assert wire(victim, mesh.afbrs[1].endpoint)["trust"] == ["group-psk"]
        liar.announce(encode([Tunnel(4, (EgressEndpoint(address(liar.endpoint)),))]))
        awaited(victim, liar)
        refused("another key", liar, liar.endpoint, b"another key that is long enough")
        let_in("whoever has the key", liar, liar.endpoint, b"correct-horse-battery-staple")
        # An authenticator asks for proof of a key that this mode cannot give (RFC 5566 §4.1).
        liar.announce(encode([Tunnel(4, (EgressEndpoint(address(liar.endpoint)), Authenticator(b"h" * 20)))]))
        eventually(lambda: wire(victim, liar.endpoint).get("rule") == "authenticator", within=20, what="it is refused")
        eventually(lambda: not liar.established(), within=20, what="and its SA is gone")
        # charon forgets its keys when it dies; it gets them again.
        before = victim.spis()
        victim.charon.kill()
        victim.charon.start()
        eventually(lambda: anew(victim, before), within=60, what="the mesh is up again")
        before = victim.spis()
        # Another key from now on: what stood on the old one does not outlive it.
        for afbr in mesh.afbrs.values():
            write_secret(afbr.home / "group.key", "tr0ub4dor-and-3-more-words")
        victim.reload()
        eventually(lambda: not victim.up(), within=10, what="the old key is dead at once")
        mesh.afbrs[1].reload()
        eventually(lambda: anew(victim, before), within=60, what="the new one brings the mesh up")


def write_secret(path: Path, secret: str) -> None:
    path.write_text(secret + "\n")
    path.chmod(0o600)
