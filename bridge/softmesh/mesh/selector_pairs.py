"""What a softwire carries: its traffic selectors, pair by pair."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import islice

from softmesh.bgp.codepoints import TunnelType
from softmesh.mesh.admission import network
from softmesh.mesh.policy import Policy
from softmesh.mesh.softwire import HostTraffic, Network, Selector, SelectorPair, SoftwireId

_PROTOCOL = {
    TunnelType.MPLS_IN_IP_IPSEC_TRANSPORT: 137,
    TunnelType.GRE: 47,
    TunnelType.L2TPV3: 115,
}
"""What is protected between the endpoints, whatever it carries (RFC 4023 §8.1, RFC 3931 §4.1.1)."""
_IP_IN_IP = {4: 4, 6: 41}
"""By the family that is carried (RFC 2003 §3.1, RFC 4213 §3)."""
_TCP, _BGP_PORT = 6, 179
_ANYTHING = {4: Selector(network("0.0.0.0/0")), 6: Selector(network("::/0"))}


def selector_pairs(
    wire: SoftwireId, remotes: Sequence[Network], policy: Policy, room: int, *, anything: bool
) -> tuple[frozenset[SelectorPair], int]:
    """What a softwire carries, cut to what there is ``room`` for, and how many pairs there would be.

    Tunnel mode: each of our prefixes with each of theirs, one pair a CHILD SA; or ``anything`` of a family both sides
    have. Transport mode: the protocols of the encapsulation between the endpoints (RFC 5565 §13.3, RFC 4023 §8.1), or
    BGP between the routers.
    Both ends come to the same pairs, each from what it announces and what it hears.
    """
    ours = Counter(local.version for local in policy.local_prefixes)
    both = {remote.version for remote in remotes} & ours.keys()
    if anything:
        pairs = frozenset(SelectorPair(_ANYTHING[version], _ANYTHING[version]) for version in both)
        return pairs, len(pairs)
    if isinstance(wire.type, HostTraffic):
        pairs = _of_session(network(str(wire.local)), network(str(wire.remote)))
        return pairs, len(pairs)
    if wire.type == TunnelType.IPSEC_TUNNEL:
        wanted = sum(ours[remote.version] for remote in remotes)
        combined = (
            SelectorPair(Selector(local), Selector(remote))
            for remote in remotes
            for local in policy.local_prefixes
            if local.version == remote.version
        )
        return frozenset(islice(combined, max(0, room))), wanted
    # Where others route into it, nobody but they knows which family it carries.
    carried = both if remotes else {4, 6}
    if wire.type in {TunnelType.GRE, TunnelType.L2TPV3}:
        protocols = {_PROTOCOL[wire.type]}
    else:
        protocols = {_PROTOCOL.get(wire.type, _IP_IN_IP[version]) for version in carried}
    near, far = network(str(wire.local)), network(str(wire.remote))
    pairs = frozenset(SelectorPair(Selector(near, number), Selector(far, number)) for number in protocols)
    return pairs, len(pairs)


def _of_session(near: Network, far: Network) -> frozenset[SelectorPair]:
    """The traffic of a BGP session, whichever end connected: port 179 is at one of them (RFC 4271 §8)."""
    ours, theirs = (Selector(end, _TCP, _BGP_PORT) for end in (near, far))
    return frozenset({SelectorPair(ours, Selector(far, _TCP)), SelectorPair(Selector(near, _TCP), theirs)})
