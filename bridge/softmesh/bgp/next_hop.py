"""Next hops as MP_REACH_NLRI carries them: the length says what they are (RFC 8950, RFC 2545, RFC 4798)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from softmesh.bgp.wire import DecodeError

_ROUTE_DISTINGUISHER = 8


@dataclass(frozen=True, slots=True)
class NextHop:
    """Where a route's packets go next."""

    address: IPv4Address | IPv6Address
    """IPv4 also where it came as an IPv4-mapped IPv6 address."""
    link_local: IPv6Address | None = None
    """The same router's link-local address, where it sent one (RFC 2545 §3)."""


def decode_next_hop(octets: bytes) -> NextHop:
    """The next hop in the octets of an MP_REACH_NLRI's Network Address of Next Hop.

    4 octets are IPv4, 16 IPv6, 32 IPv6 with a link-local address after it; 12, 24 and 48 are the same forms
    of the VPN families, each address after a route distinguisher. Raises DecodeError for any other length.
    """
    size = len(octets)
    if size in (12, 24, 48):
        # RFC 8950 §3 sends the distinguisher as zero; it says nothing about the address and is not looked at.
        step = 12 if size == 12 else 24
        octets = b"".join(octets[i + _ROUTE_DISTINGUISHER : i + step] for i in range(0, size, step))
    if len(octets) == 4:
        return NextHop(IPv4Address(octets))
    if len(octets) not in (16, 32):
        raise DecodeError(f"next hop of {size} octets, expected 4, 16, 32, or 12, 24, 48 in a VPN family")
    address = unmapped(IPv6Address(octets[:16]))
    second = IPv6Address(octets[16:]) if len(octets) == 32 else None
    # Some speakers repeat the global address or send :: where they have no link-local one.
    return NextHop(address, second if second is not None and second.is_link_local else None)


def encode_next_hop(next_hop: NextHop, afi: int) -> bytes:
    """The octets for NLRI of family ``afi`` (1 or 2); an IPv4 address under AFI 2 is sent IPv4-mapped."""
    address = next_hop.address
    packed = address.packed
    if isinstance(address, IPv4Address) and afi == 2:
        packed = b"\0" * 10 + b"\xff\xff" + packed
    return packed + (next_hop.link_local.packed if next_hop.link_local is not None else b"")


def unmapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address in an IPv4-mapped IPv6 one (RFC 4798 §2: an IPv4 core), any other as it is."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def parse_next_hop(text: str) -> IPv4Address | IPv6Address:
    """The next hop ExaBGP prints, IPv4-mapped ones as IPv4; raises DecodeError where it is no address."""
    try:
        return unmapped(ip_address(text))
    except ValueError:
        raise DecodeError(f"next hop {text!r} is not an IP address") from None
