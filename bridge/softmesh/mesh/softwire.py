"""The values of the mesh: a softwire, what it carries, and whom it trusts.

A softwire is what RFC 5565 §1 calls one: a tunnel from this AFBR to another, with a class of traffic it carries.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeAlias

from softmesh.bgp.codepoints import TunnelType

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

    def __str__(self) -> str:
        """As swanctl and VICI take it: protocols by number, for charon refuses some of the names."""
        return f"{self.network}" if self.protocol is None else f"{self.network}[{self.protocol}]"


@dataclass(frozen=True, slots=True)
class SelectorPair:
    """The traffic of one CHILD SA: exactly one selector a side, so that peers cannot narrow it unseen."""

    local: Selector
    remote: Selector


@dataclass(frozen=True, slots=True)
class SoftwireId:
    """What makes two softwires the same; everything else about one may change under it."""

    local: Address
    remote: Address
    type: TunnelType
    color: int | None = None

    def __str__(self) -> str:
        color = "" if self.color is None else f" colour {self.color}"
        return f"{self.local} - {self.remote} {self.type.label}{color}"


@dataclass(frozen=True, slots=True)
class PinnedKey:
    """A public key the peer may authenticate with, already found equal to an authenticator it advertised."""

    authenticator: bytes
    """SHA-1 over the SubjectPublicKeyInfo, 20 octets (RFC 5566 §4 by way of RFC 7296 §3.7)."""
    spki: bytes
    """DER SubjectPublicKeyInfo."""
    origin: str
    """Where the key was found: a file's path, or "sub-TLV 126"."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Proposals in strongSwan's notation, best first."""

    ike_proposals: tuple[str, ...]
    esp_proposals: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Softwire:
    """A softwire that ought to exist."""

    id: SoftwireId
    mode: Mode
    selectors: frozenset[SelectorPair]
    keys: tuple[PinnedKey, ...]
    """Any of these may authenticate the peer (RFC 5566 §4.1)."""
    profile: Profile
    may_initiate: bool = True
    """False towards a peer that only transmits (RFC 5566 §4.1, tunnel type 3): we answer, it initiates."""
