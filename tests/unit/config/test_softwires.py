"""Configured softwires: what contradicts itself, and the keys they need."""

from __future__ import annotations

import pytest

from tests.unit.config.site import GOOD, K1_AUTHENTICATOR, PEER_AUTHENTICATOR, Site, changed

KEYS = "trust: {keys: [{directory: keys}]}\n"
HUBS_AND_FAR = [("hubs", "2001:db8:f::/120"), ("far", "2001:db8:f:1::/64")]
OUTSIDE = "which must stay reachable outside every softwire; list more specific networks without it"


def entry(remote: str = "2001:db8:f::2", tunnel: str = "gre", more: str = "") -> str:
    return f"  - {{remote: '{remote}', tunnel: {tunnel}, authenticators: [{PEER_AUTHENTICATOR}]{more}}}\n"


def softwires(*entries: str) -> str:
    """The good configuration with a key directory and softwires, the first of them in line 18."""
    return f"{GOOD}{KEYS}softwires:\n{''.join(entries)}"


@pytest.mark.parametrize(
    "entries",
    [
        (entry(),),
        (entry(), entry(more=", color: 1"), entry(tunnel="l2tpv3"), entry("2001:db8:f::fe")),
        (entry(more=", prefixes: [10.2.0.0/24]"), entry("2001:db8:f::3", more=", prefixes: [10.2.0.0/24]")),
        (entry(tunnel="ipsec-tunnel-mode", more=", prefixes: [10.2.0.0/24]"),),
        (entry(more=", prefixes: ['2001:db8:102::/48']"),),
        (entry(more=", prefixes: [10.2.0.0/24, 10.0.0.0/24]"),),
    ],
)
def test_good_ones(site: Site, entries: tuple[str, ...]) -> None:
    assert site.warnings(softwires(*entries)) == []


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        (
            entry("ff02::1"),
            "18:6: softwires[0].remote: ff02::1 is special-purpose (ff00::/8, multicast); use the peer's endpoint",
        ),
        (
            entry("2001:db8:f::1"),
            "18:6: softwires[0].remote: 2001:db8:f::1 is our own address; use the peer's endpoint",
        ),
        (
            entry("192.0.2.1"),
            "18:6: softwires[0].remote: 192.0.2.1 cannot be reached from our endpoint 2001:db8:f::1; use the peer's"
            " IPv6 endpoint",
        ),
        (
            entry() + entry(tunnel="ip-in-ip-ipsec-transport") + entry(),
            "20:5: softwires[2]: gre to 2001:db8:f::2 is given twice with the same colour; keep one of them",
        ),
        (
            entry(tunnel="ipsec-tunnel-mode"),
            "18:5: softwires[0].prefixes: ipsec-tunnel-mode needs some; list the networks behind the peer",
        ),
        (
            entry(tunnel="l2tpv3", more=", prefixes: [10.2.0.0/24]"),
            "18:107: softwires[0].prefixes: l2tpv3 carries frames, so nothing is routed into it here; remove the key,"
            " and route where the frames go",
        ),
        (
            entry(more=", prefixes: [10.2.0.0/24, 10.1.0.0/16]"),
            "18:128: softwires[0].prefixes[1]: 10.1.0.0/16 overlaps 10.1.0.0/24, which we announce as behind us;"
            " correct the one or the other",
        ),
        (
            entry(more=", prefixes: [10.1.0.128/25]"),
            "18:115: softwires[0].prefixes[0]: 10.1.0.128/25 overlaps 10.1.0.0/24, which we announce as behind us;"
            " correct the one or the other",
        ),
        (
            entry(more=", prefixes: ['2001:db8:f::fc/126']"),
            "18:115: softwires[0].prefixes[0]: 2001:db8:f::fc/126 holds the BGP neighbour 2001:db8:f::fe, " + OUTSIDE,
        ),
        (
            entry(more=", prefixes: ['2001:db8:f::1/128']"),
            "18:115: softwires[0].prefixes[0]: 2001:db8:f::1/128 holds our endpoint 2001:db8:f::1, " + OUTSIDE,
        ),
        (
            entry(more=", prefixes: ['2001:db8:f::2/127']"),
            "18:115: softwires[0].prefixes[0]: 2001:db8:f::2/127 holds the softwire's end 2001:db8:f::2, " + OUTSIDE,
        ),
        (
            entry(more=", prefixes: ['2001:db8:f::8/125']") + entry("2001:db8:f::9"),
            "18:115: softwires[0].prefixes[0]: 2001:db8:f::8/125 holds the softwire's end 2001:db8:f::9, " + OUTSIDE,
        ),
        (
            entry(more=", prefixes: [10.2.0.0/24, 10.2.0.0/25]"),
            "18:128: softwires[0].prefixes[1]: 10.2.0.0/25 lies within 10.2.0.0/24, which is listed too; keep one of"
            " them",
        ),
        (
            entry(more=", prefixes: [127.1.0.0/16]"),
            "18:115: softwires[0].prefixes[0]: 127.1.0.0/16 is special-purpose (127.0.0.0/8, loopback); remove it",
        ),
    ],
)
def test_error(site: Site, written: str, problem: str) -> None:
    assert site.errors(softwires(written)) == [problem]


