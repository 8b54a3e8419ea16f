"""What this AFBR is and whom it admits: the configuration as the mesh reads it."""

from __future__ import annotations

from dataclasses import dataclass

from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.route import Family
from softmesh.mesh.softwire import Address, Network, Profile


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
    profile: Profile
