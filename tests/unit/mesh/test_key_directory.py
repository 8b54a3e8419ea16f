"""The key directory: what is found, what is refused, and that changes are noticed."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from softmesh.cli.keygen import self_signed
from softmesh.mesh import key_directory
from softmesh.mesh.key_directory import KeyDirectory
from softmesh.mesh.public_key import FoundKey, authenticator, find_keys
from tests.unit.config.site import k1_pem, write


class Key:
    """A peer's key in several forms."""

    def __init__(self) -> None:
        private = ed25519.Ed25519PrivateKey.generate()
        public = private.public_key()
        self.spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        self.certificate = self_signed(private, "peer").public_bytes(Encoding.PEM)
        self.authenticator = authenticator(self.spki)


def put(path: Path, content: bytes, mode: int = 0o644) -> Path:
    return write(path, content, mode)


def settle(*paths: Path) -> None:
    """Let files look as if last changed an hour ago; their ctime stays, as nothing can set it."""
    then = time.time() - 3600
    for path in paths:
        os.utime(path, (then, then))


@pytest.fixture
def settled_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust time stamps however young."""
    monkeypatch.setattr(key_directory, "SETTLING_NS", -1)


def test_keys_and_certificates_are_found(tmp_path: Path) -> None:
    raw, plain, certified = Key(), Key(), Key()
    put(tmp_path / "a.der", raw.spki)
    put(tmp_path / "b.pem", plain.pem)
    put(tmp_path / "c.crt", certified.certificate)
    directory = KeyDirectory(tmp_path)
    assert directory.find(raw.authenticator) is None
    assert directory.scan() is True
    assert directory.usable
    assert directory.problems == ()
    assert len(directory) == 3
    for key, name in ((raw, "a.der"), (plain, "b.pem"), (certified, "c.crt")):
        found = directory.find(key.authenticator)
        assert found is not None
        assert (found.spki, found.authenticator) == (key.spki, key.authenticator)
        assert found.origin == str(tmp_path / name)
    assert directory.find(bytes(20)) is None
    assert directory.scan() is False


def test_several_keys_in_a_file_and_one_key_in_two(tmp_path: Path) -> None:
    one, two = Key(), Key()
    put(tmp_path / "a.pem", one.pem + two.certificate)
    put(tmp_path / "b.pem", one.pem)
    directory = KeyDirectory(tmp_path)
    directory.scan()
    found = directory.find(one.authenticator)
    assert found is not None
    assert found.origin.endswith("/a.pem")
    (tmp_path / "a.pem").unlink()
    assert directory.scan() is True
    found = directory.find(one.authenticator)
    assert found is not None
    assert found.origin.endswith("/b.pem")
    assert directory.find(two.authenticator) is None


@pytest.mark.parametrize(("bare", "certified"), [("a.pem", "b.pem"), ("b.pem", "a.pem"), ("both.pem", "both.pem")])
def test_a_certificate_wins_over_the_bare_key(tmp_path: Path, bare: str, certified: str) -> None:
    key = Key()
    for name, content in ((bare, key.pem), (certified, key.certificate)):
        with (tmp_path / name).open("ab") as file:
            file.write(content)
    directory = KeyDirectory(tmp_path)
    directory.scan()
    found = directory.find(key.authenticator)
    assert found is not None
    assert found.certificate == x509.load_pem_x509_certificate(key.certificate).public_bytes(Encoding.DER)
    assert (found.spki, found.origin) == (key.spki, str(tmp_path / certified))
    (tmp_path / certified).write_bytes(key.pem)
    assert directory.scan() is True
    found = directory.find(key.authenticator)
    assert found is not None
    assert found.certificate is None


def test_changes_are_noticed(tmp_path: Path) -> None:
    old, new = Key(), Key()
    path = put(tmp_path / "peer.pem", old.pem)
    directory = KeyDirectory(tmp_path)
    assert directory.scan() is True
    # Same name, same size, same inode and perhaps the same time stamp.
    path.write_bytes(new.pem)
    assert directory.scan() is True
    assert directory.find(old.authenticator) is None
    assert directory.find(new.authenticator) is not None
    path.unlink()
    assert directory.scan() is True
    assert len(directory) == 0
    assert directory.scan() is False


@pytest.mark.usefixtures("settled_at_once")
def test_settled_files_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        settle(put(tmp_path / f"{number}.pem", Key().pem))
    read: list[str] = []

    def counting(data: bytes, origin: str) -> tuple[FoundKey, ...]:
        read.append(Path(origin).name)
        return find_keys(data, origin)

    monkeypatch.setattr(key_directory, "find_keys", counting)
    directory = KeyDirectory(tmp_path)
    directory.scan()
    assert len(read) == 5
    directory.scan()
    assert len(read) == 5
    replacement = put(tmp_path / "new", Key().pem)
    settle(replacement)
    replacement.replace(tmp_path / "3.pem")
    assert directory.scan() is True
    assert read[5:] == ["3.pem"]


@pytest.mark.usefixtures("settled_at_once")
def test_a_change_of_mode_is_a_change(tmp_path: Path) -> None:
    key = Key()
    path = put(tmp_path / "peer.pem", key.pem)
    directory = KeyDirectory(tmp_path)
    directory.scan()
    path.chmod(0o666)
    assert directory.scan() is True
    assert directory.find(key.authenticator) is None
    assert directory.problems == (f"{path}: anybody may write to it; chmod o-w {path}",)


def test_what_is_not_a_key_is_named_and_spoils_nothing(tmp_path: Path) -> None:
    good = Key()
    put(tmp_path / "good.pem", good.pem)
    put(tmp_path / "README", b"keys of the mesh\n")
    put(tmp_path / "big", b"x" * 65537)
    put(tmp_path / "own.key", k1_pem(), 0o600)
    put(tmp_path / ".hidden", b"not looked at")
    (tmp_path / "old").mkdir()
    os.mkfifo(tmp_path / "pipe")
    directory = KeyDirectory(tmp_path)
    directory.scan()
    assert len(directory) == 1
    assert [problem.replace(f"{tmp_path}/", "") for problem in directory.problems] == [
        "README: neither a public key nor a certificate; put a PEM or DER one there, or remove the file",
        "big: more than 65536 octets, which is no key; remove it",
        "own.key: holds a private key; keep only the public key or certificate there",
        "pipe: not a regular file; remove it",
    ]
    assert directory.scan() is False


def test_private_key_beside_a_certificate_is_refused_whole(tmp_path: Path) -> None:
    key = Key()
    put(tmp_path / "both.pem", key.pem + k1_pem())
    directory = KeyDirectory(tmp_path)
    directory.scan()
    assert directory.find(key.authenticator) is None


def test_symbolic_links_are_followed(tmp_path: Path) -> None:
    key = Key()
    elsewhere = put(tmp_path / "key.pem", key.pem)
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "peer").symlink_to(elsewhere)
    (tmp_path / "keys" / "dangling").symlink_to(tmp_path / "absent")
    directory = KeyDirectory(tmp_path / "keys")
    directory.scan()
    assert directory.find(key.authenticator) is not None
    assert directory.problems == ()


def test_a_file_seen_half_written_keeps_its_keys_until_it_has_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = Key()
    path = put(tmp_path / "peer.pem", key.pem)
    directory = KeyDirectory(tmp_path)
    directory.scan()
    path.write_bytes(key.pem[:40])
    assert directory.scan() is True
    assert directory.find(key.authenticator) is not None
    assert directory.problems == (f"{path}: PEM block without an end; copy the whole file again",)
    monkeypatch.setattr(key_directory, "SETTLING_NS", -1)
    assert directory.scan() is True
    assert directory.find(key.authenticator) is None


def test_a_directory_anybody_may_write_to_is_refused(tmp_path: Path) -> None:
    key = Key()
    put(tmp_path / "peer.pem", key.pem)
    directory = KeyDirectory(tmp_path)
    directory.scan()
    tmp_path.chmod(0o777)
    assert directory.scan() is True
    assert not directory.usable
    assert directory.find(key.authenticator) is None
    tmp_path.chmod(0o755)
    assert directory.scan() is True
    assert directory.find(key.authenticator) is not None


def test_missing_directory_comes_and_goes(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    directory = KeyDirectory(keys)
    assert directory.scan() is True
    assert directory.scan() is False
    assert directory.problems == (f"{keys}: no such directory; create it or remove it from trust.keys",)
    keys.mkdir()
    put(keys / "peer.pem", Key().pem)
    assert directory.scan() is True
    assert len(directory) == 1


def test_keys_stay_while_the_directory_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = Key()
    put(tmp_path / "peer.pem", key.pem)
    directory = KeyDirectory(tmp_path)
    directory.scan()

    def stale(path: Path) -> list[str]:
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr(os, "listdir", stale)
    assert directory.scan() is True
    assert directory.problems == (f"{tmp_path}: cannot be read (Stale file handle); correct its owner or mode",)
    assert directory.find(key.authenticator) is not None
    assert directory.scan() is False


def test_number_of_files_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_directory, "MAX_FILES", 3)
    for number in range(5):
        put(tmp_path / f"{number}.pem", Key().pem)
    directory = KeyDirectory(tmp_path)
    directory.scan()
    assert len(directory) == 3
    assert directory.problems == (f"{tmp_path}: more than 3 files; the rest is ignored",)
