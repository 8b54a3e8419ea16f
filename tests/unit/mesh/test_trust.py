"""From offers to credentials: what vouches for a peer, by mode."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lab.authority import Authority
from softmesh.bgp.codepoints import TunnelType
from softmesh.mesh.certificate import RevocationLists, revocation_lists
from softmesh.mesh.credential import Certified, Credential, GroupKey, PinnedCertificate, PinnedKey, trust_of
from softmesh.mesh.refusal import Rule
from softmesh.mesh.selection import Offer
from softmesh.mesh.trust import AnnouncedKeys, vouch
from softmesh.mesh.trust_policy import TrustGroup, TrustMode, TrustPolicy

LOCAL, PEER = ip_address("2001:db8:f::1"), ip_address("2001:db8:f::2")
CA, OTHER_CA = Authority("mesh"), Authority("others")
KEY = Ed25519PrivateKey.generate().public_key()
SPKI = KEY.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
HASH = hashlib.sha1(SPKI).digest()
CA_DER = CA.certificate.public_bytes(Encoding.DER)


def offer(*hashes: bytes, certificates: tuple[bytes, ...] = (), keys: tuple[bytes, ...] = ()) -> Offer:
    return Offer(TunnelType.IPSEC_TUNNEL, PEER, None, hashes, keys, "a test", certificates)


def certificate(authority: Authority = CA, names: Sequence[str] = (str(PEER),), **settings: Any) -> bytes:
    return authority.certify(KEY, names, **settings).public_bytes(Encoding.DER)


def trust(mode: TrustMode, **settings: Any) -> TrustPolicy:
    return TrustPolicy(mode, (CA_DER,), **settings)


def only(found: tuple[tuple[Credential, ...], object]) -> Credential:
    (credential,), refusal = found
    assert refusal is None
    return credential


def test_pinned_takes_the_key_that_hashes_to_an_authenticator() -> None:
    credential = only(vouch(offer(HASH, keys=(SPKI, b"another")), LOCAL, TrustPolicy(), [AnnouncedKeys()]))
    assert credential == PinnedKey(HASH, SPKI, "sub-TLV 126")


def test_pinned_without_the_key_waits_and_says_for_which() -> None:
    credentials, why = vouch(offer(HASH), LOCAL, TrustPolicy(), [AnnouncedKeys()])
    assert credentials == ()
    assert why is not None
    assert why.rule is Rule.KEY
    assert HASH.hex() in why.detail


def test_pki_asks_for_a_certificate_of_the_endpoint() -> None:
    credential = only(vouch(offer(), LOCAL, trust(TrustMode.PKI), [AnnouncedKeys()]))
    assert credential == Certified(str(LOCAL), str(PEER), (CA_DER,))


def test_identity_is_made_of_the_endpoint() -> None:
    named = trust(TrustMode.PKI, identity="afbr-{label}.example.net")
    credential = only(vouch(offer(), LOCAL, named, []))
    assert isinstance(credential, Certified)
    assert credential.identity == "afbr-2001-db8-f-0-0-0-0-2.example.net"
    assert TrustPolicy(identity="{label}.net").identity_of(ip_address("192.0.2.1")) == "192-0-2-1.net"


@pytest.mark.parametrize("mode", [TrustMode.PKI, TrustMode.PINNED_PKI])
def test_a_peer_that_advertised_authenticators_is_held_to_them_under_a_pki_too(mode: TrustMode) -> None:
    """RFC 5566 §4.1."""
    der = certificate()
    credential = only(vouch(offer(HASH, certificates=(der,), keys=(SPKI,)), LOCAL, trust(mode), [AnnouncedKeys()]))
    assert isinstance(credential, PinnedCertificate)
    assert credential.key == PinnedKey(HASH, SPKI, "sub-TLV 254", der)
    assert trust_of(credential) == "pinned+pki"
    # The bare key will not do: nobody vouches for it.
    credentials, why = vouch(offer(HASH, keys=(SPKI,)), LOCAL, trust(mode), [AnnouncedKeys()])
    assert credentials == ()
    assert why is not None
    assert why.rule is Rule.KEY
    # Nor will a valid certificate of another key.
    credentials, why = vouch(offer(b"h" * 20, certificates=(der,)), LOCAL, trust(mode), [AnnouncedKeys()])
    assert credentials == ()


@pytest.mark.parametrize(
    ("der", "reason"),
    [
        pytest.param(certificate(OTHER_CA), "none of trust.authorities", id="another authority"),
        pytest.param(certificate(names=["2001:db8:f::3"]), "is not for 2001:db8:f::2", id="another router's name"),
        pytest.param(certificate(Authority("mesh")), "bears no signature", id="an authority of the same name"),
    ],
)
def test_a_certificate_that_cannot_serve_is_refused_with_the_reason(der: bytes, reason: str) -> None:
    found = vouch(offer(HASH, certificates=(der,)), LOCAL, trust(TrustMode.PINNED_PKI), [AnnouncedKeys()])
    assert found[0] == ()
    assert found[1] is not None
    assert found[1].rule is Rule.CERTIFICATE
    assert reason in found[1].detail


def test_a_revoked_certificate_is_refused(tmp_path: Any) -> None:
    authority = Authority("revoking")
    issued = authority.certify(KEY, [str(PEER)])
    der, path = issued.public_bytes(Encoding.DER), tmp_path / "crl.pem"
    ca = authority.certificate.public_bytes(Encoding.DER)
    authority.write_revocation_list(path)
    none = revocation_lists([(path.read_bytes(), "crl")], [ca])
    policy = TrustPolicy(TrustMode.PINNED_PKI, (ca,), revocation=none)
    assert vouch(offer(HASH, certificates=(der,)), LOCAL, policy, [AnnouncedKeys()])[1] is None
    authority.revoke(issued)
    authority.write_revocation_list(path)
    revoked = revocation_lists([(path.read_bytes(), "crl")], [ca])
    policy = TrustPolicy(TrustMode.PINNED_PKI, (ca,), revocation=revoked)
    why = vouch(offer(HASH, certificates=(der,)), LOCAL, policy, [AnnouncedKeys()])[1]
    assert why is not None
    assert "is revoked" in why.detail
    assert "" != none.digest != revoked.digest != RevocationLists().digest


def test_group_key_is_one_for_all_and_never_shown() -> None:
    policy = TrustPolicy(TrustMode.GROUP_PSK, secret=b"the planted secret", secret_digest="aa")
    credential = only(vouch(offer(), LOCAL, policy, []))
    assert credential == GroupKey(str(LOCAL), str(PEER), b"the planted secret", "aa")
    assert "planted" not in f"{credential!r} {policy!r}"


def test_a_group_joins_only_routers_that_are_both_in_it() -> None:
    group = TrustGroup("dc", (ip_network("2001:db8:f::/127"),), trust(TrustMode.PKI))
    inside, outside = (ip_address(f"2001:db8:f::{n}") for n in (1, 2))
    assert group.joins(inside, inside)
    assert not group.joins(inside, outside)
    assert not group.joins(outside, inside)


def test_a_bad_certificate_from_one_source_does_not_hide_a_good_one_of_another() -> None:
    der = certificate()

    class Later:
        def __init__(self) -> None:
            self.asked: list[tuple[bytes, ...]] = []

        def keys_for(self, offer: Offer) -> list[PinnedKey]:
            self.asked.append(offer.authenticators)
            return [PinnedKey(HASH, SPKI, "keys/peer.pem", der)]

    later = Later()
    forged = certificate(Authority("mesh"))
    credential = only(
        vouch(offer(HASH, certificates=(forged,)), LOCAL, trust(TrustMode.PINNED_PKI), [AnnouncedKeys(), later])
    )
    assert isinstance(credential, PinnedCertificate)
    assert credential.key.origin == "keys/peer.pem"
    assert later.asked == [(HASH,)]
    # What an earlier source has, a later one does not even hear of.
    vouch(offer(HASH, certificates=(der,)), LOCAL, trust(TrustMode.PINNED_PKI), [AnnouncedKeys(), later])
    assert later.asked == [(HASH,)]
