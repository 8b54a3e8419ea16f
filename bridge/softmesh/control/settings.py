"""The configuration as the parts of the bridge want it. Pure."""

from __future__ import annotations

from ipaddress import ip_network

from softmesh.bgp.announcement import Announcement
from softmesh.bgp.sub_tlv import Authenticator, Color, EgressEndpoint, PublicKey, SubTlv
from softmesh.bgp.tunnel_encapsulation import Tunnel, encode
from softmesh.config import Config
from softmesh.config.values import IKE_PROPOSALS, IKE_PROPOSALS_WITH_ML_KEM, AnnouncedTunnel, Guards
from softmesh.control.progress import Pace
from softmesh.dataplane.guard import Guard
from softmesh.mesh.configured import ConfiguredSoftwire
from softmesh.mesh.identity import Identity
from softmesh.mesh.policy import Fabric, LevelRule, Policy, Protection
from softmesh.mesh.softwire import Level, Network, Profile


def policy_of(config: Config, *, announcing: bool, fabric: Fabric | None = None, ml_kem: bool = False) -> Policy:
    """The mesh's view; ``announcing`` is False after ``softmesh withdraw``, when we carry nothing.

    ``fabric`` and ``ml_kem`` are what this machine and its charon can.
    """
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
        configured=tuple(
            ConfiguredSoftwire(wire.remote, wire.tunnel, wire.authenticators, wire.prefixes, wire.color)
            for wire in config.softwires
        ),
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


def announcements_of(config: Config, own: Identity, *, announcing: bool) -> frozenset[Announcement]:
    """What we announce: each prefix with all our tunnels (RFC 9012 §6: attribute 23 on the route itself)."""
    if not announcing:
        return frozenset()
    value = encode(_tunnel(tunnel, config, own) for tunnel in config.announce.tunnels)
    return frozenset(
        Announcement(prefix=str(prefix), next_hop=str(config.endpoint), tunnel_encapsulation=value)
        for prefix in config.announce.prefixes
    )


def _tunnel(announced: AnnouncedTunnel, config: Config, own: Identity) -> Tunnel:
    # RFC 9012 §3.1: without an egress endpoint the TLV would be stripped on the way.
    sub_tlvs: list[SubTlv] = [EgressEndpoint(config.endpoint)]
    if announced.color is not None:
        sub_tlvs.append(Color(announced.color))
    sub_tlvs.append(Authenticator(own.authenticator))
    if config.announce.public_key:
        sub_tlvs.append(PublicKey(own.spki))
    return Tunnel(announced.type, tuple(sub_tlvs))
