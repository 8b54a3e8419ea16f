"""What cannot be meant (errors) and what probably is not (warnings)."""

from __future__ import annotations

import pytest

from tests.unit.config.site import GOOD, Site, changed

OUTSIDE = "which must stay reachable outside every softwire; announce more specific networks without it"

ERRORS = [
    (
        "endpoint: 2001:db8:f::1",
        "endpoint: '::1'",
        "1:1: endpoint: ::1 is special-purpose (::1/128, loopback); use an address",
    ),
    (
        "endpoint: 2001:db8:f::1",
        "endpoint: ff02::1",
        "1:1: endpoint: ff02::1 is special-purpose (ff00::/8, multicast); use",
    ),
    (
        "router_id: 10.255.0.1",
        "router_id: 0.0.0.0",
        "5:3: bgp.router_id: 0.0.0.0 is no BGP identifier; use one that",
    ),
    (
        "  router_id: 10.255.0.1\n",
        "",
        "2:1: bgp.router_id: required when bgp.managed is true; add router_id, for instance 10.255.0.1",
    ),
    ("asn: 65000", "asn: 23456", "4:3: bgp.asn: AS 23456 is reserved; use your own, or a private one"),
    (
        "asn: 65000",
        "asn: 65000\n  families: [ipv6 unicast, ipv4 unicast, ipv4 unicast]",
        "5:3: bgp.families: a family is given twice",
    ),
    (
        "asn: 65000",
        "asn: 65000\n  families: [ipv4 unicast]",
        "5:3: bgp.families: ExaBGP offers IPv6 next hops for IPv4 prefixes only where it speaks ipv6 unicast as well; "
        "add ipv6 unicast",
    ),
    (
        "asn: 65000",
        "asn: 65000\n  families: [ipv6 unicast]",
        "11:14: announce.prefixes[0]: 10.1.0.0/24 cannot be announced: 'ipv4 unicast' is not in bgp.families; add the",
    ),
    (
        "announce:",
        "announce:\n  carrier: encapsulation-safi",
        "10:3: announce.carrier: our endpoint cannot be announced: 'ipv6 encap' is not in bgp.families; add the family",
    ),
    (
        "asn: 65000",
        "asn: 65000\n  local_address: 192.0.2.1",
        "8:7: bgp.neighbors[0].address: an IPv6 neighbour cannot be reached from 192.0.2.1; set"
        " bgp.local_address to an"
        " IPv6 address of this router",
    ),
    (
        "asn: 65000",
        "asn: 65000\n  local_address: ff02::1",
        "5:3: bgp.local_address: ff02::1 is no router's address; use an",
    ),
    (
        "2001:db8:f::fe",
        "2001:db8:f::1",
        "7:7: bgp.neighbors[0].address: 2001:db8:f::1 is our own address; use the address of the BGP neighbour",
    ),
    (
        "    - address: 2001:db8:f::fe\n",
        "    - address: 2001:db8:f::fe\n    - address: 2001:db8:f:0::fe\n",
        "8:7: bgp.neighbors[1].address: 2001:db8:f::fe is given twice; keep one of them",
    ),
    (
        "2001:db8:f::fe",
        "ff02::5",
        "7:7: bgp.neighbors[0].address: ff02::5 is no router's address; use the address",
    ),
    (
        "[10.1.0.0/24]",
        "[2001:db8:f::/112]",
        f"10:14: announce.prefixes[0]: 2001:db8:f::/112 holds our endpoint 2001:db8:f::1, {OUTSIDE}",
    ),
    (
        "[10.1.0.0/24]",
        "['2001:db8:f::fe/127']",
        f"10:14: announce.prefixes[0]: 2001:db8:f::fe/127 holds the BGP neighbour 2001:db8:f::fe, {OUTSIDE}",
    ),
    (
        "[10.1.0.0/24]",
        "[10.0.0.0/8, 10.1.0.0/24]",
        "10:26: announce.prefixes[1]: 10.1.0.0/24 lies within 10.0.0.0/8, which is announced too; keep one of them",
    ),
    (
        "[10.1.0.0/24]",
        "[10.1.0.0/24, 10.2.0.0/24, 10.1.0.0/24]",
        "10:40: announce.prefixes[2]: 10.1.0.0/24 is given twice; keep one of them",
    ),
    (
        "[10.1.0.0/24]",
        "[127.1.0.0/16]",
        "10:14: announce.prefixes[0]: 127.1.0.0/16 is special-purpose (127.0.0.0/8, loopback); remove it",
    ),
    (
        "[10.1.0.0/24]",
        "[10.1.0.0/24]\n  tunnels: [{type: transmit-only}, {type: transmit-only}]",
        "11:36: announce.tunnels[1]: transmit-only is given twice with the same colour; keep one of them",
    ),
    (
        "[2001:db8:f::/64]",
        "[192.0.2.0/24]",
        "14:3: admission.endpoints: none of them is IPv6 as our endpoint 2001:db8:f::1 is: denies"
        " every peer; list the IPv6",
    ),
    (
        "  prefixes: [10.0.0.0/8]",
        "  prefixes: [10.0.0.0/8]\n  neighbors: [2001:db8:f::fe, 2001:db8:f::fd]",
        "16:31: admission.neighbors[1]: 2001:db8:f::fd is not in bgp.neighbors, so no route comes"
        " from it; add it there",
    ),
    (
        "admission:",
        "trust: {keys: [{directory: keys, announced: true}]}\nadmission:",
        "13:16: trust.keys[0]: must name exactly one source of keys; write one of directory: PATH, announced: true and"
        " url: URL",
    ),
    (
        "admission:",
        "trust: {keys: [{announced: false}]}\nadmission:",
        "13:16: trust.keys[0]: must name exactly one source of keys; write one of directory: PATH, announced: true and"
        " url: URL",
    ),
    (
        "admission:",
        "select: {colors: [1, 1]}\nadmission:",
        "13:10: select.colors: a value is given twice; keep one of each",
    ),
    (
        "admission:",
        "charon: {retry_initial: 5, retry_max: 4}\nadmission:",
        "13:28: charon.retry_max: 4 s is below charon.retry_initial (5 s); set it to charon.retry_initial or more",
    ),
    (
        "admission:",
        f"sockets: {{directory: /{'d' * 95}}}\nadmission:",
        "13:11: sockets.directory: the socket's path has 109 octets, 107 are allowed; use a shorter path",
    ),
    (
        "admission:",
        f"charon: {{vici: /{'d' * 107}}}\nadmission:",
        "13:10: charon.vici: the socket's path has 108 octets, 107 are allowed; use a shorter path",
    ),
]

