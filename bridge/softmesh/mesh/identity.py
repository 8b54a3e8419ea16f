"""Our own key: what we prove towards peers (RFC 7296 §2.15) and what announcements carry the hash of."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from softmesh.mesh.certificate import certificates
from softmesh.mesh.credential import OwnKey
from softmesh.mesh.public_key import UNREADABLE, KeyFileError, authenticator, describe_key, key_id, public_keys
from softmesh.public_file import read_public
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
    certificate: bytes | None = None
    """DER, of this key; None where we have none."""

    @property
    def own_key(self) -> OwnKey:
        """As connections speak of it."""
        return OwnKey(self.authenticator, self.certificate)


def load_identity(path: Path, certificate: Path | None = None) -> Identity:
    """Read our private key: PEM, PKCS#8 or traditional, which nobody but its owner may be able to read.

    ``certificate``: PEM or DER, of this key. Raises OperatorError where a file cannot be read or others can read the
    key, and KeyFileError where it is not a usable key, or the certificate not one of that key.
    """
    identity = identity_from_pem(read_secret(path, MAX_OCTETS, "private key"), str(path))
    if certificate is None:
        return identity
    data, _ = read_public(certificate, "certificate of our key")
    found = certificates(data, str(certificate))
    if identity.spki not in public_keys(found[0], str(certificate)):
        raise KeyFileError(
            str(certificate),
            f"is not a certificate of the key in {path}",
            "put the one of that key there, alone or first",
        )
    return replace(identity, certificate=found[0])


def load_identities(files: Iterable[tuple[Path, Path | None]]) -> tuple[Identity, ...]:
    """Read several, each given by the files of its key and its certificate; raises as ``load_identity``."""
    return tuple(load_identity(key, certificate) for key, certificate in files)


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
    except UNREADABLE:
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
