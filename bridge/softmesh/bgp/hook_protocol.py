"""What the hook and its readers say to each other: one JSON object a line, on a unix stream socket.

The hook speaks first, with ``Hello``; then neighbours and routes as they stand, ``SnapshotComplete``, and
every later change as it happens. A reader may send ``Wanted``, the whole set of announcements it wants at
ExaBGP; the last one said by anybody counts. ``TryAttribute`` has a neighbour tried again that refused attribute 23.
A line that is too long or not a message ends that connection and no other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from softmesh.bgp.adj_rib_in import NeighborChanged, NeighborStale, RouteChanged, RouteWithdrawn
from softmesh.bgp.announcement import Announcement
from softmesh.bgp.attribute_refusal import AttributeUse
from softmesh.bgp.extended_next_hop import Lacking
from softmesh.errors import PeerError

VERSION = 4
MAX_MESSAGE = 16 * 1024 * 1024
"""Octets of the longest line either side accepts; ``Wanted`` is the only message that can grow."""


class Hello(msgspec.Struct, frozen=True, tag_field="type", tag="hello"):
    """The hook introduces itself."""

    version: int
    instance: str
    """Differs for every start of a hook: a new one may not yet know what its predecessor knew."""
    pid: int
    stale_time: float
    """Seconds that routes of a lost session are kept."""


class SnapshotComplete(msgspec.Struct, frozen=True, tag_field="type", tag="snapshot-complete"):
    """All that the hook held when the reader connected has been sent."""


class CommandFailed(msgspec.Struct, frozen=True, tag_field="type", tag="command-failed"):
    """ExaBGP refused a command, or it could not be given."""

    command: str
    reason: str
    at: float
    """CLOCK_MONOTONIC, seconds."""


class AttributeRefused(msgspec.Struct, frozen=True, tag_field="type", tag="attribute-refused"):
    """The neighbours that refuse attribute 23, all of them: they get the fallback communities in its place."""

    reasons: dict[str, str]
    """By address: how that was seen."""


class ExtendedNextHopLacking(msgspec.Struct, frozen=True, tag_field="type", tag="extended-next-hop-lacking"):
    """The neighbours RFC 8950 was not negotiated with, all of them: they get no IPv4 prefix with an IPv6 next hop."""

    neighbors: dict[str, Lacking]
    """By address: who does not offer it."""


class LinesLost(msgspec.Struct, frozen=True, tag_field="type", tag="lines-lost"):
    """How many of ExaBGP's lines never reached the hook, as its counters tell, since the hook began."""

    lines: int


class Resynchronise(msgspec.Struct, frozen=True, tag_field="type", tag="resynchronise"):
    """The reader missed changes; the hook closes the connection, connect again for a new snapshot."""

    reason: str


class Wanted(msgspec.Struct, frozen=True, tag_field="type", tag="wanted"):
    """All that should be announced: what is missing is announced, what is not in it is withdrawn."""

    version: int
    announcements: list[Announcement]
    attribute: dict[str, AttributeUse] = {}
    """By a neighbour's address: whether it gets attribute 23; those that are not in it are ``auto``."""


class TryAttribute(msgspec.Struct, frozen=True, tag_field="type", tag="try-attribute"):
    """Send a neighbour attribute 23 again, though it has refused it."""

    version: int
    neighbor: str


FromHook: TypeAlias = (
    Hello
    | NeighborChanged
    | RouteChanged
    | RouteWithdrawn
    | NeighborStale
    | SnapshotComplete
    | AttributeRefused
    | ExtendedNextHopLacking
    | LinesLost
    | CommandFailed
    | Resynchronise
)
ToHook: TypeAlias = Wanted | TryAttribute

_NO_MESSAGE = (msgspec.MsgspecError, ValueError, RecursionError)
"""What decoding raises: of text that is no UTF-8 in some places not an error of msgspec's own."""
_encoder = msgspec.json.Encoder()
_from_hook: msgspec.json.Decoder[FromHook] = msgspec.json.Decoder(FromHook)
_to_hook: msgspec.json.Decoder[ToHook] = msgspec.json.Decoder(ToHook)


def encode(message: FromHook | ToHook) -> bytes:
    """Return the message as a line, newline included."""
    return _encoder.encode(message) + b"\n"


def decode_from_hook(line: bytes) -> FromHook:
    """Return the hook's message in a line. Raises PeerError."""
    try:
        return _from_hook.decode(line)
    except _NO_MESSAGE as error:
        raise PeerError(f"the hook sent what is no message: {error}") from error


def decode_to_hook(line: bytes) -> ToHook:
    """Return the reader's message in a line. Raises PeerError."""
    try:
        message = _to_hook.decode(line)
    except _NO_MESSAGE as error:
        raise PeerError(f"the reader sent what is no message: {error}") from error
    if message.version != VERSION:
        raise PeerError(
            f"the reader speaks version {message.version} of the hook's protocol, this hook {VERSION}: "
            "restart ExaBGP and the bridge from one installation"
        )
    return message


@dataclass(frozen=True, slots=True)
class LineTooLong:
    """Stands for a line whose length exceeded the bound; the rest of it is skipped."""

    start: bytes


class LineBuffer:
    """Cuts a stream of octets into lines of bounded length."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._partial: list[bytes] = []
        self._size = 0
        self._skipping = False

    def feed(self, data: bytes) -> Iterator[bytes | LineTooLong]:
        """Take octets as they were read; yield the lines they complete, without newlines."""
        first, newline, rest = data.partition(b"\n")
        if not newline:
            yield from self._keep(first)
            return
        yield from self._finish(first)
        *lines, last = rest.split(b"\n")
        for line in lines:
            if len(line) > self._limit:
                yield LineTooLong(line[:256])
            else:
                yield line
        yield from self._keep(last)

    def _keep(self, part: bytes) -> Iterator[LineTooLong]:
        if self._skipping or not part:
            return
        self._partial.append(part)
        self._size += len(part)
        if self._size > self._limit:
            self._skipping = True
            yield LineTooLong(b"".join(self._partial)[:256])
            self._clear()

    def _finish(self, part: bytes) -> Iterator[bytes | LineTooLong]:
        if self._skipping:
            self._skipping = False
            return
        if not self._partial:
            line = part
        else:
            line = b"".join([*self._partial, part])
            self._clear()
        if len(line) > self._limit:
            yield LineTooLong(line[:256])
        else:
            yield line

    def _clear(self) -> None:
        self._partial = []
        self._size = 0
