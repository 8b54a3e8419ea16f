"""The planner: desired and observed in, actions out. Pure, level-triggered, idempotent.

It compares what ought to exist with what charon holds and says what to do about the difference, now. It replays
nothing: run twice on the same input it says the same, and run after its actions took effect it says nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from softmesh.charon.actions import (
    Action,
    Initiate,
    LoadConnection,
    LoadKey,
    LoadRevocationList,
    LoadSecret,
    TerminateChild,
    TerminateIke,
    UnloadKey,
    UnloadSecret,
)
from softmesh.charon.connection import Child, Connection
from softmesh.charon.failure import Cause, Failure, explain
from softmesh.charon.incarnation import incarnation
from softmesh.charon.observed import INSTALLED, ChildSa, IkeSa, Observed
from softmesh.charon.render import merge, render
from softmesh.charon.verify import verify, verify_peer
from softmesh.control.progress import Pace, Progress, State, backoff, elected, takeover_at, tidy_at
from softmesh.control.succession import Claim, removals
from softmesh.mesh.certificate import supersedes
from softmesh.mesh.credential import OwnKey
from softmesh.mesh.desired import Desired
from softmesh.mesh.identity import Identity
from softmesh.mesh.refusal import Refusal, Rule
from softmesh.mesh.softwire import Address, Level, Mode, Network, Softwire, SoftwireId

_HALF_OPEN = frozenset({"CREATED", "CONNECTING"})
_AUTHENTICATED = frozenset({"ESTABLISHED", "REKEYING"})
_CREATING_CHILD = "CHILD_CREATE"
_UNTRUSTED = frozenset({Rule.KEY, Rule.CERTIFICATE})
"""Why a softwire is pending whose peer we would not let in."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now, and when to look again if nothing happens before."""

    actions: tuple[Action, ...] = ()
    progress: Mapping[SoftwireId, Progress] = field(default_factory=dict)
    """To be handed to the next pass, once the actions have been applied."""
    wake_at: float | None = None
    installed: Mapping[SoftwireId, tuple[ChildSa, ...]] = field(default_factory=dict)
    """The CHILD SAs that carry each softwire."""
    standing_in: tuple[ChildSa, ...] = ()
    """CHILD SAs of an earlier configuration that stay until what takes over from them is up."""
    lacking: Mapping[SoftwireId, tuple[Child, ...]] = field(default_factory=dict)
    """What softwires lack, or have only just got, whose traffic may still go by the way it went before."""
    puzzling: bool = False
    """Whether some softwire has lacked an SA for so long that charon's log is worth listening to."""
    unlisted: frozenset[SoftwireId] = frozenset()
    """Softwires of which charon cannot say what SAs they have: nothing is done to them."""
    serving: Mapping[str, tuple[SoftwireId, ...]] = field(default_factory=dict)
    """The softwires that each connection is for, by its name."""

    @property
    def standing(self) -> frozenset[SoftwireId]:
        """Softwires with a CHILD SA that carries traffic and is what was asked for; or so it must be presumed."""
        return frozenset(wire for wire, sas in self.installed.items() if sas) | self.unlisted


