"""Traffic selectors as charon and we write them, made comparable."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import ip_network
from typing import TypeAlias

from softmesh.mesh.softwire import Network

Parsed: TypeAlias = tuple[Network | str, int | str | None, int | str | None]
"""A selector's network, protocol and port, None being any; as text what is neither (a range of addresses, %any)."""

_PROTOCOL_NUMBERS = {
    "icmp": 1, "ipencap": 4, "ipv4": 4, "ipip": 4, "tcp": 6, "udp": 17, "ipv6": 41, "gre": 47, "esp": 50,
    "ah": 51, "ipv6-icmp": 58, "l2tp": 115, "mpls-in-ip": 137,
}  # fmt: skip
"""charon prints protocols by the names of /etc/protocols, which differ between systems."""
_PORT_NUMBERS = {"bgp": 179}
"""Ports it prints by the names of /etc/services: of the ports we ask for."""


# Every pass verifies every SA, and hardly any selector is new.
@lru_cache(maxsize=65536)
def parse_selector(text: str) -> Parsed:
    """A selector's network, protocol and port, equal whether Softmesh or charon wrote it."""
    network, bracket, kind = text.removesuffix("]").partition("[")
    protocol, slash, port = kind.partition("/")
    return (
        parse_network(network),
        _number(protocol, _PROTOCOL_NUMBERS) if bracket else None,
        _number(port, _PORT_NUMBERS) if slash else None,
    )


def parse_network(text: str) -> Network | str:
    """A network, or an address as one; as it is where it is neither."""
    try:
        return ip_network(text)
    except ValueError:
        return text


def overlap(one: str, other: str) -> bool:
    """Whether two selectors have an address in common, whatever the protocol; True where that cannot be told."""
    left, right = parse_selector(one)[0], parse_selector(other)[0]
    if isinstance(left, str) or isinstance(right, str):
        return True
    return left.version == right.version and left.overlaps(right)


def _number(text: str, named: Mapping[str, int]) -> int | str:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 5 else named.get(text, text)
