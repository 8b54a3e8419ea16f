"""The guards by real nftables, with real packets, on this machine's kernel; what IPsec protects, tests/machine shows.

host ══ router ══ core (a cable) ══ peer: the router has the guards; a second cable, ``side``, joins router and peer too
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from lab.eventually import eventually, until
from lab.firewall import Nft, Packet, Witness, load, nft, send
from lab.namespace import Namespace, link, program
from softmesh.dataplane.guard import Guard, Guarded
from softmesh.dataplane.nftables import Nftables
from softmesh.errors import OperatorError, SoftmeshError, Unreachable

PROTOCOLS = (4, 41, 47, 115, 137)
GRE = 47
UDP = 17
L2TP = 1701
SOFTWIRE = "sm-0000002a"
QUIET = {"addr_gen_mode": 1, "forwarding": 0}


@dataclass(frozen=True)
class Lab:
    """A router with guards, and the addresses around it."""

    router: Namespace
    peer: Namespace
    host: Namespace
    version: int
    """Of the core."""

    @property
    def ours(self) -> str:
        return self.core(1)

    @property
    def theirs(self) -> str:
        return self.core(2)

    def core(self, number: int) -> str:
        return f"172.31.0.{number}" if self.version == 4 else f"2001:db8:f::{number}"

    @property
    def guard(self) -> Guard:
        endpoints = ip_network("172.31.0.0/24" if self.version == 4 else "2001:db8:f::/64")
        return Guard(
            endpoint=ip_address(self.ours),
            endpoints=(endpoints,),
            local_prefixes=(ip_network("10.1.0.0/16"), ip_network("2001:db8:1001::/48")),
        )

    @property
    def guarded(self) -> Guarded:
        remote = frozenset({ip_network("10.2.0.0/16"), ip_network("2001:db8:1002::/48")})
        return Guarded(
            destinations=remote,
            core_devices=frozenset({"core"}),
            sources={SOFTWIRE: remote},
            admitted=frozenset({ip_address(self.theirs)}),
        )

    def nftables(self, *wrapper: str) -> Nftables:
        """The class under test, in the router's namespace, with no memory."""
        return Nft(self.router, *wrapper).guards()


def protected(family: int, number: int = 1) -> str:
    """An address that only a softwire leads to."""
    return f"10.2.0.{number}" if family == 4 else f"2001:db8:1002::{number}"


async def dropped(nftables: Nftables, rule: str, packets: int) -> None:
    """Wait until the guards have dropped that many packets by a rule; some are under way when their sender ends."""

    async def counted() -> bool:
        return (await nftables.counters())[rule] >= packets

    await until(counted, within=5, what=f"{packets} packets are dropped: {rule}")
    assert (await nftables.counters())[rule] == packets


@pytest.fixture(params=[4, 6], ids=["ipv4-core", "ipv6-core"])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    router, peer, host = (Namespace(name, forwarding=True) for name in ("router", "peer", "host"))
    with router, peer, host:
        link(router, "core", peer, "core")
        link(router, "side", peer, "side")
        link(router, "lan", host, "lan")
        for number, namespace in ((1, router), (2, peer)):
            namespace.address("core", f"172.31.0.{number}/24", f"2001:db8:f::{number}/64")
            namespace.address("side", f"172.31.1.{number}/24", f"2001:db8:e::{number}/64")
            namespace.address("lo", f"10.{number}.0.1/32", f"2001:db8:100{number}::1/128")
        peer.address("core", "172.31.0.3/24", "2001:db8:f::3/64")
        router.address("lan", "10.1.1.1/24", "2001:db8:1001:1::1/64")
        host.address("lan", "10.1.1.2/24", "2001:db8:1001:1::2/64")
        host.ip("route", "add", "default", "via", "10.1.1.1")
        host.ip("route", "add", "default", "via", "2001:db8:1001:1::1")
        for namespace, device, number in ((router, "core", 2), (peer, "core", 1)):
            namespace.ip("route", "add", f"10.{number}.0.0/16", "via", f"172.31.0.{number}", "dev", device)
            namespace.ip("route", "add", f"2001:db8:100{number}::/48", "via", f"2001:db8:f::{number}", "dev", device)
        yield Lab(router, peer, host, request.param)


