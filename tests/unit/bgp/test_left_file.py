"""The files that a hook leaves to its successor."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from softmesh.bgp.left_file import LeftFile


def left(path: Path, logged: list[str]) -> LeftFile[dict[str, str]]:
    return LeftFile(path, dict[str, str], {}, "all is found out anew", logged.append)


def test_what_one_leaves_the_next_reads(tmp_path: Path) -> None:
    path, logged = tmp_path / "left", list[str]()
    assert left(path, logged).read() == {}
    left(path, logged).write({"10.0.0.11": "why"})
    assert left(path, logged).read() == {"10.0.0.11": "why"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["left"]
    assert logged == []


def test_it_is_written_only_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "left"
    file = left(path, [])
    file.write({})
    assert not path.exists()
    file.write({"a": "b"})
    before = path.stat().st_ino
    file.write({"a": "b"})
    assert path.stat().st_ino == before
    file.write({})
    assert left(path, []).read() == {}


@pytest.mark.parametrize("garbage", [b"", b"{", b"\xff\xfe", b"[]", b'{"a": 1}', b"[" * 100_000])
def test_garbage_is_as_good_as_nothing_and_is_replaced(tmp_path: Path, garbage: bytes) -> None:
    path, logged = tmp_path / "left", list[str]()
    path.write_bytes(garbage)
    file = left(path, logged)
    assert file.read() == {}
    assert len(logged) == 1
    assert "all is found out anew" in logged[0]
    file.write({"a": "b"})
    assert left(path, []).read() == {"a": "b"}


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    path, logged = tmp_path / "left", list[str]()
    os.mkfifo(path)
    file = left(path, logged)
    assert file.read() == {}
    assert "not a regular file" in logged[0]
    file.write({"a": "b"})
    assert left(path, []).read() == {"a": "b"}


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    logged = list[str]()
    left(tmp_path / "absent" / "left", logged).write({"a": "b"})
    assert len(logged) == 1
