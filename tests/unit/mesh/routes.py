"""Routes, offers and policies for tests of the mesh."""

from __future__ import annotations

import hashlib
from ipaddress import ip_address, ip_network
from typing import Any

from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.route import UNICAST, Family, PathAttributes, Route, RouteKey
from softmesh.bgp.sub_tlv import Authenticator, Color, EgressEndpoint, PublicKey, SubTlv
from softmesh.bgp.tunnel_encapsulation import Tunnel, encode
from softmesh.mesh.policy import Policy, Protection
from softmesh.mesh.softwire import Level, Profile

OURS = "2001:db8:f::1"
REFLECTOR = "2001:db8:f::fe"


def spki(name: str) -> bytes:
    """An Ed25519 SubjectPublicKeyInfo whose key is made of a name (nothing here does arithmetic with it)."""
    return bytes.fromhex("302a300506032b6570032100") + hashlib.sha256(name.encode()).digest()


def hash_of(name: str) -> bytes:
    return hashlib.sha1(spki(name)).digest()


def attribute(
    *,
    kind: int = TunnelType.IPSEC_TUNNEL,
    endpoint: str | None = "2001:db8:f::2",
    key: str | None = "peer",
    announced: bool = True,
    colors: tuple[int, ...] = (),
    extra: tuple[SubTlv, ...] = (),
) -> bytes:
    """Attribute 23 with one tunnel that carries the authenticator of the key named (and, if announced, the key)."""
    subs: list[SubTlv] = [EgressEndpoint(None if endpoint is None else ip_address(endpoint))]
    subs += [Color(color) for color in colors]
    if key is not None:
        subs.append(Authenticator(hash_of(key)))
        if announced:
            subs.append(PublicKey(spki(key)))
    return encode([Tunnel(kind, (*subs, *extra))])


def route(
    prefix: str = "10.2.0.0/24",
    value: bytes | None = None,
    *,
    next_hop: str = "2001:db8:f::2",
    neighbor: str = REFLECTOR,
    path_id: str | None = None,
    communities: tuple[int, ...] = (),
    stale_since: float | None = None,
    received_at: float = 0.0,
    family: Family | None = None,
    **attributes: Any,
) -> Route:
    unicast = Family.IPV6_UNICAST if ":" in prefix else Family.IPV4_UNICAST
    return Route(
        RouteKey(neighbor, family or unicast, prefix, path_id),
        next_hop,
        PathAttributes(value, communities, **attributes),
        received_at,
        stale_since,
    )


PROFILES = {
    Level.ENCRYPT: Profile(Level.ENCRYPT, ("aes256gcm16-prfsha384-x25519",), ("aes256gcm16-x25519",)),
    Level.INTEGRITY: Profile(Level.INTEGRITY, ("aes256gcm16-prfsha384-x25519",), ("null-sha256-x25519",)),
    Level.AH: Profile(Level.AH, ("aes256gcm16-prfsha384-x25519",), ("sha256-x25519",)),
}


def policy(**changes: Any) -> Policy:
    """Us at OURS with 10.1.0.0/24, admitting the core and 10.0.0.0/8."""
    values: dict[str, Any] = {
        "endpoint": ip_address(OURS),
        "router_id": "10.255.0.1",
        "asn": 65000,
        "local_prefixes": (ip_network("10.1.0.0/24"),),
        "neighbors": frozenset({REFLECTOR}),
        "families": UNICAST,
        "endpoints": (ip_network("2001:db8:f::/64"),),
        "prefixes": (ip_network("10.0.0.0/8"), ip_network("2001:db8:1000::/36")),
        "origin_as": None,
        "max_softwires": 1000,
        "max_selectors": 256,
        "tunnel_types": (
            TunnelType.IPSEC_TUNNEL,
            TunnelType.IP_IN_IP_IPSEC_TRANSPORT,
            TunnelType.MPLS_IN_IP_IPSEC_TRANSPORT,
        ),
        "colors": None,
        "outside": frozenset({ip_address(OURS), ip_address(REFLECTOR)}),
        "protection": Protection(Level.ENCRYPT, (), PROFILES),
    }
    return Policy(**values | changes)
