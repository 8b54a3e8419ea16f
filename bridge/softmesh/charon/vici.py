"""The asyncio client of charon's VICI socket.

A connection carries either commands or events: an event between a command and its reply is legal, but kept
apart a listing never waits behind events, nor an event behind a listing.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from softmesh.charon.listing import text
from softmesh.charon.packet import (
    Framer,
    Kind,
    Received,
    Request,
    Section,
    begins_section,
    frame,
    read_message,
    read_packet,
    register_packet,
    request_packet,
    unregister_packet,
)
from softmesh.errors import PeerError, SoftmeshError, Unreachable

OnEvent: TypeAlias = Callable[[str, Section], None]
OnAnswer: TypeAlias = Callable[[str, float, str], None]
"""Is told of a command, the seconds from sending it, and what came instead of an answer; empty if one came."""

DEFAULT_TIMEOUT = 10.0
"""Seconds a command may take: the longest, a listing of 5,000 softwires, takes a quarter of one."""
_READ_SIZE = 256 * 1024


class CommandError(SoftmeshError):
    """charon understood a command and refused it."""

    def __init__(self, command: str, errmsg: str) -> None:
        super().__init__(f"charon refused {command}: {errmsg}")
        self.command = command
        self.errmsg = errmsg
        """charon's own words."""


class UnknownCommandError(SoftmeshError):
    """The charon at hand has no such command: it is too old, or a plugin is not loaded."""

    def __init__(self, command: str) -> None:
        super().__init__(f"charon knows no command {command}: is it older than 5.9?")
        self.command = command


class UnknownEventError(SoftmeshError):
    """The charon at hand has no such event."""

    def __init__(self, event: str) -> None:
        super().__init__(f"charon knows no event {event}: is it older than 5.9?")
        self.event = event


_ERRORS: dict[type[BaseException], str] = {
    CommandError: "refused",
    UnknownCommandError: "unknown",
    UnknownEventError: "unknown",
    PeerError: "malformed",
}
"""How metrics call them; whatever else ends a command, no answer has come."""


def _unheard(_command: str, _seconds: float, _error: str) -> None:
    """Whoever has no use for them."""


@dataclass(frozen=True, slots=True)
class _Listing:
    """A command under way that answers by events."""

    event: str
    about: str
    sections: list[Section]


