"""What the kernel ought to hold for the softwires of a fold and the SAs of a look at charon. Pure.

Interfaces come before the SAs of a softwire and go after them: without one a packet that was decrypted would be
answered with an ICMP error that quotes it in the clear. Routes come after the SAs and go before them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_address

from softmesh.bgp.codepoints import TunnelType
from softmesh.charon.connection import Child
from softmesh.charon.observed import ChildSa, Observed
from softmesh.charon.selector import overlap
from softmesh.dataplane.guard import Guarded
from softmesh.dataplane.layout import Device, Hop, KernelState, Layout
from softmesh.dataplane.mtu import inner_mtu
from softmesh.mesh.desired import Desired
from softmesh.mesh.softwire import Address, Interface, InterfaceKind, Mode, Network, Softwire, SoftwireId

_TRANSPORT = frozenset({InterfaceKind.IP_IN_IP, InterfaceKind.GRE})
_COMMON_MTU = 1500
"""Octets; for an endpoint that the kernel has no route to just now."""


def devices_for(
    desired: Desired, core: Mapping[Address, int], encapsulated: Collection[Address] = ()
) -> Mapping[str, Device]:
    """The interfaces of all softwires, by name.

    ``core``: the MTU towards each endpoint, octets. ``encapsulated``: endpoints reached by ESP in UDP (RFC 3948).
    """
    devices: dict[str, Device] = {}
    for softwire in desired.softwires.values():
        if softwire.interface is None:
            continue
        device = _device(softwire, softwire.interface, core, encapsulated)
        # Softwires that share an interface may be protected differently: all of their packets must fit.
        held = devices.get(device.name)
        if held is None or device.mtu < held.mtu:
            devices[device.name] = device
    return devices


def _device(
    softwire: Softwire, interface: Interface, core: Mapping[Address, int], encapsulated: Collection[Address]
) -> Device:
    wire = softwire.id
    mtu = inner_mtu(
        core.get(wire.remote, _COMMON_MTU),
        interface.kind,
        wire.local.version,
        softwire.profile.level,
        softwire.profile.proposals,
        encapsulated_in_udp=wire.remote in encapsulated,
    )
    return Device(interface, wire.local, wire.remote, mtu)


def routes_for(
    desired: Desired,
    standing: Collection[SoftwireId],
    lacking: Mapping[SoftwireId, Sequence[Child]],
    bearing: Collection[str],
    found: Layout,
) -> Mapping[Network, Hop]:
    """The routes into interfaces.

    ``standing``: softwires with an SA that carries traffic. ``lacking``: what softwires still lack for which something
    else stands in; ``bearing``: interfaces that SAs are bound to. A route stays in such a one until the softwire that
    is to have it has all it takes for it.
    """
    routes: dict[Network, Hop] = {}
    for wire, softwire in _sending(desired):
        children = lacking.get(wire, ())
        for prefix in softwire.prefixes:
            held = found.routes.get(prefix)
            if held is not None and held.device in bearing and _concerns(children, softwire, prefix):
                routes[prefix] = held
            elif wire in standing and softwire.interface is not None:
                routes[prefix] = hop_of(softwire, softwire.interface)
    return routes


def led(desired: Desired, found: Layout) -> Mapping[SoftwireId, frozenset[Address]]:
    """By softwire, the endpoints that routes for its destinations lead to, where that is not into it."""
    elsewhere: dict[SoftwireId, frozenset[Address]] = {}
    for wire, softwire in _sending(desired):
        own = None if softwire.interface is None else hop_of(softwire, softwire.interface)
        held = {hop.device for prefix in softwire.prefixes if (hop := found.routes.get(prefix)) not in {None, own}}
        if devices := held & found.devices.keys():
            elsewhere[wire] = frozenset(found.devices[name].remote for name in devices)
    return elsewhere


def _sending(desired: Desired) -> Iterator[tuple[SoftwireId, Softwire]]:
    """The softwires but those whose peer does not want to be sent to (RFC 5566 §4.1, tunnel type 3)."""
    return ((wire, softwire) for wire, softwire in desired.softwires.items() if softwire.may_initiate)


def _concerns(children: Sequence[Child], softwire: Softwire, prefix: Network) -> bool:
    """Whether any of a softwire's children carries packets to a prefix."""
    return any(softwire.mode is Mode.TRANSPORT or overlap(child.remote_ts, str(prefix)) for child in children)


def hop_of(softwire: Softwire, interface: Interface) -> Hop:
    """Where packets for a softwire's destinations go; types 5 and 6 may share an interface and differ in the label."""
    return Hop(interface.name, explicit_null=softwire.id.type == TunnelType.MPLS_IN_IP_IPSEC_TRANSPORT)


def bearing(sas: Iterable[ChildSa], found: Layout) -> frozenset[str]:
    """Names of the interfaces that CHILD SAs are bound to."""
    numbers: set[int | None] = set()
    between: set[tuple[str, str]] = set()
    for sa in sas:
        numbers.update((sa.if_id_out, sa.mark_out))
        if sa.mode == Mode.TRANSPORT:
            between.update((_host(local), _host(remote)) for local in sa.local_ts for remote in sa.remote_ts)
    return frozenset(
        name
        for name, device in found.devices.items()
        if device.interface.number in numbers
        or (device.interface.kind in _TRANSPORT and (str(device.local), str(device.remote)) in between)
    )


def installed(observed: Observed) -> Iterator[ChildSa]:
    """The CHILD SAs of ours that carry traffic, wanted or not."""
    return (sa for ike in observed.ike_sas for sa in ike.children if sa.carries)


def _host(selector: str) -> str:
    return selector.partition("/")[0]


def encapsulated(observed: Observed) -> frozenset[Address]:
    """Endpoints whose SAs go in UDP (RFC 3948)."""
    return frozenset(
        ip_address(ike.remote_host)
        for ike in observed.ike_sas
        if ike.remote_host and any(child.encap for child in ike.children)
    )


def guarded(desired: Desired, state: KernelState) -> Guarded:
    """What the guards are to know of the softwires.

    Inner sources are told by peer: while one softwire with it takes over from another, both carry its packets.
    """
    by_peer: dict[Address, frozenset[Network]] = defaultdict(frozenset)
    peers: dict[str, Address] = {name: device.remote for name, device in state.layout.devices.items()}
    for wire, softwire in desired.softwires.items():
        by_peer[wire.remote] |= frozenset(softwire.prefixes)
        if softwire.interface is not None:
            peers[softwire.interface.name] = wire.remote
    wanted = frozenset().union(*by_peer.values())
    for prefix, hop in state.layout.routes.items():
        # It moves to another peer, and this one has not heard yet, or is the same under an older address.
        if prefix in wanted and hop.device in state.layout.devices:
            by_peer[peers[hop.device]] |= frozenset({prefix})
    return Guarded(
        destinations=wanted,
        core_devices=frozenset(path.device for path in state.core.values()),
        sources={name: by_peer[remote] for name, remote in peers.items()},
        # An interface for IP in IP is one for labelled packets too, whether or not they are asked for just now.
        labelled={
            wire.remote: by_peer[wire.remote]
            for wire, softwire in desired.softwires.items()
            if softwire.interface is not None and softwire.interface.kind is InterfaceKind.IP_IN_IP
        },
        admitted=frozenset(by_peer),
    )
