"""Carries connections from one socket to another, so that a page in a namespace can be seen outside of it.

    python -m lab.relay unix:PATH tcp:ADDRESS:PORT

Whoever connects to the first speaks with what listens at the second.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

_OCTETS = 65536


async def serve(listening: str, target: str) -> asyncio.Server:
    """Listen at one socket for the other; both are ``unix:PATH`` or ``tcp:ADDRESS:PORT``. Raises OSError."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # What is not there (yet) looks as it would without a relay: the connection ends.
        with contextlib.suppress(OSError), contextlib.closing(writer):
            far_reader, far_writer = await _connected(target)
            with contextlib.closing(far_writer):
                await asyncio.gather(_copied(reader, far_writer), _copied(far_reader, writer))

    kind, _, place = listening.partition(":")
    if kind == "unix":
        return await asyncio.start_unix_server(carry, place)
    address, _, port = place.rpartition(":")
    return await asyncio.start_server(carry, address, int(port))


async def _connected(target: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    kind, _, place = target.partition(":")
    if kind == "unix":
        return await asyncio.open_unix_connection(place)
    address, _, port = place.rpartition(":")
    return await asyncio.open_connection(address, int(port))


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until the end, and hand that on: either direction may end first."""
    while octets := await reader.read(_OCTETS):
        writer.write(octets)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


async def _forever(listening: str, target: str) -> None:
    async with await serve(listening, target) as server:
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_forever(sys.argv[1], sys.argv[2]))
