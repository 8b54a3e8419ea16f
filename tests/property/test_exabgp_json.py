"""Whatever a line holds, it becomes one event and no exception."""

from __future__ import annotations

import json
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from softmesh.bgp.adj_rib_in import AdjRibIn, NeighborStale
from softmesh.bgp.exabgp_json import Acknowledgement, Event, Malformed, Shutdown, UpdateReceived, parse_line
from softmesh.bgp.hook_protocol import VERSION, Hello, LineBuffer, SnapshotComplete
from softmesh.bgp.mirror import Mirror
from tests.unit.bgp.exabgp_lines import PEER, UPDATE_50, announce, end_of_rib, refresh, state, withdraw

LINES = [
    UPDATE_50,
    announce("10.0.0.0/8"),
    withdraw("10.0.0.0/8"),
    end_of_rib(),
    refresh("end"),
    state("down"),
]
SOME_EVENT = get_args(Event)


@given(st.binary(max_size=300))
def test_any_octets(line: bytes) -> None:
    assert isinstance(parse_line(line), SOME_EVENT)


@given(st.sampled_from(LINES), st.integers(0), st.binary(max_size=4), st.integers(0, 40))
def test_a_line_with_a_piece_replaced(line: bytes, at: int, piece: bytes, length: int) -> None:
    at %= len(line)
    assert isinstance(parse_line(line[:at] + piece + line[at + length :]), SOME_EVENT)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(json_values)
def test_any_value_where_attributes_should_be(value: object) -> None:
    for hole in (b'"igp"', b"100", b'"0x0004', b'[ { "nlri": "11.0.0.0/32" } ]'):
        line = UPDATE_50.replace(hole, json.dumps(value).encode() + (b', "x": "' if hole == b'"0x0004' else b""))
        assert isinstance(parse_line(line), SOME_EVENT)


@given(st.binary(max_size=200))
def test_attribute_23_arrives_octet_for_octet(octets: bytes) -> None:
    event = parse_line(announce("10.0.0.0/8", tunnel=f"0x{octets.hex()}"))
    assert isinstance(event, UpdateReceived)
    assert event.attributes.tunnel_encapsulation == octets


steps = st.lists(
    st.one_of(
        st.builds(
            announce,
            st.sampled_from(["10.1.0.0/16", "10.2.0.0/16"]),
            tunnel=st.sampled_from(["0x01", "0x02"]),
        ),
        st.builds(withdraw, st.sampled_from(["10.1.0.0/16", "10.2.0.0/16"])),
        st.sampled_from([end_of_rib(), refresh("begin"), refresh("end"), state("up"), state("down")]),
    ),
    max_size=30,
)


@given(steps)
def test_the_changes_alone_rebuild_the_routes(lines: list[bytes]) -> None:
    rib, mirror = AdjRibIn(), Mirror()
    mirror.hello(Hello(VERSION, "one", 1, 5.0), 0.0)
    mirror.apply(SnapshotComplete(), 0.0)
    for now, line in enumerate(lines):
        event = parse_line(line)
        assert not isinstance(event, Malformed | Acknowledgement | Shutdown)
        for change in [*rib.apply(event, float(now)), *rib.expire(float(now), 5.0)]:
            assert not isinstance(change, NeighborStale) or change.neighbor == PEER
            mirror.apply(change, float(now))
        assert mirror.routes == rib.routes
        assert mirror.neighbors == rib.neighbors


@given(st.lists(st.binary(max_size=30), max_size=10), st.integers(1, 40))
def test_lines_do_not_depend_on_how_octets_arrive(chunks: list[bytes], limit: int) -> None:
    def lines(pieces: list[bytes]) -> list[bytes | None]:
        buffer = LineBuffer(limit)
        return [line if isinstance(line, bytes) else None for piece in pieces for line in buffer.feed(piece)]

    stream = b"".join(chunks) + b"\n"
    assert lines([*chunks, b"\n"]) == lines([stream]) == lines([stream[at : at + 1] for at in range(len(stream))])