def test_our_end_of_bgp_is_no_peer(site: Site) -> None:
    text = softwires(entry("2001:db8:f::5")).replace("asn: 65000", "asn: 65000\n  local_address: 2001:db8:f::5")
    assert site.errors(text) == ["19:6: softwires[0].remote: 2001:db8:f::5 is our own address; use the peer's endpoint"]


def test_prefix_of_a_family_we_do_not_announce(site: Site) -> None:
    prefixes = ", prefixes: ['2001:db8:102::/48']"
    for tunnel, column in [("ipsec-tunnel-mode", 129), ("ip-in-ip-ipsec-transport", 136)]:
        assert site.warnings(softwires(entry(tunnel=tunnel, more=prefixes))) == [
            f"18:{column}: warning: softwires[0].prefixes[0]: 2001:db8:102::/48 is not carried: announce.prefixes has"
            " no IPv6 network; announce one, or remove it"
        ]


def test_keys_are_in_a_directory(site: Site) -> None:
    for keys in ("", "trust: {keys: [{announced: true}]}\n"):
        line = 16 + bool(keys)
        assert site.errors(softwires(entry()).replace(KEYS, keys)) == [
            f"{line}:1: softwires: their keys come from a directory or store only, and trust.keys has neither; add a"
            " directory to trust.keys and put the peers' public keys into it"
        ]
    assert site.warnings(softwires(entry()).replace("[{dir", "[{announced: true}, {dir")) == []
    store = "trust: {keys: [{url: 'https://keys.example/{sha1}'}]}\n"
    assert site.warnings(softwires(entry()).replace(KEYS, store)) == []


def test_key_that_is_not_there_yet(site: Site) -> None:
    (site.keys / "afbr2.pem").unlink()
    assert site.warnings(softwires(entry())) == [
        "18:44: warning: softwires[0].authenticators: no key of 2001:db8:f::2 in the directories of trust.keys: the"
        " softwire waits for it; put the peer's public key there"
    ]


def test_key_that_a_store_may_have(site: Site) -> None:
    (site.keys / "afbr2.pem").unlink()
    store = "trust: {keys: [{directory: keys}, {url: 'https://keys.example/{sha1}'}]}\n"
    assert site.warnings(softwires(entry()).replace(KEYS, store)) == []


def test_no_group_key_outside_the_mesh(site: Site) -> None:
    whole = KEYS.replace("{keys", "{mode: group-psk, secret_file: group.key, keys")
    assert site.errors(softwires(entry()).replace(KEYS, whole)) == [
        "18:5: softwires[0]: would use the group key of trust, which is for the mesh alone (RFC 5619 §3.5.2); set"
        " another mode there, or remove the softwire"
    ]
    group = "{name: NAME, endpoints: ['NET'], trust: {mode: group-psk, secret_file: group.key}}"
    hubs, far = (group.replace("NAME", name).replace("NET", net) for name, net in HUBS_AND_FAR)
    assert site.errors(f"{softwires(entry())}groups: [{far}, {hubs}]\n") == [
        "18:5: softwires[0]: would use the group key of groups[1].trust, which is for the mesh alone (RFC 5619 §3.5.2);"
        " set another mode there, or remove the softwire"
    ]
    assert site.errors(f"{softwires(entry('2001:db8:f:1::2'))}groups: [{far}, {hubs}]\n") == []
    first = hubs.replace("hubs", "first").replace("mode: group-psk, secret_file: group.key", "mode: pinned")
    assert site.errors(f"{softwires(entry())}groups: [{first}, {hubs}]\n") == []


def test_one_of_several_keys_is_enough(site: Site) -> None:
    assert site.warnings(softwires(entry().replace("[", f"[{'0' * 40}, "))) == []


def test_authenticators(site: Site) -> None:
    twice = entry().replace(PEER_AUTHENTICATOR, f"{PEER_AUTHENTICATOR}, {PEER_AUTHENTICATOR.upper()}")
    assert site.warnings(softwires(twice)) == [
        "18:44: warning: softwires[0].authenticators: an authenticator is given twice; keep one of each"
    ]
    ours = entry().replace(PEER_AUTHENTICATOR, f"{PEER_AUTHENTICATOR}, {K1_AUTHENTICATOR}")
    assert site.errors(softwires(ours)) == [
        f"18:103: softwires[0].authenticators[1]: {K1_AUTHENTICATOR} is our own; write what softmesh check prints on"
        " the peer"
    ]


def test_many_take_no_quadratic_time(site: Site) -> None:
    announced = ", ".join(f"10.{i >> 8}.{i & 255}.0/24" for i in range(5_000))
    many = [entry(f"2001:db8:f:1::{i:x}", more=f", prefixes: [11.{i >> 8}.{i & 255}.0/24]") for i in range(1, 5_000)]
    text = changed("[10.1.0.0/24]", f"[{announced}]") + KEYS + "softwires:\n" + "".join(many)
    assert site.errors(text) == []
