"""The fold: routes, policy and keys in, the softwires that ought to exist out.

A pure function of what is known now; nothing of how it came to be known. Every route ends in a decision, and every
decision says why.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from itertools import islice

from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.route import Route, RouteKey
from softmesh.mesh.admission import address, admit_prefix, admit_source, network
from softmesh.mesh.best_path import rank
from softmesh.mesh.capture import Core
from softmesh.mesh.configured import ConfiguredSoftwire, as_route
from softmesh.mesh.interface import Interfaces
from softmesh.mesh.policy import Policy
from softmesh.mesh.refusal import Refusal, Rule
from softmesh.mesh.selection import Offer, Resolve, select
from softmesh.mesh.softwire import (
    Address,
    Mode,
    Network,
    PinnedKey,
    Selector,
    SelectorPair,
    Softwire,
    SoftwireId,
)
from softmesh.mesh.trust import KeySource, trusted_keys

_PROTOCOL = {
    TunnelType.MPLS_IN_IP_IPSEC_TRANSPORT: 137,
    TunnelType.GRE: 47,
    TunnelType.L2TPV3: 115,
}
"""What is protected between the endpoints, whatever it carries (RFC 4023 §8.1, RFC 3931 §4.1.1)."""
_IP_IN_IP = {4: 4, 6: 41}
"""By the family that is carried (RFC 2003 §3.1, RFC 4213 §3)."""
_ANYTHING = {4: Selector(network("0.0.0.0/0")), 6: Selector(network("::/0"))}


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of one route."""

    route: Route
    prefix: Network | None
    """The destination; None for a configured softwire that others route into."""
    offer: Offer | None
    """The tunnel it takes; None where it is refused."""
    keys: tuple[PinnedKey, ...] = ()
    """Keys found for the offer's authenticators; none: the softwire is pending its key."""
    refusals: tuple[Refusal, ...] = ()
    """Why the route, or each tunnel that was passed over, was refused."""
    best: bool = True
    """False where another route to the same prefix is preferred."""
    settled: bool = True
    """Whether it rests on the route itself, the policy and the keys, and on no other route."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A softwire that cannot be built yet, or ever, as things stand."""

    id: SoftwireId
    refusal: Refusal
    routes: tuple[RouteKey, ...]


@dataclass(frozen=True, slots=True)
class Desired:
    """The outcome of a fold."""

    softwires: Mapping[SoftwireId, Softwire] = field(default_factory=dict)
    pending: Mapping[SoftwireId, Pending] = field(default_factory=dict)
    carried: Mapping[SoftwireId, tuple[RouteKey, ...]] = field(default_factory=dict)
    """Which routes each softwire serves, pending ones included."""
    stale: frozenset[SoftwireId] = frozenset()
    """Softwires all of whose routes come from lost sessions."""
    dropped: Mapping[SoftwireId, Refusal] = field(default_factory=dict)
    """Softwires that do not carry all they should, and why."""
    decisions: Mapping[RouteKey, Decision] = field(default_factory=dict)


class Memory:
    """Decisions of the fold before, for the routes that have not changed: a change of one must not cost a look at all.

    Good for one policy and one state of the keys; the caller begins a new one when either changes.
    """

    def __init__(self) -> None:
        self._decisions: dict[RouteKey, Decision] = {}

    def recall(self, route: Route) -> Decision | None:
        """What was decided on this very route, if that rested on nothing else."""
        decision = self._decisions.get(route.key)
        return decision if decision is not None and decision.route is route and decision.settled else None

    def replace(self, decisions: dict[RouteKey, Decision]) -> None:
        """Remember these decisions and no others."""
        self._decisions = decisions


