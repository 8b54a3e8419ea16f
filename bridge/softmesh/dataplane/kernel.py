"""Devices and routes in this network namespace's kernel, by netlink: looks, and takes steps."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Collection, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from ipaddress import ip_address, ip_network
from pathlib import Path
from socket import AF_INET, AF_INET6
from typing import Any

from pyroute2 import AsyncIPRoute, NetlinkError

from softmesh.dataplane.layout import CorePath, Device, Hop, KernelState, Layout
from softmesh.dataplane.link import alias, attributes, parse
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
from softmesh.errors import OperatorError
from softmesh.mesh.softwire import Address, InterfaceKind, Network

PROTOCOL = 194
"""rtm_protocol of every route of ours: a number nobody else has in /etc/iproute2/rt_protos."""
MAIN = 254
"""The table that routing daemons and operators use."""
_CHARON = 220
"""charon's own table, which its rule has looked at before the main one."""
_METRIC = 194
_LAST_RESORT = 2**32 - 1
"""The worst metric there is: any other route is better."""
_FAMILIES = {4: AF_INET, 6: AF_INET6}
_BLACKHOLE = "blackhole"
_RTN_BLACKHOLE = 6
_RT_SCOPE_UNIVERSE = 0
_NO_ADDRESS = 1
"""IN6_ADDR_GEN_MODE_NONE: a tunnel between two routers needs no link-local address, and no neighbour discovery."""
_EXPLICIT_NULL = {4: 0, 6: 2}
"""RFC 3032 §2.1."""
_MPLS = Path("/proc/sys/net/mpls")


class Kernel:
    """The kernel of the network namespace this process is in."""

    async def observe(
        self, endpoints: Collection[Address], destinations: Collection[Network] = frozenset()
    ) -> KernelState:
        """Look once at what is ours, and how each endpoint is reached.

        ``destinations`` are looked for in charon's routing table. Raises OperatorError where the kernel refuses.
        """
        async with _netlink() as netlink:
            names, mtus, devices = await _links(netlink)
            routes: dict[Network, Hop] = {}
            blackholes: set[Network] = set()
            for version, family in _FAMILIES.items():
                async for route in await netlink.get_routes(family=family, table=MAIN, proto=PROTOCOL):
                    prefix = _destination(route, version)
                    if route.get("proto") != PROTOCOL or route.get("table") != MAIN:
                        continue
                    if route.get("type") == _RTN_BLACKHOLE:
                        blackholes.add(prefix)
                    elif route.get("oif") in names:
                        routes[prefix] = Hop(names[route.get("oif")], explicit_null=route.get("encap") is not None)
            core = {remote: path for remote in endpoints if (path := await _path(netlink, remote, names, mtus))}
            addresses = [
                ip_address(address.get("local") or address.get("address"))
                async for address in await netlink.get_addr()
                if address.get("scope") == _RT_SCOPE_UNIVERSE
            ]
            captured = await _captured(netlink, destinations) if destinations else frozenset()
        layout = Layout(devices, routes, frozenset(blackholes))
        return KernelState(layout, core, frozenset(addresses), captured)

    async def apply(self, steps: Iterable[Step]) -> list[tuple[Step, str]]:
        """Take steps in order; returns those the kernel refused, with the reason. One that fails stops no other."""
        refused: list[tuple[Step, str]] = []
        async with _netlink() as netlink:
            for step in steps:
                try:
                    await _take(netlink, step)
                except NetlinkError as error:
                    refused.append((step, _words(step, error.code)))
                except OSError as error:
                    refused.append((step, error.strerror or str(error)))
        return refused


async def _links(netlink: Any) -> tuple[dict[int, str], dict[int, int], dict[str, Device]]:
    """Every link's name and MTU by index, and those that are ours."""
    names: dict[int, str] = {}
    mtus: dict[int, int] = {}
    devices: dict[str, Device] = {}
    async for link in await netlink.get_links():
        names[link["index"]], mtus[link["index"]] = link.get("ifname"), link.get("mtu")
        if (device := parse(link)) is not None:
            devices[device.name] = device
    return names, mtus, devices


async def _path(netlink: Any, remote: Address, names: dict[int, str], mtus: dict[int, int]) -> CorePath | None:
    try:
        found = await netlink.route("get", dst=str(remote), family=_FAMILIES[remote.version])
    except NetlinkError:
        return None
    for route in found:
        index = route.get("oif")
        if index in names:
            # The route may know better than the device: a path MTU that was learned, or "mtu" of ip route.
            metrics = route.get("metrics")
            known = None if metrics is None else metrics.get("mtu")
            return CorePath(names[index], int(known or mtus[index]))
    return None


async def _captured(netlink: Any, destinations: Collection[Network]) -> frozenset[Network]:
    found: set[Network] = set()
    for version, family in _FAMILIES.items():
        async for route in await netlink.get_routes(family=family, table=_CHARON):
            if route.get("table") == _CHARON:
                found.add(_destination(route, version))
    return frozenset(found.intersection(destinations))


