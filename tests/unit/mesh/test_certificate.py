"""Certificates that strangers made, and lists of the revoked: nothing in them is an error of ours."""

from __future__ import annotations

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from lab.authority import Authority
from softmesh.mesh.certificate import RevocationLists, flaw, names, revocation_lists, supersedes
from softmesh.mesh.public_key import KeyFileError

CA = Authority("mesh")
CA_DER = CA.certificate.public_bytes(Encoding.DER)
KEY = Ed25519PrivateKey.generate()
NAME = "2001:db8:f::2"
_DAY = datetime.timedelta(days=1)
_ISSUER_ALTERNATIVE, _SUBJECT_ALTERNATIVE = bytes.fromhex("0603551d12"), bytes.fromhex("0603551d11")


def self_made(*extensions: tuple[bytes, bytes], issuer: str = "a stranger") -> bytes:
    """A certificate with extensions of these object identifiers (DER) and contents."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, KEY.public_key(), 1, now - _DAY, now + _DAY)
    for oid, content in extensions:
        dotted = {_ISSUER_ALTERNATIVE: "2.5.29.18", _SUBJECT_ALTERNATIVE: "2.5.29.17"}[oid]
        builder = builder.add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier(dotted), content), False)
    return builder.sign(KEY, None).public_bytes(Encoding.DER)


def judged(der: bytes) -> str:
    why = flaw(der, NAME, (CA_DER,), RevocationLists())
    assert why is not None
    return why


TWICE = self_made((_SUBJECT_ALTERNATIVE, b"\x30\x00"), (_ISSUER_ALTERNATIVE, b"\x30\x00")).replace(
    _ISSUER_ALTERNATIVE, _SUBJECT_ALTERNATIVE
)
X400 = self_made((_SUBJECT_ALTERNATIVE, b"\x30\x02\xa3\x00"))
NOT_UTF8 = self_made(issuer="a stranger").replace(b"a stranger", b"a \xff\xfe\xff\xfe\xff\xfe\xff\xfe")


@pytest.mark.parametrize(
    "der",
    [
        pytest.param(TWICE, id="an extension twice"),
        pytest.param(X400, id="an X.400 address"),
        pytest.param(NOT_UTF8, id="a name that is no UTF-8"),
    ],
)
def test_a_certificate_that_cannot_be_read_to_its_end_is_refused(der: bytes) -> None:
    """They load without complaint; what is wrong shows when a field is looked at."""
    x509.load_der_x509_certificate(der).public_key()
    assert "nobody can read" in judged(der)


def test_names_of_one_that_cannot_be_read_are_none() -> None:
    assert names(TWICE) == names(X400) == ()


def test_what_strangers_write_cannot_move_a_terminals_cursor() -> None:
    """The reason is logged, and shown by status and explain."""
    escape = "\x1b]0;owned\x07\n\u202eup"
    of_issuer = judged(CA.certify(KEY.public_key(), [NAME]).public_bytes(Encoding.DER).replace(b"mesh", b"m\x1b[J"))
    assert r"m\x1b[J" in of_issuer
    of_name = self_made((_SUBJECT_ALTERNATIVE, b"\x30\x0d\x82\x0b\x1b[2J\x1b[1;1H\n"))
    for why in (judged(of_name), of_issuer, judged(self_made((_SUBJECT_ALTERNATIVE, b"\x30\x00"), issuer=escape))):
        assert why.isprintable(), why


def test_a_thousand_names_are_not_all_told() -> None:
    many = CA.certify(KEY.public_key(), [f"router-{n}.example" for n in range(1000)]).public_bytes(Encoding.DER)
    assert len(judged(many)) < 300


def _list(*serials: int, issuer: Authority = CA) -> bytes:
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateRevocationListBuilder(issuer.certificate.subject, now - _DAY, now + _DAY)
    builder = builder.add_extension(x509.CRLNumber(1), critical=False)
    for serial in serials:
        entry = x509.RevokedCertificateBuilder(serial, now - _DAY).build()
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(issuer._key, None).public_bytes(Encoding.DER)


def test_the_digest_tells_serial_numbers_apart() -> None:
    digests = {
        revocation_lists([(_list(*serials), "crl")], [CA_DER]).digest
        for serials in ((), (1,), (12,), (1, 2), (2**158,), (2**158 + 1,))
    }
    assert len(digests) == 6


def test_a_list_of_no_known_version_is_a_damaged_one() -> None:
    damaged = _list(1).replace(b"\x02\x01\x01\x30\x05", b"\x02\x01\x00\x30\x05", 1)
    with pytest.raises(KeyFileError, match="k: not a revocation list, or a damaged one"):
        revocation_lists([(damaged, "k")], [CA_DER])


def test_a_list_that_cannot_be_read_supersedes_none() -> None:
    """charon keeps those that peers sent it, and may read more than we do."""
    ours = _list(1)
    held = _list(2)
    assert supersedes(held, ours)
    for garbage in (b"", b"\x30\x00", held[:-9], held.replace(b"mesh", b"\xff\xfe\xff\xfe")):
        assert not supersedes(garbage, ours)
