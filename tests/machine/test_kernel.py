"""The kernel has what the other tests here rely on: seen by packets that pass, or by a rule that is taken.

left ══ eth0 (a cable) ══ right
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from lab.namespace import Namespace, link, program
from tests.vm.kernel import security_associations

Pair = tuple[Namespace, Namespace]

ENDPOINTS = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8::1", "2001:db8::2")}
INNER = ("10.0.0.1", "10.0.0.2")
SPI = "0x1000"
ALGORITHMS = {
    "esp": ("aead", "rfc4106(gcm(aes))", "0x" + "11" * 20, "128"),
    "ah": ("auth-trunc", "hmac(sha256)", "0x" + "11" * 32, "128"),
}
GUARDS = {"postrouting": "rt ipsec missing", "prerouting": "meta secpath missing"}


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two namespaces on a cable, each with an address of either family."""
    with Namespace("left") as left, Namespace("right") as right:
        link(left, "eth0", right, "eth0")
        for side, namespace in enumerate((left, right)):
            namespace.address("eth0", f"{ENDPOINTS[4][side]}/24", f"{ENDPOINTS[6][side]}/64")
        yield left, right


def add_states(pair: Pair, version: int, protocol: str, *options: str) -> None:
    """The same SA for both directions, at both ends."""
    left, right = ENDPOINTS[version]
    for namespace in pair:
        for source, destination in ((left, right), (right, left)):
            namespace.ip(
                *("xfrm", "state", "add", "src", source, "dst", destination, "proto", protocol, "spi", SPI),
                *(*options, *ALGORITHMS[protocol]),
            )


def counted(namespace: Namespace, protocol: str, packets: int) -> None:
    """Assert that so many packets went through each of the namespace's two SAs."""
    sas = security_associations(namespace).values()
    assert [(sa.protocol, sa.packets) for sa in sas] == [(protocol, packets)] * 2


@pytest.mark.parametrize("protocol", ALGORITHMS)
@pytest.mark.parametrize("version", ENDPOINTS)
def test_esp_and_ah(pair: Pair, version: int, protocol: str) -> None:
    """Transport mode of either protocol carries a ping over either family."""
    left, right = ENDPOINTS[version]
    add_states(pair, version, protocol, "mode", "transport")
    for namespace, source, destination in ((pair[0], left, right), (pair[1], right, left)):
        for way, ends in (("out", (source, destination)), ("in", (destination, source))):
            # Neighbour discovery stays outside, or nothing could begin.
            upper = "icmp" if version == 4 else "ipv6-icmp"
            kinds = [[]] if version == 4 else [["type", "128"], ["type", "129"]]
            for kind in kinds:
                namespace.ip(
                    *("xfrm", "policy", "add", "src", ends[0], "dst", ends[1], "proto", upper, *kind, "dir", way),
                    *("tmpl", "src", ends[0], "dst", ends[1], "proto", protocol, "mode", "transport"),
                )
    assert pair[0].ping(right, count=2)
    counted(pair[0], protocol, 2)


def test_xfrm_interface(pair: Pair) -> None:
    """A route into an XFRM interface picks the SA that has its number (if_id)."""
    left, right = ENDPOINTS[6]
    # IPv4 within an IPv6 tunnel: the state's own selector would have the family of its addresses.
    add_states(pair, 6, "esp", "mode", "tunnel", "flag", "af-unspec", "if_id", "0x2a")
    for side, (namespace, source, destination) in enumerate(((pair[0], left, right), (pair[1], right, left))):
        for way, ends in (("out", (source, destination)), ("in", (destination, source))):
            namespace.ip(
                *("xfrm", "policy", "add", "src", "0.0.0.0/0", "dst", "0.0.0.0/0", "dir", way, "if_id", "0x2a"),
                *("tmpl", "src", ends[0], "dst", ends[1], "proto", "esp", "mode", "tunnel"),
            )
        namespace.ip("link", "add", "xfrm0", "type", "xfrm", "dev", "lo", "if_id", "0x2a")
        namespace.address("xfrm0", f"{INNER[side]}/24")
    assert pair[0].ping(INNER[1], count=2)
    counted(pair[0], "esp", 2)


