"""The commands against whatever listens on the control socket: a word and a status, no traceback."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from softmesh import cli


class Listener:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.answer = b""
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen()
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                if not connection.recv(65536):
                    return
                connection.sendall(self.answer)


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    made = Listener(tmp_path / "control.sock")
    yield made
    with socket.socket(socket.AF_UNIX) as last:
        last.connect(str(made.path))
    made.thread.join()
    made.socket.close()


def asked(listener: Listener, *command: str, answer: Any) -> int:
    listener.answer = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return cli.main([*command, "--socket", str(listener.path)])


@pytest.mark.parametrize("command", ["status", "plan", "explain", "audit", "announce", "withdraw", "events"])
@pytest.mark.parametrize("answer", [{}, {"softwires": 3, "routes": 1, "unmet": {}, "announcing": 7}])
def test_an_answer_of_another_shape(
    listener: Listener, capfd: pytest.CaptureFixture[str], command: str, answer: Any
) -> None:
    """As of a bridge that was not restarted after an upgrade."""
    words = ["explain", "10.0.0.0/8"] if command == "explain" else [command]
    assert asked(listener, *words, answer=answer) == 1
    said = capfd.readouterr().err
    assert "restart softmesh run if it is of another version" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("answer", [b"", b"[]", b"[" * 100_000, b"\xff", b"3"])
def test_no_answer_at_all(listener: Listener, capsys: pytest.CaptureFixture[str], answer: bytes) -> None:
    assert asked(listener, "status", answer=answer) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_what_others_wrote_is_shown_escaped(listener: Listener, capsys: pytest.CaptureFixture[str]) -> None:
    """The name of somebody's connection, say, or a neighbour's words at the end of a session (RFC 9003)."""
    answer = {"actions": ["unload connection softmesh-\x1b]0;x\x07"], "removal_awaits": [], "charon": ""}
    assert asked(listener, "plan", answer=answer) == 0
    assert capsys.readouterr().out == "unload connection softmesh-\\x1b]0;x\\x07\n"
