"""The whole mesh as announcements show it: every AFBR, what is wrong with what it says, and who could build with whom.

Pure, and without a policy of ours: it needs routes and nothing else. Selection, the codec's verdicts and the fold are
those the bridges use, so that what is said here of a pair is what its bridges would say (``pairing``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, combinations_with_replacement, islice
from typing import TypeAlias

from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.route import Neighbor, Route
from softmesh.mesh.admission import network
from softmesh.mesh.hearing import hear
from softmesh.mesh.mismatch import AnnouncedTunnel, Mismatches
from softmesh.mesh.overlap import Owned, overlapped, overlaps
from softmesh.mesh.pairing import Kind, PairState, PresumedKeys, Router, Verdict, judge, router_of
from softmesh.mesh.softwire import Address, Network
from softmesh.mesh.trust import AnnouncedKeys, KeySource

_MAX_KINDS = 90
"""Kinds of routers that are judged, the most frequent first: some 4,000 pairs of kinds, a second or two."""
_MAX_OVERLAPS = 20_000
"""Overlapping prefixes that are held against pairs."""


@dataclass(frozen=True, slots=True)
class Afbr:
    """A router as it announces itself: all that is said of one egress endpoint."""

    endpoint: Address
    prefixes: tuple[Network, ...]
    tunnels: tuple[AnnouncedTunnel, ...]
    neighbors: tuple[str, ...]
    """BGP neighbours it was heard from."""
    routers: tuple[str, ...]
    """Who announces it (``arrivals.announcer``), its owner first."""
    stale: bool
    """Whether all of it comes from lost sessions."""
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PairGroup:
    """Pairs of routers of which the same is to be said."""

    ones: tuple[Address, ...]
    others: tuple[Address, ...]
    """The same as ``ones`` where it is of pairs among them."""
    verdict: Verdict
    example: tuple[Address, Address]
    """The pair of it that the verdict's reason names, if any."""

    @property
    def size(self) -> int:
        """How many pairs."""
        count = len(self.ones)
        return count * (count - 1) // 2 if self.ones is self.others else count * len(self.others)

    def pairs(self) -> Iterator[tuple[Address, Address]]:
        """Every pair of it."""
        return _pairs(self.ones, self.others)


@dataclass(frozen=True, slots=True)
class Observation:
    """What is to be seen of a mesh in an Adj-RIB-In."""

    afbrs: tuple[Afbr, ...]
    """In order of their endpoints."""
    groups: tuple[PairGroup, ...]
    """All pairs, the largest group first."""
    apart: Mapping[tuple[Address, Address], Verdict]
    """Pairs of which something else is to be said than of their group: their prefixes overlap."""
    counts: Mapping[PairState, int]
    """How many pairs are in each state."""
    without_tunnel: int
    """Next hops of routes that speak of no tunnel."""
    _routers: Mapping[Address, Router] = field(repr=False)
    _sources: Sequence[KeySource] = field(repr=False)

    def pairs(self, *states: PairState) -> Iterator[tuple[tuple[Address, Address], Verdict]]:
        """Pairs in these states, each with a verdict in its own words."""
        for group in self.groups:
            if group.verdict.state in states:
                yield from (
                    (pair, self._worded(pair, group.verdict)) for pair in group.pairs() if pair not in self.apart
                )
        yield from ((pair, verdict) for pair, verdict in self.apart.items() if verdict.state in states)

    def _worded(self, pair: tuple[Address, Address], verdict: Verdict) -> Verdict:
        if verdict.state is not PairState.IMPOSSIBLE:
            return verdict
        one, other = pair
        return judge(self._routers[one], self._routers[other], self._sources)


def observe(
    routes: Collection[Route],
    *,
    accepted: Sequence[TunnelType],
    neighbors: Mapping[str, Neighbor] | None = None,
    keys: Sequence[KeySource] = (),
) -> Observation:
    """Look at a mesh.

    ``accepted``: tunnel types that lead to an SA, best first. ``neighbors``: whom the routes came from. ``keys``: where
    the keys of announced hashes are; without, keys that are not announced are presumed to be known.
    """
    heard, without_tunnel = hear(routes)
    sources = (AnnouncedKeys(), *(keys or (PresumedKeys(),)))
    routers: Mapping[Address, Router] = {
        endpoint: router_of(endpoint, what, accepted, sources)
        for endpoint, what in sorted(heard.items(), key=lambda item: _order(item[0]))
    }
    prefixes = {endpoint: {*router.prefixes, network(str(endpoint))} for endpoint, router in routers.items()}
    shared = overlapped(prefixes)
    routers, conflicts = _conflicts(routers, prefixes, shared)
    concerned = _concerned(routers, conflicts)
    groups, states = _grouped(routers, concerned, sources)
    apart = {
        (one, other): judge(routers[one], routers[other], sources, conflicts.get((one, other)))
        for one, other in concerned
    }
    counts = dict.fromkeys(PairState, 0)
    for group in groups:
        counts[group.verdict.state] += group.size
    for (one, other), verdict in apart.items():
        counts[states.get(frozenset((routers[one].kind, routers[other].kind)), PairState.UNJUDGED)] -= 1
        counts[verdict.state] += 1
    mismatches = Mismatches(heard, accepted, keys, shared, neighbors or {})
    return Observation(
        tuple(
            Afbr(
                endpoint,
                heard[endpoint].prefixes,
                mismatches.tunnels(endpoint),
                heard[endpoint].neighbors,
                heard[endpoint].announcers,
                all(route.stale_since is not None for route in heard[endpoint].routes),
                mismatches.problems(endpoint),
            )
            for endpoint in routers
        ),
        groups,
        apart,
        counts,
        without_tunnel,
        routers,
        sources,
    )


