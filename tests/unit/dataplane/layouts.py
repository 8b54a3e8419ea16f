"""Layouts for tests: examples, and strategies that meet often in names and prefixes."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from hypothesis import strategies as st

from softmesh.dataplane.layout import Device, Hop, Layout
from softmesh.mesh.softwire import Interface, InterfaceKind

OURS, PEER, OTHER = (ip_address(f"2001:db8:f::{n}") for n in (1, 2, 3))
PREFIXES = [ip_network(text) for text in ("10.2.0.0/24", "10.3.0.0/16", "2001:db8:2::/48", "::/0", "0.0.0.0/0")]
SOURCES = {4: ip_address("10.1.0.1"), 6: ip_address("2001:db8:1::1")}


def device(number: int = 1, kind: InterfaceKind = InterfaceKind.XFRM, *, mtu: int = 1426) -> Device:
    """An interface to ``PEER``."""
    return Device(Interface(kind, number), OURS, PEER, mtu)


def layout(*devices: Device) -> Layout:
    """Devices alone, by name."""
    return Layout({device.name: device for device in devices})


_devices = st.dictionaries(
    st.integers(1, 4),
    st.tuples(st.sampled_from(InterfaceKind), st.sampled_from([PEER, OTHER]), st.sampled_from([1280, 1426, 8926])),
).map(
    lambda parts: (
        layout(
            *(Device(Interface(kind, number), OURS, remote, mtu) for number, (kind, remote, mtu) in parts.items())
        ).devices
    )
)
_hops = st.builds(Hop, st.integers(1, 4).map(lambda number: f"sm-{number:08x}"), st.booleans())
_routes = st.dictionaries(st.sampled_from(PREFIXES), _hops)
_blackholes = st.frozensets(st.sampled_from(PREFIXES))

wanted = st.builds(Layout, _devices, _routes, _blackholes)
"""What ought to be: sources are asked for when a route is set."""


@st.composite
def found(draw: st.DrawFn) -> Layout:
    """What a kernel may hold: routes lead into devices that exist, and some of them have a source."""
    devices = draw(_devices)
    routes = {prefix: hop for prefix, hop in draw(_routes).items() if hop.device in devices}
    sources = {prefix: SOURCES[prefix.version] for prefix in routes if draw(st.booleans())}
    return Layout(devices, routes, draw(_blackholes), sources)
