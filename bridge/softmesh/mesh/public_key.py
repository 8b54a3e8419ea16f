"""Public keys in files: out of PEM or DER, keys or certificates, to the SubjectPublicKeyInfo the mesh hashes.

Nothing is opened here: bytes go in, DER SubjectPublicKeyInfo values (RFC 5280 §4.1.2.7) come out. They are
kept octet for octet as they stood in the file, because the authenticator is a hash over exactly those octets.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import warnings
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from softmesh.file_error import FileError

MIN_RSA_BITS = 2048
UNREADABLE = (ValueError, UnsupportedAlgorithm, InternalError, x509.InvalidVersion)
"""What loading a damaged key or certificate raises: OpenSSL has no name for some kinds of damage."""

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----[ \t]*\r?\n(.*?)-----END \1-----", re.DOTALL)
_CURVES = {"secp256r1": "ECDSA P-256", "secp384r1": "ECDSA P-384", "secp521r1": "ECDSA P-521"}


class KeyFileError(FileError):
    """A file that should hold a key does not, or holds one that cannot be used."""


class MisplacedPrivateKeyError(KeyFileError):
    """A private key where only public ones belong."""


@dataclass(frozen=True, slots=True)
class FoundKey:
    """A public key as it was found."""

    spki: bytes
    """DER SubjectPublicKeyInfo."""
    certificate: bytes | None = None
    """The DER certificate it was in; None where it was bare."""


def public_keys(data: bytes, origin: str) -> tuple[bytes, ...]:
    """Find the DER SubjectPublicKeyInfo values in the octets of a file: those of ``find_keys``."""
    return tuple(found.spki for found in find_keys(data, origin))


def find_keys(data: bytes, origin: str) -> tuple[FoundKey, ...]:
    """Find the public keys in the octets of a file, in their order, each once.

    ``data`` is one DER public key or X.509 certificate, or any number of PEM blocks of either (text around
    them is ignored, as RFC 7468 §2 has it). ``origin`` names the file in errors. Of a key that is there both
    bare and in certificates, the first certificate counts, which says more. Raises MisplacedPrivateKeyError
    where there is a private key too, KeyFileError where there is no usable public key.
    """
    if b"PRIVATE KEY-----" in data:
        raise MisplacedPrivateKeyError(origin, "holds a private key", "keep only the public key or certificate there")
    if b"-----BEGIN" in data:
        found = [_from_block(label, body, origin) for label, body in _BLOCK.findall(data)]
        if not found:
            raise KeyFileError(origin, "PEM block without an end", "copy the whole file again")
    else:
        found = [_from_der(data, origin)]
    keys: dict[bytes, FoundKey] = {}
    for key in found:
        describe(key.spki, origin)
        if keys.setdefault(key.spki, key).certificate is None:
            keys[key.spki] = key
    return tuple(keys.values())


def authenticator(spki: bytes) -> bytes:
    """Hash a DER SubjectPublicKeyInfo as RFC 5566 §4 (authenticator type 1) has it: 20 octets.

    RFC 7296 §3.7: SHA-1 over the whole element. The identifiers of OpenSSL (Subject Key Identifier) and of
    VICI hash the BIT STRING's contents only: see :func:`key_id`.
    """
    return hashlib.sha1(spki, usedforsecurity=False).digest()


def key_id(spki: bytes) -> bytes:
    """Hash the BIT STRING's contents (RFC 5280 §4.2.1.2 (1)), as charon's get-keys reports keys."""
    start, _ = _content(spki, 0)
    start, end = _content(spki, _content(spki, start)[1])
    # The first content octet counts unused bits (X.690 §8.6.2.2) and is no part of the key.
    return hashlib.sha1(spki[start + 1 : end], usedforsecurity=False).digest()


def describe(spki: bytes, origin: str = "key") -> str:
    """Name the kind of a key, such as ``Ed25519``; raises KeyFileError if it is none that IKEv2 can use."""
    try:
        key = load_der_public_key(spki)
    except UNREADABLE:
        raise KeyFileError(origin, "not a public key", "make one with softmesh keygen") from None
    return describe_key(key, origin)


def describe_key(key: PublicKeyTypes, origin: str) -> str:
    """Name the kind of a loaded key; KeyFileError if IKEv2 cannot sign with it (RFC 7427, RFC 8420)."""
    match key:
        case ed25519.Ed25519PublicKey():
            return "Ed25519"
        case ed448.Ed448PublicKey():
            return "Ed448"
        case ec.EllipticCurvePublicKey() if key.curve.name in _CURVES:
            return _CURVES[key.curve.name]
        case rsa.RSAPublicKey() if key.key_size >= MIN_RSA_BITS:
            return f"RSA {key.key_size}"
        case rsa.RSAPublicKey():
            raise KeyFileError(
                origin, f"RSA key of {key.key_size} bits is too weak", "make another with softmesh keygen"
            )
        case _:
            raise KeyFileError(
                origin,
                "a key of a kind that IKEv2 cannot sign with",
                "use Ed25519, Ed448, ECDSA (P-256, P-384, P-521) or RSA",
            )


def _from_block(label: bytes, body: bytes, origin: str) -> FoundKey:
    try:
        der = base64.b64decode(b"".join(body.split()), validate=True)
    except binascii.Error:
        raise KeyFileError(origin, "PEM block is damaged", "copy the whole file again") from None
    if label in (b"CERTIFICATE", b"X509 CERTIFICATE"):
        return _from_certificate(der, origin)
    if label == b"PUBLIC KEY":
        return _from_spki(der, origin)
    if label == b"RSA PUBLIC KEY":
        return _from_spki(der, origin, bare=True)
    kind = label.decode("ascii").lower()
    raise KeyFileError(origin, f"holds a PEM block '{kind}'", "only public keys and certificates are of use")


def _from_der(der: bytes, origin: str) -> FoundKey:
    if not der.strip():
        raise KeyFileError(origin, "empty", "put a public key or certificate there")
    try:
        return _from_spki(der, origin)
    except KeyFileError:
        pass
    try:
        return _from_certificate(der, origin)
    except KeyFileError:
        raise KeyFileError(
            origin, "neither a public key nor a certificate", "put a PEM or DER one there, or remove the file"
        ) from None


def _from_spki(der: bytes, origin: str, *, bare: bool = False) -> FoundKey:
    """Check a DER SubjectPublicKeyInfo; ``bare`` is PKCS#1's RSAPublicKey, which is wrapped into one."""
    try:
        key = load_der_public_key(der)
    except UNREADABLE:
        raise KeyFileError(
            origin, "public key is damaged or of an unknown kind", "copy it again, or remove the file"
        ) from None
    # load_der_public_key also takes PKCS#1 without being told; its octets are not what RFC 5566 hashes.
    if bare or _second_tag(der) != 0x30:
        return FoundKey(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    return FoundKey(der)


def _from_certificate(der: bytes, origin: str) -> FoundKey:
    try:
        # Odd serial numbers and the like draw deprecation warnings, which are no concern of whoever pins the
        # key.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            certificate = x509.load_der_x509_certificate(der)
            certificate.public_key()
    except UNREADABLE:
        raise KeyFileError(
            origin,
            "certificate is damaged or its key is of an unknown kind",
            "copy it again, or remove the file",
        ) from None
    return FoundKey(_spki_of(certificate.tbs_certificate_bytes), der)


def _spki_of(tbs: bytes) -> bytes:
    """Cut the SubjectPublicKeyInfo out of a TBSCertificate (RFC 5280 §4.1) known to be well formed.

    Encoding the loaded key again would not do: a compressed point, say, would come out uncompressed.
    """
    position, _ = _content(tbs, 0)
    if tbs[position] == 0xA0:  # version [0] EXPLICIT, absent in version 1
        position = _content(tbs, position)[1]
    for _ in ("serialNumber", "signature", "issuer", "validity", "subject"):
        position = _content(tbs, position)[1]
    return tbs[position : _content(tbs, position)[1]]


def _second_tag(der: bytes) -> int:
    """Give the tag of the first element inside the outer SEQUENCE."""
    return der[_content(der, 0)[0]]


def _content(der: bytes, position: int) -> tuple[int, int]:
    """Bounds of the content of the DER element (X.690 §8.1) that begins at a position."""
    length = der[position + 1]
    start = position + 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(der[position + 2 : start], "big")
    return start, start + length
