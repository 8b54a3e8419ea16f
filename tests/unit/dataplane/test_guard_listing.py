from __future__ import annotations

import json
from ipaddress import ip_address
from typing import Any

import pytest

from softmesh.dataplane.nft_listing import table
from softmesh.errors import PeerError

METAINFO = {"metainfo": {"version": "1.0.6", "release_name": "Lester Gooch #5", "json_schema_version": 1}}


def listing(*items: Any) -> bytes:
    return json.dumps({"nftables": [METAINFO, *items]}).encode()


def in_set(type: Any, *elements: Any) -> Any:  # noqa: A002 - nft's word
    declared = {"family": "inet", "name": "s", "table": "softmesh", "type": type, "handle": 8, "flags": ["interval"]}
    return {"set": {**declared, "elem": list(elements)} if elements else declared}


def test_a_listing_within_itself_without_end_is_none() -> None:
    with pytest.raises(PeerError, match="cannot read what it printed"):
        table(b'{"nftables": ' + b"[" * 100_000)


@pytest.mark.parametrize(
    ("kind", "element", "text"),
    [
        ("ifname", "eth0", '"eth0"'),
        ("ipv4_addr", "192.0.2.1", "192.0.2.1"),
        ("ipv4_addr", {"prefix": {"addr": "10.0.0.0", "len": 8}}, "10.0.0.0/8"),
        ("ipv4_addr", {"range": ["10.0.0.1", "10.0.0.5"]}, "10.0.0.1-10.0.0.5"),
        ("ipv4_addr", {"elem": {"val": "192.0.2.1", "comment": "mine"}}, "192.0.2.1"),
        # Python 3.13 and later spells it with dots.
        ("ipv6_addr", "::ffff:1.2.3.4", str(ip_address("::ffff:1.2.3.4"))),
        ("ipv6_addr", {"prefix": {"addr": "::", "len": 0}}, "::/0"),
        ("mark", 4293844225, "0xffeedd01"),
        (["ifname", "ipv4_addr"], {"concat": ["sm-1", "1.2.3.4"]}, '"sm-1" . 1.2.3.4'),
        (
            ["ifname", "ipv6_addr"],
            {"concat": ["1", {"prefix": {"addr": "2001:db8::", "len": 32}}]},
            '"1" . 2001:db8::/32',
        ),
        (
            ["mark", "ipv4_addr"],
            {"concat": [42, {"prefix": {"addr": "10.0.0.0", "len": 8}}]},
            "0x0000002a . 10.0.0.0/8",
        ),
    ],
)
def test_elements_are_spelled_as_the_ruleset_spells_them(kind: Any, element: Any, text: str) -> None:
    assert table(listing(in_set(kind, element))).elements == {"s": {text}}


def test_an_empty_set_and_a_map() -> None:
    labels = {"family": "inet", "name": "labels", "table": "softmesh", "type": "ipv4_addr", "map": "mark", "handle": 1}
    assert table(listing(in_set("ipv4_addr"), {"map": {**labels, "elem": [["192.0.2.1", 7]]}})).elements == {
        "s": frozenset(),
        "labels": {"192.0.2.1 : 0x00000007"},
    }


def chain(name: str, **more: Any) -> Any:
    return {"chain": {"family": "inet", "table": "softmesh", "name": name, "handle": 1, **more}}


def rule(chain: str, **more: Any) -> Any:
    return {
        "rule": {"family": "inet", "table": "softmesh", "chain": chain, "handle": 3, "expr": [{"drop": None}], **more}
    }


def test_chains_show_their_place_and_their_rules_in_order() -> None:
    hooked = chain("in", type="filter", hook="input", prio=-10, policy="accept")
    strict = chain("out", type="filter", hook="output", prio=0, policy="drop")
    found = table(listing(chain("c"), hooked, strict, rule("c", comment="one"), rule("in"), rule("c", comment="two")))
    assert found.shape == {
        ("c", None, 0, ("one", "two")),
        ("in", "input", -10, ("",)),
        ("out", "output, policy drop", 0, ()),
    }
    assert not found.ours


def test_our_signature() -> None:
    assert table(listing(chain("signature"))).ours


def test_counters() -> None:
    counter = {"family": "inet", "name": "spoofed", "table": "softmesh", "handle": 5, "packets": 7, "bytes": 8}
    assert table(listing({"counter": counter})).counted == {"spoofed": (7, 8)}


@pytest.mark.parametrize(
    "output",
    [
        b"",
        b"nft: garbage",
        b'{"nftables": 3}',
        listing(in_set("ipv4_addr", {"prefix": {"addr": "10.0.0.0", "len": 99}})),
        listing(in_set("ipv4_addr", {"unheard": "of"})),
        listing(rule("without a chain")),
    ],
)
def test_what_is_no_listing_is_refused(output: bytes) -> None:
    with pytest.raises(PeerError, match="nft -j list table: cannot read what it printed"):
        table(output)