async def test_nothing_is_encapsulated_in_the_clear(lab: Lab) -> None:
    nftables = lab.nftables()
    arrived = Witness(lab.peer, "prerouting", f"meta l4proto {{ {', '.join(map(str, PROTOCOLS))} }}")
    l2tp = Witness(lab.peer, "prerouting", f"udp sport {L2TP}")
    l2tp_to = Witness(lab.peer, "prerouting", f"udp dport {L2TP}")

    def attempt() -> None:
        l2tp = Packet(UDP, lab.ours, lab.theirs, sport=L2TP, dport=4000), Packet(UDP, lab.ours, lab.theirs, dport=L2TP)
        send(lab.router, *(Packet(protocol, lab.ours, lab.theirs) for protocol in PROTOCOLS), *l2tp)

    attempt()
    arrived.sees(5)
    l2tp.sees(1)
    l2tp_to.sees(1)
    await nftables.ensure(lab.guard, lab.guarded)
    attempt()
    await dropped(nftables, "encapsulation_out", 7)
    assert (arrived.seen, l2tp.seen, l2tp_to.seen) == (5, 1, 1)


async def test_nothing_encapsulated_is_taken_in_the_clear(lab: Lab) -> None:
    nftables = lab.nftables()
    passed = Witness(lab.router, "input", f"meta l4proto {{ {', '.join(map(str, PROTOCOLS))} }}")
    l2tp = Witness(lab.router, "input", f"udp dport {L2TP}")

    def attempt() -> None:
        l2tp = Packet(UDP, lab.theirs, lab.ours, dport=L2TP)
        send(lab.peer, *(Packet(protocol, lab.theirs, lab.ours) for protocol in PROTOCOLS), l2tp)

    attempt()
    passed.sees(5)
    l2tp.sees(1)
    await nftables.ensure(lab.guard, lab.guarded)
    attempt()
    await dropped(nftables, "encapsulation_in", 6)
    assert (passed.seen, l2tp.seen) == (5, 1)


async def test_fragments_of_an_encapsulation_are_not_taken_either(lab: Lab) -> None:
    nftables = lab.nftables()
    passed = Witness(lab.router, "input", f"meta l4proto {GRE}")
    send(lab.peer, Packet(GRE, lab.theirs, lab.ours, octets=3000))
    eventually(lambda: passed.seen >= 1, within=5, what="fragments arrive")
    await nftables.ensure(lab.guard, lab.guarded)
    before = passed.seen
    send(lab.peer, Packet(GRE, lab.theirs, lab.ours, octets=3000))

    async def counted() -> bool:
        return (await nftables.counters())["encapsulation_in"] >= 1

    await until(counted, within=5, what="fragments are dropped")
    assert passed.seen == before


@pytest.mark.parametrize("family", [4, 6])
async def test_what_softwires_bring_is_not_taken_from_the_core_in_the_clear(lab: Lab, family: int) -> None:
    nftables = lab.nftables()
    ours = "10.1.1.2" if family == 4 else "2001:db8:1001:1::2"
    other = "192.0.2.7" if family == 4 else "2001:db8:77::7"
    arrived = Witness(lab.host, "prerouting", "udp dport 4000")
    forged, plain = (Packet(UDP, source, ours, dport=4000) for source in (protected(family), other))
    send(lab.peer, forged, plain)
    arrived.sees(2)
    await nftables.ensure(lab.guard, lab.guarded)
    send(lab.peer, forged, plain)
    arrived.sees(3)
    await dropped(nftables, "spoofed", 1)


