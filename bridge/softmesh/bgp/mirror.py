"""The bridge's copy of the hook's Adj-RIB-In, which outlives connections and hooks.

Losing the hook changes nothing in it; a hook that was started again knows less than its predecessor, so what only
that one knew is kept until the neighbour has sent all its routes again, or its stale time has passed. What was stale
already stays until then in any case: a neighbour that was away may say End-of-RIB before its other clients have come
back to it. An earlier bridge's copy is taken over in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from softmesh.bgp.adj_rib_in import NeighborChanged, NeighborStale, RouteChanged, RouteWithdrawn
from softmesh.bgp.hook_protocol import VERSION, FromHook, Hello, SnapshotComplete
from softmesh.bgp.route import Family, Neighbor, PathAttributes, Route, RouteKey, SessionState
from softmesh.errors import OperatorError

_SPARE_ATTRIBUTES = 1024


class Mirror:
    """The Adj-RIB-In as hooks have told it, one after the other. Pure: it reads neither clock nor socket."""

    def __init__(self) -> None:
        self.routes: dict[RouteKey, Route] = {}
        self.neighbors: dict[str, Neighbor] = {}
        self.generation = 0
        """Grows with every change of routes or neighbours."""
        self.synced = False
        """Whether the present hook has sent all that it held."""
        self._instance: str | None = None
        self.stale_time: float | None = None
        """How long that hook keeps routes of lost sessions, in seconds."""
        self._unconfirmed: set[RouteKey] = set()
        """Routes that the present hook has never told."""
        self._aged: set[RouteKey] = set()
        """Routes whose session was seen to be lost, and not only that of a hook that was started again."""
        self._unconfirmed_until = 0.0
        self._missing: set[RouteKey] = set()
        """Routes that the present hook told before, and in this snapshot has not yet."""
        self._told_neighbors: set[str] = set()
        self._attributes: dict[PathAttributes, PathAttributes] = {}

    @property
    def instance(self) -> str | None:
        """Which hook told all of it; None where no single one has."""
        return None if self._unconfirmed else self._instance

    def restore(self, routes: Iterable[Route], instance: str | None, at: float) -> None:
        """Begin with what an earlier bridge knew ``at`` some time, ``instance`` being what it said of that.

        Its routes are stale from then on at the latest, until a hook tells them anew.
        """
        for route in routes:
            if route.stale_since is not None:
                self._aged.add(route.key)
            self.routes[route.key] = route if route.stale_since is not None else replace(route, stale_since=at)
        self._instance = instance
        self.generation += 1

    def hello(self, hello: Hello, now: float) -> None:
        """A hook begins its snapshot. Raises OperatorError if it is of another version of Softmesh."""
        if hello.version != VERSION:
            raise OperatorError(
                f"the hook speaks version {hello.version} of its protocol, this bridge {VERSION}: "
                "restart ExaBGP and the bridge from one installation"
            )
        self.synced = False
        self.stale_time = hello.stale_time
        self._told_neighbors = set()
        if hello.instance != self._instance:
            self._unconfirmed = set(self.routes)
            self._unconfirmed_until = now + hello.stale_time
        self._missing = self.routes.keys() - self._unconfirmed
        self._instance = hello.instance

    def lost(self) -> None:
        """The connection has ended; what is mirrored stands."""
        self.synced = False

    def apply(self, message: FromHook, now: float) -> None:
        """Fold one message after ``hello``."""
        if isinstance(message, RouteChanged):
            self._route(message.route)
        elif isinstance(message, RouteWithdrawn):
            self._withdraw(message.key)
        elif isinstance(message, NeighborChanged):
            self._neighbor(message.neighbor)
        elif isinstance(message, NeighborStale):
            self._stale(message.neighbor, message.since)
            self._age(message.neighbor)
        elif isinstance(message, SnapshotComplete):
            self._complete(now)

    def expire(self, now: float) -> None:
        """Drop what no hook has confirmed for the stale time."""
        if self.synced and self._unconfirmed and now >= self._unconfirmed_until:
            self._drop(self._unconfirmed)
            gone = [name for name in self.neighbors if name not in self._told_neighbors]
            for name in gone:
                del self.neighbors[name]
            self.generation += 1

    def _route(self, route: Route) -> None:
        self._unconfirmed.discard(route.key)
        self._missing.discard(route.key)
        if route.stale_since is None:
            self._aged.discard(route.key)
        else:
            self._aged.add(route.key)
        held = self.routes.get(route.key)
        if held == route:
            return
        attributes = self._attributes.setdefault(route.attributes, route.attributes)
        self.routes[route.key] = Route(route.key, route.next_hop, attributes, route.received_at, route.stale_since)
        self.generation += 1
        if len(self._attributes) > 2 * len(self.routes) + _SPARE_ATTRIBUTES:
            self._attributes = {route.attributes: route.attributes for route in self.routes.values()}

    def _withdraw(self, key: RouteKey) -> None:
        self._unconfirmed.discard(key)
        self._missing.discard(key)
        self._aged.discard(key)
        if self.routes.pop(key, None) is not None:
            self.generation += 1

    def _neighbor(self, neighbor: Neighbor) -> None:
        held = self.neighbors.get(neighbor.address)
        was_up = held is not None and held.state is SessionState.UP and neighbor.address in self._told_neighbors
        self._told_neighbors.add(neighbor.address)
        if held != neighbor:
            self.neighbors[neighbor.address] = neighbor
            self.generation += 1
        if neighbor.state is SessionState.DOWN:
            self._stale(neighbor.address, neighbor.since)
            if was_up:
                self._age(neighbor.address)
        if self.synced:
            self._confirm(neighbor)

    def _stale(self, neighbor: str, since: float) -> None:
        for key, route in self.routes.items():
            if key.neighbor == neighbor and route.stale_since is None:
                self.routes[key] = replace(route, stale_since=since)
                self.generation += 1

    def _age(self, neighbor: str) -> None:
        self._aged.update(key for key in self.routes if key.neighbor == neighbor)

    def _complete(self, now: float) -> None:
        self.synced = True
        self.generation += 1
        # The very process that told them: what it no longer has was withdrawn or has expired.
        self._drop(self._missing)
        for neighbor in list(self.neighbors.values()):
            if neighbor.address in self._told_neighbors:
                self._confirm(neighbor)
            elif neighbor.state is not SessionState.UNKNOWN:
                self._unknown(neighbor, now)

    def _confirm(self, neighbor: Neighbor) -> None:
        if self._unconfirmed and neighbor.end_of_rib:
            self._drop(
                {
                    key
                    for key in self._unconfirmed - self._aged
                    if key.neighbor == neighbor.address and key.family in neighbor.end_of_rib
                }
            )

    def _unknown(self, neighbor: Neighbor, now: float) -> None:
        families: frozenset[Family] = frozenset()
        self.neighbors[neighbor.address] = replace(
            neighbor,
            state=SessionState.UNKNOWN,
            since=now,
            reason="the hook was started again",
            end_of_rib=families,
        )
        self._stale(neighbor.address, now)

    def _drop(self, keys: set[RouteKey]) -> None:
        gone = frozenset(keys)
        for key in gone:
            self.routes.pop(key, None)
        if gone:
            self.generation += 1
        for about in (self._unconfirmed, self._missing, self._aged):
            about.difference_update(gone)
