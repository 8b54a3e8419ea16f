"""One reader of the hook: a snapshot still to be sent, and a bounded queue of changes after it."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Iterator, Sequence

from softmesh.bgp.adj_rib_in import AdjRibIn, NeighborChanged, RouteChanged
from softmesh.bgp.hook_protocol import (
    MAX_MESSAGE,
    FromHook,
    LineBuffer,
    LineTooLong,
    Resynchronise,
    SnapshotComplete,
    ToHook,
    decode_to_hook,
    encode,
)
from softmesh.bgp.route import Route
from softmesh.errors import PeerError

_READ = 256 * 1024
_TURN = 256 * 1024
"""Octets sent to one reader in one turn of the hook's loop."""
_SNAPSHOT_ROUTES = 256
"""Routes encoded at a time."""


class HookReader:
    """A non-blocking connection; ``limit`` is how many octets of changes are kept for a reader that does not read."""

    def __init__(self, connection: socket.socket, limit: int, snapshot: Iterator[bytes]) -> None:
        self.fileno = connection.fileno()
        self.leaves_at: float | None = None
        """When a reader that was dismissed is closed, CLOCK_MONOTONIC seconds."""
        self._connection = connection
        self._lines = LineBuffer(MAX_MESSAGE)
        self._limit = limit
        self._snapshot: Iterator[bytes] | None = snapshot
        self._changes: deque[bytes] = deque()
        self._size = 0
        self._sending = b""
        self._sent = 0

    @property
    def has_more(self) -> bool:
        """Whether something is left to be sent."""
        return bool(self._sent < len(self._sending) or self._snapshot is not None or self._changes)

    def receive(self) -> bytes | None:
        """Return the octets that have come, none of them when the reader is gone; None when it is only silent."""
        try:
            return self._connection.recv(_READ)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            return b""

    def requests(self, data: bytes) -> Iterator[ToHook]:
        """Yield what each line that ``data`` completes asks for. Raises PeerError at one that is no message."""
        for line in self._lines.feed(data):
            if isinstance(line, LineTooLong):
                raise PeerError(f"the reader sent a line longer than {MAX_MESSAGE} octets")
            yield decode_to_hook(line)

    def offer(self, data: bytes) -> bool:
        """Queue whole lines; False when the queue is full and they were not taken."""
        if self.leaves_at is not None:
            return True
        if self._size + len(data) > self._limit:
            return False
        self._changes.append(data)
        self._size += len(data)
        return True

    def dismiss(self, reason: str, at: float) -> None:
        """Drop all that is queued, say why, and be closed once that is read, or at ``at``."""
        if self._sent and self._sending[self._sent - 1 : self._sent] != b"\n":
            end = self._sending.find(b"\n", self._sent) + 1
            self._sending = self._sending[:end]
        else:
            self._sending, self._sent = b"", 0
        self._snapshot = None
        self._changes = deque([encode(Resynchronise(reason))])
        self._size = 0
        self.leaves_at = at

    def send(self) -> bool:
        """Send what the reader takes now, up to a turn's share; False when it is gone."""
        share = _TURN
        while share > 0 and self.has_more:
            if self._sent >= len(self._sending):
                self._sending, self._sent = self._next(), 0
                continue
            try:
                sent = self._connection.send(memoryview(self._sending)[self._sent : self._sent + share])
            except (BlockingIOError, InterruptedError):
                return True
            except OSError:
                return False
            self._sent += sent
            share -= sent
        return True

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def _next(self) -> bytes:
        if self._snapshot is not None:
            part = next(self._snapshot, None)
            if part is not None:
                return part
            self._snapshot = None
        if not self._changes:
            return b""
        data = self._changes.popleft()
        self._size -= len(data)
        return data


def snapshot(first: Sequence[FromHook], rib: AdjRibIn) -> Iterator[bytes]:
    """Return the lines that tell a new reader ``first`` and all that ``rib`` holds now, encoded as they are taken."""
    neighbors = [NeighborChanged(neighbor) for neighbor in rib.neighbors.values()]
    return _encoded([*first, *neighbors], list(rib.routes.values()))


def _encoded(first: Sequence[FromHook], routes: list[Route]) -> Iterator[bytes]:
    yield b"".join(map(encode, first))
    for start in range(0, len(routes), _SNAPSHOT_ROUTES):
        yield b"".join([encode(RouteChanged(route)) for route in routes[start : start + _SNAPSHOT_ROUTES]])
    yield encode(SnapshotComplete())