async def test_what_is_not_encapsulated_crosses(lab: Lab) -> None:
    nftables = lab.nftables()
    await nftables.ensure(lab.guard, lab.guarded)
    ike = Witness(lab.router, "input", "udp dport { 500, 4500 }")
    elsewhere = Witness(lab.peer, "prerouting", f"meta l4proto {GRE}")
    assert lab.router.ping(lab.theirs, source=lab.ours)
    send(lab.peer, Packet(UDP, lab.core(3), lab.ours, dport=500))
    send(lab.peer, Packet(UDP, lab.theirs, lab.ours, dport=4500))
    # A tunnel of somebody else's, over the same cable but not between endpoints.
    send(lab.router, Packet(GRE, lab.ours, "172.31.1.2" if lab.version == 4 else "2001:db8:e::2"))
    ike.sees(2)
    elsewhere.sees(1)
    assert set((await nftables.counters()).values()) == {0}


@pytest.mark.parametrize("family", [4, 6])
async def test_a_destination_of_softwires_is_not_reached_in_the_clear(lab: Lab, family: int) -> None:
    nftables = lab.nftables()
    arrived = Witness(lab.peer, "prerouting", f"ip{'6' if family == 6 else ''} daddr {protected(family)}")
    assert lab.host.ping(protected(family))
    assert arrived.seen == 1
    await nftables.ensure(lab.guard, lab.guarded)
    assert not lab.host.ping(protected(family), within=0.2)
    assert not lab.router.ping(protected(family), within=0.2)
    assert arrived.seen == 1
    assert (await nftables.counters())["unprotected"] == 2


@pytest.mark.parametrize("family", [4, 6])
async def test_a_destination_may_be_reached_by_another_way(lab: Lab, family: int) -> None:
    nftables = lab.nftables()
    await nftables.ensure(lab.guard, lab.guarded)
    via = "172.31.1.2" if family == 4 else "2001:db8:e::2"
    lab.router.ip("route", "replace", f"{protected(family)}/{32 if family == 4 else 128}", "via", via, "dev", "side")
    back = ("10.1.0.0/16", "via", "172.31.1.1") if family == 4 else ("2001:db8:1001::/48", "via", "2001:db8:e::1")
    lab.peer.ip("route", "replace", *back, "dev", "side")
    assert lab.host.ping(protected(family))
    # Until that is a way into the core too: found to be one, or configured.
    await nftables.ensure(lab.guard, replace(lab.guarded, core_devices=frozenset({"core", "side"})))
    assert not lab.host.ping(protected(family), within=0.2)
    await nftables.remove()
    await nftables.ensure(replace(lab.guard, core_devices=frozenset({"side"})), lab.guarded)
    assert not lab.host.ping(protected(family), within=0.2)
    assert (await nftables.counters())["unprotected"] == 1


async def test_what_must_stay_outside_is_reached_although_a_prefix_holds_it(lab: Lab) -> None:
    everything = replace(
        lab.guarded,
        destinations=frozenset({ip_network("0.0.0.0/0"), ip_network("::/0")}),
        core_devices=frozenset({"core", "side", "lan"}),
    )
    # A softwire of a default route must cut off neither endpoints nor BGP neighbours nor our own prefixes.
    neighbors = frozenset({ip_address("172.31.1.2"), ip_address("2001:db8:e::2")})
    nftables = lab.nftables()
    await nftables.ensure(replace(lab.guard, outside=neighbors), everything)
    lab.router.ip("neighbor", "flush", "dev", "core")
    lab.router.ip("neighbor", "flush", "dev", "side")
    assert lab.router.ping(lab.theirs, source=lab.ours)
    for neighbor in neighbors:
        assert lab.router.ping(str(neighbor))
    assert lab.router.ping("10.1.1.2")
    assert lab.router.ping("2001:db8:1001:1::2")
    for family in (4, 6):
        assert not lab.router.ping(protected(family), within=0.2)
    assert (await nftables.counters())["unprotected"] == 2


