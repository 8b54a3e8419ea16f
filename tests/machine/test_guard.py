"""The guards with the kernel's IPsec: what is protected passes, what is not does not, on one and the same path.

left ══ core (a cable) ══ right: left has the guards; SAs are set by hand, for no charon is needed to see a packet go
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network

import pytest

from lab.firewall import Nft, Packet, Witness, send
from lab.namespace import Namespace, link
from softmesh.dataplane.guard import Guard, Guarded
from softmesh.dataplane.nftables import Nftables
from softmesh.mesh.softwire import Network

UDP = 17
GRE = 47
L2TP_OVER_UDP = 1701
PROTOCOLS = (4, 41, GRE, 115, 137)
SOFTWIRE = "sm-0000002a"
KEY = {
    "esp": ("aead", "rfc4106(gcm(aes))", "0x" + "42" * 20, "128"),
    "ah": ("auth-trunc", "hmac(sha256)", "0x" + "42" * 32, "128"),
}


@dataclass
class Router:
    """A namespace with an endpoint in the core and addresses of either family behind it."""

    number: int
    version: int
    """Of the core."""
    namespace: Namespace = field(init=False)

    def __post_init__(self) -> None:
        self.namespace = Namespace(f"router{self.number}", forwarding=True)

    @property
    def endpoint(self) -> str:
        return f"172.31.0.{self.number}" if self.version == 4 else f"2001:db8:f::{self.number}"

    def inner(self, family: int, host: int = 1, *, number: int | None = None) -> str:
        """An address behind the router, or, with a number, behind another one."""
        number = number or self.number
        return f"10.{number}.0.{host}" if family == 4 else f"2001:db8:100{number}::{host}"

    @property
    def prefixes(self) -> frozenset[Network]:
        return frozenset({ip_network(f"10.{self.number}.0.0/16"), ip_network(f"2001:db8:100{self.number}::/48")})

    def xfrm(self, *arguments: str) -> None:
        self.namespace.ip("xfrm", *arguments)


@dataclass
class Pair:
    """Two routers, the left one guarded."""

    left: Router
    right: Router

    @property
    def guard(self) -> Guard:
        network = "172.31.0.0/24" if self.left.version == 4 else "2001:db8:f::/64"
        return Guard(ip_address(self.left.endpoint), (ip_network(network),), tuple(self.left.prefixes))

    @property
    def guarded(self) -> Guarded:
        return Guarded(
            destinations=self.right.prefixes,
            core_devices=frozenset({"core"}),
            sources={SOFTWIRE: self.right.prefixes},
            admitted=frozenset({ip_address(self.right.endpoint)}),
        )

    def guards(self) -> Nftables:
        return Nft(self.left.namespace).guards()

    def secure(self, *selector: str, protocol: str = "esp", mode: str = "transport") -> None:
        """Set SAs and policies between the endpoints, or in tunnel mode between the prefixes, at both ends.

        ``selector``: of the policies, as ``ip xfrm`` has it, without addresses.
        """
        for router, source, destination in self._ways():
            self._state(router, source, destination, protocol, "mode", mode)
            between = ("src", source.endpoint, "dst", destination.endpoint)
            pairs = [between] if mode == "transport" else list(prefix_pairs(source, destination))
            for direction in ["out"] if source is router else ["in", "fwd"]:
                template = ("tmpl", *between, "proto", protocol, "reqid", "1", "mode", mode)
                for pair in pairs:
                    router.xfrm("policy", "add", *pair, *selector, "dir", direction, *template)

    def secure_interface(self, number: int) -> None:
        """The same for an XFRM interface, with selectors that let anything in (``dataplane.selectors: any``)."""
        bound = ("if_id", str(number))
        for router, source, destination in self._ways():
            self._state(router, source, destination, "esp", "mode", "tunnel", *bound)
            between = ("src", source.endpoint, "dst", destination.endpoint)
            for direction in ["out"] if source is router else ["in", "fwd"]:
                template = ("tmpl", *between, "proto", "esp", "reqid", "1", "mode", "tunnel")
                for anything in ("0.0.0.0/0", "::/0"):
                    selector = ("src", anything, "dst", anything)
                    router.xfrm("policy", "add", *selector, "dir", direction, *bound, *template)

    def _ways(self) -> Iterator[tuple[Router, Router, Router]]:
        for router in (self.left, self.right):
            yield router, self.left, self.right
            yield router, self.right, self.left

    def _state(self, router: Router, source: Router, destination: Router, protocol: str, *options: str) -> None:
        spi = str(0x1000 + source.number)
        between = ("src", source.endpoint, "dst", destination.endpoint, "proto", protocol, "spi", spi, "reqid", "1")
        # One SA for both families, as charon makes it; of use in tunnel mode only.
        families = ("flag", "af-unspec") if "tunnel" in options else ()
        router.xfrm("state", "add", *between, *options, *families, *KEY[protocol])

    def expose(self) -> None:
        """Lose all SAs and policies at both ends, as after the end of charon."""
        for router in (self.left, self.right):
            router.xfrm("policy", "flush")
            router.xfrm("state", "flush")

    def tunnel(self) -> None:
        """An interface at either end for protocols 4, 41 and 137, with the other's prefixes behind it."""
        for router, peer in ((self.left, self.right), (self.right, self.left)):
            kind = ["sit"] if router.version == 4 else ["ip6tnl"]
            options = ["mode", "any", *(["encaplimit", "none"] if router.version == 6 else [])]
            between = ["local", router.endpoint, "remote", peer.endpoint]
            router.namespace.ip("link", "add", SOFTWIRE, "type", *kind, *between, *options)
            self._up(router, peer)

    def interface(self, number: int) -> None:
        """An XFRM interface at either end, with the other's prefixes behind it."""
        for router, peer in ((self.left, self.right), (self.right, self.left)):
            router.namespace.ip("link", "add", SOFTWIRE, "type", "xfrm", "dev", "core", "if_id", str(number))
            self._up(router, peer)

    def _up(self, router: Router, peer: Router) -> None:
        router.namespace.ip("link", "set", SOFTWIRE, "up", "addrgenmode", "none")
        self.route(router, peer, ["dev", SOFTWIRE], ["dev", SOFTWIRE])

    def route(self, router: Router, peer: Router, by4: list[str], by6: list[str]) -> None:
        for family, by in ((4, by4), (6, by6)):
            for number in (peer.number, 3) if router is self.left else (peer.number,):
                prefix = f"10.{number}.0.0/16" if family == 4 else f"2001:db8:100{number}::/48"
                router.namespace.ip("route", "replace", prefix, *by, "src", router.inner(family))


