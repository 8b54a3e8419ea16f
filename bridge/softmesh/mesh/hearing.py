"""Routes sorted by the tunnel endpoints they lead to: what an Adj-RIB-In says of each router of a mesh."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass, field

from softmesh.bgp.carriage import Seen, seen_in
from softmesh.bgp.route import ENCAPSULATION, Route
from softmesh.bgp.tunnel_encapsulation import TunnelEncapsulation
from softmesh.mesh.admission import address, network
from softmesh.mesh.arrivals import announcer
from softmesh.mesh.encapsulations import Encapsulations, endpoint_of
from softmesh.mesh.refusal import Refusal, Rule
from softmesh.mesh.route_table import RouteTable
from softmesh.mesh.selection import Offer, announced, offers_for
from softmesh.mesh.softwire import Address, Network

HERE = "this router"
"""Stands for a BGP neighbour in routes that we announce ourselves."""


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What a route says of tunnels, as is said by all routes of its attributes and next hop."""

    said: TunnelEncapsulation
    offers: tuple[Offer, ...]
    refusals: tuple[Refusal, ...]
    carriers: tuple[Route, ...]
    seen: Seen

    @property
    def speaks_of_tunnels(self) -> bool:
        """Whether it is an AFBR's route at all."""
        refused = any(refusal.rule is not Rule.NO_TUNNEL for refusal in self.refusals)
        return bool(self.offers) or refused or self.seen is Seen.STRIPPED


@dataclass(slots=True)
class Heard:
    """What was heard of one endpoint."""

    routes: list[Route] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    """Of each of these."""

    @property
    def prefixes(self) -> tuple[Network, ...]:
        """Destinations, in order."""
        found = {network(route.key.prefix) for route in self.routes if route.key.family not in ENCAPSULATION}
        return tuple(sorted(found, key=lambda prefix: (prefix.version, prefix)))

    @property
    def neighbors(self) -> tuple[str, ...]:
        """BGP neighbours it was heard from, in order."""
        return tuple(sorted({route.key.neighbor for route in self.routes} - {HERE}))

    @property
    def announcers(self) -> tuple[str, ...]:
        """Who announces it, in the order of their first announcements: the first owns it."""
        first: dict[str, float] = {}
        for route in self.routes:
            who = announcer(route)
            first[who] = min(first.get(who, route.received_at), route.received_at)
        return tuple(sorted(first, key=lambda who: (first[who], who)))


def hear(routes: Collection[Route]) -> tuple[dict[Address, Heard], int]:
    """Routes by the endpoints they lead to, and how many next hops lead to none."""
    speaking = (route for route in routes if route.key.family in ENCAPSULATION and announced(route).usable_tunnels)
    encapsulations = Encapsulations(speaking, lambda _: None)
    table = RouteTable(route for route in routes if route.key.family not in ENCAPSULATION)
    read: dict[Hashable, Reading] = {}
    heard: dict[Address, Heard] = defaultdict(Heard)
    silent: set[Address] = set()
    for route in routes:
        # Routes of equal attributes share one object, which lives as long as they do.
        encapsulation = route.key.family in ENCAPSULATION
        alike = id(route.attributes), route.next_hop, route.key.family, encapsulation and route.key.prefix
        reading = read.get(alike)
        if reading is None:
            reading = read[alike] = _read(route, lambda target: encapsulations.find(target) or table.resolve(target))
        if not reading.speaks_of_tunnels:
            silent.add(address(route.next_hop))
            continue
        nearest = endpoint_of(route) if encapsulation else address(route.next_hop)
        for endpoint in {offer.endpoint for offer in reading.offers} or {nearest}:
            heard[endpoint].routes.append(route)
            heard[endpoint].readings.append(reading)
    return heard, len(silent - heard.keys())


def _read(route: Route, resolve: Callable[[Address], Route | None]) -> Reading:
    carriers: list[Route] = []

    def noted(target: Address) -> Route | None:
        if (found := resolve(target)) is not None:
            carriers.append(found)
        return found

    refusals: list[Refusal] = []
    offers, _ = offers_for(route, noted, refusals)
    return Reading(announced(route), tuple(offers), tuple(refusals), tuple(carriers), seen_in(route.attributes))
