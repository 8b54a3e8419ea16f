"""Whether two routers could build a softwire, going by what they announce.

Each is put in the other's place: a policy is made of what it announces itself, open where announcements say nothing,
and the other's routes are folded under it as its bridge would fold them (``desired.fold``). So whatever selection,
trust, ownership and selectors refuse is refused here, by the same words. What announcements do not tell is presumed:

- A router accepts the tunnel types it announces: an SA needs the same type in both directions.
- A router that announces authenticators wants one of its peers (RFC 5619 §4.4.2); one that does not trusts otherwise.
- The key to a hash that comes without its key is known to the peers, unless it is said where keys are.
- Everybody is admitted, by everybody; and of several routes to one prefix, none is preferred to another.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Collection, Hashable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import TypeAlias

from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.route import ENCAPSULATION, Family, Route, RouteKey
from softmesh.bgp.special_purpose import special_purpose
from softmesh.mesh.admission import address, network
from softmesh.mesh.arrivals import announcer
from softmesh.mesh.credential import PinnedKey
from softmesh.mesh.desired import fold
from softmesh.mesh.hearing import Heard, Reading
from softmesh.mesh.policy import Policy, Protection
from softmesh.mesh.refusal import Refusal, Rule
from softmesh.mesh.selection import Offer
from softmesh.mesh.softwire import Address, Level, Network, Profile, SoftwireType
from softmesh.mesh.trust import KeySource
from softmesh.mesh.trust_policy import TrustMode, TrustPolicy

Kind: TypeAlias = Hashable
"""Equal for routers that announce the same but for addresses and keys: what can be built with one can with another."""
TunnelKey: TypeAlias = tuple[SoftwireType, int | None]
"""Type and colour."""

_ANYWHERE = (network("0.0.0.0/0"), network("::/0"))
_NO_LIMIT = 10**9
_MAX_OFFERS = 16
"""Different sets of offers of one router, and addresses in them; beyond, it is not judged."""
_PROTECTION = Protection(Level.ENCRYPT, (), {Level.ENCRYPT: Profile(Level.ENCRYPT, (), ())})


class PairState(enum.StrEnum):
    """Whether a pair could build a softwire."""

    POSSIBLE = "possible"
    IMPOSSIBLE = "impossible"
    UNJUDGED = "unjudged"
    """There are too many that differ, or overlap; nothing is claimed."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a pair could build a softwire, and why not."""

    state: PairState
    tunnels: tuple[TunnelKey, ...] = ()
    """What it could build."""
    reason: str = ""
    """One sentence with the remedy; empty where it could."""


@dataclass(frozen=True, slots=True)
class Router:
    """A router as its announcements show it."""

    endpoint: Address
    prefixes: tuple[Network, ...]
    offers: tuple[tuple[Route, ...], ...]
    """Its routes, those of equal offers together, in the order they came."""
    carriers: tuple[Route, ...]
    """Routes, of any router, that the tunnels of these are found by (RFC 9012 §8)."""
    accepted: tuple[TunnelType, ...]
    """Tunnel types that it announces, or all where it announces none, best first."""
    announced: tuple[TunnelKey, ...]
    authenticates: bool
    """Whether it announces authenticators."""
    kind: Kind | None
    """None: too manifold to be judged."""
    contested: bool
    """Whether more than one router announces it: what counts of them depends on who came first."""
    mentions: Set[Address]
    """Further addresses that its routes have for next hops and endpoints: for these routers they may mean less."""


class PresumedKeys:
    """The keys of hashes that are announced without them."""

    def keys_for(self, offer: Offer) -> Sequence[PinnedKey]:
        """A key for each authenticator; none for an offer that has keys of its own, right or wrong."""
        if offer.public_keys or offer.certificates:
            return ()
        return [PinnedKey(digest, b"", "elsewhere") for digest in offer.authenticators]


