"""The hook's dialogue with ExaBGP, as a script: what ExaBGP prints, what the bridge wants, and time that passes.

A line that begins with ``T`` is a number of seconds, one with ``W`` a reader's message, one with ``X`` the start of
another hook; every other is ExaBGP's.
"""

from __future__ import annotations

from random import Random

from fuzz import exabgp_lines, mutation
from fuzz.target import Target, demand
from softmesh.bgp.announcement import Announcement
from softmesh.bgp.exabgp_commands import WINDOW
from softmesh.bgp.exabgp_dialogue import ExaBgpDialogue
from softmesh.bgp.exabgp_json import Acknowledgement, parse_line
from softmesh.bgp.hook_protocol import (
    VERSION,
    CommandFailed,
    FromHook,
    Hello,
    SnapshotComplete,
    Wanted,
    decode_from_hook,
    decode_to_hook,
    encode,
)
from softmesh.bgp.mirror import Mirror
from softmesh.errors import PeerError
from tests.unit.bgp.exabgp_lines import announce, end_of_rib, refresh, state, withdraw

_STALE_TIME = 5.0
_ANNOUNCEMENT = Announcement("10.1.0.0/24", "2001:db8:f::1", b"\x00\x04\x00\x00", (0x030C000000000004,))
WISHES = tuple(
    b"W" + encode(Wanted(VERSION, wanted)).rstrip()
    for wanted in (
        [],
        [_ANNOUNCEMENT],
        [Announcement("10.1.0.0/24", "2001:db8:f::1", neighbors=frozenset({"10.0.1.1"}))],
        [_ANNOUNCEMENT, Announcement("2001:db8:1001::/64", "2001:db8:f::1", communities=(65000 << 16 | 1,))],
    )
)
_LINES = (
    *(announce(prefix, counter=count) for count, prefix in enumerate(("10.2.0.0/24", "10.3.0.0/24"), 1)),
    announce("10.2.0.0/24", tunnel="0x00040000", counter=9),
    announce("10.2.0.0/24", peer="10.0.1.9"),
    withdraw("10.2.0.0/24", counter=3),
    *(end_of_rib(family, counter=4) for family in ("ipv4", "ipv6")),
    *(refresh(mark, counter=5) for mark in ("begin", "end")),
    *(state(name, counter=1) for name in ("up", "down", "connected")),
    *(state(name, peer="10.0.1.9") for name in ("up", "down")),
    exabgp_lines.SUMMARY,
)
STEPS = (*_LINES, *WISHES, *[b"done"] * 8, b"error", b"T0.1", b"T1", b"T6", b"T21", b"X")
CORPUS = (
    b"\n".join([*_LINES, *WISHES, b"done", b"T1", b"done", b"error", b"T6"]),
    b"\n".join([WISHES[1], state("up"), *[b"done"] * 6, _LINES[0], end_of_rib(), b"X", WISHES[3], *[b"done"] * 9]),
    b"\n".join([state("up"), *_LINES[:2], state("down"), b"T6", b"T1"]),
)


def mutate(script: bytes, chance: Random) -> bytes:
    """Other steps in another order, now and then a damaged one."""
    damage = mutation.document if chance.random() < 0.5 else exabgp_lines.mutate
    return mutation.lines(script, chance, damage, STEPS)


class _Hook:
    """A dialogue, and a reader that has heard all of it."""

    def __init__(self, before: list[Announcement], mirror: Mirror, instance: int, now: float) -> None:
        self.dialogue = ExaBgpDialogue(before, _STALE_TIME)
        self.mirror = mirror
        self.unanswered = 0
        mirror.hello(Hello(VERSION, str(instance), 1, _STALE_TIME), now)
        mirror.apply(SnapshotComplete(), now)

    def told(self, messages: list[FromHook], now: float) -> None:
        for message in messages:
            line = encode(message)
            demand(line.count(b"\n") == 1, "a message is a line")
            demand(decode_from_hook(line) == message, "readers are told what happened")
            if not isinstance(message, CommandFailed):
                self.mirror.apply(message, now)
        for remark in self.dialogue.remarks():
            demand(remark.isprintable(), f"a remark can be logged: {remark!r}")
            if "did not answer" in remark:
                # From now on commands are taken as done in time.
                self.unanswered = 0

    def command(self, now: float) -> None:
        given = self.dialogue.commands(now)
        for command in given:
            demand(command.isascii() and command.isprintable(), f"a command is one line: {command!r}")
        self.unanswered += len(given)
        demand(self.unanswered <= WINDOW, "few commands are ever unanswered")


def check(script: bytes) -> str:
    """How it ended."""
    now, instances, mirror = 0.0, 1, Mirror()
    hook = _Hook([], mirror, instances, now)
    hook.command(now)
    for step in script.split(b"\n"):
        if step == b"X":
            instances += 1
            hook = _Hook(hook.dialogue.possibly_announced(), mirror, instances, now)
        elif step[:1] == b"T":
            now += _seconds(step[1:])
            hook.told(hook.dialogue.elapse(now), now)
            mirror.expire(now)
        elif step[:1] == b"W":
            try:
                wanted = decode_to_hook(step[1:])
            except PeerError:
                continue
            if isinstance(wanted, Wanted):
                hook.told(hook.dialogue.want(wanted.announcements, now), now)
        else:
            if isinstance(parse_line(step), Acknowledgement):
                hook.unanswered = max(0, hook.unanswered - 1)
            hook.told(hook.dialogue.feed(step + b"\n", now), now)
        hook.command(now)
        if instances == 1:
            demand(mirror.routes == hook.dialogue.rib.routes, "the reader has the routes that the hook has")
            demand(mirror.neighbors == hook.dialogue.rib.neighbors, "and the neighbours")
    return f"{len(mirror.routes)} routes, {len(hook.dialogue.possibly_announced())} announced"


def _seconds(text: bytes) -> float:
    try:
        return min(max(float(text), 0.0), 1000.0)
    except ValueError:
        return 0.0


TARGET = Target(CORPUS, mutate, check)