WARNINGS = [
    (
        "managed: true",
        "managed: false\n  exabgp: /bin/true",
        "4:3: warning: bgp.exabgp: has no effect while bgp.managed",
    ),
    (
        "asn: 65000",
        "asn: 65000\n  stale_time: 60",
        "5:3: warning: bgp.stale_time: softwires go after 60 s, but a restart",
    ),
    (
        "admission:",
        "groups:\n  - name: far\n    endpoints: ['2001:db8:f::/64']\n    stale_time: 119\nadmission:",
        "16:5: warning: groups[0].stale_time: softwires go after 119 s, but a restart may take 120 s; set it to",
    ),
    (
        "managed: true",
        "add_path: true",
        "3:3: warning: bgp.add_path: has no effect while bgp.managed is false; write add-path receive",
    ),
    (
        "      password_file: bgp.password\n",
        "",
        "7:7: warning: bgp.neighbors[0]: the session has no password, so its routes will not count: whoever"
        " forges BGP directs our softwires (RFC 5566 §4); set password_file here and the same password there, or"
        " protection: none to have it so",
    ),
    (
        "      password_file",
        "      asn: 65001\n      password_file",
        "8:7: warning: bgp.neighbors[0].asn: AS 65001 is not ours (65000): no tunnels are exchanged with it (RFC"
        " 9012 §11); set tunnels: true if it is of the same administration, else tunnels: false",
    ),
    (
        "[10.1.0.0/24]",
        "[]",
        "10:3: warning: announce.prefixes: nothing is announced, so no peer learns of this router;",
    ),
    (
        "[10.1.0.0/24]",
        "[10.1.0.0/24]\n  tunnels: [{type: transmit-only}]",
        "11:3: warning: announce.tunnels: transmit-only alone tells peers not to send, so the"
        " announced prefixes are out",
    ),
    (
        "admission:",
        "select: {tunnels: [ip-in-ip-ipsec-transport]}\nadmission:",
        "9:1: warning: announce.tunnels[0]: ipsec-tunnel-mode is announced but not in"
        " select.tunnels, so this end never",
    ),
    (
        "[2001:db8:f::/64]",
        "[]",
        "14:3: warning: admission.endpoints: empty: denies every peer; list what is to be admitted",
    ),
    (
        "[10.0.0.0/8]",
        "[]",
        "15:3: warning: admission.prefixes: empty: denies every destination; list what is to be",
    ),
    (
        "[10.0.0.0/8]",
        "[10.0.0.0/8]\n  origin_as: []",
        "16:3: warning: admission.origin_as: empty: denies every route;",
    ),
    (
        "[10.0.0.0/8]",
        "[10.0.0.0/8]\n  neighbors: []",
        "16:3: warning: admission.neighbors: empty: denies every route;",
    ),
    (
        "[2001:db8:f::/64]",
        "[2001:db8:e::/64]",
        "14:3: warning: admission.endpoints: our endpoint 2001:db8:f::1 is in none of them: peers with the same list",
    ),
    (
        "admission:",
        "trust: {keys: []}\nadmission:",
        "13:9: warning: trust.keys: empty: no peer's key is ever found, so no",
    ),
    (
        "admission:",
        "trust: {keys: [{announced: true}, {announced: true}]}\nadmission:",
        "13:35: warning: trust.keys[1]: is given twice; keep one of them",
    ),
    (
        "admission:",
        "select: {tunnels: []}\nadmission:",
        "13:10: warning: select.tunnels: empty: no tunnel is ever accepted;",
    ),
]


