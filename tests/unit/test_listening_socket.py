"""The sockets that the hook and the bridge listen on: whose they are, and what is left behind."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from softmesh import listening_socket
from softmesh.errors import OperatorError
from softmesh.listening_socket import ListeningSocket, SocketBusy, own_directory, stranger


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory with a short name: that of a socket has 107 octets."""
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        yield Path(made)


def listening(path: Path) -> ListeningSocket:
    return ListeningSocket(path, busy="another program listens; stop it", setting="--socket")


def answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def test_owner_only_whatever_the_umask(home: Path) -> None:
    path = home / "run" / "a.sock"
    held = listening(path)
    before = os.umask(0o177)
    try:
        held.open()
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert answers(path)
    held.close()


def test_longest_path_there_can_be(home: Path) -> None:
    path = home / ("d" * (107 - len(f"{home}//a.sock"))) / "a.sock"
    assert len(str(path)) == 107
    held = listening(path)
    held.open()
    assert answers(path)
    held.close()
    assert list(path.parent.iterdir()) == []


def test_busy_is_refused_and_the_other_goes_on(home: Path) -> None:
    path = home / "a.sock"
    held = listening(path)
    held.open()
    with pytest.raises(SocketBusy, match="another program listens; stop it"):
        listening(path).open()
    assert answers(path)
    held.close()
    assert not path.exists()


def test_file_left_by_a_crash_is_replaced(home: Path) -> None:
    path = home / "a.sock"
    with socket.socket(socket.AF_UNIX) as crashed:
        crashed.bind(str(path))
    assert not answers(path)
    held = listening(path)
    held.open()
    assert answers(path)
    held.close()


def test_a_successors_file_is_not_removed(home: Path) -> None:
    path = home / "a.sock"
    first, second = listening(path), listening(path)
    first.open()
    path.unlink()
    second.open()
    first.close()
    assert answers(path)
    second.close()


@pytest.mark.parametrize("obstacle", ["directory", "file as parent", "too long"])
def test_what_cannot_be_made_is_one_line_with_the_path_and_the_setting(home: Path, obstacle: str) -> None:
    match obstacle:
        case "directory":
            path = home / "a.sock"
            path.mkdir()
        case "file as parent":
            (home / "f").write_text("")
            path = home / "f" / "a.sock"
        case _:
            path = home / ("d" * 120) / "a.sock"
    with pytest.raises(OperatorError) as caught:
        listening(path).open()
    assert not isinstance(caught.value, SocketBusy)
    assert str(path if obstacle == "directory" else path.parent) in str(caught.value)
    assert "see --socket" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o750, 0o701, 0o777, 0o1777])
def test_a_directory_open_to_others_is_refused(home: Path, mode: int) -> None:
    home.chmod(mode)
    with pytest.raises(OperatorError) as caught:
        listening(home / "a.sock").open()
    said = str(caught.value)
    assert f"{home}: is open to group or others (mode {mode:04o})" in said
    assert f"chmod 700 {home}, or see --socket" in said
    assert list(home.iterdir()) == []


def test_somebody_elses_directory_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # We are taken for somebody else, for only root could make a directory somebody else's.
    monkeypatch.setattr(os, "geteuid", lambda: 64778)
    with pytest.raises(OperatorError, match=r"belongs to \S+, and we are user 64778; chown 64778"):
        own_directory(home, "--socket")


@pytest.mark.parametrize("we", ["who connects", "somebody else"])
def test_only_root_and_ourselves_are_served(home: Path, we: str, monkeypatch: pytest.MonkeyPatch) -> None:
    held = listening(home / "a.sock")
    held.open()
    if we == "somebody else":
        monkeypatch.setattr(listening_socket, "_ROOT", 64778)
        monkeypatch.setattr(os, "geteuid", lambda: 64778)
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(str(home / "a.sock"))
        connection = held.accept()
        if we == "somebody else":
            assert connection is None
            assert client.recv(1) == b""
        else:
            assert connection is not None
            assert stranger(connection) == ""
            connection.close()
    held.close()
