"""The configuration as the parts of the bridge want it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_network

from softmesh.bgp.announcement import Announcement
from softmesh.bgp.extended_communities import ColorCommunity, EncapsulationCommunity, attribute_digest
from softmesh.bgp.sub_tlv import Authenticator, Certificate, Color, EgressEndpoint, PublicKey, SubTlv
from softmesh.bgp.tunnel_encapsulation import Tunnel, encode
from softmesh.config import Config
from softmesh.config.values import (
    IKE_PROPOSALS,
    IKE_PROPOSALS_WITH_ML_KEM,
    AnnouncedTunnel,
    AnnouncementCarrier,
    Guards,
    SessionProtection,
)
from softmesh.control.progress import Pace
from softmesh.dataplane.guard import Guard
from softmesh.mesh.configured import ConfiguredSoftwire
from softmesh.mesh.identity import Identity
from softmesh.mesh.policy import Dampening, Fabric, LevelRule, Policy, Protection, StaleTimes
from softmesh.mesh.softwire import Address, HostTraffic, Level, Network, Profile
from softmesh.mesh.trust_policy import TrustGroup, TrustPolicy


def policy_of(
    config: Config,
    *,
    announcing: bool,
    trust: TrustPolicy | None = None,
    trust_groups: Sequence[TrustGroup] = (),
    unprotected: Mapping[str, str] | None = None,
    fabric: Fabric | None = None,
    ml_kem: bool = False,
) -> Policy:
    """The mesh's view; ``announcing`` is False after ``softmesh withdraw``, when we carry nothing.

    ``trust`` and ``trust_groups`` are what the files of the configuration say (TrustFiles); without them a peer needs
    an authenticator and its key. ``unprotected``: BGP neighbours whose routes do not count, each with the reason.
    ``fabric`` and ``ml_kem`` are what this machine and its charon can.
    """
    dampening = config.admission.dampening
    neighbors = [neighbor.address for neighbor in config.bgp.neighbors]
    return Policy(
        endpoint=config.endpoint,
        router_id=None if config.bgp.router_id is None else str(config.bgp.router_id),
        asn=config.bgp.asn,
        local_prefixes=tuple(config.announce.prefixes) if announcing else (),
        neighbors=frozenset(str(address) for address in config.admitted_neighbors),
        families=frozenset(config.bgp.families),
        endpoints=tuple(config.admission.endpoints),
        prefixes=tuple(config.admission.prefixes),
        origin_as=None if config.admission.origin_as is None else frozenset(config.admission.origin_as),
        max_softwires=config.admission.max_softwires,
        max_selectors=config.admission.max_selectors,
        tunnel_types=tuple(config.select.tunnels),
        colors=None if config.select.colors is None else frozenset(config.select.colors),
        outside=frozenset({config.endpoint, config.local_address, *neighbors}),
        protection=_protection(config, ml_kem=ml_kem),
        fabric=fabric or Fabric(),
        configured=(
            *(
                ConfiguredSoftwire(wire.remote, wire.tunnel, wire.authenticators, wire.prefixes, wire.color)
                for wire in config.softwires
            ),
            *(
                ConfiguredSoftwire(each.address, HostTraffic.BGP, each.authenticators, local=config.local_address)
                for each in config.bgp.neighbors
                if each.protection is SessionProtection.IPSEC
            ),
        ),
        announced=tuple((tunnel.type, tunnel.color) for tunnel in config.announce.tunnels) if announcing else (),
        trust=trust or TrustPolicy(),
        trust_groups=tuple(trust_groups),
        external=frozenset(str(each.address) for each in config.bgp.neighbors if config.is_external(each)),
        unprotected=dict(unprotected or {}),
        max_arrivals=config.admission.max_arrivals,
        dampening=None if dampening is None else Dampening(dampening.flaps, dampening.half_life),
        stale_times=stale_times_of(config),
    )


def stale_times_of(config: Config) -> StaleTimes:
    """How long routes of lost sessions keep softwires."""
    groups = ((group.endpoints, group.stale_time) for group in config.groups)
    return StaleTimes(
        config.bgp.stale_time, tuple((networks, seconds) for networks, seconds in groups if seconds is not None)
    )


def _protection(config: Config, *, ml_kem: bool) -> Protection:
    charon = config.charon
    ike = charon.ike_proposals or (IKE_PROPOSALS_WITH_ML_KEM if ml_kem else IKE_PROPOSALS)
    proposals = {
        Level.ENCRYPT: charon.esp_proposals,
        Level.INTEGRITY: charon.integrity_proposals,
        Level.AH: charon.ah_proposals,
    }
    groups = {group.name: group.endpoints for group in config.groups}
    rules = (
        LevelRule(
            rule.level,
            None if rule.groups is None else tuple(network for name in rule.groups for network in groups[name]),
            None if rule.colors is None else frozenset(rule.colors),
            None if rule.tunnels is None else frozenset(rule.tunnels),
        )
        for rule in config.protection.rules
    )
    profiles = {level: Profile(level, ike, offered) for level, offered in proposals.items()}
    return Protection(config.protection.default, tuple(rules), profiles)


def guard_of(config: Config, policy: Policy) -> Guard:
    """What the guards keep to, whatever the softwires."""
    return Guard(
        endpoint=config.endpoint,
        endpoints=(*policy.endpoints, *(ip_network(wire.remote) for wire in config.softwires)),
        local_prefixes=tuple(config.announce.prefixes),
        outside=policy.outside,
        core_devices=frozenset(config.dataplane.core_devices),
        under_ipsec=frozenset(
            each.address for each in config.bgp.neighbors if each.protection is SessionProtection.IPSEC
        ),
        near=frozenset(each.address for each in config.bgp.neighbors if each.gtsm),
        admitted_only=config.dataplane.admitted_only,
    )


def blackholes_of(config: Config) -> frozenset[Network]:
    """Destinations that go nowhere but into softwires, or wherever a better route says.

    Not a default route: whatever has no route of its own would be cut off, the core above all.
    """
    if config.dataplane.guards is Guards.NONE:
        return frozenset()
    return frozenset(prefix for prefix in config.admission.prefixes if prefix.prefixlen > 0)


def pace_of(config: Config) -> Pace:
    """How eagerly SAs are set up."""
    charon = config.charon
    return Pace(
        retry_initial=charon.retry_initial,
        retry_max=charon.retry_max,
        takeover=charon.takeover,
        max_half_open=charon.max_half_open,
    )


def announcements_of(config: Config, own: Sequence[Identity], *, announcing: bool) -> frozenset[Announcement]:
    """What we announce: each prefix with all our tunnels (RFC 9012 §6: attribute 23 on the route itself).

    Or our endpoint with them, in the Encapsulation SAFI (RFC 5512 §3), or both, as the configuration says.
    ``own``: all our keys. Every tunnel has the hash of each (RFC 5566 §4: any of them), unless we announce none.
    """
    if not announcing:
        return frozenset()
    tunnels = [_tunnel(tunnel, config, own) for tunnel in config.announce.tunnels]
    # RFC 9012 §11: out of our administration goes nothing, either.
    internal = frozenset(str(each.address) for each in config.bgp.neighbors if not config.is_external(each))
    announcements = set()
    for prefix in config.announce.prefixes:
        if config.carrier is AnnouncementCarrier.ENCAPSULATION_SAFI:
            colors = _colors(tunnels)
            announcement = Announcement(str(prefix), str(config.endpoint), None, colors, neighbors=internal)
        else:
            announcement = _announcement(prefix, config.endpoint, tunnels, internal)
        announcements.add(announcement)
    if config.carrier is not AnnouncementCarrier.ROUTE:
        # RFC 5512 §3: the NLRI says where they end.
        ending = [replace(tunnel, sub_tlvs=_without_endpoint(tunnel)) for tunnel in tunnels]
        host = _announcement(ip_network(config.endpoint), config.endpoint, ending, internal)
        announcements.add(replace(host, encapsulation=True))
    return frozenset(announcements)


def _announcement(
    prefix: Network, next_hop: Address, tunnels: Sequence[Tunnel], neighbors: frozenset[str]
) -> Announcement:
    # RFC 9012 §4.1: a TLV that says nothing but that the endpoint is the next hop must travel as a community. Beside a
    # TLV of its type that would be taken for the same tunnel, so there it travels as both.
    more = {tunnel.type for tunnel in tunnels if _without_endpoint(tunnel)}
    value = encode(tunnel for tunnel in tunnels if tunnel.type in more)
    named = tuple(dict.fromkeys(int(EncapsulationCommunity(tunnel.type)) for tunnel in tunnels))
    # Where we have authenticators, peers that insist on one would be offered a tunnel without.
    communities = () if any(tunnel.authenticators for tunnel in tunnels) else named
    return Announcement(
        str(prefix),
        str(next_hop),
        value or None,
        (*communities, int(attribute_digest(value))) if value else communities,
        neighbors=neighbors,
        fallback_communities=named,
    )


def _without_endpoint(tunnel: Tunnel) -> tuple[SubTlv, ...]:
    return tuple(sub_tlv for sub_tlv in tunnel.sub_tlvs if not isinstance(sub_tlv, EgressEndpoint))


def _colors(tunnels: Sequence[Tunnel]) -> tuple[int, ...]:
    """What makes routes ask for the coloured tunnels, where there are no others (RFC 5512 §4.4)."""
    colors = [tunnel.color for tunnel in tunnels]
    return tuple(
        int(ColorCommunity(color)) for color in dict.fromkeys(colors) if color is not None and None not in colors
    )


def _tunnel(announced: AnnouncedTunnel, config: Config, own: Sequence[Identity]) -> Tunnel:
    # RFC 9012 §3.1: without an egress endpoint the TLV would be stripped on the way.
    sub_tlvs: list[SubTlv] = [EgressEndpoint(config.endpoint)]
    if announced.color is not None:
        sub_tlvs.append(Color(announced.color))
    for identity in own if config.announces_authenticator else ():
        sub_tlvs.append(Authenticator(identity.authenticator))
        if config.announce.public_key:
            sub_tlvs.append(PublicKey(identity.spki))
        if config.announce.certificate and identity.certificate is not None:
            sub_tlvs.append(Certificate(identity.certificate))
    return Tunnel(announced.type, tuple(sub_tlvs))