def _destination(route: Any, version: int) -> Network:
    length = route["dst_len"]
    return ip_network((route.get("dst") or ("0.0.0.0" if version == 4 else "::"), length))  # noqa: S104 (no binding)


async def _take(netlink: Any, step: Step) -> None:
    match step:
        case MakeDevice(device):
            await _make(netlink, device)
        case SetMtu(name, mtu):
            await netlink.link("set", index=await _index(netlink, name), mtu=mtu)
        case RemoveDevice(name):
            with _already(errno.ENODEV):
                await netlink.link("del", index=await _index(netlink, name))
        case SetRoute(prefix, hop, source):
            await netlink.route("replace", **_route(prefix), **await _into(netlink, prefix, hop, source))
        case RemoveRoute(prefix):
            with _already(errno.ESRCH):
                await netlink.route("del", **_route(prefix))
        case AddBlackhole(prefix):
            await netlink.route("replace", **_blackhole(prefix))
        case RemoveBlackhole(prefix):
            with _already(errno.ESRCH):
                await netlink.route("del", **_blackhole(prefix))


async def _make(netlink: Any, device: Device) -> None:
    with _already(errno.EEXIST):
        await netlink.link("add", ifname=device.name, mtu=device.mtu, **attributes(device))
    try:
        link = await _link(netlink, device.name)
    except NetlinkError as error:
        # It was another name that exists already, between the same addresses.
        raise NetlinkError(errno.EEXIST) from error
    if link.get("ifalias") is None:
        await netlink.link("set", index=link["index"], ifalias=alias(device))
    elif (held := parse(link)) is None or held.interface != device.interface:
        raise NetlinkError(errno.EEXIST)
    await netlink.link("set", index=link["index"], mtu=device.mtu, IFLA_AF_SPEC=_address_generation())
    await netlink.link("set", index=link["index"], state="up")
    if device.interface.kind is InterfaceKind.IP_IN_IP:
        _accept_explicit_null(device.name)


def _address_generation() -> dict[str, Any]:
    return {"attrs": [("AF_INET6", {"attrs": [("IFLA_INET6_ADDR_GEN_MODE", _NO_ADDRESS)]})]}


def _accept_explicit_null(name: str) -> None:
    """Let packets under labels 0 and 2 in; a kernel without MPLS has no such settings, and no such packets."""
    if not _MPLS.is_dir():
        return
    labels = _MPLS / "platform_labels"
    if int(labels.read_text()) <= max(_EXPLICIT_NULL.values()):
        labels.write_text(f"{max(_EXPLICIT_NULL.values()) + 1}\n")
    (_MPLS / "conf" / name / "input").write_text("1\n")


def _route(prefix: Network) -> dict[str, Any]:
    return {
        "dst": str(prefix),
        "family": _FAMILIES[prefix.version],
        "table": MAIN,
        "proto": PROTOCOL,
        "priority": _METRIC,
    }


def _blackhole(prefix: Network) -> dict[str, Any]:
    return _route(prefix) | {"type": _BLACKHOLE, "priority": _LAST_RESORT}


async def _into(netlink: Any, prefix: Network, hop: Hop, source: Address | None) -> dict[str, Any]:
    into: dict[str, Any] = {"oif": await _index(netlink, hop.device)}
    if source is not None:
        into["prefsrc"] = str(source)
    if hop.explicit_null:
        into["encap"] = {"type": "mpls", "labels": _EXPLICIT_NULL[prefix.version]}
    return into


async def _link(netlink: Any, name: str) -> Any:
    for link in await netlink.link("get", ifname=name):
        return link
    raise NetlinkError(errno.ENODEV)


async def _index(netlink: Any, name: str) -> int:
    return int((await _link(netlink, name))["index"])


@contextmanager
def _already(code: int) -> Iterator[None]:
    """What the step is to bring about may be so already."""
    try:
        yield
    except NetlinkError as error:
        if error.code != code:
            raise


@asynccontextmanager
async def _netlink() -> AsyncIterator[Any]:
    try:
        # Strict: the kernel itself leaves out routes that were not asked for, of which there may be a million.
        async with AsyncIPRoute(strict_check=True) as netlink:
            yield netlink
    except NetlinkError as error:
        raise OperatorError(
            f"the kernel refuses to show its routes and interfaces: {os.strerror(error.code)}"
        ) from error
    except OSError as error:
        raise OperatorError(f"no netlink socket: {error.strerror}") from error


def _words(step: Step, code: int) -> str:
    if code == errno.EPERM:
        return "not permitted: run as root, or with CAP_NET_ADMIN"
    if code == errno.EEXIST and isinstance(step, MakeDevice):
        return "somebody else has an interface of that name, or a tunnel between the same addresses: remove that"
    if code in {errno.EOPNOTSUPP, errno.EAFNOSUPPORT}:
        return "this kernel does not have it"
    return os.strerror(code)