async def test_a_withdrawn_destination_stays_guarded(lab: Lab) -> None:
    await lab.nftables().ensure(lab.guard, lab.guarded)
    # The bridge dies and starts anew, with nothing in its RIB yet and other rules.
    nftables = lab.nftables()
    await nftables.ensure(replace(lab.guard, admitted_only=True), Guarded())
    assert not lab.host.ping(protected(4), within=0.2)
    assert not lab.host.ping(protected(6), within=0.2)
    # Another softwire's destination does not replace it; a larger one takes it in.
    new = Guarded(destinations=frozenset({ip_network("10.2.0.0/15"), ip_network("192.0.2.0/24")}))
    await nftables.ensure(lab.guard, new)
    assert not lab.host.ping(protected(4), within=0.2)
    assert (await nftables.counters())["unprotected"] == 3, "and counting goes on"
    assert await nftables.remove()
    assert lab.host.ping(protected(4))
    assert lab.host.ping(protected(6))


async def test_destinations_survive_the_loss_of_the_table_as_long_as_the_bridge_lives(lab: Lab) -> None:
    nftables = lab.nftables()
    await nftables.ensure(lab.guard, lab.guarded)
    await nftables.ensure(lab.guard, Guarded())
    load(lab.router, "flush ruleset\n")
    assert await nftables.audit()
    assert not lab.host.ping(protected(4), within=0.2)


FLOOD = """
import contextlib, socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
while True:
    with contextlib.suppress(PermissionError):
        sock.sendto(b"x", ("10.2.0.1", 9))
"""


async def test_changes_leave_no_gap(lab: Lab) -> None:
    nftables = lab.nftables()
    await nftables.ensure(lab.guard, lab.guarded)
    arrived = Witness(lab.peer, "prerouting", "udp dport 9")
    flood = lab.router.start(sys.executable, "-c", FLOOD, log="flood.log")

    async def dropped() -> int:
        assert flood.running
        return (await nftables.counters())["unprotected"]

    other = replace(lab.guard, endpoint=ip_address("2001:db8:f::1" if lab.version == 4 else "172.31.0.1"))
    for guard in (replace(lab.guard, admitted_only=True), other, lab.guard) * 10:
        before = await dropped()
        while await dropped() == before:
            pass
        await nftables.ensure(guard, lab.guarded)
        # The prefix becomes part of a larger one, and other rules take over.
        larger = frozenset({ip_network("10.2.0.0/15")})
        await nftables.ensure(guard, replace(lab.guarded, destinations=larger))
    flood.stop()
    assert arrived.seen == 0


async def test_spoofed_inner_sources(lab: Lab) -> None:
    # Any device with such a name will do; what makes its packets does not matter to the rule.
    # Ours have no link-local addresses either, and neither discovery nor multicast reports, which would be counted.
    settings = "; ".join(f"echo {value} > /proc/sys/net/ipv6/conf/default/{name}" for name, value in QUIET.items())
    lab.peer.run("sh", "-c", settings)
    for device, other in ((SOFTWIRE, "tunnel"), ("sm-0000002b", "tunnel2")):
        link(lab.router, device, lab.peer, other)
        address = json.loads(lab.router.ip("-j", "link", "show", device))[0]["address"]
        for host in ("10.1.0.1", "2001:db8:1001::1"):
            lab.peer.ip("neighbor", "replace", host, "lladdr", address, "dev", other)
    nftables = lab.nftables()
    await nftables.ensure(lab.guard, lab.guarded)
    passed = Witness(lab.router, "input", f'iifname "sm-*" meta l4proto {UDP}')

    def attempt(source: str, device: str, *, passes: int = 0) -> None:
        before = passed.seen
        ours = "2001:db8:1001::1" if ":" in source else "10.1.0.1"
        lab.peer.ip("route", "replace", ours, "dev", device)
        send(lab.peer, Packet(UDP, source, ours, dport=9))
        passed.sees(before + passes)

    for source in ("10.2.7.7", "2001:db8:1002::7"):
        attempt(source, "tunnel", passes=1)
    # Of a third router's prefix, ours, nobody's; the address of the peer's own endpoint.
    strangers = ("10.3.0.1", "10.1.1.2", "8.8.8.8", "172.31.0.2", "2001:db8:1003::1", "2001:db8:1001:1::2")
    for source in strangers:
        attempt(source, "tunnel")
    await dropped(nftables, "spoofed", len(strangers))
    # Nothing is known of this one, so nothing may come out of it.
    attempt("10.2.7.7", "tunnel2")
    await dropped(nftables, "spoofed", len(strangers) + 1)
    both = {**lab.guarded.sources, "sm-0000002b": frozenset({ip_network("10.2.7.0/24")})}
    await nftables.ensure(lab.guard, replace(lab.guarded, sources=both))
    attempt("10.2.7.7", "tunnel2", passes=1)
    attempt("10.2.8.7", "tunnel2")
    await dropped(nftables, "spoofed", len(strangers) + 2)
    # A prefix goes from one to the other within one transaction.
    swapped = {SOFTWIRE: both["sm-0000002b"], "sm-0000002b": both[SOFTWIRE]}
    await nftables.ensure(lab.guard, replace(lab.guarded, sources=swapped))
    attempt("10.2.8.7", "tunnel")
    await dropped(nftables, "spoofed", len(strangers) + 3)
    attempt("10.2.8.7", "tunnel2", passes=1)


