"""What of ours in charon is not wanted any more, and which of it may stand until its successor does. Pure.

A change of tunnel type, data plane, level of protection or proposals makes before it breaks, and so does a prefix that
moves to another endpoint. What was withdrawn goes at once: a prefix, a key, a softwire.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address

from softmesh.charon.actions import Action, TerminateChild, TerminateIke, UnloadConnection
from softmesh.charon.connection import OWNED, Child, Connection
from softmesh.charon.observed import ChildSa, IkeSa, Observed
from softmesh.charon.render import credential_tag
from softmesh.charon.selector import Parsed, overlap, parse_selector
from softmesh.charon.verify import printed_identity
from softmesh.mesh.softwire import Address, Mode, Network, Softwire, SoftwireId


@dataclass(frozen=True, slots=True)
class Claim:
    """The traffic of a softwire, as a reason to let an SA stand or fall."""

    softwire: Softwire
    children: tuple[Child, ...]
    """Those whose traffic is meant."""
    connections: tuple[Connection, ...]
    """How its peer may authenticate."""
    lacking: bool = False
    """Whether the softwire does not have them yet, or has only just got them."""
    led_to: frozenset[Address] = frozenset()
    """Endpoints that routes for its destinations lead to as yet, other than into it."""

    def covers(self, sa: ChildSa) -> bool:
        """Whether an SA between the same endpoints carries such traffic, whatever its mode and binding."""
        # Transport mode carries, host to host, whatever was encapsulated.
        if sa.mode == Mode.TRANSPORT:
            return True
        if self.softwire.mode is Mode.TRANSPORT:
            return any(overlap(str(prefix), far) for prefix in self.softwire.prefixes for far in sa.remote_ts)
        return any(
            any(overlap(child.local_ts, near) for near in sa.local_ts)
            and any(overlap(child.remote_ts, far) for far in sa.remote_ts)
            for child in self.children
        )


@dataclass(frozen=True, slots=True)
class Removals:
    """What is to go."""

    actions: tuple[Action, ...]
    standing_in: tuple[ChildSa, ...]
    """Superseded CHILD SAs that stay until what takes over from them is up."""
    heirs: frozenset[SoftwireId]
    """The softwires that are to take over."""


_Ends = tuple[str, str, str, str, str]
"""Addresses and identities, local and remote, and the credential's tag: between whom an IKE_SA is, and by what."""


def removals(
    wanted: Mapping[str, Connection],
    observed: Observed,
    *,
    may_remove: bool,
    heirs: Sequence[Claim],
    blocked: Iterable[Claim],
    blocked_connections: Collection[str],
    decided: Sequence[Claim] = (),
    untrusted: Sequence[SoftwireId] = (),
    endpoints: Sequence[Network] = (),
) -> Removals:
    """Unload and terminate what is ours and not wanted: the connection first, lest the peer set it up again at once.

    ``heirs``: what softwires lack that may still inherit. An SA stands in for them where it is between the same
    endpoints, or where its traffic moved to another; either way only if it was made by credentials that we still
    accept, or towards a peer of which nothing is known any more but that it is one of the admitted ``endpoints``: a
    withdrawn key has no heir. ``blocked``: softwires that must carry nothing; what does so goes even where
    ``may_remove`` is False. So does what was made by a credential that a softwire we know of (``decided``) does not
    accept, or towards a peer that is not to be let in (``untrusted``): trust is not BGP's to withdraw, and does not
    wait for what it has to say. ``may_remove`` protects everything else.
    """
    trust = _Trust(decided, untrusted, endpoints)
    inheriting, barred, moved = _by_ends(heirs), _by_hosts(blocked), _Moved(heirs)
    actions: list[Action] = [
        UnloadConnection(name)
        for name in observed.connections
        if name not in wanted and (may_remove or name in blocked_connections or trust.concerns(name))
    ]
    standing_in: list[ChildSa] = []
    waiting: set[SoftwireId] = set()
    for ike in observed.ike_sas:
        connection = wanted.get(ike.connection)
        names = {child.name for child in connection.children} if connection is not None else frozenset()
        superseded = [sa for sa in ike.children if sa.carries and sa.name not in names]
        if connection is not None and not superseded:
            continue
        going: list[ChildSa] = []
        staying = False
        for sa in superseded:
            claims = [claim.softwire.id for claim in inheriting.get(_ends(ike), ()) if claim.covers(sa)]
            if not claims and (claims := moved.heirs(ike, sa)) and not trust.lasts(ike):
                claims = []
            if any(claim.covers(sa) for claim in barred.get((ike.local_host, ike.remote_host), ())):
                going.append(sa)
            elif not may_remove and not trust.withdrawn(ike, sa):
                staying = True
            elif claims:
                staying = True
                standing_in.append(sa)
                waiting.update(claims)
            else:
                going.append(sa)
        if connection is None and not staying:
            unwanted = may_remove or going or ike.connection in blocked_connections
            if unwanted and ike.state != "DELETING":
                actions.append(TerminateIke(ike.unique_id, ike.connection))
        elif not ike.deletes_child:
            actions.extend(TerminateChild(sa.unique_id, sa.name) for sa in going)
    return Removals(tuple(actions), tuple(standing_in), frozenset(waiting))