def plan(
    desired: Desired,
    observed: Observed,
    progress: Mapping[SoftwireId, Progress],
    now: float,
    *,
    own: tuple[Identity, ...],
    pace: Pace,
    may_remove: bool,
    failures: Mapping[str, Failure] | None = None,
    blocked: Mapping[SoftwireId, str] | None = None,
    retired: Collection[str] = (),
    revocation_lists: Sequence[bytes] = (),
    led: Mapping[SoftwireId, frozenset[Address]] | None = None,
    endpoints: Sequence[Network] = (),
) -> Plan:
    """Plan one pass.

    ``may_remove`` is False while a source has not said all it knows: then only additions (nothing is torn down on
    ignorance). ``failures`` says by connection why its last attempt failed, where charon told. ``blocked`` are
    softwires that must carry nothing, each with the reason: what they need in the kernel is not there. Even on
    ignorance nothing of them is left. ``own``: our keys, that which we prefer first. ``retired``: identifiers of keys
    that were ours and that charon shall forget. ``revocation_lists``: CRLs in DER that it shall have. ``led``: by
    softwire, endpoints that routes for its destinations lead to as yet, other than into it. ``endpoints``: where peers
    are admitted.
    """
    led = led or {}
    own_keys = tuple(identity.own_key for identity in own)
    occupied = frozenset(sa.connection for sa in observed.ike_sas)

    def connections_of(softwire: Softwire, keys: tuple[OwnKey, ...] = own_keys) -> tuple[Connection, ...]:
        loaded = observed.connections
        return tuple(incarnation(each, loaded=loaded, occupied=occupied) for each in render(softwire, keys))

    mute = {wire for wire, softwire in desired.softwires.items() if not render(softwire, own_keys)}
    blocked = {**dict.fromkeys(mute, "there is nothing by which we and the peer could authenticate"), **(blocked or {})}
    rendered = {wire: connections_of(softwire) for wire, softwire in desired.softwires.items() if wire not in blocked}
    wanted = {connection.name: connection for connection in merge(c for cs in rendered.values() for c in cs)}
    by_connection: dict[str, list[IkeSa]] = defaultdict(list)
    for sa in observed.ike_sas:
        by_connection[sa.connection].append(sa)

    actions: list[Action] = []
    actions.extend(_credentials(own, retired, revocation_lists, wanted, observed, may_remove=may_remove))
    actions.extend(_loads(wanted, _usable(own, observed)))

    half_open = sum(sa.state in _HALF_OPEN and sa.initiator for sa in observed.ike_sas)
    barred = {wire: softwire for wire, softwire in desired.softwires.items() if wire in blocked}
    remembered = {wire: _refused(progress.get(wire), blocked[wire], now) for wire in barred}
    heirs: list[Claim] = []
    puzzling = False
    installed: dict[SoftwireId, tuple[ChildSa, ...]] = {}
    wakes: list[float] = []
    # Those whose turn has waited longest come first, so that the ceiling starves nobody.
    for wire in sorted(rendered, key=lambda wire: _turn(progress.get(wire), wire)):
        preferred = {connection.name for connection in connections_of(desired.softwires[wire], own_keys[:1])}
        planner = _SoftwirePlan(
            desired.softwires[wire], rendered[wire], preferred, by_connection, pace, now, failures or {}
        )
        room = pace.max_half_open - half_open
        outcome = planner.run(progress.get(wire), room=room, dropped=desired.dropped.get(wire))
        actions.extend(outcome.actions)
        half_open += outcome.opened
        remembered[wire] = outcome.progress
        installed[wire] = outcome.installed
        wakes.extend(outcome.wakes)
        if (missing_since := outcome.progress.missing_since) is not None:
            patient_until = missing_since + pace.patience
            puzzling |= now >= patient_until or outcome.progress.attempts > 1
            if now < patient_until:
                wakes.append(patient_until)
        if now < _inherits_until(outcome, pace, now):
            children = outcome.missing or rendered[wire][0].children
            heirs.append(
                Claim(
                    desired.softwires[wire],
                    children,
                    rendered[wire],
                    lacking=bool(outcome.missing) or now < outcome.progress.since + pace.settling,
                    led_to=led.get(wire, frozenset()),
                )
            )

    never = [connections_of(softwire) for softwire in barred.values()]
    gone = removals(
        wanted,
        observed,
        may_remove=may_remove,
        heirs=heirs,
        blocked=[
            Claim(softwire, cs[0].children, cs) for softwire, cs in zip(barred.values(), never, strict=True) if cs
        ],
        blocked_connections={connection.name for connections in never for connection in connections},
        decided=[
            Claim(desired.softwires[wire], connections[0].children, connections)
            for wire, connections in rendered.items()
        ],
        untrusted=[wire for wire, pending in desired.pending.items() if pending.refusal.rule in _UNTRUSTED],
        endpoints=endpoints,
    )
    actions.extend(gone.actions)
    inheriting = {claim.softwire.id: claim for claim in heirs if claim.led_to or claim.softwire.id in gone.heirs}
    if inheriting:
        wakes.append(now + pace.poll)
    for wire in rendered:
        remembered[wire] = _superseding(remembered[wire], now, wire in inheriting)
    lacking = {wire: claim.children for wire, claim in inheriting.items() if claim.lacking}
    # Softwires that share a connection come to the same conclusions about it.
    distinct = tuple(dict.fromkeys(actions))
    dark = {sa.connection for sa in observed.ike_sas if sa.unlisted}
    unlisted = frozenset(wire for wire, connections in rendered.items() if any(c.name in dark for c in connections))
    wake_at = min(wakes, default=None)
    serving: dict[str, tuple[SoftwireId, ...]] = {}
    for wire, connections in rendered.items():
        for connection in connections:
            serving[connection.name] = (*serving.get(connection.name, ()), wire)
    return Plan(distinct, remembered, wake_at, installed, gone.standing_in, lacking, puzzling, unlisted, serving)


