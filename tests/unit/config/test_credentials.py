"""The files a configuration names: missing, open to others, not what they must be. No secret is shown."""

from __future__ import annotations

import os

import pytest

from softmesh.config import examine, read_password
from softmesh.secret_file import SecretFileError
from tests.unit.config.site import GOOD, Site, k1_pem, rsa_pem, write


def test_password(site: Site) -> None:
    assert read_password(site.password) == "opensesame"
    assert read_password(write(site.password, b"opensesame\r\n\n")) == "opensesame"


@pytest.mark.parametrize(
    ("content", "mode", "problem"),
    [
        (b"opensesame", 0o640, "the password is open to group or others (mode 0640); chmod 600 bgp.password"),
        (b"opensesame", 0o604, "the password is open to group or others (mode 0604); chmod 600 bgp.password"),
        (b"\n", 0o600, "the password file is empty; write the password of the BGP session into it"),
        (b"opensesame\nmore\n", 0o600, "the password file has more than one line; keep the password only"),
        (b"o" * 81, 0o600, "the password has 81 octets, 80 are allowed; use a shorter one"),
        (
            b"open sesame",
            0o600,
            "the password has blanks or characters outside ASCII; use letters, digits and",
        ),
        (
            b"opens\xc3\xa9same",
            0o600,
            "the password has blanks or characters outside ASCII; use letters, digits and",
        ),
        (b"o" * 5000, 0o600, "more than 4096 octets, which is no password; correct the path"),
    ],
)
def test_bad_password_file(site: Site, content: bytes, mode: int, problem: str) -> None:
    write(site.password, content, mode)
    (error,) = site.errors(GOOD)
    assert error.startswith(f"8:7: bgp.neighbors[0].password_file: bgp.password: {problem}")
    assert "open sesame" not in error
    assert "opensesame" not in error


def test_missing_files(site: Site) -> None:
    site.password.unlink()
    site.key.unlink()
    assert site.errors(GOOD) == [
        "8:7: bgp.neighbors[0].password_file: bgp.password: no such password file; create it or correct the path",
        "12:3: identity.private_key: identity.key: no such private key file; create it or correct the path",
    ]


def test_fifo_does_not_hang(site: Site) -> None:
    site.password.unlink()
    os.mkfifo(site.password, 0o600)
    with pytest.raises(SecretFileError, match="must be a regular file"):
        read_password(site.password)


@pytest.mark.parametrize("name", ["x" * 300, "nul\0nul"])
def test_path_that_cannot_be(site: Site, name: str) -> None:
    with pytest.raises(SecretFileError, match="cannot read the password"):
        read_password(site.directory / name)


@pytest.mark.parametrize(
    ("content", "mode", "problem"),
    [
        (k1_pem(), 0o644, "the private key is open to group or others (mode 0644); chmod 600 identity.key"),
        (b"SECRET not a key", 0o600, "not a PEM private key; make one with softmesh keygen"),
        (k1_pem()[:60], 0o600, "not a PEM private key; make one with softmesh keygen"),
        (b"", 0o600, "not a PEM private key; make one with softmesh keygen"),
    ],
)
def test_bad_private_key(site: Site, content: bytes, mode: int, problem: str) -> None:
    write(site.key, content, mode)
    (error,) = site.errors(GOOD)
    assert error == f"12:3: identity.private_key: identity.key: {problem}"


def test_rsa_key_cannot_be_announced(site: Site) -> None:
    write(site.key, rsa_pem())
    (error,) = site.errors(GOOD)
    assert error == (
        "9:1: announce.public_key: our key is RSA 2048, too long for sub-TLV 126; set it to false"
        " and give peers our"
        " public key by trust.keys directory, or make an Ed25519 key"
    )
    assert site.warnings(GOOD.replace("announce:", "announce:\n  public_key: false")) == []


def test_key_directory(site: Site) -> None:
    text = f"{GOOD}trust:\n  keys:\n    - directory: keys\n"
    assert site.warnings(text) == []
    write(site.keys / "peer.pem", b"garbage", 0o644)
    assert site.warnings(text) == [
        "18:7: warning: trust.keys[0].directory: keys/peer.pem: neither a public key nor a"
        " certificate; put a PEM or"
        " DER one there, or remove the file"
    ]
    site.keys.chmod(0o777)
    assert site.errors(text) == [
        "18:7: trust.keys[0].directory: keys: anybody may write to it, so none of its keys is used; chmod o-w keys"
    ]


def test_key_directory_that_is_none(site: Site) -> None:
    text = f"{GOOD}trust: {{keys: [{{directory: NAME}}]}}\n"
    assert site.errors(text.replace("NAME", "absent")) == [
        "16:17: trust.keys[0].directory: absent: no such directory; create it or remove it from trust.keys"
    ]
    assert site.errors(text.replace("NAME", "bgp.password")) == [
        "16:17: trust.keys[0].directory: bgp.password: not a directory; name one in trust.keys"
    ]


def test_private_key_beside_the_peers_keys(site: Site) -> None:
    write(site.keys / "identity.key", k1_pem())
    text = f"{GOOD}trust: {{keys: [{{directory: keys}}]}}\n".replace("identity.key", "keys/identity.key")
    assert site.warnings(text) == [
        "16:17: warning: trust.keys[0].directory: our private key is in the directory of peers'"
        " keys; keep peers' keys"
        " in a directory of their own",
        "16:17: warning: trust.keys[0].directory: keys/identity.key: holds a private key; keep only"
        " the public key or"
        " certificate there",
    ]


def test_exabgp_that_cannot_be_run(site: Site) -> None:
    text = GOOD.replace("managed: true", "managed: true\n  exabgp: bgp.password")
    (error,) = site.errors(text)
    assert error.startswith(
        "4:3: bgp.exabgp: bgp.password is not a program that can be run; correct the path, or remove"
    )


def test_files_are_left_alone_when_told(site: Site) -> None:
    site.file.write_text(GOOD)
    site.key.unlink()
    assert examine(site.file, files=False).problems == ()