class _Moved:
    """Softwires whose traffic went to other endpoints before."""

    def __init__(self, heirs: Sequence[Claim]) -> None:
        self._by_endpoint: dict[str, list[Claim]] = defaultdict(list)
        self._by_selectors: dict[tuple[Parsed, Parsed], list[Claim]] = defaultdict(list)
        for claim in heirs:
            for endpoint in claim.led_to:
                self._by_endpoint[str(endpoint)].append(claim)
            if claim.lacking and claim.softwire.interface is None and claim.softwire.mode is Mode.TUNNEL:
                for child in claim.children:
                    self._by_selectors[parse_selector(child.local_ts), parse_selector(child.remote_ts)].append(claim)

    def heirs(self, ike: IkeSa, sa: ChildSa) -> list[SoftwireId]:
        """The softwires that an SA stands in for until they stand themselves."""
        if sa.mode == Mode.TRANSPORT or sa.if_id_out is not None or sa.mark_out is not None:
            # A route led into it: that goes over first, and then the SA is of no more use.
            claims = [claim for claim in self._by_endpoint.get(ike.remote_host, ()) if claim.covers(sa)]
        else:
            # Of two SAs with the same selectors the kernel uses one, and from the other's peer it takes nothing: once
            # both ends have the new one, the old one is in its way.
            ends = tuple(parse_selector(text) for side in (sa.local_ts, sa.remote_ts) for text in side)
            claims = self._by_selectors.get(ends, []) if len(ends) == 2 else []
        return [claim.softwire.id for claim in claims]


class _Trust:
    """What may be told of the credentials by which SAs were made."""

    def __init__(self, decided: Sequence[Claim], untrusted: Sequence[SoftwireId], endpoints: Sequence[Network]) -> None:
        self._claims = decided
        self._pending = untrusted
        self._endpoints = endpoints

    @cached_property
    def _accepted(self) -> Mapping[_Ends, list[Claim]]:
        return _by_ends(self._claims)

    @cached_property
    def _decided(self) -> Mapping[tuple[str, str], list[Claim]]:
        return _by_hosts(self._claims)

    @cached_property
    def _untrusted(self) -> Collection[tuple[str, str]]:
        return {(str(wire.local), str(wire.remote)) for wire in self._pending} - self._decided.keys()

    @cached_property
    def _remotes(self) -> Collection[str]:
        return {remote for _, remote in (*self._decided, *self._untrusted)}

    def concerns(self, connection: str) -> bool:
        """Whether a connection is to a peer of which we know by what it may authenticate."""
        return connection.removeprefix(OWNED).partition("-")[0] in self._remotes

    def withdrawn(self, ike: IkeSa, sa: ChildSa) -> bool:
        """Whether a CHILD SA was made by a credential that counts no more."""
        hosts = ike.local_host, ike.remote_host
        if hosts in self._untrusted:
            return True
        if _ends(ike) in self._accepted:
            return False
        return any(claim.covers(sa) for claim in self._decided.get(hosts, ()))

    def lasts(self, ike: IkeSa) -> bool:
        """Whether nothing speaks against the peer of an IKE_SA though nobody may want it any more."""
        hosts = ike.local_host, ike.remote_host
        if hosts in self._untrusted:
            return False
        if hosts in self._decided:
            return _ends(ike) in self._accepted
        return any(ip_address(ike.remote_host) in network for network in self._endpoints)


def _by_ends(claims: Iterable[Claim]) -> Mapping[_Ends, list[Claim]]:
    found: dict[_Ends, list[Claim]] = defaultdict(list)
    for claim in claims:
        for connection in claim.connections:
            tag = credential_tag(connection.name)
            for ours in printed_identity(connection.local.identity):
                for theirs in printed_identity(connection.remote.identity):
                    ends = connection.local_address, connection.remote_address, ours, theirs, tag
                    found[ends].append(claim)
    return found


def _by_hosts(claims: Iterable[Claim]) -> Mapping[tuple[str, str], list[Claim]]:
    found: dict[tuple[str, str], list[Claim]] = defaultdict(list)
    for claim in claims:
        found[str(claim.softwire.id.local), str(claim.softwire.id.remote)].append(claim)
    return found


def _ends(ike: IkeSa) -> _Ends:
    return ike.local_host, ike.remote_host, ike.local_id, ike.remote_id, credential_tag(ike.connection)
