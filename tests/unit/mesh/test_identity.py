"""Our own key: its names, its forms, and that it is never shown."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from softmesh.mesh.identity import identity_from_pem, load_identity
from softmesh.mesh.public_key import KeyFileError
from softmesh.secret_file import SecretFileError
from tests.unit.config.site import K1_AUTHENTICATOR, K1_KEY_ID, k1_pem, write


def test_names_of_our_key(tmp_path: Path) -> None:
    identity = load_identity(write(tmp_path / "identity.key", k1_pem()))
    assert identity.authenticator.hex() == K1_AUTHENTICATOR
    assert identity.key_id.hex() == K1_KEY_ID
    assert identity.kind == "Ed25519"
    assert identity.private_key_pem == k1_pem()


def test_the_private_key_is_not_in_the_repr() -> None:
    shown = repr(identity_from_pem(k1_pem(), "k"))
    assert "PRIVATE" not in shown
    assert "private_key_pem" not in shown
    assert k1_pem().splitlines()[1].decode() not in shown


def test_traditional_form_with_parameters_becomes_pkcs8() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    traditional = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    pkcs8 = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    assert identity_from_pem(traditional, "k").private_key_pem == pkcs8
    assert identity_from_pem(parameters + traditional, "k").private_key_pem == pkcs8


def test_encrypted() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    with pytest.raises(KeyFileError) as caught:
        identity_from_pem(pem, "my key")
    assert str(caught.value) == "my key: private key is encrypted; decrypt it: openssl pkey -in 'my key' -out NEW"


def test_der_and_public_keys_are_refused(tmp_path: Path) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    for content in (der, b"-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----\n"):
        with pytest.raises(KeyFileError, match="k: not a PEM private key; make one with softmesh keygen"):
            identity_from_pem(content, "k")


def test_a_key_of_another_size_is_none() -> None:
    """An Ed448 key of 32 octets: OpenSSL has no name for that error, and cryptography tells of it its own way."""
    key = bytes.fromhex("302e020100300506032b657104220420") + bytes(32)
    pem = b"-----BEGIN PRIVATE KEY-----\n" + base64.encodebytes(key) + b"-----END PRIVATE KEY-----\n"
    with pytest.raises(KeyFileError, match="k: not a PEM private key"):
        identity_from_pem(pem, "k")


def test_kinds_that_cannot_sign() -> None:
    pem = x25519.X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(KeyFileError, match="a key of a kind that IKEv2 cannot sign with"):
        identity_from_pem(pem, "k")


def test_open_to_others(tmp_path: Path) -> None:
    path = write(tmp_path / "identity.key", k1_pem(), 0o644)
    with pytest.raises(SecretFileError) as caught:
        load_identity(path)
    assert str(caught.value) == (f"{path}: the private key is open to group or others (mode 0644); chmod 600 {path}")
