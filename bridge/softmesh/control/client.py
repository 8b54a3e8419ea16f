"""Asks the running bridge, over its control socket."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from softmesh.errors import OperatorError, PeerError, Unreachable

_PATIENCE = 15.0


def ask(path: Path, command: str, **arguments: Any) -> dict[str, Any]:
    """Ask for ``command`` and return the answer.

    Raises Unreachable where no bridge listens at ``path``, OperatorError where the bridge refuses, or we may not ask.
    """
    received = b""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_PATIENCE)
            connection.connect(str(path))
            connection.sendall(json.dumps({"command": command, **arguments}).encode() + b"\n")
            while octets := connection.recv(1 << 18):
                received += octets
    except PermissionError as error:
        raise OperatorError(
            f"control socket {path}: {error.strerror}; ask as root, or as the user that softmesh run runs as"
        ) from error
    except OSError as error:
        why = error.strerror or f"no answer within {_PATIENCE:g} s"
        raise Unreachable(f"control socket {path}: {why}; is softmesh run running, with the same file?") from error
    try:
        answer = json.loads(received)
    except ValueError as error:
        raise PeerError(f"control socket {path}: the answer is cut short; ask again") from error
    if not isinstance(answer, dict):
        raise PeerError(f"control socket {path}: not a softmesh bridge")
    if "error" in answer:
        raise OperatorError(str(answer["error"]))
    return answer
