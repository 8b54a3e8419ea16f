"""Devices and routes in this network namespace's kernel, by netlink: looks, and takes steps."""

from __future__ import annotations

import errno
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from itertools import groupby
from pathlib import Path
from socket import if_nametoindex
from typing import TypeAlias

from pyroute2.netlink import NLM_F_ACK, NLM_F_REQUEST
from pyroute2.netlink.rtnl import RTM_GETADDR, rt_scope
from pyroute2.netlink.rtnl.ifaddrmsg import (
    IFA_F_DADFAILED,
    IFA_F_TENTATIVE,
    ifaddrmsg,
)

from softmesh.dataplane import link, route
from softmesh.dataplane.layout import CorePath, Device, Hop, KernelState, Layout
from softmesh.dataplane.netlink import Answer, Message, Netlink, opened
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
from softmesh.mesh.softwire import Address, InterfaceKind, Network

MAIN = 254
"""The table that routing daemons and operators use."""
_CHARON = 220
"""charon's own table, which its rule has looked at before the main one."""
_VERSIONS = (4, 6)
_MPLS = Path("/proc/sys/net/mpls")
_FORGET_WAYS = Path("/proc/sys/net/ipv4/route/flush")

Refused: TypeAlias = tuple[Step, str]


class Kernel:
    """The kernel of the network namespace this process is in."""

    def __init__(self, *, table: int = MAIN) -> None:
        self._table = table

    async def observe(
        self, endpoints: Collection[Address], destinations: Collection[Network] = frozenset()
    ) -> KernelState:
        """Look once at what is ours, and how each endpoint is reached.

        ``destinations`` are looked for in charon's routing table. Raises OperatorError where the kernel refuses,
        Unreachable where it does not answer.
        """
        async with opened() as netlink:
            links = await netlink.dump(link.every)
            by_index = {message["index"]: message for message in links}
            layout = await self._layout(netlink, by_index)
            core = await _core(netlink, endpoints, by_index)
            addresses = await _addresses(netlink)
            captured = await _captured(netlink, destinations) if destinations else frozenset()
        return KernelState(layout, core, addresses, captured)

    async def apply(self, steps: Iterable[Step]) -> list[Refused]:
        """Take steps in order; returns those the kernel refused, with the reason. One that fails stops no other.

        Only what is ours is changed; to make what is there and to remove what is not is no error. Raises as
        ``observe``; what was done until then stays done.
        """
        refused: list[Refused] = []
        async with opened() as netlink:
            for kind, run in groupby(steps, type):
                refused += await self._take(netlink, kind, list(run))
        return refused

    async def _layout(self, netlink: Netlink, links: Mapping[int, Message]) -> Layout:
        devices = {str(message.get("ifname")): device for message in links.values() if (device := link.parse(message))}
        routes: dict[Network, Hop] = {}
        sources: dict[Network, Address] = {}
        blackholes: set[Network] = set()
        for found in await self._ours(netlink):
            if found.blackhole:
                blackholes.add(found.prefix)
            elif (out := links.get(found.device)) is not None:
                routes[found.prefix] = Hop(str(out.get("ifname")), found.explicit_null)
                if found.source is not None:
                    sources[found.prefix] = found.source
        return Layout(devices, routes, frozenset(blackholes), sources)

    async def _ours(self, netlink: Netlink) -> list[route.Route]:
        found: list[route.Route] = []
        for version in _VERSIONS:
            messages = await netlink.dump(partial(route.of_our_protocol, version, self._table))
            found += [parsed for message in messages if (parsed := route.parse(message)).ours]
        return found

    async def _take(self, netlink: Netlink, kind: type, steps: Sequence[Step]) -> list[Refused]:
        if kind is MakeDevice:
            return await _make(netlink, [step for step in steps if isinstance(step, MakeDevice)])
        if kind in {SetMtu, RemoveDevice}:
            return await _change(netlink, [step for step in steps if isinstance(step, SetMtu | RemoveDevice)])
        if kind in {SetRoute, AddBlackhole}:
            return await self._lead(netlink, [step for step in steps if isinstance(step, SetRoute | AddBlackhole)])
        removals = [step for step in steps if isinstance(step, RemoveRoute | RemoveBlackhole)]
        answers = await netlink.ask([self._removal(step) for step in removals])
        return _refusals(removals, answers, but=errno.ESRCH)

    def _removal(self, step: RemoveRoute | RemoveBlackhole) -> Message:
        metric = route.METRIC if isinstance(step, RemoveRoute) else route.LAST_RESORT
        return route.remove(step.prefix, metric, self._table)

    async def _lead(self, netlink: Netlink, steps: Sequence[SetRoute | AddBlackhole]) -> list[Refused]:
        """Add routes; where there is one with the same metric already, it is replaced if it is ours."""
        answers = await netlink.ask([self._addition(step) for step in steps])
        refused = _refusals(steps, answers, but=errno.EEXIST)
        taken = [step for step, answer in zip(steps, answers, strict=True) if answer.code == errno.EEXIST]
        if taken:
            held = {(found.prefix, found.blackhole) for found in await self._ours(netlink)}
            ours = [step for step in taken if (step.prefix, isinstance(step, AddBlackhole)) in held]
            answers = await netlink.ask([route.instead(self._addition(step)) for step in ours])
            refused += _refusals(ours, answers)
            _forget_ways()
            refused += [(step, _somebody_elses_route(step)) for step in taken if step not in ours]
        return refused + await self._labelled(netlink, steps, refused)

    async def _labelled(
        self, netlink: Netlink, steps: Sequence[SetRoute | AddBlackhole], refused: Sequence[Refused]
    ) -> list[Refused]:
        """See that what comes back under labels is let in; a route with a label is none where it is not."""
        failed = {step for step, _ in refused}
        labelled = [
            step for step in steps if isinstance(step, SetRoute) and step.hop.explicit_null and step not in failed
        ]
        reasons = {name: _accept_explicit_null(name) for name in {step.hop.device for step in labelled}}
        useless = [(step, why) for step in labelled if (why := reasons[step.hop.device]) is not None]
        await netlink.ask([route.remove(step.prefix, route.METRIC, self._table) for step, _ in useless])
        return list(useless)

    def _addition(self, step: SetRoute | AddBlackhole) -> Message:
        if isinstance(step, AddBlackhole):
            return route.blackhole(step.prefix, self._table)
        hop = step.hop
        return route.into(step.prefix, _index(hop.device), step.source, self._table, explicit_null=hop.explicit_null)


