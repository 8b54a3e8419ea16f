"""Which of several routes to one prefix is used: the decision process of RFC 4271 §9.1.2.2, as far as it reaches us."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TypeAlias

from softmesh.bgp.route import Route

Rank: TypeAlias = tuple[bool, int, int, int, int, int, int, str, str]

_DEFAULT_LOCAL_PREFERENCE = 100


def rank(route: Route) -> Rank:
    """A sort key: the lowest is the best path.

    A stale route is the last resort (RFC 4724 §4.2 keeps it, a fresh one replaces it). MED is compared between all
    routes ("always-compare-med"): peers of one mesh share one administration (RFC 9012 §11). The last two only make
    the choice the same on every pass.
    """
    attributes = route.attributes
    preference = attributes.local_preference
    identifier = attributes.originator_id or route.key.neighbor
    return (
        route.stale_since is not None,
        -(_DEFAULT_LOCAL_PREFERENCE if preference is None else preference),
        len(attributes.as_path),
        attributes.origin,
        attributes.med or 0,
        # RFC 4456 §9: ORIGINATOR_ID stands in for the BGP identifier, then the shorter CLUSTER_LIST wins.
        int(ip_address(identifier)),
        len(attributes.cluster_list),
        route.key.neighbor,
        route.key.path_id or "",
    )
