"""Which tunnel a route is to take: the offers of RFC 9012 and the choice among them (§6 to §8).

An offer is a tunnel some UPDATE advertises for a destination. Where the route itself carries attribute 23 or the
Encapsulation extended community, those are its offers (§6, §4.1). Where it carries neither, they are those of the best
route to its next hop (§8), and so on until a route offers something or nothing leads further. Of a next hop that the
Encapsulation SAFI speaks of (RFC 5512 §3) that is the best route: a host route, and about nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from softmesh.bgp.carriage import Seen, seen_in
from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.extended_communities import colors_from, tunnels_from
from softmesh.bgp.route import ENCAPSULATION, Family, Route
from softmesh.bgp.tunnel_encapsulation import (
    AttributeVerdict,
    Carrier,
    Tunnel,
    TunnelEncapsulation,
    TunnelVerdict,
    decode_repeated,
)
from softmesh.mesh.admission import address, admit_endpoint
from softmesh.mesh.arrivals import Claim, announcer
from softmesh.mesh.encapsulations import endpoint_of
from softmesh.mesh.policy import Policy
from softmesh.mesh.refusal import Refusal, Rule
from softmesh.mesh.softwire import Address, Network, SoftwireType
from softmesh.mesh.trust_policy import TrustMode

Resolve: TypeAlias = Callable[[Address], Route | None]
"""Finds the route that says how an address is reached, or None."""

_ETHERTYPE = {Family.IPV4_UNICAST: 0x0800, Family.IPV6_UNICAST: 0x86DD}
_MPLS_ETHERTYPE = 0x8847
_MAX_HOPS = 8
"""Routes from next hop to next hop until one has a tunnel (RFC 9012 §8 sets no bound, and peers make the chain)."""
_MAX_AUTHENTICATORS = 8
"""Of one tunnel. Each may become a connection for each key of ours; a rollover needs two."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A tunnel offered for a destination."""

    type: SoftwireType
    endpoint: Address
    color: int | None
    authenticators: tuple[bytes, ...]
    public_keys: tuple[bytes, ...]
    """SubjectPublicKeyInfo of sub-TLV 126: a claim, not yet held against the authenticators."""
    carried_by: str
    """Which UPDATE said so, for people."""
    certificates: tuple[bytes, ...] = ()
    """DER certificates of sub-TLV 254, as little proven."""
    claim: Claim | None = None
    """Who says that it can be reached at the endpoint, and since when; None: the configuration."""
    local: Address | None = None
    """Our end; None is our endpoint."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What a route may use: feasible offers, best first, and why the others are not."""

    offers: tuple[Offer, ...]
    transmitters: tuple[Offer, ...]
    """What says that the peer only transmits (RFC 5566 §4.1, tunnel type 3): it sends to us, we do not to it."""
    refusals: tuple[Refusal, ...]
    recursive: bool
    """Whether other routes had a say (RFC 9012 §8)."""


def select(route: Route, prefix: Network | None, policy: Policy, resolve: Resolve) -> Selection:
    """Find the tunnels feasible for a route's traffic, in the order policy prefers.

    ``prefix``: the route's destination; None for one of the Encapsulation SAFI, which has none.
    """
    refusals: list[Refusal] = []
    feasible: list[Offer] = []
    offers, recursive = offers_for(route, resolve, refusals)
    for offer in offers:
        refusal = _infeasible(offer, policy) or admit_endpoint(offer.endpoint, prefix, policy)
        if refusal is None:
            feasible.append(offer)
        elif refusal.rule is Rule.AUTHENTICATOR and not offer.authenticators:
            refusals.append(replace(refusal, detail=refusal.detail + _lost(route)))
        else:
            refusals.append(refusal)
    transmitters = tuple(offer for offer in feasible if offer.type == TunnelType.TRANSMIT_TUNNEL_ENDPOINT)
    feasible = [offer for offer in feasible if offer not in transmitters]
    # The order of TLVs means nothing (RFC 9012 §6); ours keeps the choice the same on every pass.
    feasible.sort(key=lambda offer: policy.tunnel_types.index(offer.type))
    return Selection(tuple(feasible), transmitters, tuple(refusals), recursive)


