"""What of ours the kernel ought to hold, and what it holds: devices and routes, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from softmesh.mesh.softwire import Address, Interface, Network


@dataclass(frozen=True, slots=True)
class Device:
    """A tunnel interface between two addresses."""

    interface: Interface
    local: Address
    remote: Address
    mtu: int
    """Octets of the largest packet that goes into it."""

    @property
    def name(self) -> str:
        """The interface's name."""
        return self.interface.name


@dataclass(frozen=True, slots=True)
class Hop:
    """Where packets for a prefix go."""

    device: str
    """The interface's name."""
    explicit_null: bool = False
    """Whether they get the MPLS label that says "no label was assigned": 0 for IPv4, 2 for IPv6 (RFC 3032 §2.1)."""


@dataclass(frozen=True, slots=True)
class CorePath:
    """How the kernel reaches a tunnel endpoint."""

    device: str
    mtu: int
    """Octets."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Devices and routes: those wanted, or those found."""

    devices: Mapping[str, Device] = field(default_factory=dict)
    """By name."""
    routes: Mapping[Network, Hop] = field(default_factory=dict)
    """Ours into devices."""
    blackholes: frozenset[Network] = frozenset()
    """Prefixes that go nowhere unless a better route knows where."""
    sources: Mapping[Network, Address] = field(default_factory=dict)
    """Of the routes found that have one: the address packets of this router's own come from."""


@dataclass(frozen=True, slots=True)
class KernelState:
    """One look at the kernel. Only what is ours is in the layout."""

    layout: Layout = field(default_factory=Layout)
    core: Mapping[Address, CorePath] = field(default_factory=dict)
    """By tunnel endpoint; one that the kernel has no route to is missing."""
    addresses: frozenset[Address] = frozenset()
    """This router's own, of global scope."""
    captured: frozenset[Network] = frozenset()
    """Wanted prefixes that charon routes past our interfaces, in its table 220 (charon.install_routes)."""