class ViciConnection:
    """One connection to charon's VICI socket.

    Requests are served one at a time, in order. Whatever leaves a reply outstanding (a timeout, a
    cancellation) closes the connection, for the next request would take that reply for its own.
    """

    def __init__(
        self,
        path: Path,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        on_event: OnEvent | None,
        on_answer: OnAnswer | None = None,
    ) -> None:
        self._name = f"charon's VICI socket {path}"
        self._on_answer = on_answer or _unheard
        self._reader = reader
        self._writer = writer
        self._on_event = on_event
        self._turn = asyncio.Lock()
        self._reply: asyncio.Future[Received] | None = None
        self._listing: _Listing | None = None
        self._failure: SoftmeshError | None = None
        self._reading = asyncio.create_task(self._read(), name=f"vici {path}")

    @classmethod
    async def open(
        cls,
        path: Path,
        on_event: OnEvent | None = None,
        within: float = DEFAULT_TIMEOUT,
        on_answer: OnAnswer | None = None,
    ) -> ViciConnection:
        """Connect to the socket at ``path`` within ``within`` seconds; events go to ``on_event``.

        ``on_answer`` is told of every command. Raises Unreachable.
        """
        try:
            async with asyncio.timeout(within):
                reader, writer = await asyncio.open_unix_connection(path)
        except PermissionError as error:
            raise Unreachable(
                f"charon's VICI socket {path}: {error.strerror}; run as root, or have charon.group open it to us "
                "(strongswan/softmesh-user.conf)"
            ) from error
        except (OSError, TimeoutError) as error:
            why = getattr(error, "strerror", None) or "no answer"
            raise Unreachable(
                f"charon's VICI socket {path}: {why}; is strongSwan running, with its vici plugin?"
            ) from error
        return cls(path, reader, writer, on_event, on_answer)

    @property
    def closed(self) -> bool:
        """Whether nothing more will come or can be sent."""
        return self._failure is not None

    async def wait_closed(self) -> None:
        """Wait until either side has closed; raises what ``on_event`` raised, if that was why."""
        await asyncio.wait([self._reading])
        if not self._reading.cancelled():
            self._reading.result()

    @property
    def failure(self) -> SoftmeshError | None:
        """Why it is closed; None while it is not."""
        return self._failure

    async def close(self) -> None:
        """Close; requests under way raise Unreachable."""
        self._fail(Unreachable(f"{self._name}: closed by us"))
        self._reading.cancel()
        await asyncio.wait([self._reading])
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def request(self, command: str, message: Request | None = None, within: float = DEFAULT_TIMEOUT) -> Section:
        """Send a command and return its reply, waiting ``within`` seconds for it once its turn has come.

        Raises CommandError, UnknownCommandError, Unreachable (closed, or out of time), PeerError (malformed).
        """
        async with self._turn:
            with self._timed(command):
                return await self._command(command, message, within)

    async def stream(
        self, command: str, message: Request | None, event: str, within: float = DEFAULT_TIMEOUT, *, about: str = ""
    ) -> list[Section]:
        """Send a command that answers by events (list-sas by list-sa) and return these.

        ``about``: only read events about what has this prefix in its name, and give an empty section for each other:
        where others have 13,000 connections, to read them all takes half a second. Raises as ``request``, and
        UnknownEventError.
        """
        async with self._turn:
            sections: list[Section] = []
            self._listing = _Listing(event, about, sections)
            try:
                with self._timed(command):
                    if not await self._registration(register_packet(event), f"list {event}", within):
                        raise UnknownEventError(event)
                    await self._command(command, message, within)
                    await self._registration(unregister_packet(event), f"unlist {event}", within)
            finally:
                self._listing = None
            return sections

    async def listen(self, events: Iterable[str], within: float = DEFAULT_TIMEOUT) -> frozenset[str]:
        """Ask for events, which go to ``on_event`` from now on; returns those this charon does not know."""
        async with self._turn:
            return frozenset(
                [
                    event
                    for event in events
                    if not await self._registration(register_packet(event), f"event {event}", within)
                ]
            )

    async def unlisten(self, events: Iterable[str], within: float = DEFAULT_TIMEOUT) -> None:
        """Ask for events no more."""
        async with self._turn:
            for event in events:
                await self._registration(unregister_packet(event), f"event {event}", within)

    @contextlib.contextmanager
    def _timed(self, command: str) -> Iterator[None]:
        """Tell how long a command takes and how it ends; one that is abandoned has no answer either."""
        began, error = time.monotonic(), ""
        try:
            yield
        except BaseException as failure:
            error = _ERRORS.get(type(failure), "unanswered")
            raise
        finally:
            self._on_answer(command, time.monotonic() - began, error)

    async def _command(self, command: str, message: Request | None, within: float) -> Section:
        try:
            packet = request_packet(command, message or {})
            frame(packet)
        except ValueError as error:
            # What BGP asks for may come to more than VICI can say: that is one refusal, not the end of everything.
            raise CommandError(command, f"not sent ({error})") from error
        reply = await self._exchange(packet, command, within)
        if reply.kind is Kind.CMD_UNKNOWN:
            raise UnknownCommandError(command)
        if reply.kind is not Kind.CMD_RESPONSE:
            raise self._broken(f"answered {command} with {reply.kind.name}")
        section = read_message(reply.body)
        if section.get("success", b"yes") != b"yes":
            raise CommandError(command, text(section.get("errmsg", b"no reason given")))
        return section

    async def _registration(self, packet: bytes, what: str, within: float) -> bool:
        reply = await self._exchange(packet, what, within)
        if reply.kind not in (Kind.EVENT_CONFIRM, Kind.EVENT_UNKNOWN):
            raise self._broken(f"answered a registration ({what}) with {reply.kind.name}")
        return reply.kind is Kind.EVENT_CONFIRM

    async def _exchange(self, packet: bytes, what: str, within: float) -> Received:
        """Send one packet and wait for its answer; the turn is the caller's."""
        octets = frame(packet)
        if self._failure is not None:
            raise Unreachable(str(self._failure))
        reply: asyncio.Future[Received] = asyncio.get_running_loop().create_future()
        self._reply = reply
        try:
            async with asyncio.timeout(within):
                self._writer.write(octets)
                return await reply
        except TimeoutError as error:
            late = Unreachable(f"{self._name}: no answer to {what} within {within:g} s")
            self._fail(late)
            raise late from error
        except asyncio.CancelledError:
            self._fail(Unreachable(f"{self._name}: {what} was abandoned"))
            raise
        finally:
            self._reply = None

    async def _read(self) -> None:
        framer = Framer()
        try:
            while octets := await self._reader.read(_READ_SIZE):
                for packet in framer.feed(octets):
                    self._route(read_packet(packet))
            self._fail(Unreachable(f"{self._name}: charon closed the connection"))
        except OSError as error:
            self._fail(Unreachable(f"{self._name}: {error.strerror or 'connection lost'}"))
        except PeerError as error:
            self._fail(error)
        finally:
            self._fail(Unreachable(f"{self._name}: no longer read"))

    def _route(self, received: Received) -> None:
        if received.kind is Kind.EVENT:
            if self._listing is not None and received.event == self._listing.event:
                ours = begins_section(received.body, self._listing.about)
                self._listing.sections.append(read_message(received.body) if ours else {})
            elif self._on_event is not None:
                self._on_event(received.event, read_message(received.body))
        elif self._reply is not None and not self._reply.done():
            self._reply.set_result(received)
        else:
            raise PeerError(f"VICI: charon sent a {received.kind.name} that nobody asked for")

    def _broken(self, what: str) -> PeerError:
        error = PeerError(f"VICI: charon {what}")
        self._fail(error)
        return error

    def _fail(self, error: SoftmeshError) -> None:
        """Close for this reason; the first one given stands."""
        if self._failure is not None:
            return
        self._failure = error
        self._writer.close()
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(error)