async def test_only_the_admitted_are_heard(lab: Lab) -> None:
    nftables = lab.nftables()
    passed = Witness(lab.router, "input", "udp dport { 500, 4500 }")
    esp = Witness(lab.router, "input", "meta l4proto 50")
    ah = Witness(lab.router, "input", "ip6 nexthdr 51" if lab.version == 6 else "meta l4proto 51")

    def attempt(source: str) -> None:
        ike = (Packet(UDP, source, lab.ours, dport=port) for port in (500, 4500))
        send(lab.peer, *ike, *(Packet(protocol, source, lab.ours, octets=24) for protocol in (50, 51)))

    await nftables.ensure(replace(lab.guard, admitted_only=True), lab.guarded)
    attempt(lab.theirs)
    passed.sees(2)
    esp.sees(1)
    ah.sees(1)
    attempt(lab.core(3))
    await dropped(nftables, "not_admitted", 4)
    assert (passed.seen, esp.seen, ah.seen) == (2, 1, 1)
    await nftables.ensure(replace(lab.guard, admitted_only=True), replace(lab.guarded, admitted=frozenset()))
    attempt(lab.theirs)
    await dropped(nftables, "not_admitted", 8)
    assert (passed.seen, esp.seen, ah.seen) == (2, 1, 1)


async def test_ah_is_not_taken_for_what_it_protects(lab: Lab) -> None:
    nftables = lab.nftables()
    await nftables.ensure(lab.guard, lab.guarded)
    out = Witness(lab.peer, "prerouting", "ip6 nexthdr 51" if lab.version == 6 else "meta l4proto 51")
    into = Witness(lab.router, "input", "ip6 nexthdr 51" if lab.version == 6 else "meta l4proto 51")
    send(lab.router, Packet(51, lab.ours, lab.theirs, octets=24))
    send(lab.peer, Packet(51, lab.theirs, lab.ours, octets=24))
    out.sees(1)
    into.sees(1)
    assert set((await nftables.counters()).values()) == {0}


async def test_marks_tell_whose_labelled_packet_was_looped(lab: Lab) -> None:
    remote = ip_address(lab.theirs)
    nftables = lab.nftables()
    allowed = frozenset({ip_network("10.2.0.0/16"), ip_network("2001:db8:1002::/48")})
    await nftables.ensure(lab.guard, replace(lab.guarded, labelled={remote: allowed}))
    listing = json.loads(nft(lab.router, "-j", "list", "set", "inet", "softmesh", "marks"))
    (mark,) = next(item["set"]["elem"] for item in listing["nftables"] if "set" in item)
    lab.router.address("lo", "10.2.9.9/32", "2001:db8:1002::9/128")
    passed = Witness(lab.router, "input", f'iifname "lo" meta l4proto {UDP} meta mark 0')
    for source, target in (("10.2.9.9", "10.1.0.1"), ("2001:db8:1002::9", "2001:db8:1001::1")):
        send(lab.router, Packet(UDP, source, target, dport=9, mark=mark))
    passed.sees(2)  # And the mark is gone.
    for source in ("10.1.0.1", "2001:db8:1001::1"):
        send(lab.router, Packet(UDP, source, source, dport=9, mark=mark))
    await dropped(nftables, "spoofed", 2)
    assert passed.seen == 2
    # Others' marks, and none, mean nothing.
    foreign = Witness(lab.router, "input", f'iifname "lo" meta l4proto {UDP} meta mark {mark ^ 1}')
    send(lab.router, Packet(UDP, "10.1.0.1", "10.1.0.1", dport=9, mark=mark ^ 1))
    send(lab.router, Packet(UDP, "10.1.0.1", "10.1.0.1", dport=9))
    passed.sees(3)
    foreign.sees(1)