async def _make(netlink: Netlink, steps: Sequence[MakeDevice]) -> list[Refused]:
    answers = await netlink.ask([link.create(step.device) for step in steps])
    made = [step for step, answer in zip(steps, answers, strict=True) if answer.code == 0]
    taken = [step for step, answer in zip(steps, answers, strict=True) if answer.code == errno.EEXIST]
    refused = _refusals(steps, answers, but=errno.EEXIST)
    for step in taken:
        why = await _make_again(netlink, step.device)
        if why is None:
            made.append(step)
        else:
            refused.append((step, why))
    messages = [link.finish(step.device) for step in made]
    answers = await netlink.ask([message for three in messages for message in three])
    for step, *three in zip(made, answers[::3], answers[1::3], answers[2::3], strict=True):
        why = next((answer.words for answer in three if answer.code not in {0, errno.EAFNOSUPPORT}), None)
        if why is not None:
            refused.append((step, why))
            await netlink.ask([link.remove(step.device.name)])
        elif step.device.interface.kind is InterfaceKind.IP_IN_IP:
            # The peer may send them though no route of ours has a label. Whether it matters, such a route will tell.
            _accept_explicit_null(step.device.name)
    return refused


async def _make_again(netlink: Netlink, device: Device) -> str | None:
    """Make a device although the kernel says that it exists; returns why it cannot be."""
    (there,) = await netlink.ask([link.ask(device.name)])
    if not there.messages:
        return _led_there_by(link.twin(await netlink.dump(link.every), device), device)
    held = link.parse(there.messages[0])
    if held is None:
        return _somebody_elses(device.name)
    if (held.interface, held.local, held.remote) == (device.interface, device.local, device.remote):
        return None
    _, answer = await netlink.ask([link.remove(device.name), link.create(device)])
    return answer.words if answer.code else None


async def _change(netlink: Netlink, steps: Sequence[SetMtu | RemoveDevice]) -> list[Refused]:
    """Change or remove devices, once it is clear that they are ours."""
    refused: list[Refused] = []
    ours: list[SetMtu | RemoveDevice] = []
    for step, there in zip(steps, await netlink.ask([link.ask(step.name) for step in steps]), strict=True):
        if there.messages and link.parse(there.messages[0]) is None:
            refused.append((step, _somebody_elses(step.name)))
        else:
            ours.append(step)
    answers = await netlink.ask(
        [link.set_mtu(step.name, step.mtu) if isinstance(step, SetMtu) else link.remove(step.name) for step in ours]
    )
    for step, answer in zip(ours, answers, strict=True):
        if answer.code and not (isinstance(step, RemoveDevice) and answer.code == errno.ENODEV):
            refused.append((step, answer.words))
    return refused


