"""Tells the log what has become of softwires and BGP sessions from one pass to the next, each line with its key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import structlog

from softmesh.bgp.route import Neighbor
from softmesh.charon.actions import Action, Initiate, LoadConnection, TerminateChild, TerminateIke, UnloadConnection
from softmesh.charon.observed import ChildSa, Observed
from softmesh.control.plan import Plan
from softmesh.control.progress import State, pending_state
from softmesh.mesh.credential import Credential, authenticator_of, origin_of
from softmesh.mesh.desired import Desired
from softmesh.mesh.softwire import SoftwireId


@dataclass(frozen=True, slots=True)
class _Told:
    """What the log last told of a softwire."""

    state: State
    failure: str = ""
    spis: tuple[tuple[str, str], ...] = ()
    """Inbound and outbound."""
    credentials: tuple[Credential, ...] = ()
    stale: bool = False


class Chronicle:
    """One bridge's; begins with nothing told.

    A softwire is told of from when it is first wanted until nothing asks for it. One that was never let in is not: a
    stranger could fill the log.
    """

    def __init__(self) -> None:
        self._log = structlog.get_logger("softmesh.bridge")
        self._told: dict[SoftwireId, _Told] = {}
        self._neighbors: dict[str, str] = {}
        self._serving: dict[str, tuple[SoftwireId, ...]] = {}
        """The softwires of each connection of ours, as long as charon has it."""

    def neighbors(self, neighbors: Mapping[str, Neighbor]) -> None:
        """Tell of BGP sessions that have come up or gone down."""
        for address, neighbor in neighbors.items():
            was, state = self._neighbors.get(address), neighbor.state.value
            if was != state:
                self._log.info("neighbor", neighbor=address, state=state, was=was, reason=neighbor.reason)
                self._neighbors[address] = state

    def actions(self, plan: Plan, observed: Observed, refused: Iterable[tuple[Action, str]]) -> None:
        """Tell what was done to charon; ``observed`` is what it held before."""
        held = {sa.connection for sa in observed.ike_sas} | observed.connections.keys()
        lasting = {name: wires for name, wires in self._serving.items() if name in held}
        self._serving = {**lasting, **plan.serving}
        why = dict(refused)
        for action in plan.actions:
            for wire in self._serving.get(_connection_of(action, observed), (None,)):
                self._log.debug(
                    "action",
                    softwire=None if wire is None else wire.key,
                    action=action.describe(),
                    refused=why.get(action, ""),
                )

    def softwires(self, desired: Desired, plan: Plan, now: float) -> None:
        """Tell what has become of softwires; ``now`` in monotonic seconds."""
        before, self._told = self._told, {}
        for wire, progress in plan.progress.items():
            told = _Told(
                progress.state,
                progress.failure,
                _spis(plan.installed.get(wire, ())),
                desired.softwires[wire].credentials,
                wire in desired.stale,
            )
            self._told[wire] = told
            self._state(wire, before.get(wire), told, progress.reason)
            if (was := before.get(wire)) is None:
                continue
            if was.state is told.state and set(was.spis) != set(told.spis):
                self._log.info(
                    "softwire SAs", softwire=wire.key, spi_in=[spi for spi, _ in told.spis],
                    spi_out=[spi for _, spi in told.spis],
                    closed=sorted({spi for spi, _ in was.spis} - {spi for spi, _ in told.spis}),
                )  # fmt: skip
            if told.failure and was.failure != told.failure:
                self._log.info("attempt failed", softwire=wire.key, attempts=progress.attempts, reason=progress.failure)
            if was.credentials and was.credentials != told.credentials:
                self._log.info(
                    "softwire trust",
                    softwire=wire.key,
                    authenticators=[
                        digest.hex() for each in told.credentials if (digest := authenticator_of(each)) is not None
                    ],
                    key_from=[origin_of(each) for each in told.credentials],
                )
            if was.stale is not told.stale:
                until = desired.stale.get(wire)
                kept_for = None if until is None else round(until - now, 3)
                self._log.info("softwire stale", softwire=wire.key, stale=told.stale, kept_for=kept_for)
        for wire in before.keys() - self._told.keys():
            self._no_longer_wanted(wire, before[wire], desired)

    def _no_longer_wanted(self, wire: SoftwireId, before: _Told, desired: Desired) -> None:
        if (pending := desired.pending.get(wire)) is None:
            self._state(wire, before, None, "")
            return
        self._told[wire] = _Told(pending_state(pending.refusal))
        self._state(wire, before, self._told[wire], pending.refusal.detail)

    def _state(self, wire: SoftwireId, before: _Told | None, after: _Told | None, reason: str) -> None:
        if before is not None and after is not None and before.state is after.state:
            return
        spis = () if after is None else after.spis
        self._log.info(
            "softwire",
            softwire=wire.key,
            remote=str(wire.remote),
            type=wire.type.label,
            color=wire.color,
            state="gone" if after is None else after.state.value,
            was=None if before is None else before.state.value,
            reason=reason,
            spi_in=[spi for spi, _ in spis],
            spi_out=[spi for _, spi in spis],
        )


def _spis(children: Iterable[ChildSa]) -> tuple[tuple[str, str], ...]:
    return tuple((sa.spi_in, sa.spi_out) for sa in children)


def _connection_of(action: Action, observed: Observed) -> str:
    """The connection an action is about; empty where it is about none, or about one that is not there any more."""
    match action:
        case LoadConnection(connection):
            return connection.name
        case UnloadConnection(name) | Initiate(connection=name) | TerminateIke(connection=name):
            return name
        case TerminateChild(unique_id):
            found = (ike.connection for ike in observed.ike_sas for sa in ike.children if sa.unique_id == unique_id)
            return next(found, "")
        case _:
            return ""
