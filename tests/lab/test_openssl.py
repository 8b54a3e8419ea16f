"""``softmesh keygen`` against openssl: the same hash of the same key, and a certificate it reads as meant."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from softmesh.cli import main
from softmesh.mesh.identity import load_identity


def openssl(*arguments: str, given: bytes = b"") -> bytes:
    """Run openssl and give what it prints."""
    try:
        return subprocess.run(["openssl", *arguments], input=given, check=True, capture_output=True).stdout
    except FileNotFoundError:
        pytest.fail("openssl is missing: apt-get install openssl")


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa-p256", "ecdsa-p384", "rsa-3072"])
def test_openssl_finds_the_same_hash(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keygen", "--type", kind, "--out", f"{tmp_path}/r1"]) == 0
    pem = openssl("x509", "-in", f"{tmp_path}/r1.crt", "-pubkey", "-noout")
    der = openssl("pkey", "-pubin", "-outform", "DER", given=pem)
    digest = hashlib.sha1(der, usedforsecurity=False).hexdigest()
    assert f"authenticator  {digest} (" in capsys.readouterr().out
    assert load_identity(tmp_path / "r1.key").authenticator.hex() == digest
    assert openssl("pkey", "-in", f"{tmp_path}/r1.key", "-pubout", "-outform", "DER") == der
    assert (tmp_path / "r1.pub").read_bytes() == pem


def test_openssl_reads_the_certificate_as_meant(tmp_path: Path) -> None:
    assert main(["keygen", "--out", f"{tmp_path}/r1", "--name", "r1.example"]) == 0
    text = openssl("x509", "-in", f"{tmp_path}/r1.crt", "-noout", "-text").decode()
    assert "CA:FALSE" in text
    assert "Subject: CN = r1.example" in text.replace("CN=", "CN = ")
    assert "Not After : Dec 31 23:59:59 9999 GMT" in text
    openssl("verify", "-CAfile", f"{tmp_path}/r1.crt", "-partial_chain", f"{tmp_path}/r1.crt")