async def _core(
    netlink: Netlink, endpoints: Collection[Address], links: Mapping[int, Message]
) -> Mapping[Address, CorePath]:
    core: dict[Address, CorePath] = {}
    answers = await netlink.ask([route.towards(remote) for remote in endpoints])
    for remote, answer in zip(endpoints, answers, strict=True):
        for message in answer.messages:
            if (out := links.get(message.get("oif"))) is not None:
                core[remote] = CorePath(str(out.get("ifname")), route.mtu(message) or int(out.get("mtu")))
    return core


async def _addresses(netlink: Netlink) -> frozenset[Address]:
    """Those of this router; none that cannot be a source yet, or never will."""
    found: set[Address] = set()
    for message in await netlink.dump(_every_address):
        flags = message.get("flags") or 0
        if message["scope"] == rt_scope["universe"] and not flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED):
            # Of a point-to-point link the second is the peer's.
            found.add(ip_address(message.get("local") or message.get("address")))
    return frozenset(found)


def _every_address() -> Message:
    message = ifaddrmsg()
    message["header"]["type"] = RTM_GETADDR
    message["header"]["flags"] = NLM_F_REQUEST | NLM_F_ACK
    return message


async def _captured(netlink: Netlink, destinations: Collection[Network]) -> frozenset[Network]:
    found: set[Network] = set()
    for version in _VERSIONS:
        messages = await netlink.dump(partial(route.held, version, _CHARON))
        found.update(route.parse(message).prefix for message in messages)
    return frozenset(found.intersection(destinations))


def _accept_explicit_null(name: str) -> str | None:
    """Let packets under labels 0 and 2 in, where the kernel has MPLS: it pops them by itself once it may see them.

    Returns why not.
    """
    if not _MPLS.is_dir():
        return None
    needed = max(route.EXPLICIT_NULL.values()) + 1
    labels, accepted = _MPLS / "platform_labels", _MPLS / "conf" / name / "input"
    try:
        if int(labels.read_text()) < needed:
            labels.write_text(f"{needed}\n")
        accepted.write_text("1\n")
    except OSError as error:
        return f"cannot let its answers in: {error.filename}: {error.strerror}"
    return None


def _forget_ways() -> None:
    """Have tunnel interfaces over IPv4 ask anew which SA their packets take.

    ``sit`` remembers that with the way to its other end, whatever protocol it wraps. When a route goes over from plain
    packets to labelled ones they would be sent by the SA of the plain ones, and the peer would drop them all.
    """
    if _MPLS.is_dir():
        # Where this is not permitted the kernel finds out by itself when the old SA goes, seconds later.
        with suppress(OSError):
            _FORGET_WAYS.write_text("1\n")


def _index(name: str) -> int:
    try:
        return if_nametoindex(name)
    except OSError:
        return route.NO_DEVICE


def _refusals(steps: Sequence[Step], answers: Sequence[Answer], *, but: int = 0) -> list[Refused]:
    return [
        (step, _words(step, answer)) for step, answer in zip(steps, answers, strict=True) if answer.code not in {0, but}
    ]


def _words(step: Step, answer: Answer) -> str:
    if answer.code == errno.EPERM:
        return "not permitted: run as root, or with CAP_NET_ADMIN"
    if answer.code == errno.EOPNOTSUPP and isinstance(step, MakeDevice):
        return f"this kernel has no {link.kernel_kind(step.device)} interfaces"
    if answer.code == errno.ENODEV and isinstance(step, SetRoute):
        return f"there is no interface {step.hop.device}"
    if answer.code == errno.EOPNOTSUPP and isinstance(step, SetRoute) and step.hop.explicit_null:
        return "this kernel has no MPLS encapsulation: modprobe mpls_iptunnel"
    return answer.words


def _somebody_elses(name: str) -> str:
    return f"there is an interface of that name which is not softmesh's: remove it (ip link delete {name})"


def _led_there_by(name: str | None, device: Device) -> str:
    if name is None:
        return "the kernel says that it exists, and does not show it: look at ip -d link"
    if device.interface.kind is InterfaceKind.XFRM:
        return f"interface {name} has its if_id {device.interface.number}: remove it (ip link delete {name})"
    kind = link.kernel_kind(device)
    return f"interface {name} is a {kind} tunnel between the same addresses: remove it (ip link delete {name})"


def _somebody_elses_route(step: SetRoute | AddBlackhole) -> str:
    metric = route.METRIC if isinstance(step, SetRoute) else route.LAST_RESORT
    return f"somebody else has a route to it with metric {metric}: remove that"
