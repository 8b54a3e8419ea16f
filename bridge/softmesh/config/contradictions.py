"""What a configuration says that cannot be meant, or that defeats itself. Pure: values in, findings out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.route import Family
from softmesh.bgp.special_purpose import special_purpose
from softmesh.config.contradictions_dataplane import dataplane_contradictions
from softmesh.config.contradictions_neighbors import neighbor_contradictions, no_router
from softmesh.config.contradictions_protection import group_contradictions, protection_contradictions
from softmesh.config.contradictions_softwires import softwire_contradictions
from softmesh.config.contradictions_trust import trust_contradictions
from softmesh.config.finding import Finding, error, warning
from softmesh.config.prefixes import unfit as unfit_prefixes
from softmesh.config.problems import KeyPath
from softmesh.config.proposals import unfit as unfit_proposals
from softmesh.config.values import AnnouncementCarrier, Config

MAX_SOCKET_PATH = 107
"""Octets of a unix socket's path, unix(7)."""

_FAMILY = {4: Family.IPV4_UNICAST, 6: Family.IPV6_UNICAST}


def contradictions(config: Config) -> Iterator[Finding]:
    """Find what contradicts itself (errors) and what is allowed but most likely not meant (warnings)."""
    yield from _endpoint(config)
    yield from _bgp(config)
    yield from neighbor_contradictions(config)
    yield from _announce(config)
    yield from _admission(config)
    yield from group_contradictions(config)
    yield from trust_contradictions(config)
    yield from protection_contradictions(config)
    yield from _select(config)
    yield from softwire_contradictions(config)
    yield from _charon(config)
    yield from dataplane_contradictions(config)
    yield from _socket_paths(config)
    yield from _http(config)


def _endpoint(config: Config) -> Iterator[Finding]:
    if purpose := special_purpose(config.endpoint.packed):
        yield error(
            ("endpoint",),
            f"{config.endpoint} is special-purpose ({purpose})",
            "use an address of this router that the core routes to",
        )
    local = config.bgp.local_address
    if local is not None and no_router(local):
        yield error(("bgp", "local_address"), f"{local} is no router's address", "use an address of this router")
    router_id = config.bgp.router_id
    if router_id is not None and router_id.is_unspecified:
        # RFC 6286 §2.1: any but zero.
        yield error(("bgp", "router_id"), "0.0.0.0 is no BGP identifier", "use one that no other router in the AS has")


def _bgp(config: Config) -> Iterator[Finding]:
    bgp = config.bgp
    if bgp.managed and bgp.router_id is None:
        yield error(
            ("bgp", "router_id"),
            "required when bgp.managed is true",
            "add router_id, for instance 10.255.0.1",
            ("bgp", "managed"),
        )
    if not bgp.managed and bgp.exabgp is not None:
        yield warning(
            ("bgp", "exabgp"),
            "has no effect while bgp.managed is false",
            "set bgp.managed: true or remove it",
            ("bgp", "managed"),
        )
    if len(set(bgp.families)) < len(bgp.families):
        yield error(("bgp", "families"), "a family is given twice", "keep one of each")
    crossing = config.endpoint.version == 6 and Family.IPV4_UNICAST in bgp.families
    if bgp.managed and crossing and Family.IPV6_UNICAST not in bgp.families:
        # ExaBGP leaves next hops of a family that it does not speak out of the capability (RFC 8950 §4).
        yield error(
            ("bgp", "families"),
            "ExaBGP offers IPv6 next hops for IPv4 prefixes only where it speaks ipv6 unicast as well",
            "add ipv6 unicast",
            ("endpoint",),
        )
    if bgp.asn in (23456, 65535):
        # RFC 6793 §9, RFC 7300 §2.
        yield error(("bgp", "asn"), f"AS {bgp.asn} is reserved", "use your own, or a private one from 64512 to 65534")
    if not bgp.managed and bgp.add_path:
        yield warning(
            ("bgp", "add_path"),
            "has no effect while bgp.managed is false",
            "write add-path receive into the capability section of your ExaBGP, and remove it here",
            ("bgp", "managed"),
        )
    stale_times: list[tuple[KeyPath, int | None]] = [(("bgp", "stale_time"), bgp.stale_time)]
    stale_times += [(("groups", at, "stale_time"), group.stale_time) for at, group in enumerate(config.groups)]
    for path, stale_time in stale_times:
        if stale_time is not None and bgp.graceful_restart > stale_time:
            yield warning(
                path,
                f"softwires go after {stale_time} s, but a restart may take {bgp.graceful_restart} s",
                "set it to bgp.graceful_restart or more",
                ("bgp", "graceful_restart"),
            )


def _announce(config: Config) -> Iterator[Finding]:
    prefixes = config.announce.prefixes
    if not prefixes:
        yield warning(
            ("announce", "prefixes"),
            "nothing is announced, so no peer learns of this router",
            "list the networks behind it",
        )
    for index, prefix in enumerate(prefixes):
        path: KeyPath = ("announce", "prefixes", index)
        if _FAMILY[prefix.version] not in config.bgp.families:
            yield error(
                path,
                f"{prefix} cannot be announced: '{_FAMILY[prefix.version]}' is not in bgp.families",
                "add the family there",
                ("bgp", "families"),
            )
    if config.carrier is not AnnouncementCarrier.ROUTE and config.encapsulation_family not in config.bgp.families:
        yield error(
            ("announce", "carrier"),
            f"our endpoint cannot be announced: '{config.encapsulation_family}' is not in bgp.families",
            "add the family there, or remove the key",
            ("bgp", "families"),
        )
    yield from unfit_prefixes(config, ("announce", "prefixes"), prefixes, "announce", "announced")
    yield from _announced_tunnels(config)


