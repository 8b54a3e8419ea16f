"""What the configuration asks for beside BGP, for the same engine: softwires, and IPsec for BGP sessions."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network

from softmesh.bgp.route import Family, PathAttributes, Route, RouteKey
from softmesh.mesh.softwire import Address, Network, SoftwireType

CONFIGURATION = "configuration"
"""Stands where a route learned by BGP names its neighbour."""
_PREFERRED = PathAttributes(local_preference=2**32 - 1, originator_id="0.0.0.1")
"""What an operator wrote wins over what BGP says."""


@dataclass(frozen=True, slots=True)
class ConfiguredSoftwire:
    """One softwire of the configuration's ``softwires``, or one BGP session of its neighbours that IPsec protects."""

    remote: Address
    type: SoftwireType
    """GRE and L2TPV3 as well as the IPsec types 4 to 6 (RFC 5566 §3)."""
    authenticators: tuple[bytes, ...]
    """SHA-1 over the peer's SubjectPublicKeyInfo, 20 octets each; any of them may authenticate it."""
    prefixes: tuple[Network, ...] = ()
    """Destinations behind it; none where others route into it (L2TPv3 above all)."""
    color: int | None = None
    local: Address | None = None
    """Our end; None is our endpoint."""


def as_route(configured: ConfiguredSoftwire, prefix: Network | None) -> Route:
    """The route that a configured softwire stands for; to its endpoint where it has no destination.

    It has been there from the start, so it is served before whatever BGP brings.
    """
    destination = prefix or ip_network(configured.remote)
    family = Family.IPV4_UNICAST if destination.version == 4 else Family.IPV6_UNICAST
    # Two configured softwires may share an endpoint or a prefix, and are two routes then.
    path = f"{configured.remote} {configured.type.label} {configured.color}"
    key = RouteKey(CONFIGURATION, family, str(destination), path)
    return Route(key, str(configured.remote), _PREFERRED, received_at=0.0)
