"""What BGP last said, on disk: a bridge that is started again while a route reflector is away has forgotten nothing.

The file is written when something has changed, but seldom: what it does not have yet, BGP says again. In between only
the time in its head moves on, at which the bridge was alive. All times are CLOCK_MONOTONIC, and so of one boot: a file
of an earlier one counts for nothing, nor are there SAs to keep then.

Routes from it are stale, and those that are too old are left out. They go through admission as any others do.
"""

from __future__ import annotations

import asyncio
import os
import struct
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path
from uuid import UUID

import msgspec

from softmesh.bgp.route import Family, PathAttributes, Route, RouteKey
from softmesh.file_error import FileError
from softmesh.mesh.softwire import Address
from softmesh.secret_file import read_secret
from softmesh.whole_file import replace_file

KEPT_ROUTES = "routes"
"""The file's name, in the directory of the sockets."""

_MAGIC = b"softmsh1"
_HEAD = struct.Struct("!8s16sd")
"""Magic, boot id, when the bridge was last alive."""
_ALIVE = struct.Struct("!d")
_MAX_OCTETS = 64 * 1024 * 1024
_EVERY = 1.0
"""Seconds between looks at whether there is something to write."""
_REST = 50
"""After a write there is none for so many times as long as that took."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Kept:
    """What an earlier bridge knew."""

    routes: tuple[Route, ...] = ()
    instance: str | None = None
    """The hook that told all the routes; None where no single one has."""
    owners: Mapping[Address, str] = field(default_factory=dict)
    """Of endpoints."""
    protection: Mapping[str, str] = field(default_factory=dict)
    """What protected the session to a neighbour, for those that were protected as they must be."""


class _Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A route; ``attributes`` counts those of the file."""

    neighbor: str
    family: Family
    prefix: str
    path_id: str | None
    next_hop: str
    attributes: int
    received_at: float
    stale_since: float | None


class _Body(msgspec.Struct, frozen=True, array_like=True):
    instance: str | None
    owners: dict[str, str]
    protection: dict[str, str]
    attributes: list[PathAttributes]
    routes: list[_Entry]


_decoder = msgspec.msgpack.Decoder(_Body)


def encode(kept: Kept, boot: bytes, alive: float) -> bytes:
    """Return the octets of a file; ``boot`` is the boot id, ``alive`` monotonic seconds."""
    numbers: dict[PathAttributes, int] = {}
    entries = [
        _Entry(
            route.key.neighbor,
            route.key.family,
            route.key.prefix,
            route.key.path_id,
            route.next_hop,
            numbers.setdefault(route.attributes, len(numbers)),
            route.received_at,
            route.stale_since,
        )
        for route in kept.routes
    ]
    owners = {str(endpoint): owner for endpoint, owner in kept.owners.items()}
    body = _Body(kept.instance, owners, dict(kept.protection), list(numbers), entries)
    return _HEAD.pack(_MAGIC, boot, alive) + msgspec.msgpack.encode(body)


def decode(data: bytes, boot: bytes, now: float) -> tuple[Kept, float] | None:
    """Return what a file has and when its bridge was last alive; None where it is of another boot.

    Raises ValueError for what no bridge wrote.
    """
    if len(data) < _HEAD.size:
        raise ValueError("it is too short")
    magic, written_in, alive = _HEAD.unpack_from(data)
    if magic != _MAGIC:
        raise ValueError("it is of another version, or no file of ours")
    if written_in != boot:
        return None
    if not 0 <= alive <= now:
        raise ValueError("it is from the future")
    try:
        body = _decoder.decode(memoryview(data)[_HEAD.size :])
        routes = tuple(_routes(body, now))
        owners = {ip_address(endpoint): owner for endpoint, owner in body.owners.items()}
    except (msgspec.MsgspecError, IndexError, RecursionError) as error:
        raise ValueError(str(error)) from error
    return Kept(routes, body.instance, owners, body.protection), alive


def _routes(body: _Body, now: float) -> Iterable[Route]:
    for attributes in body.attributes:
        for identifier in (attributes.originator_id, *attributes.cluster_list):
            if identifier is not None:
                ip_address(identifier)
    for entry in body.routes:
        for address in (entry.neighbor, entry.next_hop):
            ip_address(address)
        ip_network(entry.prefix, strict=False)
        for at in (entry.received_at, entry.stale_since):
            if at is not None and not 0 <= at <= now:
                raise ValueError("a route is from the future")
        if entry.attributes < 0:
            raise ValueError("a route has no attributes")
        key = RouteKey(entry.neighbor, entry.family, entry.prefix, entry.path_id)
        yield Route(key, entry.next_hop, body.attributes[entry.attributes], entry.received_at, entry.stale_since)


class KeptRoutes:
    """The file at ``path``, mode 0600.

    ``report`` is told why it cannot be read or written, and an empty string once it can be again; that costs no more
    than what the file is for.
    """

    def __init__(
        self,
        path: Path,
        *,
        report: Callable[[str], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._report = report
        self._monotonic = monotonic
        self._whole = False
        """Whether the file has what we wrote last."""
        self._boot = UUID(_BOOT_ID.read_text(encoding="ascii").strip()).bytes

    def read(self, longest: float) -> tuple[Kept, float]:
        """Return what there is of this boot that is not stale for ``longest`` seconds, and when its bridge last lived.

        Nothing where there is no file or it cannot be used.
        """
        now = self._monotonic()
        try:
            if not os.path.lexists(self._path):
                return Kept(), now
            found = decode(read_secret(self._path, _MAX_OCTETS, "copy of BGP routes"), self._boot, now)
        except FileError as error:
            self._report(str(error))
            return Kept(), now
        except ValueError as error:
            self._report(f"{self._path}: is not used: {error}")
            return Kept(), now
        if found is None:
            return Kept(), now
        kept, alive = found
        young = tuple(
            route for route in kept.routes
            if now < (alive if route.stale_since is None else route.stale_since) + longest
        )  # fmt: skip
        return Kept(young, kept.instance, kept.owners, kept.protection), alive

    async def run(self, version: Callable[[], object], kept: Callable[[], Kept]) -> None:
        """Keep the file up to date until cancelled, and write it once more then.

        ``version`` differs whenever what ``kept`` returns may.
        """
        written: object = None
        due = 0.0
        try:
            while True:
                await asyncio.sleep(_EVERY)
                began = self._monotonic()
                if (now := version()) == written or began < due:
                    self._stay_alive(began)
                else:
                    self.write(kept())
                    written = now
                    ended = self._monotonic()
                    due = ended + _REST * (ended - began)
        finally:
            self.write(kept())

    def write(self, kept: Kept) -> None:
        """Replace the file, whole or not at all."""
        data = encode(kept, self._boot, self._monotonic())
        problem = ""
        try:
            if len(data) <= _MAX_OCTETS:
                replace_file(self._path, data)
            else:
                # Without it a restart knows nothing, which is safer than to know half.
                self._path.unlink(missing_ok=True)
                problem = f"is not written: {len(kept.routes)} routes take more than {_MAX_OCTETS} octets"
        except OSError as error:
            problem = f"cannot be written: {error.strerror}"
        self._whole = not problem
        self._report(problem and f"{self._path}: {problem}; after a restart no route is known until BGP says it again")

    def _stay_alive(self, now: float) -> None:
        """Note in the file's head that what it has holds still."""
        if not self._whole:
            return
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                os.pwrite(descriptor, _ALIVE.pack(now), _HEAD.size - _ALIVE.size)
            finally:
                os.close(descriptor)
        except OSError as error:
            self._whole = False
            self._report(f"{self._path}: cannot be written: {error.strerror}")