def test_the_good_one_is_good(site: Site) -> None:
    assert site.warnings(GOOD) == []


@pytest.mark.parametrize(("old", "new", "problem"), ERRORS)
def test_error(site: Site, old: str, new: str, problem: str) -> None:
    errors = site.errors(changed(old, new))
    assert [error for error in errors if error.startswith(problem)], errors
    assert site.examine(changed(old, new)).config is None


@pytest.mark.parametrize(("old", "new", "problem"), WARNINGS)
def test_warning_does_not_keep_the_file_from_being_used(site: Site, old: str, new: str, problem: str) -> None:
    (warning,) = site.warnings(changed(old, new))
    assert warning.startswith(problem)
    assert site.examine(changed(old, new)).config is not None


def test_admitted_prefixes_of_no_exchanged_family(site: Site) -> None:
    text = changed("asn: 65000", "asn: 65000\n  families: [ipv6 unicast]").replace("[10.1.0.0/24]", "[2001:db8:7::/48]")
    (warning,) = site.warnings(text)
    assert warning.startswith(
        "16:3: warning: admission.prefixes: none of them is of a family in bgp.families: denies every"
    )


@pytest.mark.parametrize("halves", ["[0.0.0.0/1, 128.0.0.0/1]", "[0.0.0.0/0]"])
def test_a_default_route_may_be_announced(site: Site, halves: str) -> None:
    assert site.errors(changed("[10.1.0.0/24]", halves)) == []


def test_a_reflector_on_the_same_machine(site: Site) -> None:
    text = changed("2001:db8:f::fe", "127.0.0.1").replace("asn: 65000", "asn: 65000\n  local_address: 127.0.0.2", 1)
    assert site.errors(text) == []


def test_many_prefixes_take_no_quadratic_time(site: Site) -> None:
    many = ", ".join(f"10.{i >> 8}.{i & 255}.0/24" for i in range(20_000))
    assert site.errors(changed("[10.1.0.0/24]", f"[{many}]")) == []


def test_the_page_beyond_the_loopback(site: Site) -> None:
    assert site.warnings(f"{GOOD}http: {{port: 8180}}\n") == []
    assert site.warnings(f"{GOOD}http: {{addresses: [192.0.2.1]}}\n") == []
    assert site.warnings(f"{GOOD}http: {{port: 8180, addresses: ['::1', '2001:db8:f::1']}}\n") == [
        "16:39: warning: http.addresses[1]: the page is open to whoever reaches 2001:db8:f::1: it has no login and no"
        " TLS; listen on the loopback and put a proxy with both before it"
    ]


def test_addresses_of_the_page(site: Site) -> None:
    assert site.errors(f"{GOOD}http: {{port: 8180, addresses: [127.0.0.1, 127.0.0.1]}}\n") == [
        "16:43: http.addresses[1]: 127.0.0.1 is given twice; keep one of them"
    ]
    assert site.errors(f"{GOOD}http: {{port: 0, addresses: []}}\n") == [
        "16:14: http.port: must be a whole number from 1 to 65535, not '0'; write such a number, without unit",
        "16:28: http.addresses: must not be empty; give it at least one item, or remove the key for the default",
    ]
    assert site.errors(f"{GOOD}http: {{addresses: [224.0.0.1]}}\n") == [
        "16:20: http.addresses[0]: 224.0.0.1 is no address to listen at; use an address of this router"
    ]