def _announced_tunnels(config: Config) -> Iterator[Finding]:
    tunnels = config.announce.tunnels
    for index, tunnel in enumerate(tunnels):
        name = tunnel.type.keyword
        if tunnel in tunnels[:index]:
            yield error(
                ("announce", "tunnels", index),
                f"{name} is given twice with the same colour",
                "keep one of them",
            )
        elif (
            tunnel.type != TunnelType.TRANSMIT_TUNNEL_ENDPOINT
            and config.select.tunnels
            and tunnel.type not in config.select.tunnels
        ):
            yield warning(
                ("announce", "tunnels", index),
                f"{name} is announced but not in select.tunnels, so this end never uses it",
                "add it there, or do not announce it",
                ("select", "tunnels"),
            )
    if all(tunnel.type == TunnelType.TRANSMIT_TUNNEL_ENDPOINT for tunnel in tunnels) and config.announce.prefixes:
        yield warning(
            ("announce", "tunnels"),
            "transmit-only alone tells peers not to send, so the announced prefixes are out of their reach",
            "add ipsec-tunnel-mode, unless that is meant",
            ("announce", "prefixes"),
        )


def _admission(config: Config) -> Iterator[Finding]:
    admission = config.admission
    version = config.endpoint.version
    for name, what in (
        ("endpoints", "every peer"),
        ("prefixes", "every destination"),
        ("origin_as", "every route"),
        ("neighbors", "every route"),
    ):
        if getattr(admission, name) == ():
            yield warning(("admission", name), f"empty: denies {what}", "list what is to be admitted")
    if admission.endpoints and not any(network.version == version for network in admission.endpoints):
        yield error(
            ("admission", "endpoints"),
            f"none of them is IPv{version} as our endpoint {config.endpoint} is: denies every peer",
            f"list the IPv{version} networks of the routers' endpoints",
            ("endpoint",),
        )
    elif admission.endpoints and not any(config.endpoint in network for network in admission.endpoints):
        yield warning(
            ("admission", "endpoints"),
            f"our endpoint {config.endpoint} is in none of them: peers with the same list refuse us",
            "check the networks",
            ("endpoint",),
        )
    if admission.prefixes and not any(
        _FAMILY[network.version] in config.bgp.families for network in admission.prefixes
    ):
        yield warning(
            ("admission", "prefixes"),
            "none of them is of a family in bgp.families: denies every destination",
            "add the family there",
            ("bgp", "families"),
        )
    for index, network in enumerate(admission.prefixes):
        captured = [config.endpoint, *(neighbor.address for neighbor in config.bgp.neighbors)]
        for address in captured:
            if address in network and network.prefixlen:
                yield warning(
                    ("admission", "prefixes", index),
                    f"{network} holds {address}, which stays outside: peers' prefixes with it are refused",
                    "admit more specific networks",
                    ("endpoint",),
                    ("bgp", "neighbors"),
                )
                break
    known = {neighbor.address for neighbor in config.bgp.neighbors}
    for index, address in enumerate(admission.neighbors or ()):
        if address not in known:
            yield error(
                ("admission", "neighbors", index),
                f"{address} is not in bgp.neighbors, so no route comes from it",
                "add it there or remove it here",
                ("bgp", "neighbors"),
            )


def _select(config: Config) -> Iterator[Finding]:
    for name in ("tunnels", "colors"):
        chosen = getattr(config.select, name)
        if chosen == ():
            yield warning(
                ("select", name),
                "empty: no tunnel is ever accepted",
                "list what is to be accepted, or remove the key",
            )
        elif chosen is not None and len(set(chosen)) < len(chosen):
            yield error(("select", name), "a value is given twice", "keep one of each")


def _charon(config: Config) -> Iterator[Finding]:
    charon = config.charon
    if charon.retry_max < charon.retry_initial:
        yield error(
            ("charon", "retry_max"),
            f"{charon.retry_max:g} s is below charon.retry_initial ({charon.retry_initial:g} s)",
            "set it to charon.retry_initial or more",
            ("charon", "retry_initial"),
        )
    yield from unfit_proposals(charon)


def _socket_paths(config: Config) -> Iterator[Finding]:
    sockets: tuple[tuple[KeyPath, Path], ...] = (
        (("sockets", "directory"), config.sockets.control),
        (("charon", "vici"), config.charon.vici),
    )
    for path, socket in sockets:
        length = len(str(socket).encode())
        if length > MAX_SOCKET_PATH:
            yield error(
                path,
                f"the socket's path has {length} octets, {MAX_SOCKET_PATH} are allowed",
                "use a shorter path",
            )


def _http(config: Config) -> Iterator[Finding]:
    addresses = config.http.addresses
    for index, address in enumerate(addresses):
        path: KeyPath = ("http", "addresses", index)
        if address in addresses[:index]:
            yield error(path, f"{address} is given twice", "keep one of them")
        elif address.is_multicast:
            yield error(path, f"{address} is no address to listen at", "use an address of this router")
        elif config.http.port is not None and not address.is_loopback:
            yield warning(
                path,
                f"the page is open to whoever reaches {address}: it has no login and no TLS",
                "listen on the loopback and put a proxy with both before it",
                ("http", "port"),
            )