def _refused(before: Progress | None, reason: str, now: float) -> Progress:
    lasting = before is not None and before.state is State.REFUSED
    since = before.since if before is not None and lasting else now
    return Progress(State.REFUSED, since, reason, cause=Cause.DATA_PLANE)


def _inherits_until(outcome: _Outcome, pace: Pace, now: float) -> float:
    """Until when superseded SAs stand in for a softwire; monotonic seconds, ``now`` or before if no more."""
    since = outcome.progress.superseded_since
    if outcome.missing:
        return (now if since is None else since) + pace.succession
    # The peer may see its own end of what takes over only now, and have routes to move. Deleting an SA deletes its
    # half too, and whatever it still sends there is lost.
    return now if since is None else outcome.progress.since + pace.surplus_grace


def _superseding(progress: Progress, now: float, inherits: bool) -> Progress:
    since = progress.superseded_since if progress.superseded_since is not None else now
    return replace(progress, superseded_since=since if inherits else None)


def _turn(progress: Progress | None, wire: SoftwireId) -> tuple[float, int, int, int]:
    """Order of softwires; what follows the time only makes it the same on every pass."""
    due = 0.0 if progress is None else progress.next_attempt
    return due, int(wire.remote), wire.type, -1 if wire.color is None else wire.color


def _credentials(
    own: Iterable[Identity],
    retired: Collection[str],
    revocation_lists: Sequence[bytes],
    wanted: Mapping[str, Connection],
    observed: Observed,
    *,
    may_remove: bool,
) -> Iterable[Action]:
    """What connections rest on, before them."""
    for identity in own:
        if identity.key_id.hex() not in observed.key_ids:
            yield LoadKey(identity.private_key_pem)
    for key_id in observed.key_ids & set(retired):
        yield UnloadKey(key_id)
    for crl in revocation_lists:
        if not any(supersedes(held, crl) for held in observed.revocation_lists):
            yield LoadRevocationList(crl)
    secrets = {secret.name: secret for c in wanted.values() if (secret := c.secret) is not None}
    owners = {_owner(name) for name in secrets}
    held = observed.secrets
    if held is None:
        # Each was loaded before its connection.
        usable = _usable(own, observed)
        held = frozenset(c.secret.name for name, c in wanted.items() if c.secret is not None and name in usable)
    for name in sorted(held - secrets.keys()):
        # charon tries every key of an owner: by the old one, too, the peer could come in on the new connection. So that
        # one goes even on ignorance.
        if may_remove or _owner(name) in owners:
            yield UnloadSecret(name)
    for name in sorted(secrets.keys() - held):
        yield LoadSecret(secrets[name])


def _owner(secret: str) -> str:
    """Whose pre-shared key it is, by its name less the digest."""
    return secret.rpartition("-")[0]


