"""The two extended communities of RFC 9012 §4, Encapsulation (0x030c) and Colour (0x030b), and one of ours.

A community is its 64-bit number here, as ExaBGP prints it: the first octet on the wire is the most
significant.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from softmesh.bgp.codepoints import ExtendedCommunityType, tunnel_type_name
from softmesh.bgp.sub_tlv import EgressEndpoint
from softmesh.bgp.tunnel_encapsulation import Carrier, Tunnel, judge
from softmesh.bgp.wire import DecodeError

# Numbers all communities are compared with: Python 3.11 is slow to look one up in its enum.
_ENCAPSULATION = int(ExtendedCommunityType.ENCAPSULATION)
_COLOR = int(ExtendedCommunityType.COLOR)
_ATTRIBUTE_DIGEST = int(ExtendedCommunityType.ATTRIBUTE_DIGEST)
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
class AttributeDigestCommunity:
    """What attribute 23 was when it was sent: a report for whoever gets it changed, and nothing to trust (ours)."""

    digest: bytes
    """The first 6 octets of SHA-256 over the attribute's value."""

    def __int__(self) -> int:
        return _ATTRIBUTE_DIGEST << 48 | int.from_bytes(self.digest)

    def __str__(self) -> str:
        return f"Digest of attribute 23 (experimental: Softmesh) {self.digest.hex()}"


@dataclass(frozen=True, slots=True)
class OtherCommunity:
    """A community without meaning here: never an error (RFC 7606 §7.14)."""

    value: int

    def __int__(self) -> int:
        return self.value

    def __str__(self) -> str:
        return f"0x{self.value:016x}"


def attribute_digest(tunnel_encapsulation: bytes) -> AttributeDigestCommunity:
    """The community that tells what the value octets of attribute 23 are."""
    return AttributeDigestCommunity(hashlib.sha256(tunnel_encapsulation).digest()[:6])


def read_community(
    value: int,
) -> EncapsulationCommunity | ColorCommunity | AttributeDigestCommunity | OtherCommunity:
    """What the community with this 64-bit number says; ``int()`` of the answer is ``value`` again."""
    kind = value >> 48
    if kind == _ENCAPSULATION:
        return EncapsulationCommunity(value & 0xFFFF, value >> 16 & 0xFFFFFFFF)
    if kind == _COLOR:
        return ColorCommunity(value & 0xFFFFFFFF, value >> 32 & 0xFFFF)
    if kind == _ATTRIBUTE_DIGEST:
        return AttributeDigestCommunity((value & (1 << 48) - 1).to_bytes(6))
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


def tunnels_from(
    communities: Iterable[int],
    beside: Iterable[Tunnel] = (),
    next_hop: IPv4Address | IPv6Address | None = None,
) -> tuple[Tunnel, ...]:
    """The tunnels that Encapsulation communities stand for, each to the next hop and with no other sub-TLV.

    RFC 9012 §4.1: each counts like a TLV of attribute 23, so an unknown or transmit-only type is no usable
    tunnel. A community of the type of a TLV in ``beside``, attribute 23 of the same route, is that tunnel once more,
    for whoever does not get the attribute, unless the TLV names an endpoint that is not the ``next_hop``: what the
    TLV says of authenticators and colours must not be had without.
    """
    named = (read_community(value) for value in communities if value >> 48 == _ENCAPSULATION)
    types = dict.fromkeys(c.tunnel_type for c in named if isinstance(c, EncapsulationCommunity))
    if types:
        for tunnel in beside:
            if tunnel.type in types and (tunnel.egress_endpoint or next_hop) == next_hop:
                del types[tunnel.type]
    return tuple(judge(number, (EgressEndpoint(None),), Carrier.UNICAST) for number in types)


def digest_from(communities: Iterable[int]) -> AttributeDigestCommunity | None:
    """What attribute 23 was when it was sent; None where its sender did not say, or nothing is left of it."""
    for value in communities:
        # OpenBGPD up to 8.8 hands communities of types that it does not know on with zeros for their value.
        if value >> 48 == _ATTRIBUTE_DIGEST and (digest := value & (1 << 48) - 1):
            return AttributeDigestCommunity(digest.to_bytes(6))
    return None


def colors_from(communities: Iterable[int]) -> tuple[int, ...]:
    """The colours of a route, in order, each once."""
    return tuple(dict.fromkeys(value & 0xFFFFFFFF for value in communities if value >> 48 == _COLOR))
