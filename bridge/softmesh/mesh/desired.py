"""The fold: routes, policy and keys in, the softwires that ought to exist out.

A pure function of what is known now; nothing of how it came to be known. Every route ends in a decision, and every
decision says why.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.route import ENCAPSULATION, Route, RouteKey
from softmesh.mesh.admission import address, admit_host, admit_prefix, admit_source, network
from softmesh.mesh.agreement import advertised_by_all, agreed_credentials
from softmesh.mesh.arrivals import Arrivals, Claim
from softmesh.mesh.best_path import rank
from softmesh.mesh.capture import Core
from softmesh.mesh.configured import ConfiguredSoftwire, as_route
from softmesh.mesh.credential import Credential
from softmesh.mesh.decision import Decision
from softmesh.mesh.encapsulations import Encapsulations
from softmesh.mesh.interface import Interfaces
from softmesh.mesh.policy import Policy
from softmesh.mesh.refusal import Refusal, Rule
from softmesh.mesh.route_table import RouteTable
from softmesh.mesh.selection import Offer, Resolve, select
from softmesh.mesh.selector_pairs import selector_pairs
from softmesh.mesh.softwire import (
    Address,
    HostTraffic,
    Mode,
    Network,
    SelectorPair,
    Softwire,
    SoftwireId,
)
from softmesh.mesh.trust import KeySource, vouch
from softmesh.mesh.trust_policy import TrustPolicy

_MAX_TO_PEER = 16
"""Softwires to one endpoint: admission counts endpoints, and colours cost a peer nothing."""
_MAX_PAIRS_TO_PEER = 500
"""As many as one softwire may have. Softwires to one endpoint share connections and IKE_SAs, and of an IKE_SA charon
says nothing at all where it takes more than a VICI message (512 KiB): 760 octets a CHILD SA if addresses are long, and
some more are listed while they are rekeyed."""


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
    stale: Mapping[SoftwireId, float] = field(default_factory=dict)
    """Softwires all of whose routes come from lost sessions, and until when they are kept; monotonic seconds."""
    dropped: Mapping[SoftwireId, Refusal] = field(default_factory=dict)
    """Softwires that do not carry all they should, and why."""
    decisions: Mapping[RouteKey, Decision] = field(default_factory=dict)
    wake_at: float | None = None
    """When an endpoint that has to wait may come in, or the time of a stale route is up; monotonic seconds."""


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


def fold(
    routes: Collection[Route],
    policy: Policy,
    sources: Sequence[KeySource],
    memory: Memory | None = None,
    arrivals: Arrivals | None = None,
    now: float = 0.0,
    *,
    complete: bool = True,
) -> Desired:
    """Derive the softwires that ought to exist.

    ``routes`` is the whole Adj-RIB-In, ``sources`` where keys are looked for, in order; ``arrivals`` what is remembered
    of endpoints, from one fold to the next; ``now`` in monotonic seconds; ``complete``: whether what is not among the
    routes has gone, or may not have been heard yet.
    """
    memory, arrivals = memory or Memory(), arrivals or Arrivals(0.0)
    decided = _decided(routes, policy, sources, memory, arrivals, now)
    memory.replace(decided)
    decided, kept_until = _kept(decided, policy, now)
    decisions, admitted_at = _judged(decided, policy, arrivals, now, complete=complete)
    for configured in policy.configured:
        decisions.update((decision.route.key, decision) for decision in _configured(configured, policy, sources))
    by_prefix: dict[Network, list[Decision]] = defaultdict(list)
    chosen: dict[SoftwireId, list[Decision]] = defaultdict(list)
    transmitting: list[Decision] = []
    for decision in decisions.values():
        if decision.offer is not None:
            if decision.offer.type == TunnelType.TRANSMIT_TUNNEL_ENDPOINT:
                transmitting.append(decision)
            elif decision.route.key.family in ENCAPSULATION:
                # It carries nothing itself, and has had its say on who owns the endpoint.
                continue
            elif decision.prefix is None:
                chosen[_identity(decision.offer, policy)].append(decision)
            else:
                by_prefix[decision.prefix].append(decision)
    for contenders in by_prefix.values():
        best = contenders[0] if len(contenders) == 1 else _best(contenders, decisions)
        if best.offer is not None:
            chosen[_identity(best.offer, policy)].append(best)
    answering = _answering(transmitting, chosen, policy)
    answered = {decision.route.key for decisions_of in answering.values() for decision in decisions_of}
    for decision in transmitting:
        if decision.route.key not in answered:
            why = Refusal(Rule.TUNNEL, "the peer only transmits there, and we announce it no tunnel to transmit into")
            decisions[decision.route.key] = replace(decision, offer=None, refusals=(why, *decision.refusals))
    bearing = {**chosen, **answering}
    received = {wire: min(d.route.received_at for d in bearers) for wire, bearers in bearing.items()}
    since = arrivals.since(received, complete=complete)
    wakes = [*kept_until.values()] if admitted_at is None else [*kept_until.values(), admitted_at]
    desired = _assemble(bearing, decisions, policy, frozenset(answering), since)
    return replace(desired, stale=_stale(bearing, kept_until), wake_at=min(wakes, default=None))


def _decided(
    routes: Collection[Route],
    policy: Policy,
    sources: Sequence[KeySource],
    memory: Memory,
    arrivals: Arrivals,
    now: float,
) -> dict[RouteKey, Decision]:
    """A decision on each route: on those of the Encapsulation SAFI first, whose tunnels the others may take."""

    def counts(route: Route) -> bool:
        return admit_source(route, policy) is None and not _forgotten(route, policy, now)

    def decide(route: Route, resolve: Resolve) -> Decision:
        return memory.recall(route) or _decide(route, policy, resolve, sources)

    def resolve(target: Address) -> Route | None:
        return encapsulations.find(target) or table.resolve(target)

    table = RouteTable(route for route in routes if route.key.family not in ENCAPSULATION and counts(route))
    decided = {r.key: decide(r, table.resolve) for r in routes if r.key.family in ENCAPSULATION}
    usable = (decision.route for decision in decided.values() if decision.offer is not None and counts(decision.route))
    encapsulations = Encapsulations(usable, arrivals.owner)
    decided.update((r.key, decide(r, resolve)) for r in routes if r.key.family not in ENCAPSULATION)
    return decided


def _forgotten(route: Route, policy: Policy, now: float) -> bool:
    """Whether a route has been stale for too long to lead to another one's tunnel."""
    return route.stale_since is not None and now >= route.stale_since + policy.stale_times.of(address(route.next_hop))


