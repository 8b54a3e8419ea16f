"""A netlink socket for links, addresses and routes: many requests at a time, and dumps that the kernel filters."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from pyroute2 import AsyncIPRoute, NetlinkError
from pyroute2.netlink import NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST
from pyroute2.netlink.nlsocket import NetlinkRequest

from softmesh.errors import OperatorError, Unreachable

Message: TypeAlias = Any
"""One of pyroute2's, with type and flags set."""

_TOGETHER = 64
"""Requests at a time: their answers wait in the socket's buffer, which must hold them all."""
_PATIENCE = 60.0
"""Seconds for one batch or dump; the kernel answers at once, but the machine may be slow."""
_ATTEMPTS = 5
"""How often a dump is begun anew because what it lists changed under it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """To one request."""

    code: int = 0
    """Error number; 0: done."""
    words: str = ""
    """Why it was refused, the kernel's own where it gave any."""
    messages: tuple[Message, ...] = ()


class Netlink:
    """An open socket; see ``opened``."""

    def __init__(self, socket: AsyncIPRoute) -> None:
        self._socket = socket

    async def ask(self, messages: Sequence[Message]) -> list[Answer]:
        """Have requests done in order; one that is refused stops no other."""
        answers: list[Answer] = []
        for first in range(0, len(messages), _TOGETHER):
            answers += await self._ask(messages[first : first + _TOGETHER])
        return answers

    async def dump(self, message: Callable[[], Message]) -> list[Message]:
        """Everything that a request asks for; what is asked of a table that does not exist is nothing.

        If it keeps changing meanwhile, what was found last: at worst something is done that was done already.
        """
        found: list[Message] = []
        for _ in range(_ATTEMPTS):
            interrupted: list[Message] = []

            def look(answer: Message, interrupted: list[Message] = interrupted) -> None:
                if answer["header"]["flags"] & NLM_F_DUMP_INTR:
                    interrupted.append(answer)

            request = message()
            async with _patience():
                try:
                    answers = await self._socket.nlm_request(
                        request, request["header"]["type"], NLM_F_REQUEST | NLM_F_DUMP, callback=look
                    )
                    found = [answer async for answer in answers]
                except NetlinkError as error:
                    if error.code != errno.ENOENT:
                        raise
                    found = []
            if not interrupted:
                break
        return found

    async def _ask(self, messages: Sequence[Message]) -> list[Answer]:
        requests = [NetlinkRequest(self._socket, message) for message in messages]
        for request in requests:
            await request.prepare()
        self._socket.send(b"".join(request.msg.data for request in requests))
        async with _patience():
            return [await _answer(request) for request in requests]


@asynccontextmanager
async def opened() -> AsyncIterator[Netlink]:
    """Open a socket in this thread's network namespace.

    Raises OperatorError where the kernel refuses as a whole, Unreachable where it does not answer.
    """
    try:
        # Strict: it is the kernel that leaves out the routes not asked for, of which there may be a million.
        async with AsyncIPRoute(strict_check=True, ext_ack=True) as socket:
            yield Netlink(socket)
    except NetlinkError as error:
        raise OperatorError(f"the kernel does not show its interfaces and routes: {os.strerror(error.code)}") from error
    except OSError as error:
        raise OperatorError(f"no netlink socket: {error.strerror or error}") from error


@asynccontextmanager
async def _patience() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(_PATIENCE):
            yield
    except TimeoutError:
        raise Unreachable(f"the kernel has not answered over netlink for {_PATIENCE:.0f} s") from None


async def _answer(request: NetlinkRequest) -> Answer:
    try:
        return Answer(messages=tuple([message async for message in request.response()]))
    except NetlinkError as error:
        return Answer(code=error.code, words=str(error.args[1]))
