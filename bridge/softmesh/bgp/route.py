"""Routes as the Adj-RIB-In holds them, and what is known of the neighbour they came from.

Times are readings of CLOCK_MONOTONIC in seconds: on Linux all processes of a machine share it, so the hook's stamps
mean the same to the bridge, and a step of the wall clock ages nothing.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field


class Family(enum.StrEnum):
    """An address family of announced prefixes, spelled as ExaBGP spells it."""

    IPV4_UNICAST = "ipv4 unicast"
    IPV6_UNICAST = "ipv6 unicast"
    IPV4_ENCAPSULATION = "ipv4 encap"
    IPV6_ENCAPSULATION = "ipv6 encap"


UNICAST = frozenset({Family.IPV4_UNICAST, Family.IPV6_UNICAST})
"""AFI/SAFI 1/1 and 2/1: prefixes are destinations."""
ENCAPSULATION = frozenset({Family.IPV4_ENCAPSULATION, Family.IPV6_ENCAPSULATION})
"""AFI/SAFI 1/7 and 2/7 (RFC 5512 §3): prefixes are the hosts at which tunnels end."""


class Origin(enum.IntEnum):
    """ORIGIN, RFC 4271 §4.3: the lower is preferred (§9.1.2.2 b)."""

    IGP = 0
    EGP = 1
    INCOMPLETE = 2


@dataclass(frozen=True, slots=True)
class PathAttributes:
    """The path attributes Softmesh looks at; routes of equal attributes share one object."""

    tunnel_encapsulation: bytes | None = None
    """Value octets of attribute 23 as received, not yet judged; None where the attribute is absent."""
    extended_communities: tuple[int, ...] = ()
    """Each as its 64-bit value, in the order received."""
    origin: Origin = Origin.IGP
    as_path: tuple[int, ...] = ()
    """AS numbers from nearest to origin; a set or confederation segment contributes its members in order."""
    local_preference: int | None = None
    med: int | None = None
    originator_id: str | None = None
    cluster_list: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RouteKey:
    """What makes two announcements the same route: a later one with this key replaces the earlier."""

    neighbor: str
    family: Family
    prefix: str
    """Network in CIDR notation, as ExaBGP prints it."""
    path_id: str | None = None
    """ADD-PATH identifier (RFC 7911 §3) as ExaBGP prints it."""


@dataclass(frozen=True, slots=True)
class Route:
    """One entry of the Adj-RIB-In."""

    key: RouteKey
    next_hop: str
    attributes: PathAttributes
    received_at: float
    stale_since: float | None = None
    """When its neighbour's session was lost; None while the session that announced it stands (RFC 4724 §4.2)."""


class SessionState(enum.StrEnum):
    """What the hook knows of a neighbour's session; a respawned hook knows nothing until a line arrives."""

    UNKNOWN = "unknown"
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Neighbor:
    """A BGP neighbour of ExaBGP, by its address."""

    address: str
    asn: int | None
    state: SessionState
    since: float
    reason: str = ""
    """Why the session is down, in ExaBGP's words."""
    end_of_rib: frozenset[Family] = field(default_factory=frozenset)
    """Families whose initial (or refreshed) set of routes is complete (RFC 4724 §2)."""
