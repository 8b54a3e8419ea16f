"""What became of attribute 23 on its way here, by the digest that its sender put beside it.

Route reflectors hand on, strip or rewrite the attribute, and none says so. Whoever can change the attribute can change
the digest too: this is a report for operators, and nothing is decided by it.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from softmesh.bgp.extended_communities import attribute_digest, digest_from
from softmesh.bgp.route import PathAttributes, Route


class Seen(enum.StrEnum):
    """What is seen of attribute 23, the worst last."""

    UNKNOWN = "unknown"
    """Nothing tells: it carries no digest, and is not ours come back."""
    INTACT = "intact"
    STRIPPED = "stripped"
    REWRITTEN = "rewritten"


@dataclass(slots=True)
class Tally:
    """What is seen in the routes of one neighbour."""

    routes: Counter[Seen] = field(default_factory=Counter)
    examples: dict[Seen, str] = field(default_factory=dict)
    """The first prefix of each."""

    @property
    def worst(self) -> Seen:
        """The worst of it; UNKNOWN where nothing tells."""
        return max(self.routes, key=list(Seen).index, default=Seen.UNKNOWN)


def seen_in(attributes: PathAttributes) -> Seen:
    """What the digest of a route tells."""
    sent = digest_from(attributes.extended_communities)
    if sent is None:
        return Seen.UNKNOWN
    if attributes.tunnel_encapsulation is None:
        return Seen.STRIPPED
    return Seen.INTACT if attribute_digest(attributes.tunnel_encapsulation) == sent else Seen.REWRITTEN


def tally(
    routes: Iterable[Route], router_id: str | None, announced: Mapping[tuple[str, str], bytes]
) -> dict[str, Tally]:
    """Count what is seen, by neighbour; routes of lost sessions do not count.

    ``announced``: the attribute by neighbour and prefix that we announce; a neighbour may reflect it back to us, with
    our ``router_id`` for originator.
    """
    tallies: dict[str, Tally] = {}
    # Routes of equal attributes share one object, which lives as long as they do.
    known: dict[int, Seen] = {}
    for route in routes:
        if route.stale_since is not None:
            continue
        attributes = route.attributes
        seen = known.get(id(attributes))
        if seen is None:
            seen = known[id(attributes)] = seen_in(attributes)
        key = route.key
        if seen is Seen.UNKNOWN:
            come_back = router_id is not None and attributes.originator_id == router_id
            ours = announced.get((key.neighbor, key.prefix)) if come_back else None
            if ours is None:
                continue
            seen = _against(ours, attributes.tunnel_encapsulation)
        found = tallies.get(key.neighbor)
        if found is None:
            found = tallies[key.neighbor] = Tally()
        found.routes[seen] += 1
        found.examples.setdefault(seen, key.prefix)
    return tallies


def _against(ours: bytes, came_back: bytes | None) -> Seen:
    """What became of what we announced; without the digest, which went the same way."""
    if came_back is None:
        return Seen.STRIPPED
    return Seen.INTACT if came_back == ours else Seen.REWRITTEN
