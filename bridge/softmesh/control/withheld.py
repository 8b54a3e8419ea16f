"""What a neighbour is not told because RFC 8950 was not negotiated with it, and what to do. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from softmesh.bgp.announcement import Announcement, needs_extended_next_hop
from softmesh.bgp.extended_next_hop import Lacking

_REMEDIES = {
    Lacking.NEIGHBOR: (
        "switch it on there: extended next hop on in BIRD's ipv4 channel, announce extended nexthop yes in OpenBGPD "
        "(8 or later), capability extended-nexthop in FRR; see docs/reflectors.md"
    ),
    Lacking.EXABGP: "give our ExaBGP nexthop enable and the nexthop block of exabgp/softmesh.conf",
}
_WHO = {Lacking.NEIGHBOR: "it does not offer", Lacking.EXABGP: "our ExaBGP does not offer"}


@dataclass(frozen=True, slots=True)
class Withheld:
    """One neighbour."""

    prefixes: tuple[str, ...]
    """Of ours, that it is not told."""
    reason: str
    remedy: str


def withheld_from(
    neighbors: Iterable[str], announcements: Iterable[Announcement], lacking: Mapping[str, Lacking]
) -> dict[str, Withheld]:
    """What is withheld from each of ``neighbors`` that something is withheld from.

    ``lacking``: with whom RFC 8950 was not negotiated, and who does not offer it.
    """
    concerned = [each for each in announcements if needs_extended_next_hop(each)]
    found = {}
    for neighbor in neighbors:
        who = lacking.get(neighbor)
        prefixes = tuple(sorted(each.prefix for each in concerned if _is_for(each, neighbor)))
        if who is not None and prefixes:
            reason = f"{_WHO[who]} IPv6 next hops for IPv4 prefixes (RFC 8950)"
            found[neighbor] = Withheld(prefixes, reason, _REMEDIES[who])
    return found


def _is_for(announcement: Announcement, neighbor: str) -> bool:
    return announcement.neighbors is None or neighbor in announcement.neighbors