def announced(route: Route) -> TunnelEncapsulation:
    """The tunnels that a route itself speaks of, in attribute 23 or by community, each with its verdict."""
    value, communities = route.attributes.tunnel_encapsulation, route.attributes.extended_communities
    if value is None:
        return TunnelEncapsulation(tunnels_from(communities))
    encapsulation = route.key.family in ENCAPSULATION
    decoded = decode_repeated(value, Carrier.ENCAPSULATION if encapsulation else Carrier.UNICAST)
    if decoded.verdict is AttributeVerdict.TREAT_AS_WITHDRAW:
        return decoded
    next_hop = endpoint_of(route) if encapsulation else address(route.next_hop)
    named = tunnels_from(communities, decoded.tunnels, next_hop)
    return replace(decoded, tunnels=decoded.tunnels + named) if named else decoded


def offers_for(route: Route, resolve: Resolve, refusals: list[Refusal]) -> tuple[list[Offer], bool]:
    """The offers for a route, and whether recursion was needed; what is not an offer lands in ``refusals``."""
    wanted_colors = colors_from(route.attributes.extended_communities)
    carrier, seen = route, {route.key}
    while True:
        advertised, offers = _advertised(carrier, route.key.family, refusals)
        if advertised or carrier.key.family in ENCAPSULATION:
            break
        # RFC 9012 §8: the best route to the next hop, whose own next hop may need resolving again.
        via = resolve(address(carrier.next_hop))
        if via is None or via.key in seen or len(seen) > _MAX_HOPS:
            refusals.append(
                Refusal(
                    Rule.NO_TUNNEL,
                    f"neither attribute 23 nor community 0x030c on the route, and no route to next hop "
                    f"{carrier.next_hop} has one (RFC 9012 §8){_lost(route)}",
                )
            )
            return [], True
        seen.add(via.key)
        carrier = via
    if not advertised:
        refusals.append(Refusal(Rule.NO_TUNNEL, "neither attribute 23 nor community 0x030c beside the endpoint"))
    if carrier is route:
        return [_offer(tunnel, carrier, tunnel.color, "the route itself") for tunnel in offers], False
    # RFC 9012 §8: a coloured tunnel is for routes of its colour. RFC 5512 §4.4: a coloured route is for tunnels of its.
    by_tunnel = carrier.key.family not in ENCAPSULATION
    recursed = []
    for tunnel in offers:
        color = next((color for color in tunnel.colors if color in wanted_colors), None)
        if color is None and (tunnel.colors if by_tunnel else wanted_colors):
            refusals.append(
                Refusal(
                    Rule.TUNNEL,
                    f"{tunnel.name} of {carrier.key.prefix} has colour {_listed(tunnel.colors) or 'none'}, the route "
                    f"has {_listed(sorted(wanted_colors)) or 'none'} "
                    f"({'RFC 9012 §8' if by_tunnel else 'RFC 5512 §4.4'})",
                )
            )
        else:
            where = f"the route to its next hop, {carrier.key.prefix}{'' if by_tunnel else ' (SAFI 7)'}"
            recursed.append(_offer(tunnel, carrier, tunnel.color if color is None else color, where))
    return recursed, True


