"""What is wrong with what routers announce: each in itself, and held against the others and against what came twice."""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from softmesh.bgp.carriage import Seen
from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.route import ENCAPSULATION, Family, Neighbor, Route, SessionState
from softmesh.bgp.special_purpose import special_purpose
from softmesh.bgp.tunnel_encapsulation import AttributeVerdict, Tunnel, TunnelVerdict
from softmesh.mesh.admission import network
from softmesh.mesh.arrivals import announcer
from softmesh.mesh.hearing import Heard, Reading
from softmesh.mesh.overlap import Owned
from softmesh.mesh.selection import Offer
from softmesh.mesh.softwire import Address
from softmesh.mesh.trust import AnnouncedKeys, KeySource

_MAX_TUNNELS = 32
_MAX_PROBLEMS = 16
"""Of one router, that are told."""


class Key(enum.StrEnum):
    """Whether the key to an authenticator can be had."""

    NONE = "none"
    """There is no authenticator."""
    UNSEEN = "unseen"
    """The hash came alone: the key must come from elsewhere."""
    ANNOUNCED = "announced"
    """It came with its hash."""
    KNOWN = "known"
    """It is in a directory that was named."""
    MISSING = "missing"
    """It did not come with its hash, and is in no directory that was named."""
    MISMATCH = "mismatch"
    """What came with the hash has another."""


@dataclass(frozen=True, slots=True)
class AnnouncedTunnel:
    """A tunnel that a router announces."""

    type: int | None
    """None: attribute 23 cannot be read."""
    color: int | None
    authenticators: tuple[bytes, ...]
    usable: bool
    reason: str
    """Why it is not, with the section of the RFC."""
    key: Key


class Mismatches:
    """Looks at every router of ``heard``.

    ``accepted``: tunnel types that lead to an SA. ``directories``: where the keys of announced hashes are; none:
    nobody has said. ``shared``: prefixes (and endpoints) that overlap another router's. ``neighbors``: whom it was
    heard from.
    """

    def __init__(
        self,
        heard: Mapping[Address, Heard],
        accepted: Sequence[TunnelType],
        directories: Sequence[KeySource],
        shared: Collection[Owned],
        neighbors: Mapping[str, Neighbor],
    ) -> None:
        self._heard = heard
        self._accepted = accepted
        self._directories = directories
        self._shared: dict[Address, list[Owned]] = defaultdict(list)
        for owned in shared:
            self._shared[owned.router].append(owned)
        self._pinned = any(offer.authenticators for what in heard.values() for offer in _offers(what))
        """Whether routers of this mesh are known by their keys."""
        self._reflectors = {
            route.key.neighbor
            for what in heard.values()
            for route in what.routes
            if route.attributes.originator_id is not None
            and (neighbor := neighbors.get(route.key.neighbor)) is not None
            and neighbor.state is SessionState.UP
            and route.key.family in neighbor.end_of_rib
        }
        """Neighbours that reflect, and have told us all they have."""

    def tunnels(self, endpoint: Address) -> tuple[AnnouncedTunnel, ...]:
        """The tunnels that are announced with this endpoint, each once."""
        return tuple(dict.fromkeys(self._tunnels(endpoint)))[:_MAX_TUNNELS]

    def problems(self, endpoint: Address) -> tuple[str, ...]:
        """What is wrong, one sentence each; the gravest first."""
        found = tuple(dict.fromkeys(self._problems(endpoint)))
        more = len(found) - _MAX_PROBLEMS
        return found if more <= 0 else (*found[:_MAX_PROBLEMS], f"and {more} more")

    def _tunnels(self, endpoint: Address) -> Iterator[AnnouncedTunnel]:
        for reading in dict.fromkeys(self._heard[endpoint].readings):
            for offer in reading.offers:
                if offer.endpoint == endpoint:
                    key = self._key(offer)
                    why = self._unusable(offer, key)
                    yield AnnouncedTunnel(offer.type, offer.color, offer.authenticators, not why, why, key)
            yield from _malformed(reading, endpoint)

    def _key(self, offer: Offer) -> Key:
        if not offer.authenticators:
            return Key.NONE
        if AnnouncedKeys().keys_for(offer):
            return Key.ANNOUNCED
        if any(directory.keys_for(offer) for directory in self._directories):
            return Key.KNOWN
        if offer.public_keys or offer.certificates:
            return Key.MISMATCH
        return Key.MISSING if self._directories else Key.UNSEEN

    def _unusable(self, offer: Offer, key: Key) -> str:
        if offer.type not in (*self._accepted, TunnelType.TRANSMIT_TUNNEL_ENDPOINT):
            return f"{offer.type.label} leads to no IPsec softwire (RFC 5566 §3)"
        if block := special_purpose(offer.endpoint.packed):
            return f"endpoint {offer.endpoint} is special-purpose: {block} (RFC 9012 §3.1)"
        if key is Key.MISMATCH:
            return "the key announced beside the authenticator has another hash (RFC 5566 §4)"
        if key is Key.MISSING:
            return "no key is known for its authenticator"
        return ""

    def _problems(self, endpoint: Address) -> Iterator[str]:
        heard = self._heard[endpoint]
        first, *others = heard.announcers
        if others:
            yield (
                f"announced by {len(others) + 1} routers: {first}, which peers take for the owner, and "
                f"{', '.join(others)}; let one alone announce this endpoint"
            )
        tunnels = self.tunnels(endpoint)
        for tunnel in tunnels:
            if tunnel.reason:
                yield tunnel.reason if tunnel.type is None else f"{_name(tunnel)}: {tunnel.reason}"
        for reading in dict.fromkeys(heard.readings):
            if reading.carriers and not reading.offers:
                yield from (refusal.detail for refusal in reading.refusals)
        yield from self._unproven(heard)
        yield from _changed(heard)
        yield from _disagreeing(heard)
        yield from _manifold(heard, endpoint)
        yield from self._overlapping(endpoint)
        if own := [route.key.prefix for route in _destinations(heard) if endpoint in network(route.key.prefix)]:
            yield f"{_listed(own)} holds the endpoint, which would be reached through its own tunnel (RFC 9012 §7.2)"
        by = heard.neighbors
        if by and (missing := self._reflectors.difference(by)):
            yield f"not heard from {_listed(sorted(missing))}, only from {_listed(by)}"
        if all(route.stale_since is not None for route in heard.routes):
            yield f"stale: the sessions to {_listed(by)}, which told of it, are lost"

    def _unproven(self, heard: Heard) -> Iterator[str]:
        """Tunnels without an authenticator, in a mesh where others have one."""
        bare = [
            route.key.prefix
            for route, reading in zip(heard.routes, heard.readings, strict=True)
            if any(not offer.authenticators for offer in reading.offers)
        ]
        if not self._pinned or not bare:
            return
        alone = all(
            route.attributes.tunnel_encapsulation is None
            for route, reading in zip(heard.routes, heard.readings, strict=True)
            if any(not offer.authenticators for offer in reading.offers) and not reading.carriers
        )
        how = "by community 0x030c alone, without attribute 23" if alone else "without an authenticator"
        yield (
            f"a tunnel for {_listed(bare)} is announced {how}: peers that pin keys build none to it (RFC 5619 §4.4.2); "
            "announce the hash of its key, or see what the reflector does to attribute 23"
        )

    def _overlapping(self, endpoint: Address) -> Iterator[str]:
        shared = [owned.prefix for owned in self._shared.get(endpoint, ()) if owned.prefix != network(str(endpoint))]
        if shared:
            found = sorted(shared, key=lambda prefix: (prefix.version, prefix))
            yield f"{_listed(list(map(str, found)))} overlaps what another router announces, or holds its endpoint"


