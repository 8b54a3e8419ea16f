"""Keys and certificates in files, and their hashes against values from openssl."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from softmesh.cli.keygen import self_signed
from softmesh.errors import OperatorError
from softmesh.mesh.public_key import (
    KeyFileError,
    MisplacedPrivateKeyError,
    authenticator,
    describe,
    key_id,
    public_keys,
)

K1 = bytes.fromhex("302a300506032b6570032100d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
"""Ed25519, RFC 8032 §7.1 test 1."""
K2_PRIVATE = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
"""P-256, RFC 6979 §A.2.5."""

COMPRESSED = b"""\
-----BEGIN CERTIFICATE-----
MIIBYTCCAQegAwIBAgIUGLHNRMuGa7t4KP1ChjkZwxRzUZwwCgYIKoZIzj0EAwIw
FTETMBEGA1UEAwwKY29tcHJlc3NlZDAgFw0yNjExMjEwOTMxMzdaGA8yMTI2MTAy
ODA5MzEzN1owFTETMBEGA1UEAwwKY29tcHJlc3NlZDA5MBMGByqGSM49AgEGCCqG
SM49AwEHAyIAAq48woNI+iJYeO0pMyXAdyhc7CkpUFdtCkuTYVAcx3sqo1MwUTAd
BgNVHQ4EFgQUCLTy0zmwNjvq2sxhChwQK2GxRHIwHwYDVR0jBBgwFoAUCLTy0zmw
Njvq2sxhChwQK2GxRHIwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBF
AiEA4qj5Wqvph55J4/mHe89SuZNxHTPM0amqdKsl//sp6O0CIDPHmSyT+dO4o650
LNhlkp9pHU+itWLGO5yMUGfGBvn9
-----END CERTIFICATE-----
"""
"""A certificate whose key is a compressed point, made by openssl 3.0."""
COMPRESSED_AUTHENTICATOR = "b82b487c8e9ca632f87edcdae7ef1db8b03e6964"
"""openssl x509 -pubkey -noout | openssl pkey -pubin -outform DER | sha1sum."""


WEAK_RSA = b"""\
-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDWXdVNPm8GdH8SCKxAlTivHOp6
lAa8mhihZ/YvCiqc8xCM/t6qQsIHYVegqNX3YBNoBmBFf/HSVIhR8KNGj7WwBxbr
rgZp345IhgFQYiRbS9LKML7VZIGQ43Z3h1gpGKnuGCMPdg2ASM8XLfmb/kmJL8Uc
cc2m/+ezGn7S+TuSuQIDAQAB
-----END PUBLIC KEY-----
"""
"""openssl genrsa 1024 | openssl rsa -pubout."""


def k2() -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(K2_PRIVATE, ec.SECP256R1())


def spki(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def pem(label: str, der: bytes) -> bytes:
    return f"-----BEGIN {label}-----\n{base64.encodebytes(der).decode()}-----END {label}-----\n".encode()


def test_authenticator_is_over_the_whole_subject_public_key_info() -> None:
    assert authenticator(K1).hex() == "a566be19840173413a61048350eff23e8fe22266"
    assert authenticator(spki(k2().public_key())).hex() == "cad8a997d27511a79df843085a62049c78e38097"


def test_key_id_is_over_the_bit_string_only() -> None:
    assert key_id(K1).hex() == "5b27aa5589179770e47575b162a1ded97b8bfc6d"
    assert key_id(spki(k2().public_key())).hex() == "1a9569579bce329a942d0769c9c0b56431563710"


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (ed25519.Ed25519PrivateKey.generate(), "Ed25519"),
        (ed448.Ed448PrivateKey.generate(), "Ed448"),
        (k2(), "ECDSA P-256"),
        (ec.generate_private_key(ec.SECP384R1()), "ECDSA P-384"),
        (ec.generate_private_key(ec.SECP521R1()), "ECDSA P-521"),
        (rsa.generate_private_key(public_exponent=65537, key_size=2048), "RSA 2048"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_kinds(key: ed25519.Ed25519PrivateKey, kind: str) -> None:
    assert describe(spki(key.public_key())) == kind


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (
            x25519.X25519PrivateKey.generate().public_key(),
            "k: a key of a kind that IKEv2 cannot sign with; use Ed25519",
        ),
        (
            ec.generate_private_key(ec.SECP256K1()).public_key(),
            "k: a key of a kind that IKEv2 cannot sign with; use",
        ),
    ],
)
def test_kinds_of_no_use(key: PublicKeyTypes, message: str) -> None:
    with pytest.raises(KeyFileError) as caught:
        public_keys(spki(key), "k")
    assert str(caught.value).startswith(message)


def test_weak_rsa() -> None:
    with pytest.raises(KeyFileError, match="k: RSA key of 1024 bits is too weak; make another"):
        public_keys(WEAK_RSA, "k")


@pytest.mark.parametrize("label", ["CERTIFICATE", "X509 CERTIFICATE"])
def test_certificates(label: str) -> None:
    key = k2()
    der = self_signed(key, "peer").public_bytes(Encoding.DER)
    assert public_keys(pem(label, der), "k") == public_keys(der, "k") == (spki(key.public_key()),)


def test_public_key_forms() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    pkcs1 = key.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    for data in (spki(key), pem("PUBLIC KEY", spki(key)), pkcs1, pem("RSA PUBLIC KEY", pkcs1)):
        assert public_keys(data, "k") == (spki(key),)


def test_octets_of_a_certificate_are_kept_as_they_are() -> None:
    (found,) = public_keys(COMPRESSED, "k")
    assert authenticator(found).hex() == COMPRESSED_AUTHENTICATOR
    assert found[-33] in (2, 3)


def test_several_blocks_text_around_them_and_repetition() -> None:
    second = spki(k2().public_key())
    data = b"# ours\r\n" + pem("PUBLIC KEY", K1).replace(b"\n", b"\r\n") + COMPRESSED
    data += b"text\n" + pem("PUBLIC KEY", second) + pem("PUBLIC KEY", K1)
    found = public_keys(data, "k")
    assert (found[0], found[2]) == (K1, second)
    assert len(found) == 3


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "k: empty; put a public key or certificate there"),
        (b" \n", "k: empty; put a public key or certificate there"),
        (
            b"hello",
            "k: neither a public key nor a certificate; put a PEM or DER one there, or remove the file",
        ),
        (
            K1 + b"\0",
            "k: neither a public key nor a certificate; put a PEM or DER one there, or remove the file",
        ),
        (
            K1[:-1],
            "k: neither a public key nor a certificate; put a PEM or DER one there, or remove the file",
        ),
        (b"-----BEGIN PUBLIC KEY-----\nMCow", "k: PEM block without an end; copy the whole file again"),
        (pem("PUBLIC KEY", K1).replace(b"M", b"*"), "k: PEM block is damaged; copy the whole file again"),
        (
            pem("PUBLIC KEY", K1[:-1]),
            "k: public key is damaged or of an unknown kind; copy it again, or remove the file",
        ),
        (
            pem("CERTIFICATE", K1),
            "k: certificate is damaged or its key is of an unknown kind; copy it again, or remove the file",
        ),
        (
            pem("X509 CRL", K1),
            "k: holds a PEM block 'x509 crl'; only public keys and certificates are of use",
        ),
    ],
)
def test_garbage(data: bytes, message: str) -> None:
    with pytest.raises(KeyFileError) as caught:
        public_keys(data, "k")
    assert str(caught.value) == message
    assert isinstance(caught.value, OperatorError)


def test_one_bad_block_spoils_the_file() -> None:
    with pytest.raises(KeyFileError):
        public_keys(pem("PUBLIC KEY", K1) + pem("PUBLIC KEY", K1[:-1]), "k")


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_private_key_is_refused_even_beside_a_public_one(form: PrivateFormat) -> None:
    private = k2().private_bytes(Encoding.PEM, form, NoEncryption())
    for data in (private, pem("PUBLIC KEY", K1) + private, b"-----BEGIN EC PARAMETERS-----\n" + private):
        with pytest.raises(MisplacedPrivateKeyError, match="k: holds a private key; keep only"):
            public_keys(data, "k")


def test_every_prefix_of_a_certificate_is_an_error() -> None:
    der = self_signed(k2(), "peer").public_bytes(Encoding.DER)
    for length in range(len(der)):
        with pytest.raises(KeyFileError):
            public_keys(der[:length], "k")
