"""The control socket: one JSON object a line asks, one answers. For root and the user we run as, nobody else."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Self, TypeAlias

import structlog

from softmesh.errors import SoftmeshError
from softmesh.listening_socket import ListeningSocket, stranger
from softmesh.secret_file import user_name

Answer: TypeAlias = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]

_LONGEST_REQUEST = 65536
_PATIENCE = 10.0
"""Seconds a client may take to ask, or to read what it asked for."""


class ControlServer:
    """Answers commands on a unix socket; ``answers`` has a function for each."""

    def __init__(self, path: Path, answers: Mapping[str, Answer]) -> None:
        self._answers = answers
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
        await self._server.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                # Read whoever asks: who is cut off before sees a broken connection in place of the reason.
                if line := await self._line(reader):
                    who = stranger(writer.get_extra_info("socket"))
                    answer = self._refusal(who) if who else await self._answer(line)
                    writer.write(json.dumps(answer).encode() + b"\n")
                    await writer.drain()
        except (TimeoutError, OSError):
            pass
        finally:
            writer.close()

    async def _line(self, reader: asyncio.StreamReader) -> bytes:
        try:
            return await reader.readline()
        except ValueError:
            # Over the limit: whoever asks like that gets no answer; the bridge has lost nothing.
            return b""

    def _refusal(self, who: str) -> Mapping[str, Any]:
        self._log.warning("command refused", problem=f"{who} is neither root nor the user we run as")
        return {"error": f"the bridge serves root and {user_name(os.geteuid())}, not {who}; ask as one of these"}

    async def _answer(self, line: bytes) -> Mapping[str, Any]:
        try:
            request = json.loads(line)
            answer = self._answers[request["command"]]
        except (ValueError, KeyError, TypeError, RecursionError):
            return {"error": f"not a request; commands are {', '.join(self._answers)}"}
        try:
            return await answer(request)
        except SoftmeshError as error:
            return {"error": str(error)}
