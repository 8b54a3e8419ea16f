"""Make a key pair and certificate, or the key of a group, or show the authenticator of a key there is.

Three files are written: PREFIX.key (private, PKCS#8, mode 0600), PREFIX.pub (SubjectPublicKeyInfo) and
PREFIX.crt (self-signed certificate), all PEM. The key of a group, for trust mode group-psk, is one file of one line,
mode 0600. Neither private key nor group key is readable for anybody else, not for an instant, and neither is printed.
"""

from __future__ import annotations

import argparse
import os
import secrets
import socket
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID

from softmesh.errors import OperatorError
from softmesh.mesh.identity import identity_from_pem
from softmesh.mesh.public_key import MisplacedPrivateKeyError, authenticator, describe, public_keys

DEFAULT_NAME = "identity"
MAX_OCTETS = 65536
GROUP_KEY_OCTETS = 32
"""Of randomness; 43 characters in base64."""
NO_EXPIRY = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""RFC 5280 §4.1.2.5: a certificate with no well-defined expiration date. Only its key is ever looked at."""

_PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

KEY_TYPES: dict[str, Callable[[], _PrivateKey]] = {
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ecdsa-p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ecdsa-p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "rsa-3072": lambda: rsa.generate_private_key(public_exponent=65537, key_size=3072),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--out",
        metavar="DIR|PREFIX",
        help=f"write DIR/{DEFAULT_NAME}.key, .pub and .crt, or PREFIX.key, .pub and .crt",
    )
    what.add_argument(
        "--group-key", metavar="FILE", help="write a random key for all routers of a group (trust mode group-psk)"
    )
    what.add_argument("--show", metavar="FILE", type=Path, help="print the authenticators of a key or certificate file")
    parser.add_argument(
        "--type",
        choices=list(KEY_TYPES),
        default="ed25519",
        help="kind of key [ed25519]; RSA is not announced",
    )
    parser.add_argument("--name", metavar="CN", help="common name in the certificate [the host's name]")
    parser.add_argument("--force", action="store_true", help="replace files that exist")


def run(args: argparse.Namespace) -> int:
    """Make or show."""
    if args.show is not None:
        for spki in _spki_values(args.show):
            print(f"{authenticator(spki).hex()}  {describe(spki)}  {args.show}")
        return 0
    if args.group_key is not None:
        _refuse_existing([args.group_key], force=args.force)
        key = f"{secrets.token_urlsafe(GROUP_KEY_OCTETS)}\n".encode()
        _write(args.group_key, key, 0o600, force=args.force)
        print(f"group key      {args.group_key}")
        return 0
    return _make_pair(args)


def _make_pair(args: argparse.Namespace) -> int:
    prefix = _prefix(args.out)
    key = KEY_TYPES[args.type]()
    public = key.public_key()
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    certificate = self_signed(key, args.name or socket.gethostname() or DEFAULT_NAME)
    contents = {
        f"{prefix}.key": (key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600),
        f"{prefix}.pub": (public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), 0o644),
        f"{prefix}.crt": (certificate.public_bytes(Encoding.PEM), 0o644),
    }
    _refuse_existing(contents, force=args.force)
    for path, (content, mode) in contents.items():
        _write(path, content, mode, force=args.force)
    print(f"private key    {prefix}.key")
    print(f"public key     {prefix}.pub")
    print(f"certificate    {prefix}.crt")
    print(f"authenticator  {authenticator(spki).hex()} ({describe(spki)})")
    return 0


def self_signed(key: _PrivateKey, name: str) -> x509.Certificate:
    """Make the certificate that RFC 5566 §4 wants a sender to have for its key; it is no CA."""
    try:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    except ValueError:
        raise OperatorError(f"--name: must have 1 to 64 characters, has {len(name)}; use a shorter one") from None
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # A day back, for clocks that are behind.
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(NO_EXPIRY)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    )


def _spki_values(path: Path) -> tuple[bytes, ...]:
    """Find the public keys of a file that may also be our private key."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_OCTETS)
    except OSError as error:
        raise OperatorError(f"{path}: cannot be read ({error.strerror}); correct the path, owner or mode") from None
    try:
        return public_keys(data, str(path))
    except MisplacedPrivateKeyError:
        return (identity_from_pem(data, str(path)).spki,)


def _prefix(out: str) -> str:
    path = Path(out)
    if out.endswith("/") or path.is_dir():
        path /= DEFAULT_NAME
    if not path.parent.is_dir():
        raise OperatorError(f"{path.parent}: no such directory; mkdir -p -m 700 {path.parent}")
    return str(path)


def _refuse_existing(paths: Iterable[str], *, force: bool) -> None:
    for path in paths:
        if os.path.lexists(path) and not force:
            raise OperatorError(f"{path}: exists already; use --force to replace it, or another path")
        if Path(path).is_dir():
            raise OperatorError(f"{path}: is a directory; use another path")


def _write(path: str, content: bytes, mode: int, *, force: bool) -> None:
    """Create a file with its mode from the start; what it replaces stays whole until the new one is."""
    target = f"{path}.new" if force else path
    try:
        if force:
            Path(target).unlink(missing_ok=True)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            # The mask may have taken more from the mode than is wanted; it never adds.
            os.fchmod(descriptor, mode)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        if force:
            Path(target).replace(path)
    except OSError as error:
        raise OperatorError(
            f"{path}: cannot be written ({error.strerror}); correct its directory's owner or mode"
        ) from None
