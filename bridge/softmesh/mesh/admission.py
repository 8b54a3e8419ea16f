"""Who may be a peer and what it may bring: deny by default (RFC 5619 §4.2, §4.4.2).

Each rule is a function that answers None to admit, or the refusal.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address, ip_network

from softmesh.bgp.route import Route
from softmesh.bgp.special_purpose import special_purpose
from softmesh.mesh.policy import Policy
from softmesh.mesh.refusal import Refusal, Rule
from softmesh.mesh.softwire import Address, Network, inside


@lru_cache(maxsize=65536)
def network(text: str) -> Network:
    """Parse a prefix; the same few are looked at again on every pass."""
    return ip_network(text, strict=False)


@lru_cache(maxsize=65536)
def address(text: str) -> Address:
    """Parse an address; an IPv4-mapped IPv6 one is the IPv4 address it maps (RFC 4798 §2)."""
    parsed = ip_address(text)
    return getattr(parsed, "ipv4_mapped", None) or parsed


def admit_source(route: Route, policy: Policy) -> Refusal | None:
    """Judge where a route came from: neighbour, session, family, origin AS, and that it is not our own come back.

    A refused route serves no other either: where tunnels are sought along next hops (RFC 9012 §8) it does not exist.
    """
    key = route.key
    if key.neighbor not in policy.neighbors:
        return Refusal(Rule.NEIGHBOR, f"neighbour {key.neighbor} is not in admission.neighbors")
    if (reason := policy.unprotected.get(key.neighbor)) is not None:
        return Refusal(Rule.SESSION, f"nothing from neighbour {key.neighbor} counts: {reason}")
    if key.neighbor in policy.external:
        return Refusal(
            Rule.EBGP,
            f"neighbour {key.neighbor} is of another AS: its tunnels do not count (RFC 9012 §11); "
            "bgp.neighbors[].tunnels: true accepts them",
        )
    # RFC 4456 §8: a router drops a route that carries its own identifier as originator; ExaBGP hands it on.
    if policy.router_id is not None and route.attributes.originator_id == policy.router_id:
        return Refusal(Rule.OWN, f"our own announcement, reflected (originator {policy.router_id})")
    if address(route.next_hop) == policy.endpoint:
        return Refusal(Rule.OWN, f"our own announcement, reflected (next hop {route.next_hop})")
    if key.family not in policy.families:
        return Refusal(Rule.FAMILY, f"family {key.family} is not in bgp.families")
    # An empty AS_PATH is our own AS's: iBGP (RFC 4271 §5.1.2).
    origin = route.attributes.as_path[-1] if route.attributes.as_path else policy.asn
    if policy.origin_as is not None and origin not in policy.origin_as:
        return Refusal(Rule.ORIGIN_AS, f"origin AS {origin} is not in admission.origin_as")
    return None


def admit_prefix(prefix: Network, policy: Policy) -> Refusal | None:
    """Judge a destination: admitted, not ours, and nothing in it that must stay outside."""
    if not any(inside(prefix, admitted) for admitted in policy.prefixes):
        return Refusal(Rule.PREFIX, f"{prefix} is within none of admission.prefixes")
    for ours in policy.local_prefixes:
        if ours.version == prefix.version and ours.overlaps(prefix):
            return Refusal(Rule.PREFIX, f"{prefix} overlaps {ours}, which we announce ourselves")
    # RFC 9012 §7.2: an endpoint reached through its own tunnel is a loop; IKE and BGP must not be captured either.
    for outside in policy.outside:
        if outside in prefix:
            return Refusal(
                Rule.CAPTURE,
                f"{prefix} would capture {outside}, which must be reached outside every softwire",
            )
    return None


def admit_host(prefix: Network) -> Refusal | None:
    """Judge an NLRI of the Encapsulation SAFI (RFC 5512 §3)."""
    if prefix.prefixlen < prefix.max_prefixlen:
        return Refusal(Rule.ENDPOINT, f"{prefix} is no address, and only one can be an endpoint (RFC 5512 §3)")
    return None


def admit_endpoint(endpoint: Address, prefix: Network | None, policy: Policy) -> Refusal | None:
    """Judge a tunnel egress endpoint; ``prefix``: what is behind it, None where that is not the question."""
    if endpoint == policy.endpoint:
        return Refusal(Rule.OWN, f"egress endpoint {endpoint} is our own")
    if endpoint.version != policy.endpoint.version:
        return Refusal(
            Rule.ENDPOINT,
            f"egress endpoint {endpoint} is not of the core's family, as our {policy.endpoint} is",
        )
    # The codec strips a tunnel with such an endpoint (RFC 9012 §3.1); but a next hop that stands in for one (address
    # family 0, and every community, §4.1) it never sees.
    if block := special_purpose(endpoint.packed):
        return Refusal(Rule.ENDPOINT, f"egress endpoint {endpoint} is special-purpose ({block})")
    if not any(endpoint in allowed for allowed in policy.endpoints if allowed.version == endpoint.version):
        return Refusal(Rule.ENDPOINT, f"egress endpoint {endpoint} is within none of admission.endpoints")
    if prefix is not None and endpoint in prefix:
        return Refusal(
            Rule.CAPTURE,
            f"egress endpoint {endpoint} lies within {prefix}: it would be reached through itself",
        )
    return None
