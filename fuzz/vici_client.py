"""The VICI client against a charon that says anything: each command ends with an answer or one of our own errors."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

from fuzz import vici
from fuzz.target import Target, demand
from softmesh.charon.driver import Driver
from softmesh.charon.packet import Kind, Section, frame
from softmesh.charon.vici import ViciConnection
from softmesh.errors import SoftmeshError

_WITHIN = 0.2
_CONFIRM, _UNKNOWN = frame(bytes([Kind.EVENT_CONFIRM])), frame(bytes([Kind.EVENT_UNKNOWN]))
_LISTING = b"".join(vici.packet("list-sa", message) for event, message in vici.MESSAGES if event == "list-sa")
_REPLY = vici.packet("", {})
CORPUS = (
    _CONFIRM + _LISTING + _REPLY + _CONFIRM,
    _UNKNOWN,
    frame(bytes([Kind.CMD_UNKNOWN])),
    *(vici.packet("", message) for event, message in vici.MESSAGES if not event),
    _CONFIRM + vici.packet("log", vici.MESSAGES[6][1]) + _CONFIRM,
)
_COMMANDS: tuple[Callable[[ViciConnection], Awaitable[object]], ...] = (
    lambda connection: connection.request("version", {}, _WITHIN),
    lambda connection: connection.stream("list-sas", None, "list-sa", _WITHIN),
    lambda connection: connection.listen(["ike-updown", "log"], _WITHIN),
    lambda connection: Driver(connection).ability(),
)


def mutate(stream: bytes, chance: Random) -> bytes:
    """Packets in another order, or damaged."""
    parts = [stream, _CONFIRM, _REPLY, _UNKNOWN, vici.mutate(stream, chance)]
    return b"".join(chance.choice(parts) for _ in range(chance.choice((1, 2, 4))))


def check(stream: bytes) -> str:
    """How each command ended."""
    return asyncio.run(_served(stream))


async def _served(stream: bytes) -> str:
    endings = []
    for command in _COMMANDS:
        ours, charons = socket.socketpair()
        with charons:
            charons.setblocking(False)
            heard: list[tuple[str, Section]] = []
            reader, writer = await asyncio.open_unix_connection(sock=ours)
            connection = ViciConnection(
                Path("fuzz"),
                reader,
                writer,
                lambda event, message, heard=heard: heard.append((event, message)),  # type: ignore[misc]
            )
            # It answers before it is asked, and goes: so nothing is waited for.
            charons.send(stream[:60000])
            charons.shutdown(socket.SHUT_WR)
            try:
                await command(connection)
                endings.append("answered")
            except SoftmeshError as error:
                demand(str(error).isprintable(), f"the error is one line: {error!r}")
                endings.append(type(error).__name__)
            await connection.close()
            demand(connection.closed, "a connection that is closed is")
    return " ".join(endings)


TARGET = Target(CORPUS, mutate, check)
