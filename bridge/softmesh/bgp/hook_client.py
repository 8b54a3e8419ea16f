"""The bridge's side of the hook's socket: a mirror of the hook's Adj-RIB-In, and our announcements.

The mirror outlives the connection. Losing the hook changes nothing in it; a hook that was started again knows
less than its predecessor, so what only that one knew is kept until the neighbour has sent all its routes
again, or its stale time has passed.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from softmesh.bgp.adj_rib_in import NeighborChanged, NeighborStale, RouteChanged, RouteWithdrawn
from softmesh.bgp.announcement import Announcement
from softmesh.bgp.hook_protocol import (
    MAX_MESSAGE,
    VERSION,
    CommandFailed,
    FromHook,
    Hello,
    LineBuffer,
    LineTooLong,
    Resynchronise,
    SnapshotComplete,
    Wanted,
    decode_from_hook,
    encode,
)
from softmesh.bgp.route import Family, Neighbor, PathAttributes, Route, RouteKey, SessionState
from softmesh.errors import OperatorError, PeerError

_READ = 256 * 1024
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0
_ERRORS = 20
_SPARE_ATTRIBUTES = 1024


class Mirror:
    """The Adj-RIB-In as hooks have told it, one after the other. Pure: it reads neither clock nor socket."""

    def __init__(self) -> None:
        self.routes: dict[RouteKey, Route] = {}
        self.neighbors: dict[str, Neighbor] = {}
        self.generation = 0
        """Grows with every change of routes or neighbours."""
        self.synced = False
        """Whether the present hook has sent all that it held."""
        self._instance: str | None = None
        self._stale_time = 0.0
        self._unconfirmed: set[RouteKey] = set()
        self._unconfirmed_until = 0.0
        self._told_neighbors: set[str] = set()
        self._same_hook = False
        self._attributes: dict[PathAttributes, PathAttributes] = {}

    def hello(self, hello: Hello, now: float) -> None:
        """A hook begins its snapshot. Raises OperatorError if it is of another version of Softmesh."""
        if hello.version != VERSION:
            raise OperatorError(
                f"the hook speaks version {hello.version} of its protocol, this bridge {VERSION}: "
                "restart ExaBGP and the bridge from one installation"
            )
        self.synced = False
        self._same_hook = hello.instance == self._instance
        self._instance = hello.instance
        self._stale_time = hello.stale_time
        self._told_neighbors = set()
        if not self._same_hook or not self._unconfirmed:
            self._unconfirmed_until = now + hello.stale_time
        self._unconfirmed = set(self.routes)

    def lost(self) -> None:
        """The connection has ended; what is mirrored stands."""
        self.synced = False

    def apply(self, message: FromHook, now: float) -> None:
        """Fold one message after ``hello``."""
        if isinstance(message, RouteChanged):
            self._route(message.route)
        elif isinstance(message, RouteWithdrawn):
            self._withdraw(message.key)
        elif isinstance(message, NeighborChanged):
            self._neighbor(message.neighbor)
        elif isinstance(message, NeighborStale):
            self._stale(message.neighbor, message.since)
        elif isinstance(message, SnapshotComplete):
            self._complete(now)

    def expire(self, now: float) -> None:
        """Drop what no hook has confirmed for the stale time."""
        if self.synced and self._unconfirmed and now >= self._unconfirmed_until:
            self._drop(self._unconfirmed)
            gone = [name for name in self.neighbors if name not in self._told_neighbors]
            for name in gone:
                del self.neighbors[name]
            self.generation += 1

    def _route(self, route: Route) -> None:
        self._unconfirmed.discard(route.key)
        held = self.routes.get(route.key)
        if held == route:
            return
        attributes = self._attributes.setdefault(route.attributes, route.attributes)
        self.routes[route.key] = Route(route.key, route.next_hop, attributes, route.received_at, route.stale_since)
        self.generation += 1
        if len(self._attributes) > 2 * len(self.routes) + _SPARE_ATTRIBUTES:
            self._attributes = {route.attributes: route.attributes for route in self.routes.values()}

    def _withdraw(self, key: RouteKey) -> None:
        self._unconfirmed.discard(key)
        if self.routes.pop(key, None) is not None:
            self.generation += 1

    def _neighbor(self, neighbor: Neighbor) -> None:
        self._told_neighbors.add(neighbor.address)
        if self.neighbors.get(neighbor.address) != neighbor:
            self.neighbors[neighbor.address] = neighbor
            self.generation += 1
        if neighbor.state is SessionState.DOWN:
            self._stale(neighbor.address, neighbor.since)
        if self.synced:
            self._confirm(neighbor)

    def _stale(self, neighbor: str, since: float) -> None:
        for key, route in self.routes.items():
            if key.neighbor == neighbor and route.stale_since is None:
                self.routes[key] = replace(route, stale_since=since)
                self.generation += 1

    def _complete(self, now: float) -> None:
        self.synced = True
        self.generation += 1
        if self._same_hook:
            # The very process we knew: what it no longer has was withdrawn or has expired.
            self._drop(self._unconfirmed)
            for name in set(self.neighbors) - self._told_neighbors:
                del self.neighbors[name]
            return
        for neighbor in list(self.neighbors.values()):
            if neighbor.address in self._told_neighbors:
                self._confirm(neighbor)
            else:
                self._unknown(neighbor, now)

    def _confirm(self, neighbor: Neighbor) -> None:
        if self._unconfirmed and neighbor.end_of_rib:
            self._drop(
                {
                    key
                    for key in self._unconfirmed
                    if key.neighbor == neighbor.address and key.family in neighbor.end_of_rib
                }
            )

    def _unknown(self, neighbor: Neighbor, now: float) -> None:
        families: frozenset[Family] = frozenset()
        self.neighbors[neighbor.address] = replace(
            neighbor,
            state=SessionState.UNKNOWN,
            since=now,
            reason="the hook was started again",
            end_of_rib=families,
        )
        self._stale(neighbor.address, now)

    def _drop(self, keys: set[RouteKey]) -> None:
        for key in keys:
            self.routes.pop(key, None)
        if keys:
            self.generation += 1
        self._unconfirmed = self._unconfirmed - keys


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
        self, path: str, *, on_change: Callable[[], None], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.connected = False
        self.errors: deque[HookError] = deque(maxlen=_ERRORS)
        self._path = path
        self._on_change = on_change
        self._monotonic = monotonic
        self._mirror = Mirror()
        self._wanted: frozenset[Announcement] | None = None
        self._wanted_changed = asyncio.Event()

    @property
    def routes(self) -> dict[RouteKey, Route]:
        """The mirrored routes; read them, do not change them."""
        return self._mirror.routes

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

    def announce(self, wanted: frozenset[Announcement]) -> None:
        """Set all that should be announced: sent now if connected, and again after every reconnect."""
        if wanted != self._wanted:
            self._wanted = wanted
            self._wanted_changed.set()

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
        self._wanted_changed.set()
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
                elif isinstance(message, CommandFailed):
                    self.errors.append(HookError(f"{message.command}: {message.reason}", message.at))
                    before = (-1, *before[1:])
                elif isinstance(message, Resynchronise):
                    self._note(f"the hook closed the connection: {message.reason}")
                    return
                else:
                    self._mirror.apply(message, now)
            if before != (self.generation, self.synced, self.connected, len(self.errors)):
                self._on_change()

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        while True:
            await self._wanted_changed.wait()
            self._wanted_changed.clear()
            if self._wanted is None:
                continue
            line = encode(Wanted(VERSION, sorted(self._wanted, key=lambda announcement: announcement.prefix)))
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
