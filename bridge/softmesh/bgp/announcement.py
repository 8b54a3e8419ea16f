"""What we announce, and how ExaBGP is told."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Announcement:
    """One prefix of ours with what goes into its UPDATE; addresses are checked when it is rendered."""

    prefix: str
    """Network in CIDR notation, of either family."""
    next_hop: str
    """Our address in the core, of either family."""
    tunnel_encapsulation: bytes | None = None
    """Value octets of attribute 23 (RFC 9012 §2)."""
    extended_communities: tuple[int, ...] = ()
    """Each as its 64-bit value."""
    communities: tuple[int, ...] = ()
    """Standard communities (RFC 1997), each as its 32-bit value."""
    neighbors: frozenset[str] | None = None
    """Addresses of the BGP neighbours it is for; None: all that ExaBGP has, nobody where empty."""
    fallback_communities: tuple[int, ...] = ()
    """The extended communities for neighbours that attribute 23 is left out for, in place of the others."""
    encapsulation: bool = False
    """Whether the prefix is the host at which the tunnels end, and goes into the Encapsulation SAFI (RFC 5512 §3)."""


def needs_extended_next_hop(announcement: Announcement) -> bool:
    """Return whether it is an IPv4 prefix with an IPv6 next hop, which must have been negotiated (RFC 8950 §4)."""
    return ":" in announcement.next_hop and ":" not in announcement.prefix


def without_attribute(announcement: Announcement) -> Announcement:
    """Return the announcement for a neighbour that is not to see attribute 23."""
    return replace(announcement, tunnel_encapsulation=None, extended_communities=announcement.fallback_communities)


def checked(announcement: Announcement) -> Announcement:
    """Return the announcement with its prefix in canonical form.

    Raises ValueError, saying what is wrong, for anything that must not get into a command line.
    """
    prefix = ipaddress.ip_network(announcement.prefix)
    ipaddress.ip_address(announcement.next_hop)
    if "%" in announcement.next_hop:
        # ipaddress takes any text for a zone, line breaks included.
        raise ValueError("a next hop has no zone")
    if any(
        not 0 <= value < 1 << 64 for value in (*announcement.extended_communities, *announcement.fallback_communities)
    ):
        raise ValueError("an extended community is a number of 64 bits")
    if any(not 0 <= value < 1 << 32 for value in announcement.communities):
        raise ValueError("a community is a number of 32 bits")
    neighbors = announcement.neighbors
    if neighbors is not None:
        if any("%" in neighbor for neighbor in neighbors):
            raise ValueError("a neighbour has no zone")
        neighbors = frozenset(str(ipaddress.ip_address(neighbor)) for neighbor in neighbors)
    return replace(announcement, prefix=str(prefix), neighbors=neighbors)


def announce_command(announcement: Announcement) -> str:
    """Return ExaBGP's API command, without newline. Raises ValueError as ``checked`` does."""
    announcement = checked(announcement)
    words = [f"{_selected(announcement)}announce route {_route(announcement)}"]
    if announcement.tunnel_encapsulation is not None:
        words.append(f"attribute [ 0x17 0xc0 0x{announcement.tunnel_encapsulation.hex()} ]")
    if announcement.extended_communities:
        values = " ".join(f"0x{value:016x}" for value in announcement.extended_communities)
        words.append(f"extended-community [ {values} ]")
    if announcement.communities:
        values = " ".join(f"{value >> 16}:{value & 0xFFFF}" for value in announcement.communities)
        words.append(f"community [ {values} ]")
    return " ".join(words)


def withdraw_command(announcement: Announcement) -> str:
    """Return the API command that withdraws the prefix. Raises ValueError as ``checked`` does."""
    announcement = checked(announcement)
    return f"{_selected(announcement)}withdraw route {_route(announcement)}"


def _selected(announcement: Announcement) -> str:
    """ExaBGP's selection of neighbours, to go before a command. Raises ValueError where there is none to select."""
    if announcement.neighbors is None:
        return ""
    if not announcement.neighbors:
        raise ValueError("an announcement to nobody is no command")
    # The comma is a word of its own: "A," would be taken for a name that no neighbour has.
    return " , ".join(f"neighbor {neighbor}" for neighbor in sorted(announcement.neighbors)) + " "


def _route(announcement: Announcement) -> str:
    next_hop = ipaddress.ip_address(announcement.next_hop)
    text = str(next_hop)
    if ":" in announcement.prefix and next_hop.version == 4:
        # Across an IPv4 core an IPv6 prefix has an IPv4-mapped next hop (RFC 4798 §2, RFC 4291 §2.5.5.2).
        text = f"::ffff:{next_hop}"
    # As softmesh.bgp.exabgp_encapsulation has it.
    safi = " safi encap" if announcement.encapsulation else ""
    return f"{announcement.prefix}{safi} next-hop {text}"
