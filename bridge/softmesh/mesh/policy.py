"""What this AFBR is and whom it admits: the configuration as the mesh reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.route import Family
from softmesh.mesh.configured import ConfiguredSoftwire
from softmesh.mesh.softwire import Address, InterfaceKind, Level, Network, Profile, SoftwireId, SoftwireType
from softmesh.mesh.trust_policy import TrustGroup, TrustPolicy


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
class Dampening:
    """How endpoints that come and go are left alone."""

    flaps: int
    """Returns after which an endpoint gets no softwire."""
    half_life: float
    """Seconds after which a return counts half."""


@dataclass(frozen=True, slots=True)
class StaleTimes:
    """How long routes of lost sessions keep softwires, in seconds (RFC 4724 §4.2)."""

    otherwise: float = 300.0
    """To endpoints that no group speaks of."""
    groups: tuple[tuple[tuple[Network, ...], float], ...] = ()
    """To endpoints in these networks."""

    def of(self, endpoint: Address) -> float:
        """How long to an endpoint: the shortest that a group of it says."""
        said = [seconds for networks, seconds in self.groups if any(endpoint in network for network in networks)]
        return min(said, default=self.otherwise)

    @property
    def longest(self) -> float:
        """How long routes have to be kept at all."""
        return max([self.otherwise, *(seconds for _, seconds in self.groups)])


@dataclass(frozen=True, slots=True)
class Fabric:
    """How packets get into softwires on this machine: what was configured, met by what its kernel and charon can."""

    tunnel: InterfaceKind | None = None
    """The interface of type 4 softwires, XFRM or VTI; None: their prefixes are selectors (data plane ``policy``)."""
    any_selectors: bool = False
    """Whether type 4 softwires with an interface carry anything, 0.0.0.0/0 and ::/0, and not just pairs of prefixes."""
    interfaces: bool = False
    """Whether the interfaces of encapsulations under transport mode are made by us."""
    unable: Mapping[SoftwireType, str] = field(default_factory=dict)
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
    announced: tuple[tuple[TunnelType, int | None], ...] = ()
    """Tunnels we announce, by type and colour: what a peer that only transmits may send to us."""
    trust: TrustPolicy = field(default_factory=TrustPolicy)
    """How peers come to be trusted that no group says otherwise of."""
    trust_groups: tuple[TrustGroup, ...] = ()
    """The first that joins us and the peer decides."""
    external: frozenset[str] = frozenset()
    """BGP neighbours whose tunnels do not count, being of another administration (RFC 9012 §11)."""
    unprotected: Mapping[str, str] = field(default_factory=dict)
    """BGP neighbours whose sessions are not protected as they must be, each with the reason."""
    max_arrivals: int = 30
    """New endpoints of one announcing router in a minute."""
    dampening: Dampening | None = None
    stale_times: StaleTimes = field(default_factory=StaleTimes)

    @property
    def revocation_lists(self) -> tuple[bytes, ...]:
        """All CRLs that count for somebody, DER."""
        policies = (self.trust, *(group.policy for group in self.trust_groups))
        return tuple(dict.fromkeys(crl for policy in policies for crl in policy.revocation.lists))

    def trust_of(self, endpoint: Address) -> TrustPolicy:
        """How the peer of an endpoint comes to be trusted."""
        joined = (group.policy for group in self.trust_groups if group.joins(self.endpoint, endpoint))
        return next(joined, self.trust)
