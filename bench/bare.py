"""The baseline of ``bench.converge``: load-conn and initiate through the ``vici`` package, and nothing else.

    python -m bench.bare SOCKET CALLS

CALLS holds one call a line, ``["load-conn", {...}]``, octets as ``{"hex": "..."}``. All is read and decoded beforehand;
the calls begin when a line comes on standard input. Prints "ready", then the CLOCK_MONOTONIC readings before the first
call and after the last.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import vici

Call: TypeAlias = tuple[str, Mapping[str, Any]]


def write_calls(path: Path, calls: Sequence[Call]) -> None:
    """Write the calls for a later run of this script."""
    path.write_text("".join(f"{json.dumps([command, _to_json(message)])}\n" for command, message in calls))


def read_calls(path: Path) -> list[Call]:
    """Read what ``write_calls`` wrote."""
    calls = [json.loads(line, object_hook=_from_json) for line in path.read_text().splitlines()]
    return [(command, message) for command, message in calls]


def _to_json(value: Any) -> Any:
    match value:
        case bytes():
            return {"hex": value.hex()}
        case bool():
            # The package's codec would write "True", which charon takes for no.
            return "yes" if value else "no"
        case Mapping():
            return {name: _to_json(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_to_json(inner) for inner in value]
        case _:
            return str(value)


def _from_json(section: dict[str, Any]) -> Any:
    return bytes.fromhex(section["hex"]) if section.keys() == {"hex"} else section


def main(vici_socket: str, calls: list[Call]) -> None:
    """Make the calls when told to."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(vici_socket)
        session = vici.Session(connection)
        print("ready", flush=True)
        sys.stdin.readline()
        began = time.monotonic()
        for command, message in calls:
            # Not session.initiate(): that also registers for control-log events, two more exchanges for each call.
            session.request(command, message)
        print(began, time.monotonic(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], read_calls(Path(sys.argv[2])))
