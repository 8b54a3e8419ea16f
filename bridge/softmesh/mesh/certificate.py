"""Certificates and revocation lists in files, and what can be told of a certificate before charon judges it.

Nothing is opened here: octets go in, DER values come out. charon does the whole of RFC 5280 when the peer
authenticates; what is found out here is what there is to say of a certificate that is known beforehand, so that nobody
waits for it.
"""

from __future__ import annotations

import hashlib
import ipaddress
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from softmesh.errors import printable
from softmesh.mesh.public_key import UNREADABLE, KeyFileError

_UNREADABLE = (*UNREADABLE, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)
"""Raised where what was loaded is damaged, often only when one of its fields is looked at for the first time."""
_SHOWN_NAMES = 4
_SHOWN_CHARACTERS = 120


@dataclass(frozen=True, slots=True)
class RevocationLists:
    """The CRLs that count (RFC 5280 §5); none: revocation is not looked at."""

    lists: tuple[bytes, ...] = ()
    """DER, as charon gets them."""
    revoked: frozenset[tuple[bytes, int]] = frozenset()
    """DER name of the issuer and serial number of each revoked certificate."""
    digest: str = ""
    """Changes when what is revoked changes; empty without any list."""


def certificates(data: bytes, origin: str) -> tuple[bytes, ...]:
    """Find the certificates in the octets of a file: one in DER, or any number in PEM. Returns DER.

    ``origin`` names the file in errors. Raises KeyFileError where there is none, or one that is damaged.
    """
    with warnings.catch_warnings():
        # Odd serial numbers and the like draw deprecation warnings; whether they matter, charon decides.
        warnings.simplefilter("ignore")
        try:
            if b"-----BEGIN" in data:
                found = x509.load_pem_x509_certificates(data)
            else:
                found = [x509.load_der_x509_certificate(data)]
            for certificate in found:
                certificate.public_key()
        except _UNREADABLE:
            raise KeyFileError(origin, "not a certificate, or a damaged one", "put a PEM or DER one there") from None
    return tuple(certificate.public_bytes(Encoding.DER) for certificate in found)


def authorities(data: bytes, origin: str) -> tuple[bytes, ...]:
    """The same for CA certificates (RFC 5280 §4.2.1.9); KeyFileError for one that may not sign others."""
    found = certificates(data, origin)
    for der in found:
        try:
            constraints = _load(der).extensions.get_extension_for_class(x509.BasicConstraints).value
        except (x509.ExtensionNotFound, *_UNREADABLE):
            constraints = None
        if constraints is None or not constraints.ca:
            raise KeyFileError(origin, "certificate is no CA's (basicConstraints)", "put the CA's certificate there")
    return found


def revocation_lists(files: Sequence[tuple[bytes, str]], authorities: Sequence[bytes]) -> RevocationLists:
    """Read CRLs, PEM or DER, given as octets and the file's name.

    Raises KeyFileError for one that is damaged or that none of the authorities signed.
    """
    keys = [_load(der).public_key() for der in authorities]
    lists: list[bytes] = []
    revoked: set[tuple[bytes, int]] = set()
    for data, origin in files:
        try:
            pem = b"-----BEGIN" in data
            crl = x509.load_pem_x509_crl(data) if pem else x509.load_der_x509_crl(data)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                # Only the kinds of keys that sign certificates: the others have no such method for a CRL.
                signed = any(crl.is_signature_valid(key) for key in keys)  # type: ignore[arg-type]
                issuer = crl.issuer.public_bytes()
                taken_back = [(issuer, entry.serial_number) for entry in crl]
        except (TypeError, *_UNREADABLE):
            raise KeyFileError(origin, "not a revocation list, or a damaged one", "put the CA's CRL there") from None
        if not signed:
            raise KeyFileError(origin, "none of the authorities signed it", "put the CRL of one of them there")
        lists.append(crl.public_bytes(Encoding.DER))
        revoked.update(taken_back)
    digest = hashlib.sha256()
    for issuer, serial in sorted(revoked):
        digest.update(issuer + b"%d;" % serial)
    return RevocationLists(tuple(lists), frozenset(revoked), digest.hexdigest()[:16] if lists else "")


