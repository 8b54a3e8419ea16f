"""Whether text is an address or a prefix: at a tenth of what ``ipaddress`` takes, for every route is asked."""

from __future__ import annotations

from socket import AF_INET, AF_INET6, inet_pton

_OCTETS = {AF_INET: 4, AF_INET6: 16}


def is_address(text: str) -> bool:
    """Whether it is an IPv4 or IPv6 address, without a zone."""
    try:
        inet_pton(AF_INET6 if ":" in text else AF_INET, text)
    except (OSError, ValueError):
        return False
    return True


def is_prefix(text: str) -> bool:
    """Whether it is a network in CIDR notation; bits behind its length do not matter."""
    address, slash, length = text.partition("/")
    if not (slash and length.isascii() and length.isdigit() and len(length) <= 3 and is_address(address)):
        return False
    return int(length) <= 8 * _OCTETS[AF_INET6 if ":" in address else AF_INET]
