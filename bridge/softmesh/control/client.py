"""Asks the running bridge, over its control socket."""

from __future__ import annotations

import json
import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from softmesh.errors import OperatorError, PeerError, Unreachable, printable

_PATIENCE = 15.0
_LONGEST = 64 * 1024 * 1024
"""Octets of an answer; of 5,000 softwires status is some 10 MiB."""


def ask(path: Path, command: str, **arguments: Any) -> dict[str, Any]:
    """Ask for ``command`` and return the answer.

    Raises Unreachable where no bridge listens at ``path``, OperatorError where the bridge refuses, or we may not ask.
    """
    received = bytearray()
    with _asking(path, command, arguments) as connection:
        while octets := connection.recv(1 << 18):
            received += octets
            if len(received) > _LONGEST:
                raise PeerError(f"control socket {path}: an answer of more than {_LONGEST} octets; ask again")
    return _read(path, received)


def follow(path: Path, command: str, *, leave: int | None = None, **arguments: Any) -> Iterator[dict[str, Any]]:
    """Ask for ``command`` and yield its answers as they come, until the bridge ends them.

    ``leave``: a file descriptor of ours, whose readers' leaving ends it with BrokenPipeError. Raises as ``ask`` does.
    """
    with _asking(path, command, arguments) as connection:
        connection.settimeout(None)
        ready = select.poll()
        ready.register(connection, select.POLLIN)
        if leave is not None:
            # Errors alone, which are always reported.
            ready.register(leave, 0)
        pending, told = bytearray(), False
        while all(number != leave for number, _ in ready.poll()):
            if not (octets := connection.recv(1 << 18)):
                # What a bridge that was killed left half said is lost; who has said nothing whole is no bridge.
                if pending and not told:
                    yield _read(path, pending)
                return
            *lines, pending = (pending + octets).split(b"\n")
            for line in lines:
                yield _read(path, line)
                told = True
            if len(pending) > _LONGEST:
                raise PeerError(f"control socket {path}: a line of more than {_LONGEST} octets; ask again")
    raise BrokenPipeError(f"nobody reads file descriptor {leave} any more")


@contextmanager
def _asking(path: Path, command: str, arguments: dict[str, Any]) -> Iterator[socket.socket]:
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_PATIENCE)
            connection.connect(str(path))
            connection.sendall(json.dumps({"command": command, **arguments}).encode() + b"\n")
            yield connection
    except PermissionError as error:
        raise OperatorError(
            f"control socket {path}: {error.strerror}; ask as root, or as the user that softmesh run runs as"
        ) from error
    except OSError as error:
        why = error.strerror or f"no answer within {_PATIENCE:g} s"
        raise Unreachable(f"control socket {path}: {why}; is softmesh run running, with the same file?") from error


def _read(path: Path, received: bytes | bytearray) -> dict[str, Any]:
    try:
        answer = json.loads(received)
    except (ValueError, RecursionError) as error:
        raise PeerError(f"control socket {path}: the answer is cut short; ask again") from error
    if not isinstance(answer, dict):
        raise PeerError(f"control socket {path}: not a softmesh bridge")
    if "error" in answer:
        raise OperatorError(str(answer["error"]))
    shown: dict[str, Any] = _printable(answer)
    return shown


def _printable(value: Any) -> Any:
    """With what cannot be printed escaped: not all that is told of is written by the bridge."""
    match value:
        case dict():
            return {printable(name): _printable(item) for name, item in value.items()}
        case list():
            return [_printable(item) for item in value]
        case str():
            return printable(value)
        case _:
            return value