FOREIGN = """
table inet filter {
    set destinations4 {
        type ipv4_addr
        elements = { 10.2.0.1 }
    }
    chain input {
        type filter hook input priority 0
        ct state established counter packets 3 bytes 9
    }
}
table ip softmesh {
    chain mine {
        tcp dport 22 accept
    }
}
table ip6 nat {
    chain post {
        type nat hook postrouting priority 100
    }
}
"""


async def test_nothing_else_in_the_ruleset_is_touched(lab: Lab) -> None:
    load(lab.router, FOREIGN)
    before = nft(lab.router, "-a", "list", "ruleset")
    nftables = lab.nftables()
    assert not await nftables.remove()
    await nftables.ensure(lab.guard, lab.guarded)
    listed = nft(lab.router, "-a", "list", "ruleset")
    assert listed.startswith(before)
    assert listed.removeprefix(before).startswith("table inet softmesh {")
    await nftables.ensure(replace(lab.guard, admitted_only=True), Guarded())
    assert nft(lab.router, "-a", "list", "ruleset").startswith(before)
    assert await nftables.remove()
    assert nft(lab.router, "-a", "list", "ruleset") == before
    assert not await nftables.remove()
    assert await nftables.counters() == {}


async def test_a_table_of_somebody_elses_under_our_name_is_left_alone(lab: Lab) -> None:
    load(lab.router, "table inet softmesh {\n chain theirs {\n tcp dport 22 accept\n }\n}\n")
    before = nft(lab.router, "-a", "list", "ruleset")
    nftables = lab.nftables()
    with pytest.raises(OperatorError, match="table inet softmesh was not made by softmesh"):
        await nftables.ensure(lab.guard, lab.guarded)
    with pytest.raises(OperatorError, match="table inet softmesh was not made by softmesh"):
        await nftables.remove()
    assert nft(lab.router, "-a", "list", "ruleset") == before


@pytest.mark.parametrize(
    "meddling",
    [
        "flush chain inet softmesh unprotected_core",
        "flush table inet softmesh",
        "delete table inet softmesh",
        "insert rule inet softmesh departures accept",
        "add chain inet softmesh departures { policy drop ; }",
        "add chain inet softmesh more",
        "flush set inet softmesh sources4",
        "add element inet softmesh exempt4 { 10.2.0.0/16 }",
        'add element inet softmesh sources4 { "sm-0000002a" . 10.9.0.1-10.9.0.5 }',
        "delete element inet softmesh destinations4 { 10.2.0.0/16 }",
        "add element inet softmesh admittedVERSION { ADDRESS }",
    ],
)
async def test_an_audit_puts_right_what_somebody_changed(lab: Lab, meddling: str) -> None:
    nftables = lab.nftables()
    await nftables.ensure(lab.guard, lab.guarded)
    before = nft(lab.router, "-s", "list", "table", "inet", "softmesh")
    assert not await nftables.audit()
    load(lab.router, meddling.replace("VERSION", str(lab.version)).replace("ADDRESS", lab.core(3)) + "\n")
    assert await nftables.audit()
    assert nft(lab.router, "-s", "list", "table", "inet", "softmesh") == before
    assert not await nftables.audit()


