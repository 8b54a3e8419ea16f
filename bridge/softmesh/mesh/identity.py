"""Our own key: what we prove towards peers (RFC 7296 §2.15) and what announcements carry the hash of."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from softmesh.mesh.public_key import KeyFileError, authenticator, describe_key, key_id
from softmesh.secret_file import read_secret

MAX_OCTETS = 65536


@dataclass(frozen=True, slots=True)
class Identity:
    """Our key pair, and the names others have for it."""

    spki: bytes
    """DER SubjectPublicKeyInfo."""
    authenticator: bytes
    """SHA-1 over ``spki`` (RFC 5566 §4), 20 octets."""
    key_id: bytes
    """SHA-1 over the BIT STRING's contents, by which charon's get-keys and unload-key know the private key.
    """
    kind: str
    """Such as ``Ed25519``."""
    private_key_pem: bytes = field(repr=False)
    """PKCS#8, PEM, not encrypted."""


def load_identity(path: Path) -> Identity:
    """Read our private key: PEM, PKCS#8 or traditional, which nobody but its owner may be able to read.

    Raises OperatorError where it cannot be read or others can, and KeyFileError where it is not a usable key.
    """
    return identity_from_pem(read_secret(path, MAX_OCTETS, "private key"), str(path))


def identity_from_pem(pem: bytes, origin: str) -> Identity:
    """Make an identity of the octets of a key file; ``origin`` names the file in errors."""
    if b"-----BEGIN" not in pem:
        raise KeyFileError(origin, "not a PEM private key", "make one with softmesh keygen")
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError:
        raise KeyFileError(
            origin, "private key is encrypted", f"decrypt it: openssl pkey -in {shlex.quote(origin)} -out NEW"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise KeyFileError(origin, "not a PEM private key", "make one with softmesh keygen") from None
    public = key.public_key()
    kind = describe_key(public, origin)
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Identity(
        spki=spki,
        authenticator=authenticator(spki),
        key_id=key_id(spki),
        kind=kind,
        private_key_pem=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