_Conflicts: TypeAlias = Mapping[tuple[Address, Address], Mapping[Address, Mapping[Network, Network | None]]]
"""By pair, and by router of that: what ``judge`` calls overlapping."""


def _conflicts(
    routers: Mapping[Address, Router], prefixes: Mapping[Address, Collection[Network]], shared: Collection[Owned]
) -> tuple[Mapping[Address, Router], _Conflicts]:
    """Where routers have no prefixes but such as overlap others': which ones, pair by pair.

    Who has a prefix of its own for each set of offers can be reached by that, whatever the others are like. Where there
    are too many to say, the routers returned are not to be judged.
    """
    unclear = {endpoint for endpoint, router in routers.items() if _is_unclear(router, shared)}
    found = list(islice(overlaps(prefixes, unclear), _MAX_OVERLAPS + 1)) if unclear else []
    if len(found) > _MAX_OVERLAPS:
        return {
            endpoint: replace(router, kind=None) if endpoint in unclear else router
            for endpoint, router in routers.items()
        }, {}
    conflicts: dict[tuple[Address, Address], dict[Address, dict[Network, Network | None]]] = {}
    for outer, inner in found:
        pair = conflicts.setdefault(_ordered(outer.router, inner.router), {})
        for ours, theirs in ((outer, inner), (inner, outer)):
            host = theirs.prefix == network(str(theirs.router))
            pair.setdefault(ours.router, {})[ours.prefix] = None if host else theirs.prefix
    return routers, conflicts


def _is_unclear(router: Router, shared: Collection[Owned]) -> bool:
    among = [
        [Owned(router.endpoint, network(route.key.prefix)) in shared for route in alike] for alike in router.offers
    ]
    return any(map(any, among)) if router.contested else any(map(all, among))


def _grouped(
    routers: Mapping[Address, Router], concerned: Collection[tuple[Address, Address]], sources: Sequence[KeySource]
) -> tuple[tuple[PairGroup, ...], dict[frozenset[Kind | None], PairState]]:
    """All pairs by the kinds of their routers, and what is to be said of two kinds: of a pair that is like others."""
    members: dict[Kind | None, list[Address]] = defaultdict(list)
    for endpoint, router in routers.items():
        members[router.kind].append(endpoint)
    kinds = sorted((kind for kind in members if kind is not None), key=lambda kind: -len(members[kind]))
    judged = {kind: tuple(members[kind]) for kind in kinds[:_MAX_KINDS]}
    rest = tuple(endpoint for kind, ends in members.items() if kind not in judged for endpoint in ends)
    groups: list[PairGroup] = []
    states: dict[frozenset[Kind | None], PairState] = {}
    for one, other in combinations_with_replacement(judged, 2):
        pairs = tuple(islice(_pairs(judged[one], judged[other]), len(concerned) + 1))
        if pairs:
            example = next((pair for pair in pairs if pair not in concerned), pairs[0])
            verdict = judge(routers[example[0]], routers[example[1]], sources)
            groups.append(PairGroup(judged[one], judged[other], verdict, example))
            states[frozenset((one, other))] = verdict.state
    unjudged = Verdict(PairState.UNJUDGED, (), f"not judged: {len(rest)} routers announce too many different things")
    for others in (rest, *judged.values()):
        groups.extend(PairGroup(rest, others, unjudged, pair) for pair in islice(_pairs(rest, others), 1))
    return tuple(sorted(groups, key=lambda group: -group.size)), states


def _concerned(routers: Mapping[Address, Router], conflicts: _Conflicts) -> Collection[tuple[Address, Address]]:
    """Pairs that are not like others of their kinds, for what the routers announce concerns each other."""
    mentioning = {
        _ordered(endpoint, mentioned)
        for endpoint, router in routers.items()
        for mentioned in router.mentions
        if mentioned in routers
    }
    return {
        (one, other): None
        for one, other in sorted(mentioning | conflicts.keys(), key=lambda pair: tuple(map(_order, pair)))
        if routers[one].kind is not None and routers[other].kind is not None
    }.keys()


def _pairs(ones: Sequence[Address], others: Sequence[Address]) -> Iterator[tuple[Address, Address]]:
    if ones is others:
        return combinations(ones, 2)
    return (_ordered(one, other) for one in ones for other in others)


def _order(endpoint: Address) -> tuple[int, int]:
    return endpoint.version, int(endpoint)


def _ordered(one: Address, other: Address) -> tuple[Address, Address]:
    return (one, other) if _order(one) <= _order(other) else (other, one)