def _kept(
    decided: Mapping[RouteKey, Decision], policy: Policy, now: float
) -> tuple[dict[RouteKey, Decision], dict[RouteKey, float]]:
    """The decisions without those whose route has been stale for too long, and until when other stale ones are kept."""
    decisions = dict(decided)
    kept_until: dict[RouteKey, float] = {}
    for key, decision in decided.items():
        since = _stale_since(decision)
        if since is None or decision.offer is None:
            continue
        endpoint = decision.offer.endpoint
        limit = policy.stale_times.of(endpoint)
        if now < since + limit:
            kept_until[key] = since + limit
        else:
            why = Refusal(Rule.STALE, f"its session was lost more than {limit:g} s ago, the stale_time of {endpoint}")
            decisions[key] = replace(decision, offer=None, credentials=(), refusals=(why, *decision.refusals))
    return decisions, kept_until


def _stale_since(decision: Decision) -> float | None:
    """Since when a decision rests on a lost session: the route's own, or that of the route with the tunnel."""
    claim = None if decision.offer is None else decision.offer.claim
    carrier = None if claim is None else claim.stale_since
    route = decision.route.stale_since
    return route if carrier is None or (route is not None and route < carrier) else carrier


def _stale(
    bearing: Mapping[SoftwireId, Sequence[Decision]], kept_until: Mapping[RouteKey, float]
) -> Mapping[SoftwireId, float]:
    """The softwires that no route of a standing session asks for, and until when they are kept."""
    return {
        wire: max(kept_until[decision.route.key] for decision in bearers)
        for wire, bearers in bearing.items()
        if all(decision.route.key in kept_until for decision in bearers)
    }


