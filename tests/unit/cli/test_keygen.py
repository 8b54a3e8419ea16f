"""``softmesh keygen``: files, modes, refusals."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from softmesh.cli import main
from softmesh.cli.keygen import NO_EXPIRY
from softmesh.config import read_group_key
from softmesh.mesh.identity import load_identity
from softmesh.mesh.public_key import public_keys
from tests.unit.config.site import K1_AUTHENTICATOR, k1_pem, write


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def mask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def keygen(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["keygen", *arguments])
    output, errors = capsys.readouterr()
    return code, output, errors


@pytest.mark.usefixtures("mask")
def test_three_files_that_belong_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, output, errors = keygen(capsys, "--out", str(tmp_path), "--name", "r1")
    assert (code, errors) == (0, "")
    identity = load_identity(tmp_path / "identity.key")
    assert output.splitlines() == [
        f"private key    {tmp_path}/identity.key",
        f"public key     {tmp_path}/identity.pub",
        f"certificate    {tmp_path}/identity.crt",
        f"authenticator  {identity.authenticator.hex()} (Ed25519)",
    ]
    for name in ("identity.pub", "identity.crt"):
        assert public_keys((tmp_path / name).read_bytes(), name) == (identity.spki,)
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "identity.key").stat().st_mode) == 0o600


def test_certificate_is_self_signed_and_no_authority(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert keygen(capsys, "--out", f"{tmp_path}/r1", "--type", "ecdsa-p256", "--name", "r1.example")[0] == 0
    certificate = x509.load_pem_x509_certificate((tmp_path / "r1.crt").read_bytes())
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert certificate.subject.rfc4514_string() == "CN=r1.example"
    certificate.verify_directly_issued_by(certificate)
    assert certificate.not_valid_after_utc == NO_EXPIRY


def test_private_key_is_created_closed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[tuple[str, int, int]] = []
    original = os.open

    def recording(path: Any, flags: int, mode: int = 0o777, **rest: Any) -> int:
        opened.append((str(path), flags, mode))
        return original(path, flags, mode, **rest)

    monkeypatch.setattr(os, "open", recording)
    assert keygen(capsys, "--out", f"{tmp_path}/r1")[0] == 0
    (private,) = [(flags, mode) for path, flags, mode in opened if path.endswith("r1.key")]
    assert private[0] & os.O_EXCL
    assert private[1] == 0o600


@pytest.mark.parametrize("suffix", ["key", "pub", "crt"])
def test_nothing_is_overwritten_or_written_beside_what_exists(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    existing = write(tmp_path / f"r1.{suffix}", b"precious")
    code, output, errors = keygen(capsys, "--out", f"{tmp_path}/r1")
    assert (code, output) == (1, "")
    assert errors == f"softmesh: {existing}: exists already; use --force to replace it, or another path\n"
    assert existing.read_bytes() == b"precious"
    assert names(tmp_path) == [existing.name]


def test_a_dangling_link_is_not_written_through(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "r1.key").symlink_to(tmp_path / "elsewhere")
    assert keygen(capsys, "--out", f"{tmp_path}/r1")[0] == 1
    assert keygen(capsys, "--out", f"{tmp_path}/r1", "--force")[0] == 0
    assert not (tmp_path / "elsewhere").exists()
    assert not (tmp_path / "r1.key").is_symlink()


def test_force_replaces_and_leaves_nothing_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "identity.key", b"old and open", 0o644)
    write(tmp_path / "identity.key.new", b"left by a crash", 0o644)
    assert keygen(capsys, "--out", f"{tmp_path}/", "--force")[0] == 0
    load_identity(tmp_path / "identity.key")
    assert names(tmp_path) == ["identity.crt", "identity.key", "identity.pub"]


def test_where_it_cannot_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert keygen(capsys, "--out", f"{tmp_path}/none/r1") == (
        1,
        "",
        f"softmesh: {tmp_path}/none: no such directory; mkdir -p -m 700 {tmp_path}/none\n",
    )
    assert keygen(capsys, "--out", "/proc/r1")[2].startswith("softmesh: /proc/r1.key: cannot be written (")
    (tmp_path / "r1.key").mkdir()
    assert "is a directory" in keygen(capsys, "--out", f"{tmp_path}/r1", "--force")[2]


@pytest.mark.parametrize("name", ["x" * 65])
def test_name_that_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    code, _, errors = keygen(capsys, "--out", f"{tmp_path}/r1", "--name", name)
    assert (code, errors) == (
        1,
        "softmesh: --name: must have 1 to 64 characters, has 65; use a shorter one\n",
    )
    assert names(tmp_path) == []


def test_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    private = write(tmp_path / "identity.key", k1_pem())
    assert keygen(capsys, "--show", str(private)) == (0, f"{K1_AUTHENTICATOR}  Ed25519  {private}\n", "")
    public = write(tmp_path / "k.der", load_identity(private).spki)
    assert keygen(capsys, "--show", str(public))[1] == f"{K1_AUTHENTICATOR}  Ed25519  {public}\n"


def test_show_what_is_no_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    garbage = write(tmp_path / "k", b"garbage")
    assert keygen(capsys, "--show", str(garbage)) == (
        1,
        "",
        f"softmesh: {garbage}: neither a public key nor a certificate; put a PEM or DER one there,"
        " or remove the file\n",
    )
    assert keygen(capsys, "--show", f"{tmp_path}/none") == (
        1,
        "",
        f"softmesh: {tmp_path}/none: cannot be read (No such file or directory); correct the path, owner or mode\n",
    )


@pytest.mark.usefixtures("mask")
def test_group_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "group.key"
    assert keygen(capsys, "--group-key", str(path)) == (0, f"group key      {path}\n", "")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = read_group_key(path)
    assert len(key) >= 43
    assert keygen(capsys, "--group-key", str(path)) == (
        1,
        "",
        f"softmesh: {path}: exists already; use --force to replace it, or another path\n",
    )
    assert read_group_key(path) == key
    code, output, errors = keygen(capsys, "--group-key", str(path), "--force")
    assert (code, errors) == (0, "")
    assert read_group_key(path) != key
    assert read_group_key(path).decode() not in output
    assert names(tmp_path) == ["group.key"]


def test_group_key_where_none_can_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert keygen(capsys, "--group-key", f"{tmp_path}/none/group.key") == (
        1,
        "",
        f"softmesh: {tmp_path}/none/group.key: cannot be written (No such file or directory); correct its directory's"
        " owner or mode\n",
    )
    assert "is a directory" in keygen(capsys, "--group-key", str(tmp_path), "--force")[2]
