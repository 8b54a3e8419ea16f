"""Which route of the Encapsulation SAFI speaks for an endpoint (RFC 5512 §3)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

from softmesh.bgp.route import Route
from softmesh.mesh.admission import address
from softmesh.mesh.arrivals import announcer
from softmesh.mesh.best_path import rank
from softmesh.mesh.softwire import Address


def endpoint_of(route: Route) -> Address:
    """The endpoint that a route of the Encapsulation SAFI is about."""
    return address(route.key.prefix.partition("/")[0])


class Encapsulations:
    """Looks up what was announced of endpoints.

    ``routes``: of the Encapsulation SAFI, admitted, each with a tunnel that may be used. ``owner``: who owns an
    endpoint as far as is known: if it announces it, no other counts, however preferred. Else who was first.
    """

    def __init__(self, routes: Iterable[Route], owner: Callable[[Address], str | None]) -> None:
        self._owner = owner
        self._routes: dict[Address, list[Route]] = defaultdict(list)
        for route in routes:
            self._routes[endpoint_of(route)].append(route)
        self._found: dict[Address, Route | None] = {}
        """As many routes as there are may ask for one endpoint, which as many may have announced."""

    def find(self, endpoint: Address) -> Route | None:
        """The route whose tunnels lead to an endpoint; None where there is none."""
        if endpoint not in self._found:
            self._found[endpoint] = self._find(endpoint)
        return self._found[endpoint]

    def _find(self, endpoint: Address) -> Route | None:
        routes = self._routes.get(endpoint)
        if not routes:
            return None
        owner = self._owner(endpoint)
        first = min(routes, key=lambda route: (announcer(route) != owner, route.received_at, announcer(route)))
        return min((route for route in routes if announcer(route) == announcer(first)), key=rank)
