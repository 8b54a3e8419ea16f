"""What this AFBR is and whom it admits: the configuration as the mesh reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.route import Family
from softmesh.mesh.configured import ConfiguredSoftwire
from softmesh.mesh.softwire import Address, InterfaceKind, Level, Network, Profile, SoftwireId


@dataclass(frozen=True, slots=True)
class LevelRule:
    """Which softwires get a level of protection; what is None does not matter."""

    level: Level
    endpoints: tuple[Network, ...] | None = None
    """Where both its endpoints lie: the two ends come to the same level from the same rules."""
    colors: frozenset[int] | None = None
    tunnel_types: frozenset[TunnelType] | None = None

    def matches(self, wire: SoftwireId) -> bool:
        """Whether the rule speaks of a softwire."""
        return (
            (self.endpoints is None or all(self._within(end) for end in (wire.local, wire.remote)))
            and (self.colors is None or wire.color in self.colors)
            and (self.tunnel_types is None or wire.type in self.tunnel_types)
        )

    def _within(self, end: Address) -> bool:
        return any(end in network for network in self.endpoints or ())


@dataclass(frozen=True, slots=True)
class Protection:
    """Levels of protection: the first rule that matches decides, else the default."""

    default: Level
    rules: tuple[LevelRule, ...]
    profiles: Mapping[Level, Profile]

    def profile(self, wire: SoftwireId) -> Profile:
        """The profile of a softwire."""
        matching = (rule.level for rule in self.rules if rule.matches(wire))
        return self.profiles[next(matching, self.default)]


@dataclass(frozen=True, slots=True)
class Fabric:
    """How packets get into softwires on this machine: what was configured, met by what its kernel and charon can."""

    tunnel: InterfaceKind | None = None
    """The interface of type 4 softwires, XFRM or VTI; None: their prefixes are selectors (data plane ``policy``)."""
    any_selectors: bool = False
    """Whether type 4 softwires with an interface carry anything, 0.0.0.0/0 and ::/0, and not just pairs of prefixes."""
    interfaces: bool = False
    """Whether the interfaces of encapsulations under transport mode are made by us."""
    unable: Mapping[TunnelType, str] = field(default_factory=dict)
    """Tunnel types that cannot be had here, each with the reason."""
    reason: str = ""
    """Why it is so, for people."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything the fold from routes to softwires depends on besides the routes and the keys."""

    endpoint: Address
    """Ours: egress endpoint of every tunnel we announce, and IKE address."""
    router_id: str | None
    asn: int
    local_prefixes: tuple[Network, ...]
    """What we announce just now; empty while withdrawn."""
    neighbors: frozenset[str]
    """BGP neighbours whose routes count."""
    families: frozenset[Family]
    endpoints: tuple[Network, ...]
    """Where a peer's egress endpoint may be."""
    prefixes: tuple[Network, ...]
    """Which destinations a peer may bring; a route's prefix must lie within one of them."""
    origin_as: frozenset[int] | None
    """AS numbers routes may originate from; None admits any."""
    max_softwires: int
    max_selectors: int
    """Prefix pairs a softwire; more are refused, and shown."""
    tunnel_types: tuple[TunnelType, ...]
    """Accepted, best first."""
    colors: frozenset[int] | None
    """Accepted colours of tunnels that have one; None accepts any."""
    outside: frozenset[Address]
    """Addresses that must stay reachable outside every softwire: ours and the BGP neighbours'."""
    protection: Protection
    fabric: Fabric = field(default_factory=Fabric)
    configured: tuple[ConfiguredSoftwire, ...] = ()
    """Softwires of the configuration's own, beside those that BGP asks for."""
