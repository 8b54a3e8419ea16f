"""The two extended communities of RFC 9012 §4: Encapsulation (0x030c) and Colour (0x030b).

A community is its 64-bit number here, as ExaBGP prints it: the first octet on the wire is the most
significant.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from softmesh.bgp.codepoints import tunnel_type_name
from softmesh.bgp.sub_tlv import EgressEndpoint
from softmesh.bgp.tunnel_encapsulation import Carrier, Tunnel, judge
from softmesh.bgp.wire import DecodeError

_ENCAPSULATION = 0x030C
_COLOR = 0x030B
_SIZE = 8


@dataclass(frozen=True, slots=True)
class EncapsulationCommunity:
    """A tunnel of this type ends at the route's next hop (RFC 9012 §4.1)."""

    tunnel_type: int
    reserved: int = 0
    """Four octets: sent as zero, ignored."""

    def __int__(self) -> int:
        return _ENCAPSULATION << 48 | self.reserved << 16 | self.tunnel_type

    def __str__(self) -> str:
        return f"Encapsulation {self.tunnel_type} {tunnel_type_name(self.tunnel_type)}"


@dataclass(frozen=True, slots=True)
class ColorCommunity:
    """The colour of a route (RFC 9012 §4.3): chooses among the tunnels it resolves to (§8)."""

    color: int
    flags: int = 0
    """Sent as zero, ignored, never changed on the way."""

    def __int__(self) -> int:
        return _COLOR << 48 | self.flags << 32 | self.color

    def __str__(self) -> str:
        return f"Color {self.color}"


@dataclass(frozen=True, slots=True)
class OtherCommunity:
    """A community without meaning here: never an error (RFC 7606 §7.14)."""

    value: int

    def __int__(self) -> int:
        return self.value

    def __str__(self) -> str:
        return f"0x{self.value:016x}"


def read_community(value: int) -> EncapsulationCommunity | ColorCommunity | OtherCommunity:
    """What the community with this 64-bit number says; ``int()`` of the answer is ``value`` again."""
    kind = value >> 48
    if kind == _ENCAPSULATION:
        return EncapsulationCommunity(value & 0xFFFF, value >> 16 & 0xFFFFFFFF)
    if kind == _COLOR:
        return ColorCommunity(value & 0xFFFFFFFF, value >> 32 & 0xFFFF)
    return OtherCommunity(value)


def decode_communities(value: bytes) -> tuple[int, ...]:
    """The communities of an Extended Communities attribute (type 16), in order.

    Raises DecodeError unless the value is a non-zero multiple of 8 octets (RFC 7606 §7.14).
    """
    if not value or len(value) % _SIZE:
        raise DecodeError(f"extended communities of {len(value)} octets, a non-zero multiple of 8 expected")
    return struct.unpack(f"!{len(value) // _SIZE}Q", value)


def encode_communities(communities: Iterable[int]) -> bytes:
    """The value of an Extended Communities attribute that holds these 64-bit numbers."""
    return b"".join(community.to_bytes(_SIZE, "big") for community in communities)


def tunnels_from(communities: Iterable[int]) -> tuple[Tunnel, ...]:
    """The tunnels that Encapsulation communities stand for, each to the next hop and with no other sub-TLV.

    RFC 9012 §4.1: each counts like a TLV of attribute 23, so an unknown or transmit-only type is no usable
    tunnel.
    """
    named = (read_community(value) for value in communities if value >> 48 == _ENCAPSULATION)
    types = dict.fromkeys(c.tunnel_type for c in named if isinstance(c, EncapsulationCommunity))
    return tuple(judge(number, (EgressEndpoint(None),), Carrier.UNICAST) for number in types)


def colors_from(communities: Iterable[int]) -> tuple[int, ...]:
    """The colours of a route, in order, each once."""
    return tuple(dict.fromkeys(value & 0xFFFFFFFF for value in communities if value >> 48 == _COLOR))
