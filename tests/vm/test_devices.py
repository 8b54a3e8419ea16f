"""Interfaces and routes by netlink, in a kernel that has the tunnels."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from pyroute2 import netns

from lab.namespace import Namespace
from softmesh.dataplane import difference
from softmesh.dataplane.ability import kernel_ability
from softmesh.dataplane.kernel import Kernel
from softmesh.dataplane.layout import CorePath, Device, Hop, Layout
from softmesh.dataplane.steps import AddBlackhole, MakeDevice, RemoveDevice, SetMtu, SetRoute, Step
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
        netns.pushns(router.name)
        try:
            yield router
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
    router.ip("route", "add", "10.7.0.0/24", "dev", "core")
    router.ip("route", "add", "blackhole", "10.8.0.0/24")
    before = router.ip("route", "show"), router.ip("-d", "link", "show")
    assert await found() == Layout()
    taken = device(InterfaceKind.GRE, 4, number=1)
    ((step, why),) = await Kernel().apply([MakeDevice(taken)])
    assert step == MakeDevice(taken)
    assert "somebody else" in why
    assert (router.ip("route", "show"), router.ip("-d", "link", "show")) == before


@pytest.mark.parametrize("version", [4, 6])
async def test_a_tunnel_of_somebody_elses_between_the_same_addresses_is_said(router: Namespace, version: int) -> None:
    local, remote = ENDS[version]
    kind = ["sit"] if version == 4 else ["ip6tnl", "mode", "any"]
    router.ip("link", "add", "theirs", "type", kind[0], "local", local, "remote", remote, *kind[1:])
    ((_, why),) = await Kernel().apply([MakeDevice(device(InterfaceKind.IP_IN_IP, version))])
    assert "a tunnel between the same addresses" in why
    assert (await found()).devices == {}


async def test_one_refused_step_stops_no_other(router: Namespace) -> None:
    good, bad = device(InterfaceKind.GRE, 4), device(InterfaceKind.XFRM, 4, number=5)
    refused = await Kernel().apply([MakeDevice(bad), MakeDevice(good), SetRoute(PREFIX4, Hop("sm-none"))])
    assert [(type(step), why) for step, why in refused] == [
        (MakeDevice, "this kernel does not have it"),
        (SetRoute, "No such device"),
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


async def test_what_this_kernel_can(router: Namespace) -> None:
    ability = await kernel_ability()
    assert (ability.xfrm_interface, ability.vti) == (False, True)
    assert ability.reason == "this kernel has no XFRM interfaces"
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
