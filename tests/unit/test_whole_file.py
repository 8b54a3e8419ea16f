from __future__ import annotations

import stat
from pathlib import Path

import pytest

from softmesh.whole_file import replace_file


def test_a_file_is_replaced_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    path.chmod(0o644)
    replace_file(path, b"after")
    assert path.read_bytes() == b"after"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [*tmp_path.iterdir()] == [path]


def test_what_was_begun_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"theirs")
    (tmp_path / "file.new").symlink_to(victim)
    replace_file(tmp_path / "file", b"ours")
    assert victim.read_bytes() == b"theirs"
    assert (tmp_path / "file").read_bytes() == b"ours"


def test_what_cannot_be_written_leaves_the_old(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        replace_file(path, b"after")
    assert path.is_dir()