def _advertised(carrier: Route, family: Family, refusals: list[Refusal]) -> tuple[bool, list[Tunnel]]:
    """Whether a route says anything of tunnels, and those of them that stand up to RFC 9012 §13."""
    said = announced(carrier)
    if said.verdict is AttributeVerdict.TREAT_AS_WITHDRAW:
        refusals.append(Refusal(Rule.WITHDRAWN, f"attribute 23: {said.reason} ({said.section})"))
        return True, []
    tunnels: list[Tunnel] = []
    for tunnel in said.tunnels:
        if tunnel.verdict not in {TunnelVerdict.USABLE, TunnelVerdict.TRANSMIT_ONLY}:
            refusals.append(Refusal(Rule.TUNNEL, f"{tunnel.name}: {tunnel.reason} ({tunnel.section})"))
        elif carrier.key.family in ENCAPSULATION and tunnel.egress_endpoint not in {None, endpoint_of(carrier)}:
            refusals.append(
                Refusal(
                    Rule.ENDPOINT, f"{tunnel.name} of {carrier.key.prefix} ends at {tunnel.egress_endpoint} instead"
                )
            )
        elif tunnel.protocols and family not in ENCAPSULATION and not _carries(tunnel, family):
            refusals.append(
                Refusal(Rule.TUNNEL, f"{tunnel.name} does not carry {family} (protocol type, RFC 9012 §3.4.1)")
            )
        else:
            tunnels.append(tunnel)
    return bool(said.tunnels) or carrier.attributes.tunnel_encapsulation is not None, tunnels


def _lost(route: Route) -> str:
    """What to add where a route lacks what it had when it was sent."""
    if seen_in(route.attributes) is not Seen.STRIPPED:
        return ""
    return f"; the announcement had attribute 23 when it was sent: {route.key.neighbor} stripped it"


def _carries(tunnel: Tunnel, family: Family) -> bool:
    payload = _MPLS_ETHERTYPE if tunnel.type == TunnelType.MPLS_IN_IP_IPSEC_TRANSPORT else _ETHERTYPE[family]
    return payload in tunnel.protocols


def _offer(tunnel: Tunnel, carrier: Route, color: int | None, where: str) -> Offer:
    # RFC 9012 §3.1: an endpoint of address family 0, and every community (§4.1), means the next hop.
    encapsulation = carrier.key.family in ENCAPSULATION
    endpoint = tunnel.egress_endpoint or (endpoint_of(carrier) if encapsulation else address(carrier.next_hop))
    return Offer(
        TunnelType(tunnel.type),
        endpoint,
        color,
        tunnel.authenticators,
        tunnel.public_keys,
        f"{where}, from {carrier.key.neighbor}",
        tunnel.certificates,
        Claim(announcer(carrier), carrier.received_at, carrier.stale_since),
    )


def _infeasible(offer: Offer, policy: Policy) -> Refusal | None:
    if offer.type not in (*policy.tunnel_types, TunnelType.TRANSMIT_TUNNEL_ENDPOINT):
        return Refusal(Rule.TUNNEL, f"{offer.type.label} is not in select.tunnels")
    if (why := policy.fabric.unable.get(offer.type)) is not None:
        return Refusal(Rule.DATA_PLANE, f"{offer.type.label} cannot be had here: {why}")
    if policy.colors is not None and offer.color is not None and offer.color not in policy.colors:
        return Refusal(Rule.TUNNEL, f"colour {offer.color} is not in select.colors")
    mode = policy.trust_of(offer.endpoint).mode
    # RFC 5566 §4.1 with RFC 5619 §4.4.2: without a PKI, no authenticator means no security association.
    if not offer.authenticators and mode in {TrustMode.PINNED, TrustMode.PINNED_PKI}:
        return Refusal(
            Rule.AUTHENTICATOR,
            f"{offer.endpoint} advertises {offer.type.label} without an authenticator, "
            f"which trust mode {mode} requires (RFC 5619 §4.4.2)",
        )
    if (number := len(set(offer.authenticators))) > _MAX_AUTHENTICATORS:
        return Refusal(
            Rule.AUTHENTICATOR,
            f"{offer.endpoint} advertises {number} authenticators, {_MAX_AUTHENTICATORS} are allowed",
        )
    if offer.authenticators and mode is TrustMode.GROUP_PSK:
        return Refusal(
            Rule.AUTHENTICATOR,
            f"{offer.endpoint} advertises an authenticator, which a group key cannot hold it to (RFC 5566 §4.1); "
            "set announce.authenticator: false there",
        )
    return None


def _listed(colors: tuple[int, ...] | list[int]) -> str:
    return ", ".join(map(str, colors))
