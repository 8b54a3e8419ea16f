"""The mesh as one JSON document: what ``softmesh observe --json`` prints and the page draws. Pure.

Pairs are judged from announcements; where a bridge tells its own softwires, what was measured counts. A large mesh has
more pairs than anybody reads: beyond ``LISTED`` AFBRs only the bridge's own and impossible ones are listed singly, and
of these no more than ``MOST``; ``summary`` counts them all, and ``groups`` has them by what is to be said of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from softmesh.bgp.announcement import Announcement
from softmesh.bgp.codepoints import TunnelType, tunnel_type_name
from softmesh.bgp.route import Family, Neighbor, PathAttributes, Route, RouteKey, SessionState
from softmesh.mesh.hearing import HERE
from softmesh.mesh.mismatch import AnnouncedTunnel
from softmesh.mesh.observation import Afbr, Observation, PairGroup
from softmesh.mesh.pairing import PairState, Verdict
from softmesh.mesh.softwire import Address, HostTraffic, SoftwireType

LISTED = 64
"""AFBRs up to which every pair is listed: 2,016 pairs."""
MOST = 256
"""Impossible pairs listed beyond that."""
_GROUPS = 64
_PREFIXES = 64
"""Prefixes of one AFBR that are listed."""


def mesh_document(
    observation: Observation,
    at: datetime,
    now: float,
    *,
    neighbors: Iterable[Neighbor] = (),
    connected: bool = True,
    status: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The document.

    ``at`` is the time of day, ``now`` that of the monotonic clock; ``connected``: whether the hook answers; ``status``:
    the answer to ``status`` of the bridge whose vantage it is.
    """
    vantage = None if status is None else str(status["endpoint"])
    wires = [] if status is None else [wire for wire in status["softwires"] if wire["type"] != HostTraffic.BGP.label]
    afbrs = {str(afbr.endpoint): _afbr(afbr, vantage) for afbr in observation.afbrs}
    for endpoint in (vantage, *(wire["remote"] for wire in wires)):
        if endpoint is not None and endpoint not in afbrs:
            afbrs[endpoint] = _unheard(endpoint, status if endpoint == vantage else None)
    measured = [_measured(wire, str(vantage)) for wire in wires]
    own = {frozenset(row["ends"]) for row in measured}
    everything = len(observation.afbrs) <= LISTED
    states = tuple(PairState) if everything else (PairState.IMPOSSIBLE,)
    stale = {str(afbr.endpoint) for afbr in observation.afbrs if afbr.stale}
    judged = ((pair, verdict) for pair, verdict in observation.pairs(*states) if frozenset(map(str, pair)) not in own)
    softwires = [
        row
        for pair, verdict in (judged if everything else islice(judged, MOST))
        for row in _judged(pair, verdict, stale)
    ]
    return {
        "vantage": vantage,
        "at": at.isoformat(),
        "hook": {"connected": connected},
        "neighbors": [_neighbor(neighbor, now) for neighbor in neighbors],
        "afbrs": list(afbrs.values()),
        "softwires": measured + softwires,
        "summary": {
            "afbrs": len(afbrs),
            "mismatched": sum(bool(afbr["problems"]) for afbr in afbrs.values()),
            "pairs": sum(observation.counts.values()),
            **{state.value: observation.counts[state] for state in PairState},
            "complete": everything,
            "without_tunnel": observation.without_tunnel,
        },
        "groups": [_group(group) for group in observation.groups[:_GROUPS]],
    }


def with_our_own(
    routes: Iterable[Route], announcements: Iterable[Announcement], router_id: str | None
) -> tuple[Route, ...]:
    """The routes of an Adj-RIB-In and what we announce, as others hear it; without ours come back (RFC 4456 §8)."""
    ours = tuple(_route(announcement, router_id) for announcement in announcements)
    told = {
        (route.key.family, route.key.prefix, route.next_hop, route.attributes.tunnel_encapsulation) for route in ours
    }
    others = (
        route
        for route in routes
        if (router_id is None or route.attributes.originator_id != router_id)
        and (route.key.family, route.key.prefix, route.next_hop, route.attributes.tunnel_encapsulation) not in told
    )
    return (*ours, *others)


