"""The VICI codec against any octets and against the vici package's own."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st
from vici.protocol import FiniteStream, Message

from softmesh.charon.packet import Framer, Section, Value, frame, read_message, read_packet, write_message
from softmesh.errors import PeerError

names = st.text(max_size=40).filter(lambda name: len(name.encode()) <= 255)
values = st.binary(max_size=200)
sections: st.SearchStrategy[Section] = st.recursive(
    st.dictionaries(names, st.one_of(values, st.lists(values, max_size=4)), max_size=4),
    lambda inner: st.dictionaries(names, st.one_of(values, inner), max_size=4),
    max_leaves=12,
)


@given(sections)
def test_what_is_written_is_read(section: Section) -> None:
    assert read_message(write_message(section)) == section


@given(sections)
def test_it_is_read_as_the_package_reads_it(section: Section) -> None:
    octets = write_message(section)
    assert read_message(octets) == _plain(Message.deserialize(FiniteStream(octets)))


def _plain(value: Value) -> Value:
    return {name: _plain(item) for name, item in value.items()} if isinstance(value, dict) else value


@given(st.binary(max_size=300))
def test_any_octets_are_a_message_or_refused(octets: bytes) -> None:
    with suppress(PeerError):
        read_message(octets)
    with suppress(PeerError):
        read_packet(octets)


@given(sections, st.data())
def test_a_changed_octet_is_read_or_refused(section: Section, data: st.DataObject) -> None:
    octets = bytearray(write_message({"s": section}))
    at = data.draw(st.integers(0, len(octets) - 1))
    octets[at] = data.draw(st.integers(0, 255))
    try:
        read = read_message(bytes(octets))
    except PeerError:
        return
    assert read_message(write_message(read)) == read


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=6), st.lists(st.integers(1, 20), max_size=60))
def test_packets_are_the_same_however_the_stream_is_cut(packets: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(frame(packet) for packet in packets)
    framer, at = Framer(), 0
    found: list[bytes] = []
    for size in [*cuts, len(stream)]:
        found += framer.feed(stream[at : at + size])
        at += size
    assert found == packets
