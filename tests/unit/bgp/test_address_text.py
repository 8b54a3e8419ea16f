"""Text that is an address or a prefix, by the same judgement as ``ipaddress``."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from softmesh.bgp.address_text import is_address, is_prefix

TEXTS = [
    "10.0.0.1", "::", "::ffff:192.0.2.1", "2001:db8::1", "fe80::1%eth0", "10.0.0", "10.0.0.256", "010.0.0.1", "1",
    "", "x", ":", "no-nexthop", "10.0.0.1 ", "10.0.0.1\0", "\ud800", "١.0.0.1",
]  # fmt: skip
LENGTHS = ["", "/", "/0", "/8", "/32", "/33", "/128", "/129", "/-1", "/+8", "/8/8", "/²", "/ 8", "/255.0.0.0", "/0000"]


def parses(parse: type | object, text: str) -> bool:
    try:
        parse(text)  # type: ignore[operator]
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("text", TEXTS)
def test_addresses(text: str) -> None:
    assert is_address(text) == (parses(ip_address, text) and "%" not in text)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("text", TEXTS)
def test_prefixes(text: str, length: str) -> None:
    if is_prefix(text + length):
        ip_network(text + length, strict=False)
    # What only has a length in another notation is none that ExaBGP prints.
    elif length in {"/0", "/8", "/32", "/33", "/128", "/129"}:
        assert "%" in text or not parses(lambda prefix: ip_network(prefix, strict=False), text + length)