class RouteTable:
    """Longest-prefix lookup over routes, for recursion (RFC 9012 §8); built when first asked."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = routes
        self._best: dict[Network, Route] = {}
        self._lengths: dict[int, list[int]] = {}

    def _build(self) -> None:
        lengths: dict[int, set[int]] = {4: set(), 6: set()}
        for route in self._routes:
            prefix = network(route.key.prefix)
            held = self._best.get(prefix)
            if held is None or rank(route) < rank(held):
                self._best[prefix] = route
            lengths[prefix.version].add(prefix.prefixlen)
        self._lengths = {version: sorted(found, reverse=True) for version, found in lengths.items()}

    def resolve(self, target: Address) -> Route | None:
        """The best route of the longest prefix that holds an address."""
        if not self._lengths:
            self._build()
        for length in self._lengths[target.version]:
            found = self._best.get(ip_network((target, length), strict=False))
            if found is not None:
                return found
        return None


def fold(
    routes: Collection[Route], policy: Policy, sources: Sequence[KeySource], memory: Memory | None = None
) -> Desired:
    """Derive the softwires that ought to exist.

    ``routes`` is the whole Adj-RIB-In, ``sources`` where keys are looked for, in order.
    """
    memory = memory or Memory()
    resolve = RouteTable(route for route in routes if admit_source(route, policy) is None).resolve
    decided = {route.key: memory.recall(route) or _decide(route, policy, resolve, sources) for route in routes}
    memory.replace(decided)
    decisions = dict(decided)
    for configured in policy.configured:
        decisions.update((decision.route.key, decision) for decision in _configured(configured, policy, sources))
    by_prefix: dict[Network, list[Decision]] = defaultdict(list)
    chosen: dict[SoftwireId, list[Decision]] = defaultdict(list)
    for decision in decisions.values():
        if decision.offer is not None:
            if decision.prefix is None:
                chosen[_identity(decision.offer, policy)].append(decision)
            else:
                by_prefix[decision.prefix].append(decision)
    for contenders in by_prefix.values():
        best = contenders[0] if len(contenders) == 1 else _best(contenders, decisions)
        if best.offer is not None:
            chosen[_identity(best.offer, policy)].append(best)
    return _assemble(chosen, decisions, policy)


def _best(contenders: Sequence[Decision], decisions: dict[RouteKey, Decision]) -> Decision:
    """The preferred of several routes to one prefix; the others are noted as such in ``decisions``.

    A route none of whose tunnels is feasible is not resolvable (RFC 9012 §7.1) and is none of them; one whose key is
    missing could carry nothing, so any other is preferred.
    """
    best = min(contenders, key=lambda decision: (not decision.keys, rank(decision.route)))
    why = Refusal(Rule.NOT_BEST, f"the route from {_origin(best.route)} is preferred (RFC 4271 §9.1.2)")
    for decision in contenders:
        if decision is not best:
            key = decision.route.key
            decisions[key] = replace(decision, refusals=(*decision.refusals, why), best=False)
    return best


def _decide(route: Route, policy: Policy, resolve: Resolve, sources: Sequence[KeySource]) -> Decision:
    prefix = network(route.key.prefix)
    refusal = admit_source(route, policy) or admit_prefix(prefix, policy)
    if refusal is not None:
        return Decision(route, prefix, None, refusals=(refusal,))
    selection = select(route, prefix, policy, resolve)
    settled = not selection.recursive
    pending: Decision | None = None
    for offer in selection.offers:
        keys = trusted_keys(offer, sources)
        decision = Decision(route, prefix, offer, keys, selection.refusals, settled=settled)
        if keys:
            return decision
        pending = pending or decision
    return pending or Decision(route, prefix, None, refusals=selection.refusals, settled=settled)


def _configured(configured: ConfiguredSoftwire, policy: Policy, sources: Sequence[KeySource]) -> Iterable[Decision]:
    """A decision for each destination of a configured softwire; one without destination where it has none."""
    offer = Offer(
        configured.type, configured.remote, configured.color, configured.authenticators, (), "the configuration"
    )
    keys = trusted_keys(offer, sources)
    why = policy.fabric.unable.get(configured.type)
    refusals = () if why is None else (Refusal(Rule.DATA_PLANE, f"{configured.type.label} cannot be had here: {why}"),)
    for prefix in configured.prefixes or (None,):
        yield Decision(as_route(configured, prefix), prefix, None if refusals else offer, keys, refusals, settled=False)


def _assemble(
    chosen: Mapping[SoftwireId, list[Decision]], decisions: Mapping[RouteKey, Decision], policy: Policy
) -> Desired:
    softwires: dict[SoftwireId, Softwire] = {}
    pending: dict[SoftwireId, Pending] = {}
    carried: dict[SoftwireId, tuple[RouteKey, ...]] = {}
    dropped: dict[SoftwireId, Refusal] = {}
    core, interfaces = Core(), Interfaces(policy.fabric)
    # First come, first served: a flood of newcomers must not push out a softwire that stands.
    order = sorted(chosen, key=lambda wire: (min(d.route.received_at for d in chosen[wire]), str(wire)))
    for wire in order:
        bearers = sorted(chosen[wire], key=lambda decision: decision.route.key.prefix)
        carried[wire] = tuple(decision.route.key for decision in bearers)
        keys = {key.authenticator: key for decision in bearers for key in decision.keys}
        prefixes, captured = _outside(core, [d.prefix for d in bearers if d.prefix is not None])
        interface = interfaces.give(wire)
        anything = policy.fabric.any_selectors and interface is not None and wire.type == TunnelType.IPSEC_TUNNEL
        pairs, wanted = _pairs(wire, prefixes, policy, anything=anything)
        refusal = (
            _unbuildable(wire, core, keys, bearers, policy, len(softwires))
            or (captured if not prefixes else None)
            or _unselectable(pairs)
            or (_indistinct(wire, softwires) if anything else None)
        )
        if refusal is not None:
            pending[wire] = Pending(wire, refusal, carried[wire])
            continue
        if captured is not None:
            dropped[wire] = captured
        elif wanted > len(pairs):
            dropped[wire] = Refusal(
                Rule.MAX_SELECTORS,
                f"{wanted} prefix pairs, of which admission.max_selectors lets {policy.max_selectors} through",
            )
        core.add(wire.remote, prefixes)
        softwires[wire] = Softwire(
            wire,
            Mode.TUNNEL if wire.type == TunnelType.IPSEC_TUNNEL else Mode.TRANSPORT,
            pairs,
            tuple(keys[digest] for digest in sorted(keys)),
            policy.protection.profile(wire),
            interface,
            tuple(prefixes),
        )
    stale = frozenset(wire for wire, bearers in chosen.items() if all(d.route.stale_since is not None for d in bearers))
    return Desired(softwires, pending, carried, stale, dropped, decisions)


def _outside(core: Core, prefixes: Sequence[Network]) -> tuple[list[Network], Refusal | None]:
    """The prefixes that hold no endpoint of another softwire, and why the first of the others is left out."""
    admitted: list[Network] = []
    captured: Refusal | None = None
    for prefix in prefixes:
        endpoint = core.endpoint_in(prefix)
        if endpoint is None:
            admitted.append(prefix)
        else:
            captured = captured or Refusal(
                Rule.CAPTURE, f"{prefix} would capture {endpoint}, the endpoint of an earlier softwire"
            )
    return admitted, captured


def _unbuildable(
    wire: SoftwireId,
    core: Core,
    keys: Mapping[bytes, PinnedKey],
    bearers: Sequence[Decision],
    policy: Policy,
    built: int,
) -> Refusal | None:
    if not keys:
        hashes = sorted({digest.hex() for d in bearers if d.offer is not None for digest in d.offer.authenticators})
        return Refusal(Rule.KEY, f"no key found for authenticator {', '.join(hashes)}; looked in trust.keys")
    if (over := core.destination_over(wire.remote)) is not None:
        return Refusal(Rule.CAPTURE, f"endpoint {wire.remote} lies within {over}, which an earlier softwire carries")
    if built >= policy.max_softwires:
        return Refusal(Rule.MAX_SOFTWIRES, f"admission.max_softwires is {policy.max_softwires}, and as many came first")
    return None


def _unselectable(pairs: Collection[SelectorPair]) -> Refusal | None:
    if pairs:
        return None
    return Refusal(Rule.SELECTORS, "we announce no prefix of the same family as any of its prefixes")


def _indistinct(wire: SoftwireId, softwires: Collection[SoftwireId]) -> Refusal | None:
    """Two that carry anything between the same endpoints are one to whoever answers."""
    for other in softwires:
        if (other.remote, other.type) == (wire.remote, wire.type):
            return Refusal(
                Rule.SELECTORS,
                "dataplane.selectors is any, so there is one softwire between two endpoints, and that has "
                f"{'no colour' if other.color is None else f'colour {other.color}'}",
            )
    return None


def _pairs(
    wire: SoftwireId, remotes: Sequence[Network], policy: Policy, *, anything: bool
) -> tuple[frozenset[SelectorPair], int]:
    """What a softwire carries, cut to what policy allows, and how many pairs there would be.

    Tunnel mode: each of our prefixes with each of theirs, one pair a CHILD SA; or ``anything`` of a family both sides
    have. Transport mode: the protocols of the encapsulation between the endpoints (RFC 5565 §13.3, RFC 4023 §8.1).
    Both ends come to the same pairs, each from what it announces and what it hears.
    """
    ours = Counter(local.version for local in policy.local_prefixes)
    both = {remote.version for remote in remotes} & ours.keys()
    if anything:
        pairs = frozenset(SelectorPair(_ANYTHING[version], _ANYTHING[version]) for version in both)
        return pairs, len(pairs)
    if wire.type == TunnelType.IPSEC_TUNNEL:
        wanted = sum(ours[remote.version] for remote in remotes)
        combined = (
            SelectorPair(Selector(local), Selector(remote))
            for remote in remotes
            for local in policy.local_prefixes
            if local.version == remote.version
        )
        return frozenset(islice(combined, policy.max_selectors)), wanted
    # Where others route into it, nobody but they knows which family it carries.
    carried = both if remotes else {4, 6}
    if wire.type in {TunnelType.GRE, TunnelType.L2TPV3}:
        protocols = {_PROTOCOL[wire.type]}
    else:
        protocols = {_PROTOCOL.get(wire.type, _IP_IN_IP[version]) for version in carried}
    near, far = network(str(wire.local)), network(str(wire.remote))
    pairs = frozenset(SelectorPair(Selector(near, number), Selector(far, number)) for number in protocols)
    return pairs, len(pairs)


def _identity(offer: Offer, policy: Policy) -> SoftwireId:
    return SoftwireId(policy.endpoint, offer.endpoint, offer.type, offer.color)


def _origin(route: Route) -> str:
    return f"{route.key.neighbor}, next hop {address(route.next_hop)}"