def _judged(
    decided: Mapping[RouteKey, Decision], policy: Policy, arrivals: Arrivals, now: float, *, complete: bool
) -> tuple[dict[RouteKey, Decision], float | None]:
    """The decisions without those towards endpoints that others own, or that come too fast or too often."""
    claims: dict[Address, list[Claim]] = defaultdict(list)
    for decision in decided.values():
        if decision.offer is not None and decision.offer.claim is not None:
            claims[decision.offer.endpoint].append(decision.offer.claim)
    judgement = arrivals.judge(
        claims, now, max_arrivals=policy.max_arrivals, dampening=policy.dampening, complete=complete
    )
    decisions = dict(decided)
    for key, decision in decided.items():
        if decision.offer is None or decision.offer.claim is None:
            continue
        why = judgement.refusal(decision.offer.endpoint, decision.offer.claim.announcer)
        if why is not None:
            decisions[key] = replace(decision, offer=None, credentials=(), refusals=(why, *decision.refusals))
    return decisions, judgement.wake_at


def _answering(
    transmitting: Iterable[Decision], chosen: Collection[SoftwireId], policy: Policy
) -> dict[SoftwireId, list[Decision]]:
    """Softwires that peers which only transmit may set up: one for each tunnel that we announce (RFC 5566 §4.1)."""
    answering: dict[SoftwireId, list[Decision]] = defaultdict(list)
    for decision in transmitting:
        # Towards one that also receives there is a softwire already, which is for the prefixes it receives for.
        for kind, color in policy.announced:
            if decision.offer is not None and kind not in policy.fabric.unable:
                wire = SoftwireId(policy.endpoint, decision.offer.endpoint, kind, color)
                if kind != TunnelType.TRANSMIT_TUNNEL_ENDPOINT and wire not in chosen:
                    answering[wire].append(decision)
    return answering


def _best(contenders: Sequence[Decision], decisions: dict[RouteKey, Decision]) -> Decision:
    """The preferred of several routes to one prefix; the others are noted as such in ``decisions``.

    A route none of whose tunnels is feasible is not resolvable (RFC 9012 §7.1) and is none of them; one whose key is
    missing could carry nothing, so any other is preferred.
    """
    best = min(contenders, key=lambda decision: (not decision.credentials, rank(decision.route)))
    why = Refusal(Rule.NOT_BEST, f"the route from {_origin(best.route)} is preferred (RFC 4271 §9.1.2)")
    for decision in contenders:
        if decision is not best:
            key = decision.route.key
            decisions[key] = replace(decision, refusals=(*decision.refusals, why), best=False)
    return best


def _decide(route: Route, policy: Policy, resolve: Resolve, sources: Sequence[KeySource]) -> Decision:
    nlri = network(route.key.prefix)
    encapsulation = route.key.family in ENCAPSULATION
    prefix = None if encapsulation else nlri
    refusal = admit_source(route, policy) or (admit_host(nlri) if encapsulation else admit_prefix(nlri, policy))
    if refusal is not None:
        return Decision(route, prefix, None, refusals=(refusal,))
    selection = select(route, prefix, policy, resolve)
    settled = not selection.recursive
    pending: Decision | None = None
    for offer in selection.offers or selection.transmitters:
        credentials, lacking = vouch(offer, policy.endpoint, policy.trust_of(offer.endpoint), sources)
        decision = Decision(route, prefix, offer, credentials, lacking, selection.refusals, settled=settled)
        if credentials:
            return decision
        pending = pending or decision
    return pending or Decision(route, prefix, None, refusals=selection.refusals, settled=settled)


def _configured(configured: ConfiguredSoftwire, policy: Policy, sources: Sequence[KeySource]) -> Iterable[Decision]:
    """A decision for each destination of a configured softwire; one without destination where it has none."""
    offer = Offer(
        configured.type,
        configured.remote,
        configured.color,
        configured.authenticators,
        (),
        "the configuration",
        local=configured.local,
    )
    # A BGP neighbour need be no member of the mesh: of its keys the configuration has the hashes, whatever the mode.
    trust = TrustPolicy() if isinstance(configured.type, HostTraffic) else policy.trust_of(offer.endpoint)
    credentials, lacking = vouch(offer, policy.endpoint, trust, sources)
    why = policy.fabric.unable.get(configured.type)
    refusals = () if why is None else (Refusal(Rule.DATA_PLANE, f"{configured.type.label} cannot be had here: {why}"),)
    for prefix in configured.prefixes or (None,):
        route = as_route(configured, prefix)
        yield Decision(route, prefix, None if refusals else offer, credentials, lacking, refusals, settled=False)


