"""The configuration as the parts of the bridge want it. Pure."""

from __future__ import annotations

from softmesh.bgp.announcement import Announcement
from softmesh.bgp.sub_tlv import Authenticator, Color, EgressEndpoint, PublicKey, SubTlv
from softmesh.bgp.tunnel_encapsulation import Tunnel, encode
from softmesh.config import Config
from softmesh.config.values import AnnouncedTunnel
from softmesh.control.progress import Pace
from softmesh.mesh.identity import Identity
from softmesh.mesh.policy import Policy
from softmesh.mesh.softwire import Profile


def policy_of(config: Config, *, announcing: bool) -> Policy:
    """The mesh's view; ``announcing`` is False after ``softmesh withdraw``, when we carry nothing."""
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
        profile=Profile(tuple(config.charon.ike_proposals), tuple(config.charon.esp_proposals)),
    )


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
