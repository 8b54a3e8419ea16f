"""What goes over the hook's socket, in either direction, and what the mirror makes of it."""

from __future__ import annotations

from random import Random

from fuzz import mutation
from fuzz.target import Target, demand
from softmesh.bgp.adj_rib_in import NeighborChanged, NeighborStale, RouteChanged, RouteWithdrawn
from softmesh.bgp.announcement import Announcement
from softmesh.bgp.exabgp_commands import ExaBgpCommands
from softmesh.bgp.hook_protocol import (
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
    decode_to_hook,
    encode,
)
from softmesh.bgp.mirror import Mirror
from softmesh.bgp.route import Family, Neighbor, SessionState
from softmesh.errors import OperatorError, PeerError
from tests.unit.mesh.routes import REFLECTOR, attribute, route

ROUTE = route(
    "10.2.0.0/24", attribute(), communities=(0x030B000000000064,), as_path=(65001,), cluster_list=("10.1.1.1",)
)
_NEIGHBOR = Neighbor(REFLECTOR, 65000, SessionState.UP, 1.0, "", frozenset(Family))
_MESSAGES: tuple[FromHook, ...] = (
    Hello(VERSION, "one", 1, 300.0),
    NeighborChanged(_NEIGHBOR),
    RouteChanged(ROUTE),
    SnapshotComplete(),
    RouteChanged(route("2001:db8:1002::/64", path_id="0.0.0.7", stale_since=1.0)),
    NeighborStale(REFLECTOR, 3.0),
    RouteWithdrawn(ROUTE.key),
    CommandFailed("announce route 10.1.0.0/24", "ExaBGP answered: error", 2.0),
    Resynchronise("too slow"),
)
_WANTED = Wanted(
    VERSION,
    [
        Announcement("10.1.0.0/24", "2001:db8:f::1", attribute(), (0x030C000000000004,), (1,), frozenset({REFLECTOR})),
        Announcement("2001:db8:1001::/64", "192.0.2.1"),
    ],
)
_LINES = tuple(encode(message).rstrip() for message in (*_MESSAGES, Hello(VERSION, "two", 1, 5.0), _WANTED))
CORPUS = (b"\n".join(_LINES) + b"\n", *(line + b"\n" for line in _LINES))
_LIMIT = 4096


def mutate(stream: bytes, chance: Random) -> bytes:
    """Other lines in another order, some of them damaged."""
    damage = mutation.document if chance.random() < 0.8 else mutation.octets
    return mutation.lines(stream, chance, damage, _LINES)


def check(stream: bytes) -> str:
    """How many messages there were, of either kind."""
    mirror, now, messages, wishes = Mirror(), 0.0, 0, 0
    for line in LineBuffer(_LIMIT).feed(stream):
        now += 1.0
        if isinstance(line, LineTooLong):
            demand(len(line.start) <= 256, "of a line that is too long little is kept")
            continue
        try:
            message = decode_from_hook(line)
        except PeerError as error:
            demand(str(error).isprintable(), f"the error is one line: {error!r}")
        else:
            demand(decode_from_hook(encode(message)) == message, "what was read encodes to what says the same")
            messages += 1
            _mirrored(mirror, message, now)
        try:
            wanted = decode_to_hook(line)
        except PeerError as error:
            demand(str(error).isprintable(), f"the error is one line: {error!r}")
        else:
            wishes += 1
            if isinstance(wanted, Wanted):
                _wanted(wanted)
        mirror.expire(now)
    return f"{messages} from, {wishes} to"


def _mirrored(mirror: Mirror, message: FromHook, now: float) -> None:
    if isinstance(message, Hello):
        try:
            mirror.hello(message, now)
        except OperatorError as error:
            demand(message.version != VERSION and str(error).isprintable(), "only another version is refused")
    else:
        mirror.apply(message, now)


def _wanted(wanted: Wanted) -> None:
    commands = ExaBgpCommands()
    refused = commands.want(wanted.announcements)
    for failure in refused:
        demand(failure.reason, "a reason")
    for _ in range(len(wanted.announcements) + 1):
        command = commands.following(0.0, {REFLECTOR})
        if command is None:
            break
        demand(command.isascii() and command.isprintable(), f"a command is one line: {command!r}")
        commands.answered(True)
    demand(commands.settled, "all that can be announced is announced")


TARGET = Target(CORPUS, mutate, check)
