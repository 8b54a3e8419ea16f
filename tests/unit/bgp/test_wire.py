"""The bounded reader."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from softmesh.bgp.wire import DecodeError, Reader
from softmesh.errors import PeerError


def test_reads_in_order() -> None:
    reader = Reader(bytes(range(1, 7)))
    assert (reader.u8(), reader.u16(), reader.take(2), reader.remaining) == (1, 0x0203, b"\4\5", 1)
    assert reader.take(0) == b""
    assert (reader.u8(), reader.remaining) == (6, 0)


def test_nested_reader_ends_where_it_must() -> None:
    reader = Reader(bytes(range(6)))
    reader.u8()
    inner = reader.nested(2)
    assert inner.take(2) == b"\1\2"
    with pytest.raises(DecodeError) as caught:
        inner.u8()
    assert caught.value.offset == 3
    assert reader.u8() == 3


@pytest.mark.parametrize(
    ("octets", "read", "left"),
    [
        (b"", Reader.u8, 0),
        (b"", Reader.u16, 0),
        (b"\0", Reader.u16, 1),
        (b"\0", lambda reader: reader.take(2), 1),
        (b"\0", lambda reader: reader.nested(2), 1),
    ],
)
def test_nothing_is_read_past_the_end(octets: bytes, read: Callable[[Reader], object], left: int) -> None:
    reader = Reader(b"ab" + octets)
    reader.take(2)
    with pytest.raises(DecodeError, match=f"offset 2, {left} left") as caught:
        read(reader)
    assert caught.value.offset == 2
    assert isinstance(caught.value, PeerError)
    assert reader.remaining == left
