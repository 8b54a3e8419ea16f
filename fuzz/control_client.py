"""The control socket as the commands read it: whoever listens there, the commands end with a word and a status."""

from __future__ import annotations

import atexit
import contextlib
import io
import json
import socket
import tempfile
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random

from fuzz import mutation
from fuzz.control_server import TARGETS, view
from fuzz.target import Target, demand
from softmesh import cli
from softmesh.control.view import explain, status

_ANSWERS = (
    status(view()),
    *(explain(view(), target) for target in TARGETS[:3]),
    {"actions": ["unload connection softmesh-x"], "removal_awaits": ["10.0.0.1"], "charon": ""},
    {"announcing": ["10.1.0.0/24"]},
    {"withdrawn": ["10.1.0.0/24"]},
    {"error": "not so; do this"},
)
CORPUS = tuple(json.dumps(answer).encode() + b"\n" for answer in _ANSWERS)
_COMMANDS = (
    ["status"],
    ["status", "--json"],
    ["plan"],
    ["explain", "10.102.0.1"],
    ["announce"],
    ["withdraw"],
    ["audit"],
)


def mutate(answer: bytes, chance: Random) -> bytes:
    """Other values in the answer, or half of it."""
    return (mutation.document if chance.random() < 0.9 else mutation.octets)(answer, chance)


class _Listener:
    """Answers all who connect with the same octets, whatever they ask."""

    def __init__(self) -> None:
        directory = tempfile.TemporaryDirectory()
        atexit.register(directory.cleanup)
        self.path = Path(directory.name) / "control.sock"
        self.answer = b""
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(self.path))
        self._socket.listen(8)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(65536)
                connection.sendall(self.answer)


@cache
def _listener() -> _Listener:
    return _Listener()


def check(answer: bytes) -> str:
    """The statuses the commands end with."""
    listener = _listener()
    listener.answer = answer
    return " ".join(str(_ended(command, listener.path)) for command in _COMMANDS)


def _ended(command: list[str], path: Path) -> int:
    with _output() as (out, errors):
        ended = cli.main([*command, "--socket", str(path)])
    demand(ended in {0, 1, 3}, f"the status of {command} is one of those documented: {ended}")
    shown, said = out.getvalue(), errors.getvalue()
    demand(shown.replace("\n", "").isprintable(), f"what {command} shows can be: {shown[:300]!r}")
    demand(said.count("\n") <= 1 and said.replace("\n", "").isprintable(), f"an error of {command} is a line: {said!r}")
    demand(ended or not said, f"{command} complains and is content")
    return ended


@contextlib.contextmanager
def _output() -> Iterator[tuple[io.StringIO, io.StringIO]]:
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        yield out, errors


TARGET = Target(CORPUS, mutate, check, seconds=0.5)
