from __future__ import annotations

import pytest

from softmesh.bgp.adj_rib_in import NeighborChanged, NeighborStale, RouteChanged, RouteWithdrawn
from softmesh.bgp.announcement import Announcement
from softmesh.bgp.attribute_refusal import AttributeUse
from softmesh.bgp.extended_next_hop import Lacking
from softmesh.bgp.hook_protocol import (
    VERSION,
    AttributeRefused,
    CommandFailed,
    ExtendedNextHopLacking,
    FromHook,
    Hello,
    LineBuffer,
    LinesLost,
    LineTooLong,
    Resynchronise,
    SnapshotComplete,
    TryAttribute,
    Wanted,
    decode_from_hook,
    decode_to_hook,
    encode,
)
from softmesh.bgp.route import Family, Neighbor, Origin, PathAttributes, Route, RouteKey, SessionState
from softmesh.errors import PeerError

KEY = RouteKey("2001:db8::fe", Family.IPV4_UNICAST, "10.2.0.0/16", "0.0.0.7")


@pytest.mark.parametrize(
    "message",
    [
        Hello(VERSION, "abc", 7, 300.0),
        NeighborChanged(Neighbor("10.0.0.1", None, SessionState.DOWN, 1.5, 'a "reason"', frozenset(Family))),
        RouteChanged(
            Route(
                KEY,
                "2001:db8::1",
                PathAttributes(bytes(range(256)), ((1 << 64) - 1,), Origin.EGP, (1, 2), 3, 4, "1.1.1.1", ("2.2.2.2",)),
                1.25,
                7.5,
            )
        ),
        RouteChanged(Route(RouteKey("a", Family.IPV6_UNICAST, "::/0"), "::1", PathAttributes(), 0.0)),
        RouteWithdrawn(KEY),
        NeighborStale("10.0.0.1", 3.0),
        SnapshotComplete(),
        CommandFailed("announce route x", "error", 1.0),
        AttributeRefused({"10.0.0.11": "two sessions in a row ended at it"}),
        ExtendedNextHopLacking({"2001:db8::fe": Lacking.NEIGHBOR, "2001:db8::fd": Lacking.EXABGP}),
        LinesLost(7),
        Resynchronise("too slow"),
    ],
    ids=lambda message: type(message).__name__,
)
def test_what_the_hook_says_arrives_as_said(message: FromHook) -> None:
    line = encode(message)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode_from_hook(line) == message


def test_what_a_reader_says_arrives_as_said() -> None:
    announcement = Announcement("10.0.0.0/8", "10.0.0.1", b"\x00", (1,), (2,), fallback_communities=(3,))
    wanted = Wanted(VERSION, [announcement], {"10.0.0.11": AttributeUse.NEVER})
    assert decode_to_hook(encode(wanted)) == wanted
    again = TryAttribute(VERSION, "10.0.0.11")
    assert decode_to_hook(encode(again)) == again


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"null",
        b"\xff",
        b'{"type":"route"}',
        b"[" * 100_000,
        b'{"type":"x"}',
        # In the place of a tag msgspec raises what is no error of its own, and repeats what cannot be printed.
        b'{"type":"\xff"}',
        b'{"type":"\xc2\x98\\n"}',
    ],
)
def test_garbage_is_a_peer_error(line: bytes) -> None:
    for decode in (decode_from_hook, decode_to_hook):
        with pytest.raises(PeerError) as caught:
            decode(line)
        assert str(caught.value).isprintable()


def test_another_version_is_refused_with_the_remedy() -> None:
    for message in (Wanted(VERSION + 1, []), TryAttribute(VERSION - 1, "10.0.0.11")):
        with pytest.raises(PeerError, match="restart ExaBGP and the bridge"):
            decode_to_hook(encode(message))


STREAM = b"one\n\n" + b"x" * 30 + b"\ntwo\n" + b"y" * 20 + b"\nthree\n" + b"z" * 21


def cut(size: int) -> list[bytes | LineTooLong]:
    buffer = LineBuffer(20)
    return [line for at in range(0, len(STREAM), size) for line in buffer.feed(STREAM[at : at + size])]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 25, 64, len(STREAM)])
def test_lines_are_the_same_however_the_octets_arrive(size: int) -> None:
    lines = [line if isinstance(line, bytes) else None for line in cut(size)]
    assert lines == [b"one", b"", None, b"two", b"y" * 20, b"three", None]


def test_an_endless_line_is_not_kept() -> None:
    buffer = LineBuffer(100)
    found = [line for _ in range(1000) for line in buffer.feed(b"x" * 100)]
    assert found == [LineTooLong(b"x" * 200)]
    assert list(buffer.feed(b"x\nafter\n")) == [b"after"]
