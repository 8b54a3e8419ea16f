"""The Adj-RIB-In (RFC 4271 §3.2): what each neighbour announced, folded from ExaBGP's lines.

Every call returns the changes it made, in order, so that they can be sent on as they are. A lost session
keeps its routes and marks them stale (RFC 4724 §4.2); only a new announcement, a withdrawal or the stale
timer ends that. A withdrawal by another neighbour does so too: what a router takes back while one of its reflectors is
away, that one will never say. An End-of-RIB never flushes: a reflector that restarted sends it before its other clients
have come back to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeAlias

import msgspec

from softmesh.bgp.exabgp_json import (
    EndOfRib,
    NeighborEvent,
    NeighborListed,
    RefreshMarked,
    SessionChanged,
    UpdateReceived,
)
from softmesh.bgp.route import Family, Neighbor, PathAttributes, Route, RouteKey, SessionState


class RouteChanged(msgspec.Struct, frozen=True, tag_field="type", tag="route", gc=False):
    """A route was announced, or announced differently, or fresh again."""

    route: Route


class RouteWithdrawn(msgspec.Struct, frozen=True, tag_field="type", tag="withdrawn", gc=False):
    """A route is gone: withdrawn, or stale for too long."""

    key: RouteKey


class NeighborChanged(msgspec.Struct, frozen=True, tag_field="type", tag="neighbor", gc=False):
    """What is known of a neighbour is now this."""

    neighbor: Neighbor


class NeighborStale(msgspec.Struct, frozen=True, tag_field="type", tag="stale", gc=False):
    """All routes of a neighbour that were fresh are stale since then."""

    neighbor: str
    since: float


Change: TypeAlias = RouteChanged | RouteWithdrawn | NeighborChanged | NeighborStale

_SPARE_ATTRIBUTES = 1024


class AdjRibIn:
    """Routes and neighbours as of the events applied so far; ``now`` is always CLOCK_MONOTONIC in seconds."""

    def __init__(self) -> None:
        self.routes: dict[RouteKey, Route] = {}
        self.neighbors: dict[str, Neighbor] = {}
        self._attributes: dict[PathAttributes, PathAttributes] = {}
        self._awaited: dict[tuple[str, Family], set[RouteKey]] = {}
        self._oldest_stale: float | None = None
        self._stale: dict[tuple[Family, str], list[RouteKey]] | None = {}
        """Routes that were stale at some time, by destination; None while it is not known which."""

    def apply(self, event: NeighborEvent | NeighborListed, now: float) -> list[Change]:
        """Fold one event."""
        changes: list[Change] = []
        if event.neighbor is None:
            return changes
        if isinstance(event, UpdateReceived):
            self._meet(event.neighbor, event.asn, now, changes)
            self._update(event, now, changes)
        elif isinstance(event, SessionChanged):
            self._session(event, now, changes)
        elif isinstance(event, EndOfRib):
            self._meet(event.neighbor, event.asn, now, changes)
            if event.family is not None:
                changes += self.complete(event.neighbor, event.family, now, exact=False)
        elif isinstance(event, RefreshMarked):
            self._meet(event.neighbor, event.asn, now, changes)
            if event.family is not None and event.begins:
                changes += self.begin_refresh(event.neighbor, event.family)
            elif event.family is not None:
                changes += self.complete(event.neighbor, event.family, now, exact=True)
        elif isinstance(event, NeighborListed):
            self._listed(event, now, changes)
        return changes

    def begin_refresh(self, neighbor: str, family: Family) -> list[Change]:
        """All routes of a family are about to be sent again; until they are, the family is not complete."""
        self._awaited[neighbor, family] = {
            key for key in self.routes if key.neighbor == neighbor and key.family == family
        }
        known = self.neighbors.get(neighbor)
        if known is None or family not in known.end_of_rib:
            return []
        return self._replace(replace(known, end_of_rib=known.end_of_rib - {family}))

    def complete(self, neighbor: str, family: Family, now: float, *, exact: bool) -> list[Change]:
        """All routes of a family have been sent.

        Routes not sent again in a refresh are removed if the neighbour itself marked both its ends
        (``exact``, RFC 7313 §4), else they become stale: an End-of-RIB or silence may come too early.
        """
        changes: list[Change] = []
        missing = self._awaited.pop((neighbor, family), ())
        if exact:
            changes += self._remove(missing)
        else:
            for key in missing:
                route = self.routes[key]
                if route.stale_since is None:
                    changes.append(self._put(replace(route, stale_since=now)))
            if missing:
                self._note_stale(now)
        known = self.neighbors.get(neighbor)
        if known is not None and family not in known.end_of_rib:
            changes += self._replace(replace(known, end_of_rib=known.end_of_rib | {family}))
        return changes

    def expire(self, now: float, stale_time: float) -> list[Change]:
        """Remove the routes that have been stale for ``stale_time`` seconds or more."""
        if self._oldest_stale is None or now - self._oldest_stale < stale_time:
            return []
        stale = [(route.stale_since, key) for key, route in self.routes.items() if route.stale_since is not None]
        kept = [since for since, _ in stale if now - since < stale_time]
        self._oldest_stale = min(kept, default=None)
        return self._remove([key for since, key in stale if now - since >= stale_time])

    def refreshing(self, neighbor: str, family: Family) -> bool:
        """Whether a refresh of the family has begun and is not complete."""
        return (neighbor, family) in self._awaited

    def _meet(self, neighbor: str, asn: int | None, now: float, changes: list[Change]) -> None:
        known = self.neighbors.get(neighbor)
        if known is None or known.state is not SessionState.UP:
            changes += self._replace(Neighbor(neighbor, asn, SessionState.UP, now))

    def _update(self, event: UpdateReceived, now: float, changes: list[Change]) -> None:
        routes = self.routes
        if event.withdrawn:
            copies = self._stale_copies(event.withdrawn)
            self._remove(event.withdrawn)
            # Told even where it is not known here: a reader may know the route from an earlier hook.
            changes += map(RouteWithdrawn, event.withdrawn)
            changes += self._remove(copies)
        attributes: PathAttributes | None = None
        for key, next_hop in event.announced:
            held = routes.get(key)
            if self._awaited:
                self._seen(key)
            if (
                held is not None
                and held.stale_since is None
                and held.next_hop == next_hop
                and held.attributes == event.attributes
            ):
                continue
            if attributes is None:
                attributes = self._attributes.setdefault(event.attributes, event.attributes)
            route = Route(key if held is None else held.key, next_hop, attributes, now)
            routes[key] = route
            changes.append(RouteChanged(route))
        if len(self._attributes) > 2 * len(routes) + _SPARE_ATTRIBUTES:
            self._attributes = {route.attributes: route.attributes for route in routes.values()}

    def _session(self, event: SessionChanged, now: float, changes: list[Change]) -> None:
        state = SessionState.UP if event.up else SessionState.DOWN
        known = self.neighbors.get(event.neighbor)
        if known is not None and known.state is SessionState.DOWN and not event.up:
            return
        for family in Family:
            self._awaited.pop((event.neighbor, family), None)
        changes += self._replace(Neighbor(event.neighbor, event.asn, state, now, event.reason))
        # On up as well: the line that said down may have been lost, and these are of the session before.
        changes += self._mark_stale(event.neighbor, now)

    def _listed(self, event: NeighborListed, now: float, changes: list[Change]) -> None:
        if event.established:
            self._meet(event.neighbor, event.asn, now, changes)
        elif event.neighbor not in self.neighbors:
            changes += self._replace(
                Neighbor(event.neighbor, event.asn, SessionState.DOWN, now, f"not established: {event.state}")
            )

    def _mark_stale(self, neighbor: str, now: float) -> list[Change]:
        fresh = [route for key, route in self.routes.items() if key.neighbor == neighbor and route.stale_since is None]
        if not fresh:
            return []
        for route in fresh:
            self.routes[route.key] = replace(route, stale_since=now)
        self._note_stale(now)
        return [NeighborStale(neighbor, now)]

    def _note_stale(self, now: float) -> None:
        self._stale = None
        if self._oldest_stale is None:
            self._oldest_stale = now

    def _stale_copies(self, withdrawn: Iterable[RouteKey]) -> list[RouteKey]:
        """What lost sessions to other neighbours had of the same routers for the same destinations."""
        if self._oldest_stale is None:
            return []
        if self._stale is None:
            self._stale = {}
            for key, route in self.routes.items():
                if route.stale_since is not None:
                    self._stale.setdefault((key.family, key.prefix), []).append(key)
        gone = [self.routes[key] for key in withdrawn if key in self.routes]
        return [
            key
            for route in gone
            for key in self._stale.get((route.key.family, route.key.prefix), ())
            if key.neighbor != route.key.neighbor
            and (copy := self.routes.get(key)) is not None
            and copy.stale_since is not None
            and _announcer(copy) == _announcer(route)
        ]

    def _seen(self, key: RouteKey) -> None:
        awaited = self._awaited.get((key.neighbor, key.family))
        if awaited is not None:
            awaited.discard(key)

    def _put(self, route: Route) -> Change:
        self.routes[route.key] = route
        return RouteChanged(route)

    def _remove(self, keys: Iterable[RouteKey]) -> list[Change]:
        changes: list[Change] = []
        for key in keys:
            if self._awaited:
                self._seen(key)
            if self.routes.pop(key, None) is not None:
                changes.append(RouteWithdrawn(key))
        return changes

    def _replace(self, neighbor: Neighbor) -> list[Change]:
        if self.neighbors.get(neighbor.address) == neighbor:
            return []
        self.neighbors[neighbor.address] = neighbor
        return [NeighborChanged(neighbor)]


def _announcer(route: Route) -> tuple[str | None, str]:
    """What tells apart the routers that announce one destination (RFC 4456 §8: ORIGINATOR_ID)."""
    return route.attributes.originator_id, route.next_hop