def _offers(heard: Heard) -> Iterator[Offer]:
    for reading in heard.readings:
        yield from reading.offers


def _destinations(heard: Heard) -> Iterator[Route]:
    return (route for route in heard.routes if route.key.family not in ENCAPSULATION)


def _malformed(reading: Reading, endpoint: Address) -> Iterator[AnnouncedTunnel]:
    """What the codec lets nobody use."""
    said = reading.said
    if said.verdict is AttributeVerdict.TREAT_AS_WITHDRAW:
        why = f"attribute 23 withdraws its route: {said.reason} ({said.section})"
        yield AnnouncedTunnel(None, None, (), usable=False, reason=why, key=Key.NONE)
        return
    for tunnel in said.tunnels:
        unfit = tunnel.verdict not in {TunnelVerdict.USABLE, TunnelVerdict.TRANSMIT_ONLY}
        if unfit and tunnel.egress_endpoint in {None, endpoint}:
            why = f"{tunnel.reason} ({tunnel.section})"
            yield AnnouncedTunnel(
                tunnel.type, tunnel.color, tunnel.authenticators, usable=False, reason=why, key=Key.NONE
            )


def _changed(heard: Heard) -> Iterator[str]:
    """What reflectors did to attribute 23."""
    for seen, what in ((Seen.STRIPPED, "stripped off"), (Seen.REWRITTEN, "rewritten")):
        changed = [
            route
            for route, reading in zip(heard.routes, heard.readings, strict=True)
            if reading.seen is seen and route.stale_since is None
        ]
        if changed:
            by = sorted({route.key.neighbor for route in changed})
            yield f"attribute 23 of {_listed([r.key.prefix for r in changed])} was {what} on the way by {_listed(by)}"


def _disagreeing(heard: Heard) -> Iterator[str]:
    """Where two neighbours hand on different announcements of one router for one destination."""
    told: dict[tuple[Family, str, str], dict[object, str]] = defaultdict(dict)
    for route, reading in zip(heard.routes, heard.readings, strict=True):
        if route.stale_since is None:
            content = route.next_hop, reading.said
            told[route.key.family, route.key.prefix, announcer(route)].setdefault(content, route.key.neighbor)
    differing = {key[1]: sorted(set(by.values())) for key, by in told.items() if len(set(by.values())) > 1}
    for prefix, by in list(differing.items())[:1]:
        more = f" (and of {len(differing) - 1} more prefixes)" if len(differing) > 1 else ""
        yield f"{_listed(by)} hand on different announcements of {prefix}{more}"


def _manifold(heard: Heard, endpoint: Address) -> Iterator[str]:
    """Where routes differ in their tunnels; colours may."""
    examples: dict[frozenset[object], str] = {}
    for route, reading in zip(heard.routes, heard.readings, strict=True):
        ours = [offer for offer in reading.offers if offer.endpoint == endpoint]
        if ours and route.stale_since is None:
            examples.setdefault(frozenset((o.type, frozenset(o.authenticators)) for o in ours), route.key.prefix)
    if len(examples) > 1:
        one, other, *_ = examples.values()
        yield f"announces different tunnels or authenticators on different routes, such as {one} and {other}"


def _name(tunnel: AnnouncedTunnel) -> str:
    return Tunnel(tunnel.type or 0, ()).name


def _listed(names: Iterable[str]) -> str:
    """The first few, and how many more."""
    each = list(dict.fromkeys(names))
    return ", ".join(each[:3]) + (f" and {len(each) - 3} more" if len(each) > 3 else "")
