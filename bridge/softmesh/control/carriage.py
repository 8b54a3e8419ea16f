"""How attribute 23 fares with each neighbour: whether we send it, what became of it, and what to do. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from softmesh.bgp.announcement import Announcement
from softmesh.bgp.attribute_refusal import AttributeUse
from softmesh.bgp.carriage import Seen, Tally, tally
from softmesh.bgp.route import Route
from softmesh.config import Config

_AMISS = {
    Seen.STRIPPED: (
        "attribute 23 was taken off",
        "have it handed on (docs/reflectors.md); with trust.mode pki the Encapsulation community is enough",
    ),
    Seen.REWRITTEN: (
        "attribute 23 was changed on",
        "find what changes it: a filter there, or the daemon (docs/reflectors.md)",
    ),
}


@dataclass(frozen=True, slots=True)
class Carriage:
    """One neighbour."""

    left_out: bool = False
    """Whether our announcements to it go without attribute 23."""
    tally: Tally = field(default_factory=Tally)
    reason: str = ""
    """What is amiss; empty where nothing is."""
    remedy: str = ""


def carriage_of(
    config: Config,
    neighbors: Collection[str],
    routes: Iterable[Route],
    announcements: Iterable[Announcement],
    refused: Mapping[str, str],
) -> dict[str, Carriage]:
    """How it fares with each of ``neighbors``; ``refused``: those that the hook saw refuse it, with how."""
    use = attribute_use(config)
    never = {neighbor for neighbor in neighbors if use.get(neighbor) is AttributeUse.NEVER}
    refusing = {each: refused[each] for each in neighbors if each in refused and each not in use}
    announced = {
        (neighbor, each.prefix): each.tunnel_encapsulation
        for each in announcements
        if each.tunnel_encapsulation is not None
        for neighbor in (neighbors if each.neighbors is None else each.neighbors)
        if neighbor not in never and neighbor not in refusing
    }
    tallies = tally(routes, None if config.bgp.router_id is None else str(config.bgp.router_id), announced)
    fares = {}
    for neighbor in neighbors:
        found = tallies.get(neighbor, Tally())
        reason, remedy = _amiss(found)
        if neighbor in refusing:
            reason, remedy = refusing[neighbor], refusal_remedy(neighbor, config)
        elif neighbor in never:
            reason, remedy = "bgp.neighbors[].attribute is never", ""
        fares[neighbor] = Carriage(neighbor in never or neighbor in refusing, found, reason, remedy)
    return fares


def attribute_use(config: Config) -> dict[str, AttributeUse]:
    """What is configured of who gets attribute 23, but for those left to themselves."""
    return {
        str(neighbor.address): neighbor.attribute
        for neighbor in config.bgp.neighbors
        if neighbor.attribute is not AttributeUse.AUTO
    }


def refusal_remedy(neighbor: str, config: Config) -> str:
    """What to do where a neighbour refuses attribute 23."""
    return (
        f"on FRR 10.3 set neighbor {config.local_address} path-attribute discard 23 (not of a peer group), "
        f"then softmesh announce --attribute {neighbor}; see docs/reflectors.md"
    )


def _amiss(found: Tally) -> tuple[str, str]:
    worst = found.worst
    if worst not in _AMISS:
        return "", ""
    what, remedy = _AMISS[worst]
    number, sent = found.routes[worst], found.routes.total()
    return f"{what} {number} of {sent} routes on the way, such as {found.examples[worst]}", remedy
