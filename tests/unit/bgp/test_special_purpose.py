"""Addresses no tunnel may end at."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from softmesh.bgp.special_purpose import special_purpose


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.1",
        "0.1.2.3",
        "127.0.0.1",
        "127.255.255.255",
        "169.254.0.1",
        "192.0.0.8",
        "192.0.0.170",
        "224.0.0.5",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:192.0.2.1",
        "100:0:0:1::1",
        "2001:1::4",
        "2001:1ff:ffff::",
        "fe80::1",
        "febf::1",
        "ff02::1",
    ],
)
def test_refused(address: str) -> None:
    assert special_purpose(ip_address(address).packed)


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "10.0.0.1",
        "100.64.0.1",
        "126.255.255.255",
        "128.0.0.1",
        "169.253.255.255",
        "172.16.0.1",
        "191.255.255.255",
        "192.0.0.9",
        "192.0.0.10",
        "192.0.1.0",
        "192.88.99.1",
        "192.168.0.1",
        "198.18.0.1",
        "223.255.255.255",
        "::2",
        "64:ff9b::1",
        "100::1",
        "2001::1",
        "2001:1::1",
        "2001:3::1",
        "2001:20::1",
        "2001:200::1",
        "2001:db7::1",
        "2002::1",
        "2606:4700::1",
        "fc00::1",
        "fd12:3456::1",
        "fec0::1",
    ],
)
def test_accepted(address: str) -> None:
    assert special_purpose(ip_address(address).packed, refuse_documentation=True) == ""


@pytest.mark.parametrize("address", ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"])
def test_documentation_is_accepted_unless_refused(address: str) -> None:
    packed = ip_address(address).packed
    assert special_purpose(packed) == ""
    assert "documentation" in special_purpose(packed, refuse_documentation=True)
