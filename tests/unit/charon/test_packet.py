from __future__ import annotations

import pytest
from vici.protocol import Message, Packet

from softmesh.charon.packet import (
    MAX_DEPTH,
    MAX_PACKET,
    Framer,
    Kind,
    Received,
    Request,
    frame,
    read_message,
    read_packet,
    request_packet,
    write_message,
)
from softmesh.errors import PeerError
from tests.unit.charon.examples import CONNECTION, IKE_SA

MESSAGE = write_message({CONNECTION: IKE_SA})


def test_a_message_of_charon_is_read_whole() -> None:
    assert read_message(MESSAGE) == {CONNECTION: IKE_SA}


def test_truth_values_are_yes_and_no() -> None:
    assert read_message(write_message({"force": True, "noblock": False, "nested": {"mobike": False}})) == {
        "force": b"yes",
        "noblock": b"no",
        "nested": {"mobike": b"no"},
    }


def test_numbers_texts_octets_and_tuples_are_written() -> None:
    sent: Request = {"timeout": -1, "id": "@#00", "key": b"\xff", "list": ("a", b"b", 3)}
    assert read_message(write_message(sent)) == {
        "timeout": b"-1",
        "id": b"@#00",
        "key": b"\xff",
        "list": [b"a", b"b", b"3"],
    }


def test_every_truncation_of_a_message_is_refused() -> None:
    for size in range(1, len(MESSAGE)):
        with pytest.raises(PeerError):
            read_message(MESSAGE[:size])


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (bytes([Message.SECTION_END]), "without having begun"),
        (bytes([Message.SECTION_START, 1]) + b"a", "never end"),
        (bytes([9, 1]) + b"a", "unknown element type 9"),
        (bytes([Message.LIST_START, 1]) + b"l" + bytes([Message.KEY_VALUE]), "within the list"),
        (bytes([Message.KEY_VALUE, 1]) + b"\xff\0\0", "malformed"),
        (bytes([Message.KEY_VALUE, 1]) + b"k\0\x05four", "runs past"),
        ((bytes([Message.SECTION_START, 1]) + b"a") * (MAX_DEPTH + 1), "within each other"),
    ],
)
def test_malformed_messages_are_refused(body: bytes, complaint: str) -> None:
    with pytest.raises(PeerError, match=complaint):
        read_message(body)


def test_the_deepest_message_allowed_is_read() -> None:
    start = bytes([Message.SECTION_START, 1]) + b"a"
    section = read_message(start * MAX_DEPTH + bytes([Message.SECTION_END]) * MAX_DEPTH)
    for _ in range(MAX_DEPTH):
        inner = section["a"]
        assert isinstance(inner, dict)
        section = inner
    assert section == {}


def test_names_and_values_too_long_for_vici_are_refused() -> None:
    with pytest.raises(ValueError, match="255"):
        write_message({"n" * 256: "value"})
    with pytest.raises(ValueError, match="65535"):
        write_message({"name": b"v" * 65536})
    with pytest.raises(ValueError, match=str(MAX_PACKET)):
        frame(bytes(MAX_PACKET + 1))


def test_packets_are_found_however_the_octets_arrive() -> None:
    packets = [request_packet("version", {}), Packet.register_event("list-sa"), bytes([Kind.EVENT_CONFIRM])]
    stream = b"".join(frame(packet) for packet in packets)
    assert list(Framer().feed(stream)) == packets
    framer = Framer()
    assert [packet for octet in stream for packet in framer.feed(bytes([octet]))] == packets


@pytest.mark.parametrize("length", [0, MAX_PACKET + 1, 0xFFFFFFFF])
def test_a_length_out_of_bounds_is_refused_before_anything_is_stored(length: int) -> None:
    with pytest.raises(PeerError, match=str(length)):
        list(Framer().feed(length.to_bytes(4, "big")))


def test_events_carry_their_name() -> None:
    packet = bytes([Kind.EVENT, 10]) + b"ike-updown" + MESSAGE
    assert read_packet(packet) == Received(Kind.EVENT, "ike-updown", MESSAGE)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        bytes([8]),
        bytes([Kind.CMD_REQUEST, 7]) + b"version",
        bytes([Kind.EVENT]),
        bytes([Kind.EVENT, 9]) + b"short",
        bytes([Kind.EVENT, 1, 0xFF]),
    ],
)
def test_what_charon_may_not_send_is_refused(packet: bytes) -> None:
    with pytest.raises(PeerError):
        read_packet(packet)