def router_of(endpoint: Address, heard: Heard, accepted: Sequence[TunnelType], sources: Sequence[KeySource]) -> Router:
    """What counts of a router for whoever would build a softwire to it."""
    rank = {who: number for number, who in enumerate(heard.announcers)}
    # Addresses and keys count by what they are to each other.
    places, digests = {endpoint: 0}, dict[bytes, int]()
    read: dict[Reading, tuple[Hashable, ...]] = {}
    by_offers: dict[Hashable, list[Route]] = defaultdict(list)
    carriers: dict[RouteKey, Route] = {}
    for route, reading in zip(heard.routes, heard.readings, strict=True):
        carriers.update((carrier.key, carrier) for carrier in reading.carriers)
        if (offers := read.get(reading)) is None:
            offers = read[reading] = tuple(_likeness(offer, places, digests, sources) for offer in reading.offers)
        encapsulation = route.key.family in ENCAPSULATION
        by_offers[
            route.key.family,
            places.setdefault(address(route.next_hop), len(places)),
            not encapsulation and endpoint in network(route.key.prefix),
            rank[announcer(route)],
            offers or tuple(refusal.rule for refusal in reading.refusals),
            bool(reading.carriers),
        ].append(route)
    offered = [o for reading in heard.readings for o in reading.offers if o.endpoint == endpoint]
    types = {offer.type for offer in offered}
    prefixes = heard.prefixes
    mentioned = places.keys() | {address(carrier.next_hop) for carrier in carriers.values()}
    kind = endpoint.version, frozenset(by_offers), frozenset(prefix.version for prefix in prefixes)
    return Router(
        endpoint,
        prefixes,
        tuple(tuple(sorted(alike, key=lambda route: route.received_at)) for alike in by_offers.values()),
        tuple(carriers.values()),
        tuple(kind for kind in accepted if kind in types) or tuple(accepted),
        tuple(dict.fromkeys((offer.type, offer.color) for offer in offered)),
        any(offer.authenticators for offer in offered),
        kind if max(len(by_offers), len(mentioned)) <= _MAX_OFFERS else None,
        len(rank) > 1,
        mentioned - {endpoint},
    )


def _likeness(
    offer: Offer, places: dict[Address, int], digests: dict[bytes, int], sources: Sequence[KeySource]
) -> Hashable:
    """What counts of an offer, whatever its addresses and keys are."""
    found = {key.authenticator for source in sources for key in source.keys_for(offer)}
    return (
        offer.type,
        offer.color,
        places.setdefault(offer.endpoint, len(places)),
        offer.endpoint.version,
        bool(special_purpose(offer.endpoint.packed)),
        tuple(digests.setdefault(digest, len(digests)) for digest in offer.authenticators),
        tuple(digest in found for digest in offer.authenticators),
    )


def judge(
    one: Router,
    other: Router,
    sources: Sequence[KeySource],
    overlapping: Mapping[Address, Mapping[Network, Network | None]] | None = None,
) -> Verdict:
    """Whether two routers could build a softwire.

    ``overlapping``: for each of the two, by its endpoint, which of its prefixes overlap a prefix of the other, and
    which; None stands for the other's endpoint.
    """
    at_odds = overlapping or {}
    there, here = (
        _built(viewer, target, sources, at_odds.get(target.endpoint, {}))
        for viewer, target in ((one, other), (other, one))
    )
    if not isinstance(there, Refusal) and not isinstance(here, Refusal):
        both = there & here
        # Colours need not agree: each end goes by those of the other. Types must.
        types = {kind for kind, _ in there} & {kind for kind, _ in here}
        tunnels = both | {(kind, None) for kind in types - {kind for kind, _ in both}}
        if tunnels:
            return Verdict(PairState.POSSIBLE, tuple(sorted(tunnels, key=lambda each: (each[0], each[1] or -1))))
    if not set(one.accepted) & set(other.accepted):
        return Verdict(PairState.IMPOSSIBLE, (), _without_common_type(one, other))
    refused = [
        (refusal, viewer, target)
        for refusal, viewer, target in ((there, one, other), (here, other, one))
        if isinstance(refusal, Refusal)
    ]
    if not refused:
        return Verdict(PairState.IMPOSSIBLE, (), _without_common_type(one, other))
    # Where neither has the other's key because one has no authenticator, the latter is what has to be mended.
    refusal, viewer, target = min(refused, key=lambda each: each[0].rule in {Rule.KEY, Rule.CERTIFICATE})
    remedy = _REMEDIES.get(refusal.rule, "mend what {target} announces")
    return Verdict(
        PairState.IMPOSSIBLE,
        (),
        f'{viewer.endpoint} would say of {target.endpoint}: "{refusal.detail}"; '
        + remedy.format(viewer=viewer.endpoint, target=target.endpoint),
    )


