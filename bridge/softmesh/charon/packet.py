"""VICI's packet and message layers, without any IO (strongSwan, src/libcharon/plugins/vici/README.md).

Messages are written by the ``vici`` package's codec. They are read by a reader of our own: the package's
returns short values for a truncated message, passes over unknown element types, and takes 65 µs for one
IKE_SA of list-sas where charon needs 50 µs; this one takes 24 µs and refuses what is not well formed.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from vici.protocol import Message, Packet, Transport

from softmesh.errors import PeerError

Value: TypeAlias = "bytes | list[bytes] | Section"
Section: TypeAlias = dict[str, Value]
"""A section as received: values are octets."""
Scalar: TypeAlias = "bool | int | str | bytes"
Request: TypeAlias = "Mapping[str, Scalar | Sequence[Scalar] | Request]"
"""A message as sent."""

MAX_PACKET = int(Transport.MAX_SEGMENT)
"""Octets of the longest packet charon sends or takes (vici_message.h), its length field excluded."""
MAX_NAME = 255
"""Octets of the longest name of a section, a list or a key."""
MAX_DEPTH = 16
"""Sections within sections; the deepest message of strongSwan 6.1 has five."""


class Kind(enum.IntEnum):
    """Packet types (vici_socket.h)."""

    CMD_REQUEST = Packet.CMD_REQUEST
    CMD_RESPONSE = Packet.CMD_RESPONSE
    CMD_UNKNOWN = Packet.CMD_UNKNOWN
    EVENT_REGISTER = Packet.EVENT_REGISTER
    EVENT_UNREGISTER = Packet.EVENT_UNREGISTER
    EVENT_CONFIRM = Packet.EVENT_CONFIRM
    EVENT_UNKNOWN = Packet.EVENT_UNKNOWN
    EVENT = Packet.EVENT


_SECTION_START = int(Message.SECTION_START)
_SECTION_END = int(Message.SECTION_END)
_KEY_VALUE = int(Message.KEY_VALUE)
_LIST_START = int(Message.LIST_START)
_LIST_ITEM = int(Message.LIST_ITEM)
_LIST_END = int(Message.LIST_END)


@dataclass(frozen=True, slots=True)
class Received:
    """A packet from charon, its message not yet read."""

    kind: Kind
    event: str
    """Name of the event; empty for replies."""
    body: bytes


class Framer:
    """Cuts a stream of octets into packets, however they arrive."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, octets: bytes) -> Iterator[bytes]:
        """Take what was read; gives each packet now complete, without its length.

        Raises PeerError where a packet is announced as empty or longer than ``MAX_PACKET``.
        """
        self._pending += octets
        while len(self._pending) >= Transport.HEADER_LENGTH:
            (length,) = struct.unpack_from("!I", self._pending)
            if not 0 < length <= MAX_PACKET:
                raise PeerError(f"VICI: charon announces a packet of {length} octets, 1 to {MAX_PACKET} are valid")
            end = Transport.HEADER_LENGTH + length
            if len(self._pending) < end:
                return
            packet = bytes(self._pending[Transport.HEADER_LENGTH : end])
            del self._pending[:end]
            yield packet


def frame(packet: bytes) -> bytes:
    """A packet with its length before it, as it goes on the socket. Raises ValueError if it is too long."""
    if len(packet) > MAX_PACKET:
        raise ValueError(f"VICI packet of {len(packet)} octets, {MAX_PACKET} at most")
    return struct.pack("!I", len(packet)) + packet


def read_packet(packet: bytes) -> Received:
    """A received packet's kind and event name. Raises PeerError for anything charon may not send."""
    try:
        kind = Kind(packet[0])
        if kind is Kind.EVENT:
            end = 2 + packet[1]
            if end > len(packet):
                raise PeerError("VICI: event name runs past the packet's end")
            return Received(kind, packet[2:end].decode("ascii"), packet[end:])
    except (IndexError, ValueError) as error:
        raise PeerError(f"VICI: not a packet: {packet[:16].hex()}") from error
    if kind in (Kind.CMD_REQUEST, Kind.EVENT_REGISTER, Kind.EVENT_UNREGISTER):
        raise PeerError(f"VICI: charon sent a {kind.name}, which only clients send")
    return Received(kind, "", packet[1:])


def begins_section(body: bytes, prefix: str) -> bool:
    """Whether a message begins with a section of a name with this prefix; any message does with an empty one."""
    return not prefix or (body[:1] == bytes([_SECTION_START]) and body.startswith(prefix.encode(), 2))


def read_message(body: bytes) -> Section:
    """The message of a packet. Raises PeerError unless every element is whole and every section ended."""
    try:
        return _read_message(body)
    except (IndexError, UnicodeDecodeError) as error:
        raise PeerError(f"VICI: truncated or malformed message of {len(body)} octets") from error


def _read_message(body: bytes) -> Section:
    section: Section = {}
    outer: list[Section] = []
    at, size = 0, len(body)
    while at < size:
        element = body[at]
        if element == _SECTION_END:
            if not outer:
                raise PeerError(f"VICI: section ends at octet {at} without having begun")
            section = outer.pop()
            at += 1
            continue
        end = at + 2 + body[at + 1]
        name = body[at + 2 : end].decode()
        if element == _KEY_VALUE:
            at = end + 2 + (body[end] << 8 | body[end + 1])
            section[name] = body[end + 2 : at]
        elif element == _SECTION_START:
            inner: Section = {}
            section[name] = inner
            outer.append(section)
            if len(outer) > MAX_DEPTH:
                raise PeerError(f"VICI: more than {MAX_DEPTH} sections within each other")
            section, at = inner, end
        elif element == _LIST_START:
            items: list[bytes] = []
            section[name] = items
            at = end
            while body[at] == _LIST_ITEM:
                start = at + 3
                at = start + (body[at + 1] << 8 | body[at + 2])
                items.append(body[start:at])
            if body[at] != _LIST_END:
                raise PeerError(f"VICI: element type {body[at]} within the list {name!r}")
            at += 1
        else:
            raise PeerError(f"VICI: unknown element type {element} at octet {at}")
        if at > size:
            raise PeerError(f"VICI: {name!r} runs past the message's end")
    if outer:
        raise PeerError(f"VICI: {len(outer)} sections never end")
    return section


def request_packet(command: str, message: Request) -> bytes:
    """A command with its message. Raises ValueError where a name or value is longer than VICI can say."""
    return bytes(Packet.request(command, write_message(message)))


def register_packet(event: str) -> bytes:
    """Asks for an event."""
    return bytes(Packet.register_event(event))


def unregister_packet(event: str) -> bytes:
    """Asks for an event no more."""
    return bytes(Packet.unregister_event(event))


def write_message(message: Request) -> bytes:
    """A message's octets. Raises ValueError where a name or value is longer than VICI can say."""
    try:
        return bytes(Message.serialize(_spelled(message)))
    except struct.error as error:
        raise ValueError(f"VICI: a name over {MAX_NAME} octets or a value over 65535") from error


def _spelled(message: Request) -> dict[str, object]:
    """With yes and no for truth values: the package's codec would write "True", which charon takes for no."""
    return {name: _spell(value) for name, value in message.items()}


def _spell(value: Scalar | Sequence[Scalar] | Request) -> object:
    match value:
        case bool():
            return "yes" if value else "no"
        case Mapping():
            return _spelled(value)
        case int() | str() | bytes():
            return value
        case _:
            return [_spell(item) for item in value]