def supersedes(held: bytes, crl: bytes) -> bool:
    """Whether whoever holds one CRL has no use for the other: it is the same or a newer one of its issuer."""
    if held == crl:
        return True
    try:
        ours, theirs = x509.load_der_x509_crl(crl), x509.load_der_x509_crl(held)
        return ours.issuer == theirs.issuer and _age(theirs) >= _age(ours)
    except _UNREADABLE:
        # charon may have it from a peer, and read it all the same.
        return False


def _age(crl: x509.CertificateRevocationList) -> tuple[int, datetime]:
    """Which of two is newer, as charon has it: by their numbers (RFC 5280 §5.2.3), else by their dates."""
    try:
        number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        number = -1
    return number, crl.last_update_utc


def flaw(der: bytes, identity: str, authorities: Sequence[bytes], revocation: RevocationLists) -> str | None:
    """Why a certificate, whoever made it, cannot authenticate ``identity``; None where nothing speaks against it.

    Looked at are names, revocation, and the signature where one of the authorities is said to have issued it. Times are
    not: whether it is valid now, charon finds out when the peer authenticates.
    """
    return _flaw(der, identity, tuple(authorities), revocation)


# The same certificate comes with every route of a router, and each is judged anew when any key is found.
@lru_cache(maxsize=4096)
def _flaw(der: bytes, identity: str, authorities: tuple[bytes, ...], revocation: RevocationLists) -> str | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _flaw_of(_load(der), identity, authorities, revocation)
        except _UNREADABLE:
            return "is damaged, or has something in it that nobody can read"


def _flaw_of(
    certificate: x509.Certificate, identity: str, authorities: Sequence[bytes], revocation: RevocationLists
) -> str | None:
    if (certificate.issuer.public_bytes(), certificate.serial_number) in revocation.revoked:
        return "is revoked"
    # DNS names know no case (RFC 4343), and charon compares them so.
    found = _names(certificate)
    if identity.lower() not in map(str.lower, found):
        more = ", …" if len(found) > _SHOWN_NAMES else ""
        return f"is not for {identity} (subjectAltName: {_printable(', '.join(found[:_SHOWN_NAMES])) or 'none'}{more})"
    issuers = [issuer for issuer in map(_load, authorities) if issuer.subject == certificate.issuer]
    if not issuers:
        return f"is issued by '{_printable(certificate.issuer.rfc4514_string())}', which is none of trust.authorities"
    for issuer in issuers:
        try:
            certificate.verify_directly_issued_by(issuer)
        except (TypeError, InvalidSignature, *UNREADABLE):
            continue
        return None
    return f"bears no signature of '{_printable(certificate.issuer.rfc4514_string())}'"


@lru_cache(maxsize=4096)
def not_after(der: bytes) -> float | None:
    """Until when a certificate is valid, as seconds since the epoch (RFC 5280 §4.1.2.5); None for a damaged one."""
    try:
        return _load(der).not_valid_after_utc.timestamp()
    except _UNREADABLE:
        return None


def names(der: bytes) -> tuple[str, ...]:
    """The DNS names and addresses of a certificate (RFC 5280 §4.2.1.6), as IKE identities are written."""
    try:
        return _names(_load(der))
    except _UNREADABLE:
        return ()


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    addresses = alternatives.get_values_for_type(x509.IPAddress)
    return (*alternatives.get_values_for_type(x509.DNSName), *(str(a) for a in addresses if _is_address(a)))


def _is_address(name: object) -> bool:
    return isinstance(name, ipaddress.IPv4Address | ipaddress.IPv6Address)


def _printable(text: str) -> str:
    """What strangers wrote, for logs and terminals."""
    return printable(text[:_SHOWN_CHARACTERS]) + ("…" if len(text) > _SHOWN_CHARACTERS else "")


def _load(der: bytes) -> x509.Certificate:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return x509.load_der_x509_certificate(der)
