"""What the guards against cleartext let pass: the part the configuration sets and the part that follows the softwires.

The guard stands outside the softwires and does not know whether they stand: it looks at what leaves and enters the
core, and drops what ought to have been protected there (RFC 5619 §4.4.2), whatever the reason why it was not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from softmesh.mesh.softwire import Address, Network


@dataclass(frozen=True, slots=True)
class Guard:
    """The part that only the configuration changes."""

    endpoint: Address
    """Ours."""
    endpoints: tuple[Network, ...]
    """Where admitted peers' endpoints may be: between them and ours nothing is encapsulated in the clear. Always
    reachable in the clear otherwise, or IKE would not get through."""
    local_prefixes: tuple[Network, ...] = ()
    """Our own destinations, exempt: they may lie in a peer's larger prefix."""
    outside: frozenset[Address] = frozenset()
    """Addresses that must stay reachable in the clear, such as the BGP neighbours'."""
    core_devices: frozenset[str] = frozenset()
    """Interfaces to the core beside those that are detected."""
    under_ipsec: frozenset[Address] = frozenset()
    """BGP neighbours: TCP port 179 to and from them passes under IPsec only."""
    near: frozenset[Address] = frozenset()
    """BGP neighbours: TCP port 179 from them passes with a TTL of 255 only, which no router can have passed on."""
    admitted_only: bool = False
    """Whether IKE, ESP and AH are taken from the endpoints of wanted softwires only."""


@dataclass(frozen=True, slots=True)
class Guarded:
    """The part that follows the softwires; everything that ought to be so now, not what changed."""

    destinations: frozenset[Network] = frozenset()
    """Prefixes that softwires carry. Sticky: what was one stays one until the guards are removed, because the packets
    of a withdrawn route must not leak."""
    core_devices: frozenset[str] = frozenset()
    """Interfaces through which the endpoints are reached. Sticky, as the destinations are."""
    sources: Mapping[str, frozenset[Network]] = field(default_factory=dict)
    """Inner source addresses that may come out of each of our tunnel interfaces, by its name (RFC 5565 §13.3); nothing
    comes out of an interface that is not here. That goes for ICMP errors too: of those that the peer's core sends from
    addresses of its own, none comes through."""
    labelled: Mapping[Address, frozenset[Network]] = field(default_factory=dict)
    """The same for packets under an MPLS explicit null label, by the endpoint they come from: the kernel loops them
    through ``lo``, so that their tunnel interface is lost."""
    admitted: frozenset[Address] = frozenset()
    """Endpoints of wanted softwires."""
