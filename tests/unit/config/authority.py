"""A CA, its certificates and its revocation list, made on the spot of keys that are always the same."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

ENDPOINT = "2001:db8:f::1"
LABELLED = "2001-db8-f-0-0-0-0-1.mesh.example"
DAY = timedelta(days=1)
NOW = datetime.now(UTC).replace(microsecond=0)
"""The same for all, so that what is made twice has the same octets."""


def private_key(number: int) -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)


def private_pem(number: int) -> bytes:
    return private_key(number).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Authority:
    """Signs with a key of its own; ``name`` is what its certificate says."""

    def __init__(self, number: int = 100, name: str = "Test CA") -> None:
        self.key, self.name = private_key(number), _name(name)

    @functools.cached_property
    def pem(self) -> bytes:
        """Its own certificate."""
        return self._builder(self.name, self.key).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        ).sign(self.key, None).public_bytes(Encoding.PEM)  # fmt: skip

    def certificate(
        self,
        key_pem: bytes,
        names: Sequence[str] = (ENDPOINT, LABELLED),
        *,
        serial: int = 7,
        begin: timedelta = -DAY,
        end: timedelta = 365 * DAY,
        padding: int = 0,
    ) -> bytes:
        """A certificate, PEM, for the public half of a private key; ``padding`` makes it longer."""
        key = load_pem_private_key(key_pem, None)
        builder = self._builder(_name("router"), key, serial=serial, begin=begin, end=end)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), False)
        if padding:
            identifier = x509.ObjectIdentifier("1.3.6.1.4.1.32473.1")
            builder = builder.add_extension(x509.UnrecognizedExtension(identifier, bytes(padding)), False)
        return builder.sign(self.key, None).public_bytes(Encoding.PEM)

    def crl(self, *serials: int, issued: timedelta = -DAY, encoding: Encoding = Encoding.PEM) -> bytes:
        """A list of revoked certificates, by serial number."""
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.name)
        builder = builder.last_update(NOW + issued).next_update(NOW + 30 * DAY)
        for serial in serials:
            revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW - DAY).build()
            builder = builder.add_revoked_certificate(revoked)
        return builder.sign(self.key, None).public_bytes(encoding)

    def _builder(
        self,
        subject: x509.Name,
        key: object,
        *,
        serial: int = 1,
        begin: timedelta = -DAY,
        end: timedelta = 3650 * DAY,
    ) -> x509.CertificateBuilder:
        assert isinstance(key, ed25519.Ed25519PrivateKey)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(serial)
            .not_valid_before(NOW + begin)
            .not_valid_after(NOW + end)
        )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
