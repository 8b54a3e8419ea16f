"""Addresses no tunnel may end at (RFC 9012 §3.1), from IANA's special-purpose registries (RFC 6890).

A block is listed where its "destination" or "forwardable" is false; more specific entries of the registry
that allow both are carved out again. Multicast, which has registries of its own, names no single router
either.
"""

from __future__ import annotations

from ipaddress import ip_network

# The registries mark these unfit as destinations too. But examples, demonstrations and laboratories use them,
# nothing real is numbered from them, and RFC 9012 §3.1 lets configuration relax the rule: so accepted unless
# told otherwise.
_DOCUMENTATION = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20")

_REFUSED = (
    ("0.0.0.0/8", "this network"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link local"),
    ("192.0.0.0/24", "IETF protocol assignments"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved or limited broadcast"),
    ("::/128", "unspecified address"),
    ("::1/128", "loopback"),
    ("::ffff:0:0/96", "IPv4-mapped"),
    ("100:0:0:1::/64", "dummy prefix"),
    ("2001::/23", "IETF protocol assignments"),
    ("fe80::/10", "link local"),
    ("ff00::/8", "multicast"),
)

_ALLOWED_WITHIN = (
    "192.0.0.9/32",
    "192.0.0.10/32",
    "2001::/32",
    "2001:1::1/128",
    "2001:1::2/128",
    "2001:1::3/128",
    "2001:2::/48",
    "2001:3::/32",
    "2001:4:112::/48",
    "2001:20::/28",
    "2001:30::/28",
)


def _by_first_octet() -> dict[tuple[int, int], list[tuple[int, int, str]]]:
    """Blocks as (first, last, name) by (size, first octet) of an address: most are cleared by one lookup."""
    found: dict[tuple[int, int], list[tuple[int, int, str]]] = {}
    # The first match decides. Documentation lies within no other block here and is asked for most.
    blocks = [
        *((block, "documentation") for block in _DOCUMENTATION),
        *((block, "") for block in _ALLOWED_WITHIN),
        *_REFUSED,
    ]
    for text, name in blocks:
        network = ip_network(text)
        first, last = int(network.network_address), int(network.broadcast_address)
        size = network.max_prefixlen // 8
        shift = network.max_prefixlen - 8
        for octet in range(first >> shift, (last >> shift) + 1):
            found.setdefault((size, octet), []).append((first, last, f"{text}, {name}" if name else ""))
    return found


_BLOCKS = _by_first_octet()


def special_purpose(address: bytes, refuse_documentation: bool = False) -> str:
    """The block that makes an address of 4 or 16 octets unfit to end a tunnel at, or "" where it is fit.

    ``refuse_documentation`` applies the rule to documentation prefixes (RFC 5737, RFC 3849, RFC 9637) as
    well.
    """
    blocks = _BLOCKS.get((len(address), address[0]))
    if blocks is None:
        return ""
    number = int.from_bytes(address, "big")
    for first, last, block in blocks:
        if first <= number <= last:
            if block.endswith("documentation") and not refuse_documentation:
                return ""
            return block
    return ""