def _route(announcement: Announcement, router_id: str | None) -> Route:
    six = ":" in announcement.prefix
    if announcement.encapsulation:
        family = Family.IPV6_ENCAPSULATION if six else Family.IPV4_ENCAPSULATION
    else:
        family = Family.IPV6_UNICAST if six else Family.IPV4_UNICAST
    attributes = PathAttributes(
        announcement.tunnel_encapsulation, announcement.extended_communities, originator_id=router_id
    )
    return Route(RouteKey(HERE, family, announcement.prefix), announcement.next_hop, attributes, 0.0)


def _afbr(afbr: Afbr, vantage: str | None) -> dict[str, Any]:
    return {
        "endpoint": str(afbr.endpoint),
        "self": str(afbr.endpoint) == vantage,
        "prefixes": [str(prefix) for prefix in afbr.prefixes[:_PREFIXES]],
        "prefix_count": len(afbr.prefixes),
        "families": sorted({f"IPv{prefix.version}" for prefix in afbr.prefixes}),
        "tunnels": [_tunnel(tunnel) for tunnel in afbr.tunnels],
        "neighbors": list(afbr.neighbors),
        "routers": list(afbr.routers),
        "stale": afbr.stale,
        "problems": list(afbr.problems),
    }


def _unheard(endpoint: str, status: Mapping[str, Any] | None) -> dict[str, Any]:
    """A router that no route leads to: the bridge's own, one of its configuration, or what a refused route names."""
    prefixes = [] if status is None else list(status["announcing"])
    return {
        "endpoint": endpoint,
        "self": status is not None,
        "prefixes": prefixes[:_PREFIXES],
        "prefix_count": len(prefixes),
        "families": sorted({"IPv6" if ":" in prefix else "IPv4" for prefix in prefixes}),
        "tunnels": [],
        "neighbors": [],
        "routers": [],
        "stale": False,
        "problems": [],
    }


def _tunnel(tunnel: AnnouncedTunnel) -> dict[str, Any]:
    return {
        "type": None if tunnel.type is None else tunnel_type_name(tunnel.type),
        "color": tunnel.color,
        "authenticators": [digest.hex() for digest in tunnel.authenticators],
        "key": tunnel.key.value,
        "usable": tunnel.usable,
        "reason": tunnel.reason,
    }


def _neighbor(neighbor: Neighbor, now: float) -> dict[str, Any]:
    return {
        "address": neighbor.address,
        "state": neighbor.state.value,
        "for": round(now - neighbor.since, 3),
        "reason": neighbor.reason if neighbor.state is not SessionState.UP else "",
        "end_of_rib": sorted(neighbor.end_of_rib),
    }


def _measured(wire: Mapping[str, Any], vantage: str) -> dict[str, Any]:
    """A softwire of the bridge's own; one that is not wanted is seen in no charon."""
    return {
        "id": wire["id"],
        "ends": [vantage, wire["remote"]],
        "type": wire["type"],
        "color": wire["color"],
        "state": wire["state"],
        "reason": wire["reason"],
        "measured": True,
        "for": wire["for"],
        "stale": wire["stale"],
        "bytes_in": wire.get("bytes_in"),
        "bytes_out": wire.get("bytes_out"),
        "rule": wire.get("rule"),
    }


def _judged(pair: tuple[Address, Address], verdict: Verdict, stale: set[str]) -> Iterable[dict[str, Any]]:
    """A row for each softwire that a pair could have; one without a tunnel where it could have none."""
    ends = [str(end) for end in pair]
    tunnels: tuple[tuple[SoftwireType | None, int | None], ...] = verdict.tunnels or ((None, None),)
    for kind, color in tunnels:
        parts = [*ends, *([] if kind is None else [kind.keyword]), *([] if color is None else [str(color)])]
        yield {
            "id": "/".join(parts),
            "ends": ends,
            "type": None if kind is None else kind.label,
            "color": color,
            "state": verdict.state.value,
            "reason": verdict.reason,
            "measured": False,
            "for": None,
            "stale": not stale.isdisjoint(ends),
            "bytes_in": None,
            "bytes_out": None,
            "rule": None,
        }


def _group(group: PairGroup) -> dict[str, Any]:
    return {
        "state": group.verdict.state.value,
        "types": [TunnelType(kind).label for kind in dict.fromkeys(kind for kind, _ in group.verdict.tunnels)],
        "pairs": group.size,
        "example": [str(end) for end in group.example],
        "reason": group.verdict.reason,
    }
