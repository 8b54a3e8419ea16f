"""The control socket: one JSON object a line asks, one answers. Owner only."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from softmesh.errors import OperatorError, SoftmeshError

Answer: TypeAlias = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]

_LONGEST_REQUEST = 65536
_PATIENCE = 10.0
"""Seconds a client may take to ask, or to read what it asked for."""


class ControlServer:
    """Answers commands on a unix socket; ``answers`` has a function for each."""

    def __init__(self, path: Path, answers: Mapping[str, Answer]) -> None:
        self._path = path
        self._answers = answers

    async def serve(self) -> asyncio.Server:
        """Listen; the caller closes the server. Raises OperatorError where another bridge listens already."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._path.exists():
            await self._replace_stale()
        listener = socket.socket(socket.AF_UNIX)
        # The mode must be right from the first instant, not from a chmod after.
        before = os.umask(0o177)
        try:
            listener.bind(str(self._path))
        except OSError as error:
            raise OperatorError(f"control socket {self._path}: {error.strerror}; see sockets.directory") from error
        finally:
            os.umask(before)
        return await asyncio.start_unix_server(self._converse, sock=listener, limit=_LONGEST_REQUEST)

    async def _replace_stale(self) -> None:
        try:
            _, writer = await asyncio.open_unix_connection(self._path)
        except (ConnectionRefusedError, FileNotFoundError):
            self._path.unlink(missing_ok=True)
        except OSError as error:
            raise OperatorError(f"control socket {self._path}: {error.strerror}; see sockets.directory") from error
        else:
            writer.close()
            raise OperatorError(
                f"control socket {self._path}: another softmesh run listens there; stop it, or set sockets.directory"
            )

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                line = await reader.readline()
                if line:
                    writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
                    await writer.drain()
        except (TimeoutError, OSError, ValueError):
            # ValueError: a line over the limit. Whoever asks like that gets no answer; the bridge has lost nothing.
            pass
        finally:
            writer.close()

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