@pytest.mark.parametrize("encapsulation", ["ip", "udp"])
@pytest.mark.parametrize("version", ENDPOINTS)
def test_l2tpv3_ethernet(pair: Pair, version: int, encapsulation: str) -> None:
    """An L2TPv3 session is an Ethernet interface, over IP (protocol 115) and over UDP (port 1701)."""
    left, right = ENDPOINTS[version]
    ports = ["udp_sport", "1701", "udp_dport", "1701"] if encapsulation == "udp" else []
    for side, (namespace, source, destination) in enumerate(((pair[0], left, right), (pair[1], right, left))):
        namespace.ip(
            *("l2tp", "add", "tunnel", "tunnel_id", "1", "peer_tunnel_id", "1", "encap", encapsulation),
            *("local", source, "remote", destination, *ports),
        )
        namespace.ip(
            *("l2tp", "add", "session", "name", "l2tpeth0", "tunnel_id", "1", "session_id", "1"),
            *("peer_session_id", "1"),
        )
        namespace.address("l2tpeth0", f"{INNER[side]}/24")
    assert pair[0].ping(INNER[1], count=2)


def forbid_plaintext(namespace: Namespace, hook: str) -> None:
    """Have nftables drop and count what IPsec does not protect on its way out, or did not protect on its way in."""
    commands = (
        "add table inet probe",
        f"add chain inet probe {hook} {{ type filter hook {hook} priority 0; }}",
        f"add rule inet probe {hook} meta l4proto {{ 4, 41, 47, 115, 137 }} {GUARDS[hook]} counter drop",
    )
    namespace.run(program("nft"), "\n".join(commands))


def dropped(namespace: Namespace, hook: str) -> int:
    """How many packets it dropped."""
    rules = namespace.run(program("nft"), "list", "chain", "inet", "probe", hook).stdout
    found = re.search(r" missing counter packets (\d+)", rules)
    assert found is not None, rules
    return int(found[1])


def test_nftables_sees_ipsec(pair: Pair) -> None:
    """A table for both families tells a packet that IPsec protects from one that it does not; GRE is the proof."""
    left, right = pair
    for side, namespace in enumerate(pair):
        ends = (ENDPOINTS[4][side], ENDPOINTS[4][1 - side])
        namespace.ip("link", "add", "gre1", "type", "gre", "local", ends[0], "remote", ends[1])
        # Without a link-local address it sends nothing of its own that would be counted.
        namespace.ip("link", "set", "gre1", "addrgenmode", "none")
        namespace.address("gre1", f"{INNER[side]}/24")
    assert left.ping(INNER[1])

    forbid_plaintext(right, "prerouting")
    assert not left.ping(INNER[1])
    assert dropped(right, "prerouting") == 1
    forbid_plaintext(left, "postrouting")
    assert not left.ping(INNER[1])
    assert (dropped(left, "postrouting"), dropped(right, "prerouting")) == (1, 1)

    add_states(pair, 4, "esp", "mode", "transport")
    for side, namespace in enumerate(pair):
        source, destination = ENDPOINTS[4][side], ENDPOINTS[4][1 - side]
        for way, ends in (("out", (source, destination)), ("in", (destination, source))):
            namespace.ip(
                *("xfrm", "policy", "add", "src", ends[0], "dst", ends[1], "proto", "gre", "dir", way),
                *("tmpl", "src", ends[0], "dst", ends[1], "proto", "esp", "mode", "transport"),
            )
    assert left.ping(INNER[1], count=2)
    counted(left, "esp", 2)
    assert (dropped(left, "postrouting"), dropped(right, "prerouting")) == (1, 1)
