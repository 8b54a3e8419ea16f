"""What is to be done so that the kernel holds what it ought to: differences of layouts. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from softmesh.dataplane.layout import Layout
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
from softmesh.mesh.softwire import Address, Network


def devices(wanted: Layout, found: Layout) -> tuple[Step, ...]:
    """Blackholes and interfaces that are missing or not as wanted; nothing is removed but to be made anew.

    Blackholes come first: what they keep back must have nowhere to go before there is a softwire to go down.
    """
    steps: list[Step] = [AddBlackhole(prefix) for prefix in sorted(wanted.blackholes - found.blackholes, key=_order)]
    for name, device in wanted.devices.items():
        held = found.devices.get(name)
        if held is None:
            steps.append(MakeDevice(device))
        elif replace(held, mtu=device.mtu) != device:
            steps += [RemoveDevice(name), MakeDevice(device)]
        elif held.mtu != device.mtu:
            steps.append(SetMtu(name, device.mtu))
    return tuple(steps)


def routes(
    wanted: Layout, found: Layout, *, may_remove: bool, source: Callable[[Network], Address | None]
) -> tuple[Step, ...]:
    """Routes that are missing, elsewhere, from another source or, with ``may_remove``, no more wanted.

    ``source`` gives the address that packets of this router's own to a prefix come from. Without ``may_remove`` what
    is found and not wanted stays, whatever it leads into: of a prefix that is wanted nothing is left behind either
    way, for a route is replaced.
    """
    steps: list[Step] = []
    if may_remove:
        steps += [RemoveRoute(prefix) for prefix in found.routes if prefix not in wanted.routes]
    for prefix, hop in wanted.routes.items():
        origin = source(prefix)
        if found.routes.get(prefix) != hop or found.sources.get(prefix) != origin:
            steps.append(SetRoute(prefix, hop, origin))
    return tuple(steps)


def surplus(wanted: Layout, found: Layout) -> tuple[Step, ...]:
    """Interfaces that are there and not wanted."""
    return tuple(RemoveDevice(name) for name in found.devices if name not in wanted.devices)


def everything(found: Layout) -> tuple[Step, ...]:
    """The removal of all that was found: what leads into interfaces first, what keeps traffic back last."""
    return (
        *(RemoveRoute(prefix) for prefix in found.routes),
        *(RemoveDevice(name) for name in found.devices),
        *(RemoveBlackhole(prefix) for prefix in sorted(found.blackholes, key=_order)),
    )


def after(found: Layout, steps: Iterable[Step]) -> Layout:
    """What a look would find once these steps were taken."""
    devices, blackholes = dict(found.devices), set(found.blackholes)
    routes, sources = dict(found.routes), dict(found.sources)
    for step in steps:
        match step:
            case MakeDevice(device):
                devices[device.name] = device
            case SetMtu(name, mtu):
                if name in devices:
                    devices[name] = replace(devices[name], mtu=mtu)
            case RemoveDevice(name):
                devices.pop(name, None)
                # The kernel removes with an interface all routes into it.
                routes = {prefix: hop for prefix, hop in routes.items() if hop.device != name}
            case SetRoute(prefix, hop, source):
                routes[prefix] = hop
                if source is None:
                    sources.pop(prefix, None)
                else:
                    sources[prefix] = source
            case RemoveRoute(prefix):
                routes.pop(prefix, None)
            case AddBlackhole(prefix):
                blackholes.add(prefix)
            case RemoveBlackhole(prefix):
                blackholes.discard(prefix)
    kept = {prefix: source for prefix, source in sources.items() if prefix in routes}
    return Layout(devices, routes, frozenset(blackholes), kept)


def _order(prefix: Network) -> tuple[int, int, int]:
    return prefix.version, int(prefix.network_address), prefix.prefixlen
