"""How a peer may authenticate: what a softwire's connections are made of besides addresses and selectors.

All of these are values that were judged already: whoever holds one may act on it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class OwnKey:
    """One of our keys, as connections speak of it."""

    authenticator: bytes
    """SHA-1 over its SubjectPublicKeyInfo, 20 octets."""
    certificate: bytes | None = None
    """DER; what is shown to peers that trust authorities."""


@dataclass(frozen=True, slots=True)
class PinnedKey:
    """A public key the peer may authenticate with, already found equal to an authenticator it advertised."""

    authenticator: bytes
    """SHA-1 over the SubjectPublicKeyInfo, 20 octets (RFC 5566 §4 by way of RFC 7296 §3.7)."""
    spki: bytes
    """DER SubjectPublicKeyInfo."""
    origin: str
    """Where the key was found: a file's path, a URL, or "sub-TLV 126"."""
    certificate: bytes | None = None
    """The DER certificate it was found in; None where it was found bare. No reason to trust it."""


@dataclass(frozen=True, slots=True)
class Certified:
    """Whoever has a certificate from one of our authorities for the peer's identity (trust mode ``pki``)."""

    local_identity: str
    """What we are called, in our own certificate."""
    identity: str
    """What the peer must be called in its certificate: an address or a DNS name, never a wildcard."""
    authorities: tuple[bytes, ...]
    """DER certificates; any of them may have signed."""
    revocation: str = ""
    """Digest of the revocation lists that count, empty without any: when they change, peers authenticate anew."""


@dataclass(frozen=True, slots=True)
class PinnedCertificate:
    """One certificate: valid under our authorities *and* of a key that the peer advertised the hash of."""

    key: PinnedKey
    """With its certificate."""
    certified: Certified


@dataclass(frozen=True, slots=True)
class GroupKey:
    """The key that all routers of a group share (RFC 5619 §4.4.2): no proof of who among them it is."""

    local_identity: str
    identity: str
    secret: bytes = field(repr=False)
    digest: str
    """Names the secret without telling anything of it."""


Credential: TypeAlias = PinnedKey | PinnedCertificate | Certified | GroupKey


def authenticator_of(credential: Credential) -> bytes | None:
    """The authenticator that a credential holds the peer to; None where it holds it to none."""
    match credential:
        case PinnedKey(authenticator):
            return authenticator
        case PinnedCertificate(key):
            return key.authenticator
        case _:
            return None


def trust_of(credential: Credential) -> str:
    """How a peer is trusted that authenticates by it, as ``trust.mode`` is spelled."""
    match credential:
        case PinnedKey():
            return "pinned"
        case PinnedCertificate():
            return "pinned+pki"
        case Certified():
            return "pki"
        case GroupKey():
            return "group-psk"


def origin_of(credential: Credential) -> str:
    """Where a credential comes from, for people."""
    match credential:
        case PinnedKey(origin=origin):
            return origin
        case PinnedCertificate(key):
            return f"{key.origin}, certified by our authorities"
        case Certified(identity=identity):
            return f"a certificate for {identity} that our authorities signed"
        case GroupKey():
            return "the group's pre-shared key"