_REMEDIES = {
    Rule.WITHDRAWN: "mend attribute 23 where {target} sends it, or the reflector that changes it",
    Rule.NO_TUNNEL: "have {target} announce a tunnel, or the reflector hand attribute 23 on",
    Rule.AUTHENTICATOR: "have {target} announce the hash of its key, unless both trust one PKI",
    Rule.KEY: "have {target} announce the key with its hash, or put it where its peers look",
    Rule.CERTIFICATE: "have {target} announce an authenticator, or both do without",
    Rule.ENDPOINT: "give both endpoints of one family that can be reached",
    Rule.SELECTORS: "have both announce prefixes of one family",
    Rule.PREFIX: "withdraw it at one of the two",
    Rule.CAPTURE: "announce smaller prefixes that leave endpoints outside",
    Rule.OWNER: "let one router alone announce {target}",
}


def _without_common_type(one: Router, other: Router) -> str:
    def types(router: Router) -> str:
        return ", ".join(kind.label for kind in router.accepted)

    return (
        f"no tunnel type in common: {one.endpoint} announces {types(one)}, {other.endpoint} {types(other)}; "
        "announce one type at both"
    )


def _built(
    viewer: Router, target: Router, sources: Sequence[KeySource], overlapping: Mapping[Network, Network | None]
) -> frozenset[TunnelKey] | Refusal:
    """What the viewer would build to the target, or the first reason why nothing."""
    routes: list[Route] = []
    local = [_stand_in(version, 0) for version in sorted({prefix.version for prefix in viewer.prefixes})]
    for number, alike in enumerate(target.offers, 1):
        clear = next((route for route in alike if network(route.key.prefix) not in overlapping), None)
        if clear is None:
            prefix = network(alike[0].key.prefix)
            routes.append(replace(alike[0], stale_since=None))
            if (ours := overlapping[prefix]) is not None and ours not in local:
                local.append(ours)
        else:
            routes.append(_standing(clear, number, target.endpoint))
    routes += (replace(route, stale_since=None) for route in target.carriers if route not in routes)
    desired = fold(routes, _policy(viewer, tuple(local), routes), sources)
    built = frozenset((wire.type, wire.color) for wire in desired.softwires if wire.remote == target.endpoint)
    if built:
        return built
    pending = [pending.refusal for wire, pending in desired.pending.items() if wire.remote == target.endpoint]
    its = {route.key for route in routes[: len(target.offers)]}
    refused = [
        refusal for key, decision in desired.decisions.items() if key in its for refusal in decision.refusals[:1]
    ]
    unsaid = Refusal(Rule.NO_TUNNEL, f"its routes take other tunnels than those to {target.endpoint}")
    return next(iter((*pending, *refused)), unsaid)


def _standing(route: Route, number: int, endpoint: Address) -> Route:
    """A route with a prefix that is nobody's in place of its own, unless it is about its endpoint."""
    prefix = network(route.key.prefix)
    if route.key.family not in ENCAPSULATION and endpoint not in prefix:
        return replace(route, key=replace(route.key, prefix=str(_stand_in(prefix.version, number))), stale_since=None)
    return replace(route, stale_since=None)


def _stand_in(version: int, number: int) -> Network:
    """A host of 0.0.0.0/8 or of ::/96, where nothing is announced."""
    return network(f"0.0.1.{number}/32" if version == 4 else f"::0.0.1.{number}/128")


def _policy(viewer: Router, local: tuple[Network, ...], routes: Collection[Route]) -> Policy:
    """The viewer's policy, going by what it announces."""
    return Policy(
        endpoint=viewer.endpoint,
        router_id=None,
        asn=0,
        local_prefixes=local,
        neighbors=frozenset(route.key.neighbor for route in routes),
        families=frozenset(Family),
        endpoints=_ANYWHERE,
        prefixes=_ANYWHERE,
        origin_as=None,
        max_softwires=_NO_LIMIT,
        max_selectors=_NO_LIMIT,
        tunnel_types=viewer.accepted,
        colors=None,
        outside=frozenset({viewer.endpoint}),
        protection=_PROTECTION,
        announced=tuple((kind, color) for kind, color in viewer.announced if isinstance(kind, TunnelType)),
        trust=TrustPolicy(TrustMode.PINNED if viewer.authenticates else TrustMode.PKI),
        max_arrivals=_NO_LIMIT,
    )