async def test_a_change_is_made_although_somebody_meddled(lab: Lab) -> None:
    nftables = lab.nftables()
    await nftables.ensure(lab.guard, lab.guarded)
    load(lab.router, "delete table inet softmesh\n")
    await nftables.ensure(lab.guard, replace(lab.guarded, admitted=frozenset()))
    assert not lab.host.ping(protected(4), within=0.2)


async def test_nft_runs_only_when_there_is_something_to_do(lab: Lab) -> None:
    program = Nft(lab.router)
    look, act = "--json list table inet softmesh", "-f -"
    nftables = program.guards()
    assert not await nftables.audit()
    assert program.calls() == [], "nothing was asked for yet"
    await nftables.ensure(lab.guard, lab.guarded)
    assert program.calls() == [look, act]
    await nftables.ensure(lab.guard, lab.guarded)
    await nftables.ensure(lab.guard, replace(lab.guarded, destinations=frozenset(list(lab.guarded.destinations))))
    assert program.calls() == []
    fewer = frozenset({ip_network("10.2.0.0/16")})
    await nftables.ensure(lab.guard, replace(lab.guarded, destinations=fewer))
    assert program.calls() == [], "what stays guarded needs no change"
    await nftables.ensure(lab.guard, replace(lab.guarded, sources={}))
    assert program.calls() == [act]
    assert not await nftables.audit()
    assert program.calls() == [look]
    again = program.guards()
    await again.ensure(lab.guard, replace(lab.guarded, sources={}))
    assert program.calls() == [look], "a restart finds all in place"
    other = replace(lab.guard, endpoint=ip_address("2001:db8:f::1" if lab.version == 4 else "172.31.0.1"))
    await again.ensure(other, replace(lab.guarded, sources={}))
    assert program.calls() == [look, act], "other rules at once, around the sets"


async def test_what_is_missing_is_said_with_the_remedy(lab: Lab) -> None:
    async def said(nftables: Nftables) -> str:
        with pytest.raises(SoftmeshError) as caught:
            await nftables.ensure(lab.guard, lab.guarded)
        with pytest.raises(SoftmeshError):
            await nftables.remove()
        assert "\n" not in str(caught.value)
        return str(caught.value)

    absent = "/nowhere/nft is not installed: apt-get install nftables, or set dataplane.guards: routes"
    assert await said(Nftables("/nowhere/nft")) == absent
    powerless = lab.nftables(program("setpriv"), "--bounding-set=-net_admin", "--inh-caps=-net_admin")
    assert "run as root or with CAP_NET_ADMIN, or set dataplane.guards: routes" in await said(powerless)
    assert os.geteuid() == 0


async def test_a_hung_nft_is_given_up(lab: Lab, tmp_path: Path) -> None:
    hung = tmp_path / "nft"
    hung.write_text("#!/bin/sh\nexec sleep 60\n")
    hung.chmod(0o755)
    nftables = Nftables(str(hung), within=0.2)
    with pytest.raises(Unreachable, match=r"did not end within 0\.2 s"):
        await nftables.ensure(lab.guard, lab.guarded)


async def test_after_a_failure_the_next_pass_looks_anew(lab: Lab, tmp_path: Path) -> None:
    switch = tmp_path / "broken"
    nftables = lab.nftables("sh", "-c", f'test ! -e {switch} && exec "$@"', "nft")
    await nftables.ensure(lab.guard, lab.guarded)
    switch.touch()
    with pytest.raises(OperatorError):
        await nftables.ensure(lab.guard, Guarded())
    load(lab.router, "delete table inet softmesh\n")
    switch.unlink()
    await nftables.ensure(lab.guard, lab.guarded)
    assert not lab.host.ping(protected(4), within=0.2)


async def test_an_interface_that_nftables_cannot_name_is_refused(lab: Lab) -> None:
    nftables = lab.nftables()
    with pytest.raises(OperatorError, match="interface eth\\*: nftables cannot name it"):
        await nftables.ensure(replace(lab.guard, core_devices=frozenset({"eth*"})), lab.guarded)
    assert await nftables.counters() == {}