class Vici:
    """charon's VICI socket for as long as the program runs: reconnects by itself, commands apart from events.

    ``on_connection(True)`` is called each time the events are registered, before which no command is let
    through: what a first listing does not show, an event will.
    """

    def __init__(
        self,
        path: Path,
        events: Iterable[str],
        on_event: OnEvent,
        on_connection: Callable[[bool], None],
        *,
        on_answer: OnAnswer | None = None,
        retry_initial: float = 0.1,
        retry_max: float = 5.0,
        within: float = DEFAULT_TIMEOUT,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.path = path
        self.refused_events: frozenset[str] = frozenset()
        """Events this charon does not have."""
        self.last_error: SoftmeshError | None = None
        """Why there is no connection; None while there is one."""
        self._event_names = tuple(events)
        self._on_event = on_event
        self._on_connection = on_connection
        self._on_answer = on_answer
        self._retry_initial = retry_initial
        self._retry_max = retry_max
        self._timeout = within
        self._jitter = jitter
        self._events: ViciConnection | None = None
        self._commands: ViciConnection | None = None
        self._extra: set[str] = set()
        self._opening = asyncio.Lock()
        self._up = asyncio.Event()

    @property
    def connected(self) -> bool:
        """Whether events are registered with a charon that has not closed."""
        return self._up.is_set()

    async def wait_connected(self) -> None:
        """Wait until ``connected``."""
        await self._up.wait()

    async def run(self) -> None:
        """Keep connected until cancelled.

        Between attempts it waits ``retry_initial`` seconds, twice as long each time up to ``retry_max``.
        """
        delay = self._retry_initial
        try:
            while True:
                try:
                    self._events = await ViciConnection.open(self.path, self._on_event, self._timeout)
                    self.refused_events = await self._events.listen((*self._event_names, *self._extra), self._timeout)
                except SoftmeshError as error:
                    self.last_error = error
                else:
                    delay = self._retry_initial
                    self.last_error = None
                    self._up.set()
                    self._on_connection(True)
                    await self._events.wait_closed()
                    self.last_error = self._events.failure
                await self._down()
                await asyncio.sleep(delay * (0.5 + self._jitter() / 2))
                delay = min(delay * 2, self._retry_max)
        finally:
            await self._down()

    async def request(self, command: str, message: Request | None = None, within: float | None = None) -> Section:
        """As ``ViciConnection.request``; raises Unreachable at once while there is no connection."""
        commands = await self._command_connection()
        return await commands.request(command, message, self._timeout if within is None else within)

    async def stream(
        self, command: str, message: Request | None, event: str, within: float | None = None, *, about: str = ""
    ) -> list[Section]:
        """As ``ViciConnection.stream``; raises Unreachable at once while there is no connection."""
        commands = await self._command_connection()
        return await commands.stream(command, message, event, self._timeout if within is None else within, about=about)

    async def listen(self, event: str, *, wanted: bool) -> None:
        """Begin or end to receive an event, beside those of the constructor and across reconnections.

        For events too costly to be had always, ``log`` that is. Raises Unreachable, PeerError.
        """
        if wanted == (event in self._extra):
            return
        self._extra ^= {event}
        events = self._events
        if events is None or not self.connected:
            return
        if wanted:
            self.refused_events |= await events.listen([event], self._timeout)
        elif event not in self.refused_events:
            await events.unlisten([event], self._timeout)

    async def _command_connection(self) -> ViciConnection:
        async with self._opening:
            if not self.connected:
                raise Unreachable(str(self.last_error or f"charon's VICI socket {self.path}: not connected"))
            if self._commands is None or self._commands.closed:
                self._commands = await ViciConnection.open(self.path, None, self._timeout, self._on_answer)
            return self._commands

    async def _down(self) -> None:
        was_up = self.connected
        self._up.clear()
        for connection in (self._events, self._commands):
            if connection is not None:
                await connection.close()
        self._events = self._commands = None
        if was_up:
            self._on_connection(False)