def _usable(own: Iterable[Identity], observed: Observed) -> Mapping[str, frozenset[str]]:
    """Loaded connections, each with the names of its children; none where others had charon clear its credentials.

    ``swanctl --load-creds --clear`` takes from charon our keys, and also those that peers are pinned to. Connections
    that say so stay listed, and let nobody in.
    """
    return observed.connections if any(identity.key_id.hex() in observed.key_ids for identity in own) else {}


def _loads(wanted: Mapping[str, Connection], usable: Mapping[str, frozenset[str]]) -> Iterable[Action]:
    """Names carry digests, so a difference of names is a difference of content."""
    for name, connection in wanted.items():
        children = frozenset(child.name for child in connection.children)
        if usable.get(name) != children:
            yield LoadConnection(connection)


@dataclass(frozen=True, slots=True)
class _Outcome:
    actions: list[Action]
    progress: Progress
    installed: tuple[ChildSa, ...]
    missing: tuple[Child, ...]
    opened: int
    wakes: list[float]


class _SoftwirePlan:
    """One softwire's part of a pass."""

    def __init__(
        self,
        softwire: Softwire,
        connections: Sequence[Connection],
        preferred: Collection[str],
        by_connection: Mapping[str, Sequence[IkeSa]],
        pace: Pace,
        now: float,
        failures: Mapping[str, Failure],
    ) -> None:
        self._wire = softwire.id
        self._softwire = softwire
        self._connections = connections
        self._preferred = [connection.name for connection in connections if connection.name in preferred]
        self._sas = [sa for connection in connections for sa in by_connection.get(connection.name, ())]
        self._by_preference = {
            child.unique_id for name in self._preferred for sa in by_connection.get(name, ()) for child in sa.children
        }
        """CHILD SAs that rest on the key of ours that we prefer."""
        self._children = {child.name: child for child in connections[0].children}
        self._pace = pace
        self._now = now
        self._failures = failures
        self._actions: list[Action] = []

    def run(self, before: Progress | None, *, room: int, dropped: Refusal | None) -> _Outcome:
        """Verify, complete and tidy the softwire; ``room`` is how many IKE_SAs may still be opened."""
        if unlisted := [sa.connection for sa in self._sas if sa.unlisted]:
            return self._in_the_dark(before, unlisted[0])
        carrying, wrong = self._sort()
        missing = [child for name, child in self._children.items() if name not in carrying]
        after = self._remember(before, missing, wrong)
        opened = 0
        wakes: list[float] = []
        moving: list[Child] = []
        if wrong:
            self._actions.extend(action for action, _ in wrong if action is not None)
            wakes.append(self._now + self._pace.poll)
        elif missing:
            after, opened, wakes = self._complete(after, missing, room)
        elif self._preferred and (
            moving := [
                child
                for name, child in self._children.items()
                if carrying[name][0].unique_id not in self._by_preference
            ]
        ):
            after, opened, wakes = self._move(after, moving, room)
        if not wrong:
            after = self._tidy(after, carrying, wakes, settled=not missing and not moving)
        if not moving:
            after = replace(after, moves=0, next_move=0.0)
        after = self._state(before, after, carrying, missing, dropped)
        installed = tuple(sas[0] for sas in carrying.values())
        return _Outcome(self._actions, after, installed, tuple(missing), opened, wakes)

    def _in_the_dark(self, before: Progress | None, connection: str) -> _Outcome:
        """Do nothing: neither beside SAs that nobody can see, nor to them."""
        since = before.since if before is not None and before.state is State.DEGRADED else self._now
        reason = (
            "charon has too many CHILD SAs with this peer to list them (512 KiB a VICI message), so none is set up or "
            f"closed; to begin anew: swanctl --terminate --ike {connection}"
        )
        return _Outcome([], Progress(State.DEGRADED, since, reason), (), (), 0, [])

    def _sort(self) -> tuple[dict[str, list[ChildSa]], list[tuple[Action | None, str]]]:
        """The CHILD SAs that carry what was asked for, newest first, by child; and how to end what is not.

        None where that is under way.
        """
        carrying: dict[str, list[ChildSa]] = {}
        wrong: list[tuple[Action | None, str]] = []
        peers = {connection.name: connection for connection in self._connections}
        for ike in self._sas:
            stranger = verify_peer(ike, peers[ike.connection]) if ike.state in _AUTHENTICATED else None
            if stranger is not None:
                wrong.append((TerminateIke(ike.unique_id, ike.connection), stranger))
                continue
            for sa in ike.children:
                child = self._children.get(sa.name)
                if child is None or not sa.carries:
                    continue
                reason = verify(sa, child, ike)
                if reason is None:
                    carrying.setdefault(sa.name, []).append(sa)
                elif ike.deletes_child:
                    wrong.append((None, reason))
                else:
                    wrong.append((TerminateChild(sa.unique_id, sa.name), reason))
        for sas in carrying.values():
            sas.sort(key=self._worth)
        return carrying, wrong

    def _worth(self, sa: ChildSa) -> tuple[bool, bool, int, int]:
        """A sort key for CHILD SAs that carry the same: the lowest is the one to keep."""
        by_preference = sa.unique_id in self._by_preference
        return not by_preference, sa.state != INSTALLED, sa.installed_for, -int(sa.unique_id or 0)

    def _remember(
        self, before: Progress | None, missing: Sequence[Child], wrong: Sequence[tuple[Action | None, str]]
    ) -> Progress:
        base = before or Progress(State.WANTED, self._now)
        if not missing:
            return replace(base, attempts=0, next_attempt=0.0, missing_since=None, failure="", cause=None)
        told = ((self._failures[c.name], c) for c in self._connections if c.name in self._failures)
        if wrong:
            base = replace(base, failure=wrong[0][1], cause=Cause.UNFIT)
        elif (known := next(told, None)) is not None:
            base = replace(base, failure=explain(*known), cause=known[0].cause)
        if base.missing_since is not None:
            return base
        # What has just gone missing is attempted at once; what was negotiated wrong, only after a pause.
        pause = backoff(self._wire, 1, self._pace) if wrong else 0.0
        return replace(base, missing_since=self._now, attempts=0, next_attempt=self._now + pause)

    def _complete(self, after: Progress, missing: Sequence[Child], room: int) -> tuple[Progress, int, list[float]]:
        """Set up what is missing, if it is our turn."""
        if any(sa.state in _HALF_OPEN or _CREATING_CHILD in sa.tasks for sa in self._sas):
            return after, 0, [self._now + self._pace.poll]
        if not self._softwire.may_initiate:
            return after, 0, []
        since = after.missing_since if after.missing_since is not None else self._now
        turn = max(takeover_at(self._wire, since, self._pace), after.next_attempt)
        if self._now < turn:
            return after, 0, [turn]
        established = next((sa for sa in self._sas if sa.state == "ESTABLISHED"), None)
        if established is None and room < 1:
            return after, 0, [self._now + self._pace.poll]
        if established is not None:
            connection = established.connection
            self._actions.extend(Initiate(connection, child.name) for child in missing)
        else:
            # With several keys (a rollover) each attempt tries another; the other children join the IKE_SA once
            # it stands.
            connection = self._connections[after.attempts % len(self._connections)].name
            self._actions.append(Initiate(connection, missing[0].name))
        attempts = after.attempts + 1
        again = self._now + backoff(self._wire, attempts, self._pace)
        opened = int(established is None)
        return replace(after, attempts=attempts, next_attempt=again), opened, [self._now + self._pace.poll]

    def _move(self, after: Progress, moving: Sequence[Child], room: int) -> tuple[Progress, int, list[float]]:
        """Set up by the key of ours that we prefer what stands by another: the peer does not know that we want to.

        What stands stays until then, and if the peer does not accept that key yet, also then.
        """
        sas = [sa for sa in self._sas if sa.connection in self._preferred]
        if any(sa.state in _HALF_OPEN or _CREATING_CHILD in sa.tasks for sa in sas) or not self._softwire.may_initiate:
            return after, 0, [self._now + self._pace.poll]
        if self._now < after.next_move:
            return after, 0, [after.next_move]
        established = next((sa for sa in sas if sa.state == "ESTABLISHED"), None)
        if established is None and room < 1:
            return after, 0, [self._now + self._pace.poll]
        if established is None:
            connection = self._preferred[after.moves % len(self._preferred)]
        else:
            connection = established.connection
        self._actions.extend(Initiate(connection, child.name) for child in (moving if established else moving[:1]))
        moves = after.moves + 1
        after = replace(after, moves=moves, next_move=self._now + backoff(self._wire, moves, self._pace))
        return after, int(established is None), [self._now + self._pace.poll]

    def _tidy(
        self, after: Progress, carrying: Mapping[str, Sequence[ChildSa]], wakes: list[float], *, settled: bool
    ) -> Progress:
        """Close what is surplus, once it is nobody's business but ours any more."""
        surplus = self._surplus(carrying, settled=settled)
        if not surplus:
            return replace(after, surplus_since=None)
        since = after.surplus_since if after.surplus_since is not None else self._now
        due = tidy_at(self._wire, since, self._pace)
        if self._now >= due:
            self._actions.extend(surplus)
        wakes.append(max(due, self._now + self._pace.poll))
        return replace(after, surplus_since=since)

    def _surplus(self, carrying: Mapping[str, Sequence[ChildSa]], *, settled: bool) -> list[Action]:
        """SAs that carry nothing another does not: all but the newest for each child, and IKE_SAs left without any.

        Until the softwire is ``settled`` an IKE_SA without any may yet get what it lacks.
        """
        actions: list[Action] = []
        kept = {sas[0].unique_id for sas in carrying.values()}
        for ike in self._sas:
            surplus = [sa for sa in ike.children if sa.name in self._children and sa.unique_id not in kept]
            # Others of its CHILD SAs may be another softwire's, or stand in for what is still to come.
            idle = not any(sa.carries and sa not in surplus for sa in ike.children)
            if settled and idle and ike.state == "ESTABLISHED":
                actions.append(TerminateIke(ike.unique_id, ike.connection))
            elif not ike.deletes_child:
                actions.extend(TerminateChild(sa.unique_id, sa.name) for sa in surplus if sa.state == INSTALLED)
        return actions

    def _state(
        self,
        before: Progress | None,
        after: Progress,
        carrying: Mapping[str, object],
        missing: Sequence[Child],
        dropped: Refusal | None,
    ) -> Progress:
        if not missing:
            state, reason = (State.UP, "") if dropped is None else (State.DEGRADED, dropped.detail)
        else:
            reason = self._next_step(after)
            if self._softwire.mode is Mode.TRANSPORT:
                # kernel-libipsec, and a kernel without them, answer NO_PROPOSAL_CHOSEN, which helps nobody.
                protocol = "AH" if self._softwire.profile.level is Level.AH else "ESP"
                reason += f"; transport mode needs a kernel that has {protocol}"
            if after.failure:
                reason = f"{after.failure}; {reason}"
            if carrying:
                state = State.DEGRADED
                pairs = ", ".join(f"{child.local_ts} - {child.remote_ts}" for child in missing[:3])
                more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
                reason = f"no CHILD SA for {pairs}{more}; {reason}"
            elif self._sas or after.attempts or (elected(self._wire) and self._softwire.may_initiate):
                state = State.CONNECTING
            else:
                state = State.WANTED
        since = before.since if before is not None and before.state is state else self._now
        return replace(after, state=state, since=since, reason=reason)

    def _next_step(self, after: Progress) -> str:
        if not self._softwire.may_initiate:
            return "the peer only transmits (tunnel type 3): it initiates"
        if any(sa.state in _HALF_OPEN for sa in self._sas):
            return f"attempt {max(after.attempts, 1)} is under way"
        if after.attempts == 0:
            return "the peer initiates, having the lower endpoint" if not elected(self._wire) else "initiating"
        return f"attempt {after.attempts} made, no answer accepted yet"