@pytest.fixture(params=[4, 6], ids=["ipv4-core", "ipv6-core"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    left, right = Router(1, request.param), Router(2, request.param)
    with left.namespace, right.namespace:
        link(left.namespace, "core", right.namespace, "core")
        for router in (left, right):
            router.namespace.address("core", f"172.31.0.{router.number}/24", f"2001:db8:f::{router.number}/64")
            router.namespace.address("lo", *(f"{router.inner(4, host)}/32" for host in (1, 2)))
            router.namespace.address("lo", *(f"{router.inner(6, host)}/128" for host in (1, 2)))
        # Of a third router's prefixes, which right has no business to send from.
        right.namespace.address("lo", "10.3.0.1/32", "2001:db8:1003::1/128")
        yield Pair(left, right)


def prefix_pairs(source: Router, destination: Router) -> Iterator[tuple[str, ...]]:
    yield "src", f"10.{source.number}.0.0/16", "dst", f"10.{destination.number}.0.0/16"
    yield "src", f"2001:db8:100{source.number}::/48", "dst", f"2001:db8:100{destination.number}::/48"


def protocols(*numbers: int) -> str:
    return f"meta l4proto {{ {', '.join(map(str, numbers))} }}"


@pytest.mark.parametrize("by", ["esp", "ah"])
async def test_encapsulations_leave_and_enter_only_protected(pair: Pair, by: str) -> None:
    guards = pair.guards()
    await guards.ensure(pair.guard, pair.guarded)
    left, right = pair.left, pair.right
    clear = f"{protocols(*PROTOCOLS)} meta ipsec missing"
    if pair.left.version == 6:
        clear = f"ip6 nexthdr != 51 {clear}"
    leaked = Witness(right.namespace, "input", clear)
    came = Witness(right.namespace, "input", f"{protocols(*PROTOCOLS)} meta ipsec exists")
    taken = Witness(left.namespace, "input", f"{protocols(*PROTOCOLS)} meta ipsec exists")
    exposed = Witness(left.namespace, "input", clear)

    def attempt() -> None:
        send(left.namespace, *(Packet(protocol, left.endpoint, right.endpoint) for protocol in PROTOCOLS))
        send(right.namespace, *(Packet(protocol, right.endpoint, left.endpoint) for protocol in PROTOCOLS))

    # Twice round: nothing is left standing in the way, and nothing remains open.
    for turn in (1, 2):
        attempt()
        counted = await guards.counters()
        assert (leaked.seen, exposed.seen) == (0, 0)
        assert (counted["encapsulation_out"], counted["encapsulation_in"]) == (5 * turn, 5 * turn)
        assert (came.seen, taken.seen) == (5 * (turn - 1), 5 * (turn - 1))
        pair.secure(protocol=by)
        attempt()
        assert (leaked.seen, exposed.seen) == (0, 0)
        assert (came.seen, taken.seen) == (5 * turn, 5 * turn)
        assert await guards.counters() == counted
        pair.expose()


async def test_l2tp_over_udp_leaves_and_enters_only_protected(pair: Pair) -> None:
    guards = pair.guards()
    await guards.ensure(pair.guard, pair.guarded)
    left, right = pair.left, pair.right
    came = Witness(right.namespace, "input", f"udp dport {L2TP_OVER_UDP}")
    taken = Witness(left.namespace, "input", f"udp dport {L2TP_OVER_UDP}")

    def attempt() -> tuple[int, int]:
        send(left.namespace, Packet(UDP, left.endpoint, right.endpoint, dport=L2TP_OVER_UDP))
        send(right.namespace, Packet(UDP, right.endpoint, left.endpoint, dport=L2TP_OVER_UDP))
        return came.seen, taken.seen

    assert attempt() == (0, 0)
    pair.secure("proto", "udp")
    assert attempt() == (1, 1)
    counted = await guards.counters()
    assert (counted["encapsulation_out"], counted["encapsulation_in"]) == (1, 1)


@pytest.mark.parametrize("by", ["esp", "ah"])
async def test_a_tunnel_interface_carries_only_under_an_sa(pair: Pair, by: str) -> None:
    guards = pair.guards()
    await guards.ensure(pair.guard, pair.guarded)
    pair.tunnel()
    left, right = pair.left, pair.right
    inner = [(left.inner(family), right.inner(family)) for family in (4, 6)]
    for ours, theirs in inner:
        assert not left.namespace.ping(theirs, source=ours, within=0.5)
        assert not right.namespace.ping(ours, source=theirs, within=0.5)
    counted = await guards.counters()
    assert (counted["encapsulation_out"], counted["encapsulation_in"]) == (2, 2)
    pair.secure(protocol=by)
    for ours, theirs in inner:
        # The larger ones in fragments, of the inner packet or of the outer one.
        for octets in ("56", "4000"):
            pinged = left.namespace.run("ping", "-n", "-c", "2", "-s", octets, "-I", ours, theirs, check=False)
            assert " 0% packet loss" in pinged.stdout
    assert await guards.counters() == counted
    pair.expose()
    for ours, theirs in inner:
        assert not left.namespace.ping(theirs, source=ours, within=0.5)
    assert (await guards.counters())["encapsulation_out"] == 4


async def spoofing_is_dropped(pair: Pair, guards: Nftables, device: str) -> None:
    """Ping from right's own addresses and from those of a third router."""
    left, right = pair.left, pair.right
    replies = Witness(left.namespace, "input", f'iifname "{device}" meta l4proto {{ 1, 58 }}')
    for family in (4, 6):
        target = left.inner(family)
        assert right.namespace.ping(target, source=right.inner(family), count=2)
        assert not right.namespace.ping(target, source=right.inner(family, number=3), count=2, within=0.5)
    assert replies.seen == 4
    counted = await guards.counters()
    assert counted == {**dict.fromkeys(counted, 0), "spoofed": 4}


async def test_spoofed_inner_sources_under_transport_mode(pair: Pair) -> None:
    guards = pair.guards()
    await guards.ensure(pair.guard, pair.guarded)
    pair.tunnel()
    pair.secure()
    await spoofing_is_dropped(pair, guards, SOFTWIRE)


async def test_spoofed_inner_sources_from_an_xfrm_interface(pair: Pair) -> None:
    guards = pair.guards()
    await guards.ensure(pair.guard, pair.guarded)
    pair.interface(42)
    pair.secure_interface(42)
    await spoofing_is_dropped(pair, guards, SOFTWIRE)


async def test_spoofed_inner_sources_under_an_explicit_null_label(pair: Pair) -> None:
    guards = pair.guards()
    remote = ip_address(pair.right.endpoint)
    labelled = {remote: pair.right.prefixes}
    await guards.ensure(pair.guard, replace(pair.guarded, sources={}, labelled=labelled))
    pair.tunnel()
    pair.secure()
    for router, peer in ((pair.left, pair.right), (pair.right, pair.left)):
        settings = {"platform_labels": "1048575", f"conf/{SOFTWIRE}/input": "1"}
        for path, value in settings.items():
            router.namespace.run("sh", "-c", f"echo {value} > /proc/sys/net/mpls/{path}")
        by = [["encap", "mpls", str(label), "dev", SOFTWIRE] for label in (0, 2)]
        pair.route(router, peer, *by)
    # The route of the label is through lo, so that is where it comes from.
    await spoofing_is_dropped(pair, guards, "lo")
    # Labels from an endpoint that has no softwire of that kind.
    await guards.ensure(pair.guard, replace(pair.guarded, sources={}))
    for family in (4, 6):
        assert not pair.right.namespace.ping(pair.left.inner(family), source=pair.right.inner(family), within=0.5)
    assert (await guards.counters())["spoofed"] == 6


async def test_a_destination_is_reached_only_through_the_sa_where_selectors_are_the_way(pair: Pair) -> None:
    guards = pair.guards()
    left, right = pair.left, pair.right
    # Data plane ``policy``: no interface; the packets leave through the core, transformed.
    for router, peer in ((left, right), (right, left)):
        via = f"172.31.0.{peer.number}", f"2001:db8:f::{peer.number}"
        pair.route(router, peer, ["via", via[0], "dev", "core"], ["via", via[1], "dev", "core"])
    await guards.ensure(pair.guard, pair.guarded)
    leaked = Witness(right.namespace, "prerouting", "meta l4proto { 1, 58 } meta ipsec missing ip daddr 10.2.0.0/16")
    leaked6 = Witness(right.namespace, "prerouting", "meta ipsec missing ip6 daddr 2001:db8:1002::/48")
    for turn in (1, 2):
        for family in (4, 6):
            assert not left.namespace.ping(right.inner(family), source=left.inner(family), within=0.5)
        counted = await guards.counters()
        assert counted["unprotected"] == 2 * turn
        pair.secure(mode="tunnel")
        for family in (4, 6):
            assert left.namespace.ping(right.inner(family), source=left.inner(family), count=3)
        assert await guards.counters() == counted
        pair.expose()
    assert (leaked.seen, leaked6.seen) == (0, 0)


async def test_only_admitted_esp_is_taken(pair: Pair) -> None:
    guards = pair.guards()
    strict = replace(pair.guard, admitted_only=True)
    await guards.ensure(strict, pair.guarded)
    pair.tunnel()
    for by in ("esp", "ah"):
        pair.secure(protocol=by)
        assert pair.left.namespace.ping(pair.right.inner(4), source=pair.left.inner(4))
        before = (await guards.counters())["not_admitted"]
        await guards.ensure(strict, replace(pair.guarded, admitted=frozenset()))
        assert not pair.left.namespace.ping(pair.right.inner(4), source=pair.left.inner(4), within=0.5)
        assert (await guards.counters())["not_admitted"] == before + 1
        await guards.ensure(strict, pair.guarded)
        pair.expose()
