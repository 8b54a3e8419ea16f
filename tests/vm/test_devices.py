"""Interfaces and routes by netlink, in a kernel that has the tunnels."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from pyroute2 import netns

from lab.eventually import PATIENCE
from lab.namespace import Namespace, link, program
from softmesh.dataplane import difference
from softmesh.dataplane.ability import kernel_ability
from softmesh.dataplane.kernel import Kernel
from softmesh.dataplane.layout import CorePath, Device, Hop, Layout
from softmesh.dataplane.link import GROUP
from softmesh.dataplane.steps import (
    AddBlackhole,
    MakeDevice,
    RemoveBlackhole,
    RemoveDevice,
    RemoveRoute,
    SetMtu,
    SetRoute,
    Step,
)
from softmesh.dataplane.watch import LinkWatch
from softmesh.mesh.softwire import Interface, InterfaceKind

ENDS = {4: ("172.31.0.1", "172.31.0.2"), 6: ("2001:db8:f::1", "2001:db8:f::2")}
KINDS = [InterfaceKind.VTI, InterfaceKind.IP_IN_IP, InterfaceKind.GRE]
PREFIX4, PREFIX6 = ip_network("10.2.0.0/24"), ip_network("2001:db8:1002::/64")


def device(kind: InterfaceKind, version: int, *, number: int = 0xABC, mtu: int = 1400, last: int = 2) -> Device:
    local, _ = ENDS[version]
    remote = f"172.31.0.{last}" if version == 4 else f"2001:db8:f::{last:x}"
    return Device(Interface(kind, number), ip_address(local), ip_address(remote), mtu)


@pytest.fixture
def router() -> Iterator[Namespace]:
    """A namespace with a core, in which this process is for the test."""
    with Namespace("router") as router:
        router.ip("link", "add", "core", "type", "dummy")
        router.address("core", "172.31.0.1/24", "2001:db8:f::1/64")
        router.address("lo", "10.1.0.1/32", "2001:db8:1001::1/128")
        with inside(router):
            yield router


@contextmanager
def inside(namespace: Namespace) -> Iterator[None]:
    """Have this process in a namespace for a while."""
    netns.pushns(namespace.name)
    try:
        yield
    finally:
        netns.popns()


async def found() -> Layout:
    return (await Kernel().observe(frozenset())).layout


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_device_is_made_found_changed_and_removed(router: Namespace, kind: InterfaceKind, version: int) -> None:
    kernel, made = Kernel(), device(kind, version)
    for _ in range(2):
        assert await kernel.apply([MakeDevice(made)]) == []
        assert (await found()).devices == {made.name: made}
    shown = router.ip("-d", "link", "show", made.name)
    assert "UP" in shown
    assert "addrgenmode none" in shown
    assert f"alias softmesh {kind} {made.local} {made.remote}" in shown
    if version == 6 and kind is not InterfaceKind.VTI:
        assert "encaplimit none" in shown
    if kind is InterfaceKind.VTI:
        assert "key 0.0.10.188" in shown
    if kind is InterfaceKind.IP_IN_IP:
        assert " any remote" in shown
    assert "fe80" not in router.ip("address", "show", "dev", made.name)
    assert await kernel.apply([SetMtu(made.name, 1380)]) == []
    assert (await found()).devices == {made.name: replace(made, mtu=1380)}
    for _ in range(2):
        assert await kernel.apply([RemoveDevice(made.name)]) == []
    assert (await found()).devices == {}


@pytest.mark.parametrize("version", [4, 6])
async def test_routes_into_a_device(router: Namespace, version: int) -> None:
    kernel, made = Kernel(), device(InterfaceKind.IP_IN_IP, version)
    steps: list[Step] = [
        MakeDevice(made),
        AddBlackhole(ip_network("10.0.0.0/8")),
        AddBlackhole(ip_network("2001:db8:1000::/36")),
        SetRoute(PREFIX4, Hop(made.name), ip_address("10.1.0.1")),
        SetRoute(PREFIX6, Hop(made.name, explicit_null=True), ip_address("2001:db8:1001::1")),
    ]
    for _ in range(2):
        assert await kernel.apply(steps) == []
        layout = await found()
        assert layout.routes == {PREFIX4: Hop(made.name), PREFIX6: Hop(made.name, explicit_null=True)}
        assert layout.blackholes == {ip_network("10.0.0.0/8"), ip_network("2001:db8:1000::/36")}
    assert f"dev {made.name} src 10.1.0.1" in router.ip("route", "get", "10.2.0.1")
    assert "encap mpls  2" in router.ip("-6", "route", "show", str(PREFIX6))
    # Blackholes lose to whatever is better, and are there when it goes.
    assert await kernel.apply(difference.routes(Layout(), layout, may_remove=True, source=lambda _: None)) == []
    refused = router.run("ip", "route", "get", "10.2.0.1", check=False)
    assert refused.returncode != 0
    assert (await found()).routes == {}
    assert await kernel.apply(difference.everything(await found())) == []
    assert await found() == Layout()


async def test_what_others_have_is_neither_seen_nor_touched(router: Namespace) -> None:
    router.ip("link", "add", "sm-lan0", "type", "dummy")
    router.ip("link", "add", "sm-00000001", "type", "dummy")
    router.ip("link", "set", "sm-00000001", "alias", "the operator's own", "up")
    router.ip("link", "add", "sm-00000002", "type", "gre", "local", "172.31.0.1", "remote", "172.31.0.9")
    router.ip("route", "add", "10.7.0.0/24", "dev", "core")
    router.ip("route", "add", "blackhole", "10.8.0.0/24")
    router.ip("route", "add", str(PREFIX4), "dev", "core", "metric", "10")
    router.ip("-6", "route", "add", str(PREFIX6), "dev", "core", "metric", "10")
    router.ip("route", "add", "unreachable", "10.0.0.0/8", "metric", "4294967295")
    before = router.ip("route", "show"), router.ip("-6", "route", "show"), router.ip("-d", "link", "show")
    assert await found() == Layout()
    name = "there is an interface of that name which is not softmesh's: remove it (ip link delete {})".format
    route = "somebody else has a route to it with metric {}: remove that".format
    expected: dict[Step, str] = {
        MakeDevice(device(InterfaceKind.GRE, 4, number=1)): name("sm-00000001"),
        MakeDevice(device(InterfaceKind.GRE, 4, number=2)): name("sm-00000002"),
        SetMtu("sm-00000001", 1400): name("sm-00000001"),
        RemoveDevice("sm-00000002"): name("sm-00000002"),
        SetRoute(PREFIX4, Hop("core")): route(10),
        SetRoute(PREFIX6, Hop("core")): route(10),
        AddBlackhole(ip_network("10.0.0.0/8")): route(4294967295),
    }
    removals: list[Step] = [
        *(RemoveRoute(prefix) for prefix in (PREFIX4, PREFIX6, ip_network("10.7.0.0/24"))),
        RemoveBlackhole(ip_network("10.8.0.0/24")),
        RemoveBlackhole(ip_network("10.0.0.0/8")),
    ]
    assert dict(await Kernel().apply([*expected, *removals])) == expected
    assert (router.ip("route", "show"), router.ip("-6", "route", "show"), router.ip("-d", "link", "show")) == before


async def test_what_was_changed_behind_our_back_is_made_anew(router: Namespace) -> None:
    kernel = Kernel()
    made = [device(InterfaceKind.VTI, 4, number=1, last=3), device(InterfaceKind.IP_IN_IP, 6, number=2)]
    wanted = Layout({each.name: each for each in made})
    assert await kernel.apply([MakeDevice(each) for each in made]) == []
    changes = [
        ("set", made[0].name, "down"),
        ("set", made[0].name, "type", "vti", "local", "172.31.0.1", "remote", "172.31.0.4", "key", "1"),
        ("set", made[0].name, "type", "vti", "local", "172.31.0.1", "remote", "172.31.0.3", "key", "9"),
        ("set", made[1].name, "type", "ip6tnl", "local", "2001:db8:f::1", "remote", "2001:db8:f::2", "mode", "ip6ip6"),
        ("delete", made[1].name),
    ]
    for change in changes:
        router.ip("link", *change)
        steps = difference.devices(wanted, await found())
        assert MakeDevice(made[0] if change[1] == made[0].name else made[1]) in steps
        assert await kernel.apply(steps) == []
        assert await found() == wanted


async def test_what_was_left_half_made_is_finished_or_removed(router: Namespace) -> None:
    # As we leave it, should we be killed between the two messages it takes.
    for number in (1, 2):
        ends = ("local", "172.31.0.1", "remote", f"172.31.0.{number + 1}")
        router.ip("link", "add", f"sm-{number:08x}", "group", str(GROUP), "type", "gre", *ends)
    wanted = Layout({"sm-00000001": device(InterfaceKind.GRE, 4, number=1)})
    assert await Kernel().apply([MakeDevice(wanted.devices["sm-00000001"])]) == []
    assert await Kernel().apply(difference.surplus(wanted, await found())) == []
    assert await found() == wanted
    assert "sm-00000002" not in router.ip("link", "show")


async def test_a_source_that_comes_and_goes_is_followed(router: Namespace) -> None:
    kernel, made = Kernel(), device(InterfaceKind.IP_IN_IP, 4)
    wanted = Layout({made.name: made}, {PREFIX4: Hop(made.name), PREFIX6: Hop(made.name)})
    sources = {PREFIX4: ip_address("10.1.0.9"), PREFIX6: ip_address("2001:db8:1001::9")}
    assert await kernel.apply(difference.devices(wanted, Layout())) == []
    router.address("lo", *(f"{address}/{address.max_prefixlen}" for address in sources.values()))
    for _ in range(2):
        steps = difference.routes(wanted, await found(), may_remove=True, source=sources.get)
        assert await kernel.apply(steps) == []
        assert (await found()).sources == sources
    for address in sources.values():
        router.ip("address", "delete", f"{address}/{address.max_prefixlen}", "dev", "lo")
    steps = difference.routes(wanted, await found(), may_remove=True, source=lambda _: None)
    assert await kernel.apply(steps) == []
    layout = await found()
    assert (layout.routes, layout.sources) == (wanted.routes, {})


async def test_addresses_that_cannot_be_a_source_do_not_count(router: Namespace) -> None:
    router.ip("link", "add", "island", "type", "veth")
    router.run("sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/island/accept_dad")
    router.ip("address", "add", "10.1.2.1", "peer", "10.1.2.2", "dev", "core")
    router.ip("address", "add", "169.254.0.1/16", "scope", "link", "dev", "core")
    # Whether others have it too cannot be known while it is down.
    router.ip("address", "add", "2001:db8:1001::7/64", "dev", "island")
    addresses = {str(address) for address in (await Kernel().observe([])).addresses}
    assert addresses == {"172.31.0.1", "2001:db8:f::1", "10.1.0.1", "2001:db8:1001::1", "10.1.2.1"}


@pytest.mark.parametrize("version", [4, 6])
async def test_a_tunnel_of_somebody_elses_between_the_same_addresses_is_said(router: Namespace, version: int) -> None:
    local, remote = ENDS[version]
    kind = ["sit"] if version == 4 else ["ip6tnl", "mode", "any"]
    router.ip("link", "add", "theirs", "type", kind[0], "local", local, "remote", remote, *kind[1:])
    ((_, why),) = await Kernel().apply([MakeDevice(device(InterfaceKind.IP_IN_IP, version))])
    assert why == (
        f"interface theirs is a {kind[0]} tunnel between the same addresses: remove it (ip link delete theirs)"
    )
    assert (await found()).devices == {}


async def test_one_refused_step_stops_no_other(router: Namespace) -> None:
    good, bad = device(InterfaceKind.GRE, 4), device(InterfaceKind.XFRM, 4, number=5)
    refused = await Kernel().apply([MakeDevice(bad), MakeDevice(good), SetRoute(PREFIX4, Hop("sm-none"))])
    assert [(type(step), why) for step, why in refused] == [
        (MakeDevice, "this kernel has no xfrm interfaces"),
        (SetRoute, "there is no interface sm-none"),
    ]
    assert (await found()).devices == {good.name: good}


async def test_how_the_core_is_reached(router: Namespace) -> None:
    router.ip("link", "set", "core", "mtu", "1600")
    router.ip("route", "add", "172.31.0.9/32", "dev", "core", "mtu", "1450")
    remotes = [ip_address("172.31.0.2"), ip_address("172.31.0.9"), ip_address("2001:db8:f::2"), ip_address("192.0.2.1")]
    state = await Kernel().observe(remotes)
    assert dict(state.core) == {
        remotes[0]: CorePath("core", 1600),
        remotes[1]: CorePath("core", 1450),
        remotes[2]: CorePath("core", 1600),
    }
    assert {ip_address("10.1.0.1"), ip_address("2001:db8:1001::1")} <= state.addresses


async def test_charons_routes_past_a_vti_are_seen(router: Namespace) -> None:
    router.ip("route", "add", str(PREFIX4), "dev", "core", "table", "220")
    router.ip("-6", "route", "add", str(PREFIX6), "dev", "core", "table", "220")
    other = ip_network("10.3.0.0/24")
    assert (await Kernel().observe([], {PREFIX4, PREFIX6, other})).captured == {PREFIX4, PREFIX6}


@pytest.mark.parametrize("version", [4, 6])
async def test_what_goes_under_an_explicit_null_arrives(router: Namespace, version: int) -> None:
    with Namespace("peer") as peer:
        link(router, "cable", peer, "cable")
        peer.address("lo", "10.2.0.1/32", "2001:db8:1002::1/128")
        for number, each, other in ((1, router, 2), (2, peer, 1)):
            each.address("cable", f"172.31.1.{number}/24", f"2001:db8:e::{number}/64")
            ends = [ip_address(f"172.31.1.{n}" if version == 4 else f"2001:db8:e::{n}") for n in (number, other)]
            made = Device(Interface(InterfaceKind.IP_IN_IP, number), ends[0], ends[1], 1400)
            steps: list[Step] = [MakeDevice(made)]
            for prefix, source in (
                (f"10.{other}.0.0/24", f"10.{number}.0.1"),
                (f"2001:db8:100{other}::/64", f"2001:db8:100{number}::1"),
            ):
                steps.append(SetRoute(ip_network(prefix), Hop(made.name, explicit_null=True), ip_address(source)))
            with inside(each):
                assert await Kernel().apply(steps) == []
        for inner, headers in (("10.2.0.1", 28), ("2001:db8:1002::1", 48)):
            assert router.ping(inner)
            whole = ("ping", "-n", "-c", "1", "-W", "10", "-M", "do", "-s")
            # The kernel takes the label's 4 octets off the MTU by itself.
            assert router.run(*whole, str(1396 - headers), inner, check=False).returncode == 0
            assert "message too long" in router.run(*whole, str(1397 - headers), inner, check=False).stderr


async def test_labels_that_are_accepted_already_stay_so(router: Namespace) -> None:
    router.run("sh", "-c", "echo 5000 > /proc/sys/net/mpls/platform_labels")
    assert await Kernel().apply([MakeDevice(device(InterfaceKind.IP_IN_IP, 4))]) == []
    assert router.run("cat", "/proc/sys/net/mpls/platform_labels").stdout == "5000\n"
    assert router.run("cat", "/proc/sys/net/mpls/conf/sm-00000abc/input").stdout == "1\n"


async def test_another_table(router: Namespace) -> None:
    kernel, made = Kernel(table=1000), device(InterfaceKind.GRE, 6)
    steps: list[Step] = [
        MakeDevice(made), SetRoute(PREFIX4, Hop(made.name)), SetRoute(PREFIX6, Hop(made.name)), AddBlackhole(PREFIX6)
    ]  # fmt: skip
    assert await kernel.apply(steps) == []
    layout = (await kernel.observe([])).layout
    assert layout.routes.keys() == {PREFIX4, PREFIX6}
    assert layout.blackholes == {PREFIX6}
    assert await found() == Layout({made.name: made})
    assert await kernel.apply(difference.everything(layout)) == []
    assert (await kernel.observe([])).layout == Layout()


async def test_the_watch_hears_of_others_and_not_of_what_is_expected(router: Namespace) -> None:
    made = device(InterfaceKind.GRE, 4)
    expected = {made.name: made}
    heard: asyncio.Queue[None] = asyncio.Queue()
    listening = asyncio.create_task(LinkWatch(lambda: expected, lambda: heard.put_nowait(None)).run())
    await asyncio.sleep(0)
    try:
        assert await Kernel().apply([MakeDevice(made)]) == []
        router.ip("link", "set", "core", "mtu", "1600")
        router.ip("link", "add", "sm-lan0", "type", "dummy")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(heard.get(), 1)
        for change in (["set", made.name, "mtu", "1300"], ["set", made.name, "down"], ["delete", made.name]):
            router.ip("link", *change)
            await asyncio.wait_for(heard.get(), 5 * PATIENCE)
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


_WITHOUT = """
import asyncio
from softmesh.dataplane.ability import kernel_ability
from softmesh.dataplane.kernel import Kernel
from softmesh.dataplane.steps import AddBlackhole
from ipaddress import ip_network
print(asyncio.run(kernel_ability()).reason)
print(asyncio.run(Kernel().apply([AddBlackhole(ip_network("10.0.0.0/8"))]))[0][1])
"""


def test_without_the_right_to_it_is_said(router: Namespace) -> None:
    dropped = (program("setpriv"), "--bounding-set", "-net_admin", "--inh-caps", "-net_admin")
    done = subprocess.run(
        [*dropped, sys.executable, "-c", _WITHOUT], capture_output=True, text=True, check=False, timeout=60 * PATIENCE
    )
    assert done.stdout.splitlines() == [
        "this process may make no interfaces: run it as root, or with CAP_NET_ADMIN",
        "not permitted: run as root, or with CAP_NET_ADMIN",
    ], done.stderr


async def test_what_this_kernel_can(router: Namespace) -> None:
    ability = await kernel_ability()
    assert (ability.xfrm_interface, ability.vti) == (False, True)
    assert ability.reason == "this kernel has no XFRM interfaces"
    assert ability.mpls
    assert "sm-" not in router.ip("link", "show")


async def test_a_thousand_softwires(router: Namespace) -> None:
    kernel = Kernel()
    devices = [device(InterfaceKind.IP_IN_IP, 6, number=n, last=n + 1) for n in range(1, 1001)]
    prefixes = [ip_network((10 << 24 | 2 << 16 | n << 4, 28)) for n in range(1000)]
    routes = {prefix: Hop(made.name) for prefix, made in zip(prefixes, devices, strict=True)}
    wanted = Layout({made.name: made for made in devices}, routes)
    began = time.monotonic()
    assert await kernel.apply(difference.devices(wanted, Layout())) == []
    made = time.monotonic()
    assert await kernel.apply(difference.routes(wanted, Layout(), may_remove=True, source=lambda _: None)) == []
    routed = time.monotonic()
    assert await found() == wanted
    looked = time.monotonic()
    sys.stdout.write(
        f"1,000 interfaces {made - began:.2f} s, routes {routed - made:.2f} s, a look {looked - routed:.2f} s\n"
    )
