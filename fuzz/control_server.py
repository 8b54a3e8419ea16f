"""The control socket as the bridge serves it: anything may be asked, and whoever asks next is answered."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import json
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from fuzz import mutation
from fuzz.routes import POLICIES, STEPS, heard
from fuzz.target import Target, demand
from softmesh.control.server import ControlServer
from softmesh.control.view import View, explain, status
from softmesh.mesh.desired import fold
from softmesh.mesh.trust import AnnouncedKeys

TARGETS = ("10.102.0.0/24", "10.102.0.1", "2001:db8:f::66", "10.0.0.0/8", "::/0", "x", "fe80::1%a", "10.0.0.1/8", "")
CORPUS = tuple(
    json.dumps(request).encode() + b"\n"
    for request in (
        {"command": "status"},
        *({"command": "explain", "target": target} for target in TARGETS),
        {"command": "nothing"},
        {"command": "announce", "attribute": "2001:db8:f::fe"},
    )
)
_WITHIN = 5.0


@cache
def view() -> View:
    """What the bridge has to tell."""
    mirror = heard(STEPS)
    desired = fold(mirror.routes.values(), POLICIES[0], [AnnouncedKeys()], now=100.0)
    return View(100.0, "2001:db8:f::1", ("00",), True, (), True, "", (), mirror.neighbors, desired=desired)


async def _status(_request: Mapping[str, Any]) -> Mapping[str, Any]:
    return status(view())


async def _explain(request: Mapping[str, Any]) -> Mapping[str, Any]:
    return explain(view(), str(request.get("target", "")))


def mutate(request: bytes, chance: Random) -> bytes:
    """Another target, other JSON, or none."""
    if chance.random() < 0.3:
        target = mutation.octets(chance.choice(TARGETS).encode(), chance).decode("latin-1")
        return json.dumps({"command": "explain", "target": target}).encode() + b"\n"
    if chance.random() < 0.05:
        return b"[" * chance.randrange(70000) + b"\n"
    changed = (mutation.document if chance.random() < 0.7 else mutation.octets)(request.rstrip(), chance)
    return changed + chance.choice((b"\n", b"\n", b"", b"\n\n", b"\r\n"))


@cache
def _path() -> Path:
    directory = tempfile.TemporaryDirectory()
    atexit.register(directory.cleanup)
    return Path(directory.name) / "run" / "control.sock"


def check(request: bytes) -> str:
    """What was answered."""
    return asyncio.run(_asked(request))


async def _asked(request: bytes) -> str:
    async with await ControlServer(_path(), {"status": _status, "explain": _explain}).serve():
        answer = await _answered(request)
        after = json.loads(await _answered(b'{"command": "explain", "target": "10.102.0.1"}\n'))
        demand(after["routes"], "whoever asks next is answered")
    if not answer:
        return "nothing"
    demand(answer.count(b"\n") == 1 and answer.endswith(b"\n"), "an answer is a line")
    told = json.loads(answer)
    demand(isinstance(told, dict), "an answer is an object")
    return ", ".join(told) if "error" in told or "routes" in told else "status"


async def _answered(request: bytes) -> bytes:
    """What comes back; nothing where the server hangs up on us in the midst of it."""
    reader, writer = await asyncio.open_unix_connection(_path())
    answer = b""
    async with asyncio.timeout(_WITHIN):
        with contextlib.suppress(ConnectionError):
            writer.write(request)
            writer.write_eof()
            while octets := await reader.read(1 << 16):
                answer += octets
    writer.close()
    return answer


# Another event loop and another socket for each.
TARGET = Target(CORPUS, mutate, check, seconds=0.2)