def _assemble(
    chosen: Mapping[SoftwireId, list[Decision]],
    decisions: Mapping[RouteKey, Decision],
    policy: Policy,
    answering: Collection[SoftwireId],
    since: Mapping[SoftwireId, float],
) -> Desired:
    softwires: dict[SoftwireId, Softwire] = {}
    pending: dict[SoftwireId, Pending] = {}
    carried: dict[SoftwireId, tuple[RouteKey, ...]] = {}
    dropped: dict[SoftwireId, Refusal] = {}
    core, interfaces = Core(), Interfaces(policy.fabric)
    sessions = sum(isinstance(wire.type, HostTraffic) for wire in chosen)
    to_peer: Counter[Address] = Counter()
    pairs_to_peer: Counter[Address] = Counter()
    # First come, first served: a flood of newcomers must not push out a softwire that stands.
    order = sorted(chosen, key=lambda wire: (since[wire], str(wire)))
    advertised = advertised_by_all(decision for bearers in chosen.values() for decision in bearers)
    for wire in order:
        bearers = sorted(chosen[wire], key=_in_order)
        carried[wire] = tuple(decision.route.key for decision in bearers)
        credentials, disputed = agreed_credentials(bearers, advertised)
        prefixes, captured = _outside(core, [d.prefix for d in bearers if d.prefix is not None])
        interface = interfaces.give(wire)
        anything = policy.fabric.any_selectors and interface is not None and wire.type == TunnelType.IPSEC_TUNNEL
        room = min(policy.max_selectors, _MAX_PAIRS_TO_PEER - pairs_to_peer[wire.remote])
        pairs, wanted = selector_pairs(wire, prefixes, policy, room, anything=anything)
        refusal = (
            disputed
            or _unbuildable(wire, core, credentials, bearers, policy, len(softwires) - sessions, to_peer[wire.remote])
            or (captured if not prefixes else None)
            or _unselectable(pairs, wanted, wire)
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
                f"{wanted} prefix pairs, of which {len(pairs)} are let through: admission.max_selectors is "
                f"{policy.max_selectors}, and softwires to one endpoint share {_MAX_PAIRS_TO_PEER}",
            )
        core.add(wire.remote, prefixes)
        to_peer[wire.remote] += 1
        pairs_to_peer[wire.remote] += len(pairs)
        softwires[wire] = Softwire(
            wire,
            Mode.TUNNEL if wire.type == TunnelType.IPSEC_TUNNEL else Mode.TRANSPORT,
            pairs,
            credentials,
            policy.protection.profile(wire),
            interface,
            tuple(prefixes),
            may_initiate=wire not in answering,
        )
    return Desired(softwires, pending, carried, dropped=dropped, decisions=decisions)


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
    credentials: Collection[Credential],
    bearers: Sequence[Decision],
    policy: Policy,
    built: int,
    to_peer: int,
) -> Refusal | None:
    if not credentials and (lacking := next((d.lacking for d in bearers if d.lacking is not None), None)) is not None:
        return lacking
    if (over := core.destination_over(wire.remote)) is not None:
        return Refusal(Rule.CAPTURE, f"endpoint {wire.remote} lies within {over}, which an earlier softwire carries")
    if to_peer >= _MAX_TO_PEER:
        return Refusal(Rule.MAX_SOFTWIRES, f"{_MAX_TO_PEER} softwires to {wire.remote} came first, which is the most")
    if built >= policy.max_softwires:
        return Refusal(Rule.MAX_SOFTWIRES, f"admission.max_softwires is {policy.max_softwires}, and as many came first")
    return None


def _unselectable(pairs: Collection[SelectorPair], wanted: int, wire: SoftwireId) -> Refusal | None:
    if pairs:
        return None
    if wanted:
        return Refusal(
            Rule.MAX_SELECTORS,
            f"earlier softwires to {wire.remote} have the {_MAX_PAIRS_TO_PEER} prefix pairs that are the most to one",
        )
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


def _identity(offer: Offer, policy: Policy) -> SoftwireId:
    return SoftwireId(offer.local or policy.endpoint, offer.endpoint, offer.type, offer.color)


def _in_order(decision: Decision) -> tuple[bool, str]:
    """Whom a softwire serves first, where there is no room for all: not those that others lead into it."""
    recursing = decision.offer is not None and decision.offer.claim is not None and not decision.settled
    return recursing, decision.route.key.prefix


def _origin(route: Route) -> str:
    return f"{route.key.neighbor}, next hop {address(route.next_hop)}"
