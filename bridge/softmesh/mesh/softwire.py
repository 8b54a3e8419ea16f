"""The values of the mesh: a softwire, what it carries, and whom it trusts.

A softwire is what RFC 5565 §1 calls one: a tunnel from this AFBR to another, with a class of traffic it carries.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeAlias

from softmesh.bgp.codepoints import TunnelType
from softmesh.mesh.credential import Credential

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network


def inside(inner: Network, outer: Network) -> bool:
    """Whether a network lies in another; networks of different families never do."""
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]


class Mode(enum.StrEnum):
    """IPsec mode (RFC 4301 §4.1), spelled as VICI spells it."""

    TUNNEL = "tunnel"
    TRANSPORT = "transport"


@dataclass(frozen=True, slots=True)
class Selector:
    """One side of a traffic selector pair (RFC 4301 §4.4.1.1)."""

    network: Network
    protocol: int | None = None
    """IP protocol number; None is any."""
    port: int | None = None
    """Of a protocol that has ports; None is any."""

    def __str__(self) -> str:
        """As swanctl and VICI take it: protocols by number, for charon refuses some of the names."""
        if self.protocol is None:
            return f"{self.network}"
        return f"{self.network}[{self.protocol}{'' if self.port is None else f'/{self.port}'}]"


@dataclass(frozen=True, slots=True)
class SelectorPair:
    """The traffic of one CHILD SA: exactly one selector a side, so that peers cannot narrow it unseen."""

    local: Selector
    remote: Selector


class HostTraffic(enum.IntEnum):
    """Traffic of the two routers themselves that is protected as a softwire's is; beyond every tunnel type's number."""

    BGP = 0x10000
    """The BGP session (RFC 5619 §4.4.1)."""

    @property
    def label(self) -> str:
        """What people call it."""
        return "BGP session"

    @property
    def keyword(self) -> str:
        """What stands for it in keys of softwires."""
        return "bgp-session"


SoftwireType: TypeAlias = TunnelType | HostTraffic


@dataclass(frozen=True, slots=True)
class SoftwireId:
    """What makes two softwires the same; everything else about one may change under it."""

    local: Address
    remote: Address
    type: SoftwireType
    color: int | None = None

    @property
    def key(self) -> str:
        """What names it among this router's in the log, in events, in status and in metrics."""
        color = "" if self.color is None else f"/{self.color}"
        return f"{self.remote}/{self.type.keyword}{color}"

    def __str__(self) -> str:
        color = "" if self.color is None else f" colour {self.color}"
        return f"{self.local} - {self.remote} {self.type.label}{color}"


class Level(enum.StrEnum):
    """Levels of protection (RFC 5619 §1, §4.4.2: several, ESP with NULL encryption or AH among them)."""

    ENCRYPT = "encrypt"
    INTEGRITY = "integrity"
    """ESP that authenticates and does not encrypt."""
    AH = "ah"


@dataclass(frozen=True, slots=True)
class Profile:
    """How a softwire's SAs are protected."""

    level: Level
    ike_proposals: tuple[str, ...]
    """In strongSwan's notation, best first; so are the next."""
    proposals: tuple[str, ...]
    """Of the CHILD SAs: for AH at level ``ah``, for ESP otherwise."""


class InterfaceKind(enum.StrEnum):
    """A kernel's tunnel interface that leads into a softwire."""

    XFRM = "xfrm"
    """Type 4, its SAs bound by ``if_id``."""
    VTI = "vti"
    """Type 4, its SAs bound by mark, for kernels without XFRM interfaces."""
    IP_IN_IP = "ip-in-ip"
    """Protocols 4, 41 and 137 under transport mode: ``sit`` or ``ip6tnl``, mode any."""
    GRE = "gre"
    """Protocol 47 under transport mode: ``gre`` or ``ip6gre``."""


@dataclass(frozen=True, slots=True)
class Interface:
    """The interface of a softwire, as far as it depends on the softwire alone."""

    kind: InterfaceKind
    number: int
    """32 bits, not 0, derived from what it is for: if_id (XFRM), mark and key (VTI), and part of the name."""

    @property
    def name(self) -> str:
        """The interface's name; the prefix is ours (with the alias that says so too)."""
        return f"{INTERFACE_PREFIX}{self.number:08x}"


INTERFACE_PREFIX = "sm-"


@dataclass(frozen=True, slots=True)
class Softwire:
    """A softwire that ought to exist."""

    id: SoftwireId
    mode: Mode
    selectors: frozenset[SelectorPair]
    credentials: tuple[Credential, ...]
    """By any of these the peer may authenticate (RFC 5566 §4.1)."""
    profile: Profile
    interface: Interface | None = None
    """None: prefixes are the selectors (data plane ``policy``), or others make the interface."""
    prefixes: tuple[Network, ...] = ()
    """Destinations it serves, in order: what the peer sends from, too."""
    may_initiate: bool = True
    """False towards a peer that only transmits (RFC 5566 §4.1, tunnel type 3): we answer and send nothing."""
