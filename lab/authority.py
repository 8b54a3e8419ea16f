"""A certification authority for a lab: certificates of routers, and the list of those it takes back (RFC 5280)."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID

_DAY = datetime.timedelta(days=1)
_MAY_SIGN = x509.KeyUsage(
    key_cert_sign=True, crl_sign=True, digital_signature=False, content_commitment=False, key_encipherment=False,
    data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
)  # fmt: skip


class Authority:
    """One authority, self-signed."""

    def __init__(self, name: str) -> None:
        self._key = Ed25519PrivateKey.generate()
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._revoked: list[int] = []
        self._lists = 0
        self.certificate = (
            self._unsigned(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            # Python 3.13 insists on it (RFC 5280 §4.2.1.3).
            .add_extension(_MAY_SIGN, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, None)
        )

    def write(self, path: Path) -> None:
        """Write its own certificate."""
        path.write_bytes(self.certificate.public_bytes(Encoding.PEM))

    def certify(
        self,
        key: CertificatePublicKeyTypes,
        names: Iterable[str],
        *,
        key_identifier: bytes | None = None,
        expired: bool = False,
    ) -> x509.Certificate:
        """Certify a key for addresses and DNS names.

        ``key_identifier``: what it claims to be the identifier of its key, true or not.
        """
        names = list(names)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        honest = x509.SubjectKeyIdentifier.from_public_key(key)
        return (
            self._unsigned(subject, key, expired=expired)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
            .add_extension(
                honest if key_identifier is None else x509.SubjectKeyIdentifier(key_identifier), critical=False
            )
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, None)
        )

    def certify_file(
        self, private_key: Path, names: Iterable[str], path: Path, *, expired: bool = False
    ) -> x509.Certificate:
        """Certify the key of a file, and write the certificate."""
        key = load_pem_private_key(private_key.read_bytes(), None).public_key()
        assert not isinstance(key, x509.Certificate)
        certificate = self.certify(key, names, expired=expired)  # type: ignore[arg-type]
        path.write_bytes(certificate.public_bytes(Encoding.PEM))
        return certificate

    def revoke(self, certificate: x509.Certificate) -> None:
        """Take a certificate back; whoever reads the next list knows."""
        self._revoked.append(certificate.serial_number)

    def write_revocation_list(self, path: Path) -> None:
        """Write a list of all that was taken back; in one piece, as a reader may be about."""
        now = datetime.datetime.now(datetime.UTC)
        self._lists += 1
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._name)
            .last_update(now - _DAY)
            .next_update(now + _DAY)
            .add_extension(x509.CRLNumber(self._lists), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        for serial in self._revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now - _DAY)
            builder = builder.add_revoked_certificate(entry.build())
        being_written = path.with_suffix(".new")
        being_written.write_bytes(builder.sign(self._key, None).public_bytes(Encoding.PEM))
        being_written.rename(path)

    def _unsigned(
        self, subject: x509.Name, key: CertificatePublicKeyTypes, *, expired: bool = False
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 3 * _DAY)
            .not_valid_after(now - _DAY if expired else now + 30 * _DAY)
        )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
