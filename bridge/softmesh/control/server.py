"""The control socket: one JSON object a line asks, one or a stream of them answers.

For root and the user we run as, nobody else.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any, Self, TypeAlias

import structlog

from softmesh.errors import SoftmeshError
from softmesh.listening_socket import ListeningSocket, stranger
from softmesh.secret_file import user_name

Request: TypeAlias = Mapping[str, Any]
Answer: TypeAlias = Callable[[Request], Awaitable[Mapping[str, Any]]]
Stream: TypeAlias = Callable[[Request], AsyncGenerator[Mapping[str, Any], None]]

_LONGEST_REQUEST = 65536
_PATIENCE = 10.0
"""Seconds a client may take to ask, or to read what it asked for."""
_FAREWELL = 1.0
"""Seconds streams have to end by themselves when we do."""


class ControlServer:
    """Answers commands on a unix socket; ``answers`` has a function for each, ``streams`` for those with many lines."""

    def __init__(self, path: Path, answers: Mapping[str, Answer], streams: Mapping[str, Stream] | None = None) -> None:
        self._answers = answers
        self._streams = streams or {}
        self._following: set[asyncio.Task[None]] = set()
        self._log = structlog.get_logger("softmesh.control")
        self._socket = ListeningSocket(
            path,
            busy="another softmesh run listens there; stop it, or set sockets.directory",
            setting="sockets.directory",
        )

    async def serve(self) -> Self:
        """Listen; leaving ``async with`` ends that. Raises OperatorError where another bridge listens already."""
        self._server = await asyncio.start_unix_server(self._converse, sock=self._socket.open(), limit=_LONGEST_REQUEST)
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._socket.remove()
        self._server.close()
        if self._following:
            told = await asyncio.wait(self._following, timeout=_FAREWELL)
            for following in told[1]:
                following.cancel()
        await self._server.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                # Read whoever asks: who is cut off before sees a broken connection in place of the reason.
                if not (line := await self._line(reader)):
                    return
                who = stranger(writer.get_extra_info("socket"))
                answer = self._refusal(who) if who else await self._answer(line)
                if isinstance(answer, Mapping):
                    await _send(writer, answer)
                    return
            await self._stream(answer, reader, writer)
        except (TimeoutError, OSError):
            pass
        finally:
            writer.close()

    async def _stream(
        self,
        events: AsyncGenerator[Mapping[str, Any], None],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Send until there is no more, the client has left, or we end; who does not read keeps nobody waiting."""

        async def send() -> None:
            async with aclosing(events):
                async for event in events:
                    await _send(writer, event)

        sending = asyncio.create_task(send())
        leaving = asyncio.create_task(_gone(reader))
        leaving.add_done_callback(lambda _: sending.cancel())
        self._following.add(sending)
        try:
            await sending
        except asyncio.CancelledError:
            # By its reader or by our end: either way there is nobody left to tell.
            pass
        finally:
            leaving.cancel()
            self._following.discard(sending)

    async def _line(self, reader: asyncio.StreamReader) -> bytes:
        try:
            return await reader.readline()
        except ValueError:
            # Over the limit: whoever asks like that gets no answer; the bridge has lost nothing.
            return b""

    def _refusal(self, who: str) -> Mapping[str, Any]:
        self._log.warning("command refused", problem=f"{who} is neither root nor the user we run as")
        return {"error": f"the bridge serves root and {user_name(os.geteuid())}, not {who}; ask as one of these"}

    async def _answer(self, line: bytes) -> Mapping[str, Any] | AsyncGenerator[Mapping[str, Any], None]:
        try:
            request = json.loads(line)
            command = request["command"]
            answer = None if command in self._streams else self._answers[command]
        except (ValueError, KeyError, TypeError, RecursionError):
            return {"error": f"not a request; commands are {', '.join((*self._answers, *self._streams))}"}
        try:
            return self._streams[command](request) if answer is None else await answer(request)
        except SoftmeshError as error:
            return {"error": str(error)}


async def _send(writer: asyncio.StreamWriter, answer: Mapping[str, Any]) -> None:
    writer.write(json.dumps(answer).encode() + b"\n")
    await writer.drain()


async def _gone(reader: asyncio.StreamReader) -> None:
    """Wait until the client has closed its end; what it still says counts for nothing."""
    with suppress(OSError):
        while await reader.read(_LONGEST_REQUEST):
            pass
