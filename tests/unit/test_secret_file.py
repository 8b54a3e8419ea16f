"""Which files a secret is taken from, and that no refusal says what is in them."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from softmesh import secret_file
from softmesh.secret_file import SecretFileError, read_secret, user_name

SECRET = b"correct-horse-battery-staple"
STRANGER = 64778
"""A user other than whoever runs the tests."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "home" / "secret"
    file.parent.mkdir(mode=0o755)
    file.write_bytes(SECRET)
    file.chmod(0o600)
    return file


def refused(path: Path, limit: int = 4096) -> str:
    with pytest.raises(SecretFileError) as caught:
        read_secret(path, limit, "password")
    said = str(caught.value)
    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET.decode() not in repr(error), "neither it nor what it came of"
        error = error.__context__
    assert "\n" not in said
    assert said.startswith(str(path))
    return said


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_its_owners_alone_is_read(path: Path, mode: int) -> None:
    path.chmod(mode)
    assert read_secret(path, 4096, "password") == SECRET


@pytest.mark.parametrize("bit", [0o040, 0o020, 0o010, 0o004, 0o002, 0o001])
def test_any_right_of_group_or_others_is_refused(path: Path, bit: int) -> None:
    path.chmod(0o600 | bit)
    said = refused(path)
    assert f"mode {0o600 | bit:04o}" in said
    assert f"chmod 600 {path}" in said


def test_a_symbolic_link_is_no_way_round(path: Path) -> None:
    link = path.parent / "link"
    link.symlink_to(path)
    assert read_secret(link, 4096, "password") == SECRET
    path.chmod(0o640)
    assert "mode 0640" in refused(link)


def test_somebody_elses_file_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # We are taken for somebody else, for only root could make a file somebody else's.
    owner = user_name(os.geteuid())
    monkeypatch.setattr(secret_file, "_ROOT", STRANGER)
    monkeypatch.setattr(os, "geteuid", lambda: STRANGER)
    said = refused(path)
    assert f"belongs to {owner}, and we are user {STRANGER}" in said
    assert f"chown {STRANGER} {path}, or run this as its owner" in said


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o777])
def test_a_directory_others_may_write_to_is_refused(path: Path, mode: int) -> None:
    path.parent.chmod(mode)
    said = refused(path)
    assert f"others may write to the directory {path.parent}" in said
    assert f"chmod go-w {path.parent}" in said


def test_a_sticky_directory_is_none_of_these(path: Path) -> None:
    path.parent.chmod(0o1777)
    assert read_secret(path, 4096, "password") == SECRET


def test_the_directories_above_count_as_well(path: Path) -> None:
    path.parent.parent.chmod(0o777)
    assert f"directory {path.parent.parent} " in refused(path)


def test_so_do_all_that_symbolic_links_lead_through(path: Path, tmp_path: Path) -> None:
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    for directory in (first, second, third):
        directory.mkdir(mode=0o755)
    # A file, by a relative link to an absolute one, through a directory that is a link.
    (third / "home").symlink_to(path.parent)
    (second / "link").symlink_to(third / "home" / ".." / "home" / "secret")
    (first / "link").symlink_to("../second/link")
    assert read_secret(first / "link", 4096, "password") == SECRET
    for directory in (first, second, third, path.parent, tmp_path):
        right = directory.stat().st_mode
        directory.chmod(0o777)
        assert f"directory {directory} " in refused(first / "link")
        directory.chmod(right)
    assert read_secret(first / "link", 4096, "password") == SECRET


def test_a_relative_path_is_one_like_any_other(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    assert read_secret(Path("secret"), 4096, "password") == SECRET
    path.parent.chmod(0o777)
    assert f"directory {path.parent} " in refused(Path("../home/secret"))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        pytest.param(lambda path: None, "no such password file", id="missing"),
        pytest.param(Path.mkdir, "must be a regular file", id="directory"),
        pytest.param(os.mkfifo, "must be a regular file", id="fifo"),
        pytest.param(lambda path: path.symlink_to(path), "cannot read the password", id="loop"),
    ],
)
def test_what_is_no_file(path: Path, make: Callable[[Path], None], says: str) -> None:
    path.unlink()
    make(path)
    assert says in refused(path)


def test_too_long(path: Path) -> None:
    assert read_secret(path, len(SECRET), "password") == SECRET
    assert "more than 27 octets" in refused(path, len(SECRET) - 1)


def test_no_core_is_left_by_us_or_by_what_we_start() -> None:
    script = (
        "import resource, subprocess; from softmesh.secret_file import leave_no_core\n"
        "leave_no_core()\n"
        "print(subprocess.run(['sh', '-c', 'ulimit -Hc; ulimit -Sc'], capture_output=True, text=True).stdout.split())"
    )
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (hard, hard)),
    )  # fmt: skip
    assert done.stdout.strip() == "['0', '0']", done.stderr
