"""The bridge's side of the hook's socket: keeps the mirror of its Adj-RIB-In up to date, and our announcements."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import sys
import termios
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from softmesh.bgp.adj_rib_in import RouteChanged
from softmesh.bgp.announcement import Announcement
from softmesh.bgp.attribute_refusal import AttributeUse
from softmesh.bgp.extended_next_hop import Lacking
from softmesh.bgp.hook_protocol import (
    MAX_MESSAGE,
    VERSION,
    AttributeRefused,
    CommandFailed,
    ExtendedNextHopLacking,
    Hello,
    LineBuffer,
    LinesLost,
    LineTooLong,
    Resynchronise,
    TryAttribute,
    Wanted,
    decode_from_hook,
    encode,
)
from softmesh.bgp.mirror import Mirror
from softmesh.bgp.route import Neighbor, Route, RouteKey
from softmesh.errors import OperatorError, PeerError

_READ = 256 * 1024
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0
_ERRORS = 20


@dataclass(frozen=True, slots=True)
class HookError:
    """Something the operator should see: a command ExaBGP refused, or a hook that cannot be used."""

    text: str
    at: float
    """CLOCK_MONOTONIC, seconds."""


class HookClient:
    """Keeps the mirror and what is announced up to date, over as many connections as it takes.

    ``on_change`` is called, from the event loop, after anything readable here has changed.
    """

    def __init__(
        self,
        path: str,
        *,
        on_change: Callable[[], None],
        on_delay: Callable[[float], None] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``on_delay``: is told, route by route, how many seconds the hook had it before us."""
        self.connected = False
        self.errors: deque[HookError] = deque(maxlen=_ERRORS)
        self.refused: Mapping[str, str] = {}
        """The neighbours that refuse attribute 23, each with how that was seen."""
        self.lacking: Mapping[str, Lacking] = {}
        """The neighbours RFC 8950 was not negotiated with, each with who does not offer it."""
        self.lost_lines = 0
        """Lines that the present hook found missing in what ExaBGP writes to it."""
        self.resynchronized = 0
        """How often a hook dropped what waited for us, because we read too slowly."""
        self._path = path
        self._on_change = on_change
        self._on_delay = on_delay
        self._monotonic = monotonic
        self._mirror = Mirror()
        self._wanted: frozenset[Announcement] | None = None
        self._attribute: Mapping[str, AttributeUse] = {}
        self._to_try: set[str] = set()
        self._request = asyncio.Event()
        """Set when there is something to be said to the hook."""
        self._wanted_said = False
        self._writer: asyncio.StreamWriter | None = None

    @property
    def unread(self) -> int:
        """Octets from the hook that wait in the socket."""
        if self._writer is None or self._writer.is_closing():
            return 0
        answer = fcntl.ioctl(self._writer.get_extra_info("socket").fileno(), termios.FIONREAD, bytes(4))
        return int.from_bytes(answer, sys.byteorder)

    @property
    def routes(self) -> dict[RouteKey, Route]:
        """The mirrored routes; read them, do not change them."""
        return self._mirror.routes

    def route_counts(self) -> dict[str, dict[str, int]]:
        """How many routes there are, by neighbour and family."""
        counts: dict[str, dict[str, int]] = {}
        for (neighbor, family), count in Counter((key.neighbor, key.family) for key in self.routes).items():
            counts.setdefault(neighbor, {})[family.value] = count
        return counts

    @property
    def neighbors(self) -> dict[str, Neighbor]:
        """ExaBGP's neighbours by address."""
        return self._mirror.neighbors

    @property
    def synced(self) -> bool:
        """Whether we are connected and the hook has sent all that it held."""
        return self._mirror.synced

    @property
    def generation(self) -> int:
        """Grows with every change of routes or neighbours."""
        return self._mirror.generation

    @property
    def instance(self) -> str | None:
        """Which hook told all the routes; None where no single one has."""
        return self._mirror.instance

    @property
    def stale_time(self) -> float | None:
        """How long the hook keeps routes of lost sessions, in seconds; None before it has said so."""
        return self._mirror.stale_time

    def restore(self, routes: Iterable[Route], instance: str | None, at: float) -> None:
        """Begin with what an earlier bridge knew; see ``Mirror.restore``. To be called before ``run``."""
        self._mirror.restore(routes, instance, at)

    def announce(self, wanted: frozenset[Announcement], attribute: Mapping[str, AttributeUse] | None = None) -> None:
        """Set all that should be announced: sent now if connected, and again after every reconnect.

        ``attribute``: whether a neighbour gets attribute 23; those that are not in it are ``auto``.
        """
        if (wanted, attribute or {}) != (self._wanted, self._attribute):
            self._wanted, self._attribute = wanted, attribute or {}
            self._wanted_said = False
            self._request.set()

    def try_attribute(self, neighbor: str) -> None:
        """Have a neighbour tried again that refused attribute 23: now, or when connected."""
        self._to_try.add(neighbor)
        self._request.set()

    async def run(self) -> None:
        """Connect, mirror and reconnect until cancelled."""
        pause = _FIRST_PAUSE
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(self._path)
            except OSError:
                pass
            else:
                try:
                    if await self._converse(reader, writer):
                        pause = _FIRST_PAUSE
                finally:
                    writer.close()
                    with contextlib.suppress(OSError):
                        await writer.wait_closed()
            self._mirror.expire(self._monotonic())
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Talk to one hook until the connection ends; return whether it got as far as a snapshot."""
        self._wanted_said = False
        self._writer = writer
        self._request.set()
        tasks = {
            asyncio.ensure_future(self._receive(reader)),
            asyncio.ensure_future(self._send(writer)),
            asyncio.ensure_future(self._age()),
        }
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            was_synced = self.synced
            self.connected = False
            self._mirror.lost()
        for result in results:
            if isinstance(result, PeerError | OperatorError):
                self._note(str(result))
        self._on_change()
        for task in done:
            failure = task.exception()
            if failure is not None and not isinstance(failure, PeerError | OperatorError | OSError):
                raise failure
        return was_synced

    async def _receive(self, reader: asyncio.StreamReader) -> None:
        lines = LineBuffer(MAX_MESSAGE)
        greeted = False
        while data := await reader.read(_READ):
            before = (self.generation, self.synced, self.connected, len(self.errors))
            now = self._monotonic()
            for line in lines.feed(data):
                if isinstance(line, LineTooLong):
                    raise PeerError(f"{self._path}: the hook sent a line longer than {MAX_MESSAGE} octets")
                message = decode_from_hook(line)
                if isinstance(message, Hello):
                    self._mirror.hello(message, now)
                    self.connected = greeted = True
                elif not greeted:
                    raise PeerError(f"{self._path}: whatever listens there did not say hello as a hook does")
                elif isinstance(message, AttributeRefused):
                    self.refused = message.reasons
                    before = (-1, *before[1:])
                elif isinstance(message, ExtendedNextHopLacking):
                    self.lacking = message.neighbors
                    before = (-1, *before[1:])
                elif isinstance(message, CommandFailed):
                    self.errors.append(HookError(f"{message.command}: {message.reason}", message.at))
                    before = (-1, *before[1:])
                elif isinstance(message, LinesLost):
                    self.lost_lines = message.lines
                elif isinstance(message, Resynchronise):
                    self.resynchronized += 1
                    self._note(f"the hook closed the connection: {message.reason}")
                    return
                else:
                    if isinstance(message, RouteChanged) and self._mirror.synced and self._on_delay is not None:
                        self._on_delay(now - message.route.received_at)
                    self._mirror.apply(message, now)
            if before != (self.generation, self.synced, self.connected, len(self.errors)):
                self._on_change()

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        while True:
            await self._request.wait()
            self._request.clear()
            while self._to_try:
                writer.write(encode(TryAttribute(VERSION, self._to_try.pop())))
            if self._wanted is None or self._wanted_said:
                continue
            self._wanted_said = True
            wanted = sorted(self._wanted, key=lambda announcement: announcement.prefix)
            line = encode(Wanted(VERSION, wanted, dict(self._attribute)))
            if len(line) > MAX_MESSAGE:
                raise OperatorError(
                    f"{len(self._wanted)} announcements make a message of {len(line)} octets for the hook, "
                    f"which takes {MAX_MESSAGE}: announce fewer prefixes"
                )
            writer.write(line)
            await writer.drain()

    async def _age(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            before = self.generation
            self._mirror.expire(self._monotonic())
            if self.generation != before:
                self._on_change()

    def _note(self, text: str) -> None:
        if not self.errors or self.errors[-1].text != text:
            self.errors.append(HookError(text, self._monotonic()))
