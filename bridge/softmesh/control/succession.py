"""What of ours in charon is not wanted any more, and which of it may stand until its successor does. Pure.

A change of tunnel type, data plane, level of protection or proposals makes before it breaks. What was withdrawn goes at
once: a prefix, a key, a softwire.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from softmesh.charon.actions import Action, TerminateChild, TerminateIke, UnloadConnection
from softmesh.charon.connection import OWNED, Child, Connection
from softmesh.charon.observed import ChildSa, IkeSa, Observed
from softmesh.charon.render import credential_tag
from softmesh.charon.selector import overlap
from softmesh.charon.verify import printed_identity
from softmesh.mesh.softwire import Mode, Softwire, SoftwireId

_DELETING_CHILD = "CHILD_DELETE"


@dataclass(frozen=True, slots=True)
class Claim:
    """The traffic of a softwire, as a reason to let an SA stand or fall."""

    softwire: Softwire
    children: tuple[Child, ...]
    """Those whose traffic is meant."""
    connections: tuple[Connection, ...]
    """How its peer may authenticate."""

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
    heirs: Iterable[Claim],
    blocked: Iterable[Claim],
    blocked_connections: Collection[str],
    decided: Sequence[Claim] = (),
    untrusted: Sequence[SoftwireId] = (),
) -> Removals:
    """Unload and terminate what is ours and not wanted: the connection first, lest the peer set it up again at once.

    ``heirs``: what softwires lack that may still inherit. An SA stands in for them only where it is between the same
    endpoints by credentials we still accept: a withdrawn key has no heir. ``blocked``: softwires that must carry
    nothing; what does so goes even where ``may_remove`` is False. So does what was made by a credential that a softwire
    we know of (``decided``) does not accept, or towards a peer that is not to be let in (``untrusted``): trust is not
    BGP's to withdraw, and does not wait for what it has to say. ``may_remove`` protects everything else.
    """
    withdrawn = None if may_remove else _Withdrawn(decided, untrusted)
    inheriting, barred = _by_ends(heirs), _by_hosts(blocked)
    actions: list[Action] = [
        UnloadConnection(name)
        for name in observed.connections
        if name not in wanted and (withdrawn is None or name in blocked_connections or withdrawn.concerns(name))
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
            if any(claim.covers(sa) for claim in barred.get((ike.local_host, ike.remote_host), ())):
                going.append(sa)
            elif withdrawn is not None and not withdrawn.made(ike, sa):
                staying = True
            elif claims := [claim.softwire.id for claim in inheriting.get(_ends(ike), ()) if claim.covers(sa)]:
                staying = True
                standing_in.append(sa)
                waiting.update(claims)
            else:
                going.append(sa)
        if connection is None and not staying:
            unwanted = may_remove or going or ike.connection in blocked_connections
            if unwanted and ike.state != "DELETING":
                actions.append(TerminateIke(ike.unique_id, ike.connection))
        elif _DELETING_CHILD not in ike.tasks:
            actions.extend(TerminateChild(sa.unique_id, sa.name) for sa in going)
    return Removals(tuple(actions), tuple(standing_in), frozenset(waiting))


class _Withdrawn:
    """What may be told of withdrawn credentials while BGP has not said all."""

    def __init__(self, decided: Sequence[Claim], untrusted: Sequence[SoftwireId]) -> None:
        self._accepted = _by_ends(decided)
        self._decided = _by_hosts(decided)
        self._untrusted = {(str(wire.local), str(wire.remote)) for wire in untrusted} - self._decided.keys()
        self._remotes = {remote for _, remote in (*self._decided, *self._untrusted)}

    def concerns(self, connection: str) -> bool:
        """Whether a connection is to a peer of which we know by what it may authenticate."""
        return connection.removeprefix(OWNED).partition("-")[0] in self._remotes

    def made(self, ike: IkeSa, sa: ChildSa) -> bool:
        """Whether a CHILD SA was made by one."""
        hosts = ike.local_host, ike.remote_host
        if hosts in self._untrusted:
            return True
        if _ends(ike) in self._accepted:
            return False
        return any(claim.covers(sa) for claim in self._decided.get(hosts, ()))


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
