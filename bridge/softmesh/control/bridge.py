"""The loop: watches BGP, keys and charon, and applies what the planner says about the difference.

All decisions are the pure functions'; here is only the order of things. A pass is: fold if anything it depends on has
changed, look at charon, plan, apply. Nothing is remembered of a pass but attempts and times.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

import structlog

from softmesh.bgp.announcement import Announcement
from softmesh.bgp.attribute_refusal import AttributeUse
from softmesh.bgp.exabgp_process import ManagedExaBgp
from softmesh.bgp.hook_client import HookClient
from softmesh.charon.observed import Observed
from softmesh.charon.watch import SECRETS_UNLISTED, Watch
from softmesh.config import Config
from softmesh.config.values import ACCEPTED_TUNNEL_TYPES, SessionProtection
from softmesh.control.audit import report as audit
from softmesh.control.audit.facts import gather
from softmesh.control.audit.node import Node
from softmesh.control.carriage import attribute_use, carriage_of, refusal_remedy
from softmesh.control.chronicle import Chronicle
from softmesh.control.data_plane import DataPlane
from softmesh.control.expiry import expiries
from softmesh.control.kept_routes import KEPT_ROUTES, Kept, KeptRoutes
from softmesh.control.key_stores import KeyStores
from softmesh.control.knowledge import Knowledge
from softmesh.control.measurements import Measurements, subject_classes
from softmesh.control.mesh_document import mesh_document, with_our_own
from softmesh.control.plan import Plan, plan
from softmesh.control.progress import State
from softmesh.control.sessions import SessionGuard, Sessions, under_ipsec
from softmesh.control.settings import announcements_of, pace_of, policy_of
from softmesh.control.trust_files import TrustFiles
from softmesh.control.view import View, explain, status
from softmesh.control.withheld import Withheld, withheld_from
from softmesh.errors import OperatorError, SoftmeshError
from softmesh.mesh.arrivals import Arrivals
from softmesh.mesh.desired import Desired, Memory, fold
from softmesh.mesh.identity import Identity
from softmesh.mesh.key_directory import KeyDirectory
from softmesh.mesh.observation import Observation, observe
from softmesh.mesh.softwire import Address, SoftwireId
from softmesh.mesh.trust import AnnouncedKeys, DirectoryKeys, KeySource

_KEY_SCAN = 1.0
"""Seconds between looks at the key directories."""
_RECENT = 900.0
"""Seconds for which what ExaBGP refused, which nothing mends, counts as a problem to alert on."""
_OLDEST_LOOK = 60.0
"""Seconds that a look at charon may be old, for those who poll."""
_FRESH_LOOK = 1.0
"""Seconds a command waits for a look at charon before it answers from the last pass."""


class Bridge:
    """One mesh, one charon."""

    def __init__(
        self, config: Config, own: tuple[Identity, ...], *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._monotonic = monotonic
        self._log = structlog.get_logger("softmesh.bridge")
        self._wake = asyncio.Event()
        self._turn = asyncio.Lock()
        self._marker = config.sockets.directory / "withdrawn"
        self._announcing = not self._marker.exists()
        self.measurements = Measurements(monotonic())
        self._hook = HookClient(
            str(config.sockets.hook),
            on_change=self._wake.set,
            on_delay=self.measurements.hook_delay.observe,
            monotonic=monotonic,
        )
        self._charon = Watch(
            config.charon.vici,
            on_change=self._wake.set,
            on_answer=self.measurements.vici_answered,
            on_rekeyed=self.measurements.rekeyed,
            monotonic=monotonic,
        )
        self._data_plane = DataPlane(report=self._report, on_change=self._wake.set, monotonic=monotonic)
        self._sessions = Sessions(monotonic=monotonic)
        self._under_ipsec: frozenset[Address] | None = None
        """BGP neighbours to whom the session's SAs stand; None before charon was first looked at."""
        self._guarded = asyncio.Event()
        """Set once the guards have been seen to."""
        self._observed = Observed({}, (), frozenset())
        self._desired = Desired()
        self._folded: object = None
        self._observed_mesh: tuple[object, Observation] = (None, observe((), accepted=()))
        """The mesh as it is announced, and what it was seen in."""
        self._trusted: object = None
        self._memory = Memory()
        self._arrivals = Arrivals(time.time() - monotonic())
        self._own: tuple[Identity, ...] = ()
        self._retired: frozenset[str] = frozenset()
        """Identifiers of keys that were ours since we started: charon is to forget them."""
        self._keys_changed = 0
        self._key_stores = KeyStores(
            config.sockets.directory / "keys",
            on_found=self._keys_found,
            report=self._report,
            monotonic=monotonic,
        )
        self._kept_routes = KeptRoutes(
            config.sockets.directory / KEPT_ROUTES,
            report=lambda problem: self._report("routes kept", problem),
            monotonic=monotonic,
        )
        self._plan = Plan()
        self._shown = self._plan
        """The newest there is, of a pass or on behalf of commands: what was shown once is not forgotten again."""
        self._acting = 0.0
        """Seconds the last pass spent on its actions."""
        self._glance: asyncio.Task[Plan | None] | None = None
        """A look on behalf of commands, shared by all that ask meanwhile."""
        self._glanced = 0.0
        """When it began."""
        self._last_round = monotonic()
        self._pending_since: dict[SoftwireId, float] = {}
        self._knowledge = Knowledge(monotonic(), config.bgp.stale_time)
        self._awaited: tuple[str, ...] = ()
        self._complete = False
        """Whether the last fold was of all that BGP has to say."""
        self._reported: dict[str, str] = {}
        self._chronicle = Chronicle()
        self.configure(config, own)
        self._recall()

    def _recall(self) -> None:
        """Take over what the bridge before us knew."""
        kept, alive = self._kept_routes.read(self._policy.stale_times.longest)
        self._hook.restore(kept.routes, kept.instance, alive)
        self._arrivals.restore(kept.owners)
        self._sessions.recall(kept.protection)
        self._set_policy()

    def _to_keep(self) -> Kept:
        return Kept(
            tuple(self._hook.routes.values()),
            self._hook.instance,
            self._arrivals.owners,
            {name: verdict.protection.value for name, verdict in self._sessions.verdicts.items() if verdict.satisfied},
        )

    def configure(self, config: Config, own: tuple[Identity, ...]) -> None:
        """Take over a configuration: at the start, and again when the file was read anew.

        ``own``: our keys, that which we prefer first. The sockets, charon's socket, and of the BGP section all but
        stale_time only count at the start. Raises SoftmeshError, and changes nothing, where a file for trust cannot be
        used.
        """
        trust_files = TrustFiles(config)
        self.config = config
        self._trust_files = trust_files
        ours = {identity.key_id.hex() for identity in own}
        self._retired = (self._retired | {identity.key_id.hex() for identity in self._own}) - ours
        self._own = own
        self._data_plane.configure(config)
        self._sessions.configure(config)
        self._pace = pace_of(config)
        self._knowledge.stale_time = config.bgp.stale_time
        self._directories: list[KeyDirectory] = []
        self._sources: list[KeySource] = []
        stores = self._key_stores.configure(config.trust.keys)
        for source in config.trust.keys:
            if source.directory is not None:
                directory = KeyDirectory(source.directory)
                directory.scan()
                self._directories.append(directory)
                self._sources.append(DirectoryKeys(directory))
            if source.announced:
                self._sources.append(AnnouncedKeys())
            if source.url is not None:
                self._sources.append(stores[source.url])
        self._keys_changed += 1
        self._report_key_problems()
        self._set_announcing(self._announcing)

    def announce(self, *, announcing: bool) -> None:
        """Announce our prefixes, or withdraw them all and leave the mesh; outlives a restart of the bridge."""
        if announcing:
            self._marker.unlink(missing_ok=True)
            self._log.info("announcing")
        else:
            self._marker.touch(mode=0o600)
            self._log.info("withdrawn")
        self._set_announcing(announcing)

    def _set_announcing(self, announcing: bool) -> None:
        self._announcing = announcing
        self._set_policy()
        self._hook.announce(self._announcements, attribute_use(self.config))
        self._wake.set()

    @property
    def _announcements(self) -> frozenset[Announcement]:
        return announcements_of(self.config, self._own, announcing=self._announcing)

    def _set_policy(self) -> None:
        ability = self._charon.ability
        self._policy = policy_of(
            self.config,
            announcing=self._announcing,
            trust=self._trust_files.trust,
            trust_groups=self._trust_files.groups,
            unprotected=self._sessions.unprotected,
            fabric=self._data_plane.fabric,
            ml_kem=ability is not None and ability.ml_kem,
        )

    async def run(
        self, exabgp: ManagedExaBgp | None = None, *, on_pass: Callable[[str], None] = lambda summary: None
    ) -> None:
        """Run until cancelled. Softwires stay as they are when it ends: a restart must not be felt.

        ``on_pass`` is called after each pass, whatever came of it, with how things stand, in a few words: every 10 s at
        least, as long as the passes go round.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._charon.run(), name="charon")
            tasks.create_task(self._hook.run(), name="hook client")
            if exabgp is not None:
                tasks.create_task(self._run_exabgp(exabgp), name="exabgp")
            tasks.create_task(self._data_plane.run(), name="interfaces")
            tasks.create_task(self._watch_keys(), name="keys")
            tasks.create_task(self._key_stores.run(), name="key stores")
            tasks.create_task(self._passes(on_pass), name="passes")
            tasks.create_task(
                self._kept_routes.run(
                    lambda: (self._hook.generation, self._sessions.verdicts, self._arrivals.owners), self._to_keep
                ),
                name="routes kept",
            )

    async def _run_exabgp(self, exabgp: ManagedExaBgp) -> None:
        if any(neighbor.protection is SessionProtection.IPSEC for neighbor in self.config.bgp.neighbors):
            # Without its guard the session would come up in the clear first.
            await self._guarded.wait()
        await exabgp.run()

    async def _passes(self, on_pass: Callable[[str], None]) -> None:
        wake_at = 0.0
        # Both sockets are being opened just now: that is no problem to report yet.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FRESH_LOOK):
                await self._charon.wait_connected()
        while True:
            try:
                async with asyncio.timeout(max(0.0, wake_at - self._monotonic())):
                    await self._wake.wait()
            except TimeoutError:
                # What the planner waits for, an attempt that fails above all, may come about without an event.
                self._charon.suspect()
            self._wake.clear()
            started = self._monotonic()
            try:
                async with self._turn:
                    await self._pass()
            except SoftmeshError as error:
                # charon cannot be reached or does not make sense: nothing is known of it, so nothing is done to it.
                self._report("charon", str(error))
                self._went_round(on_pass)
                wake_at = self._monotonic() + _FRESH_LOOK
                continue
            self._report("charon", "")
            self._went_round(on_pass)
            now = self._monotonic()
            self.measurements.passed(started, now)
            wake_at = max(now, min(self._charon.look_due, self._data_plane.look_due, self._sessions.look_due))
            wake_at = min([wake_at, *(at for at in (self._plan.wake_at, self._desired.wake_at) if at is not None)])
            # Under a storm of events at most half of the time goes into looking and planning; time spent acting is
            # none of that. The first event after a pause is served at once.
            await asyncio.sleep(max(0.0, now - started - 2 * self._acting))

    def _went_round(self, on_pass: Callable[[str], None]) -> None:
        self._last_round = self._monotonic()
        on_pass(self._summary())

    @property
    def silent_for(self) -> float:
        """Seconds since the last pass ended, whatever came of it."""
        return self._monotonic() - self._last_round

    async def _pass(self) -> None:
        self._chronicle.neighbors(self._hook.neighbors)
        self._report_refusals()
        self._report_withheld()
        await self._judge_sessions()
        self._fold()
        if self._under_ipsec is None and self._sessions.unjudged(self._hook.neighbors):
            # What stands already would be denied its packets until it is known what protects BGP.
            with contextlib.suppress(SoftmeshError):
                self._under_ipsec = under_ipsec(self._desired, self._planned(await self._look(), {}))
                await self._judge_sessions()
                self._fold()
        # Before charon is asked anything: it may be away, or have gone down with all its SAs.
        await self._data_plane.stand_guard(self._desired, self._policy)
        self._guarded.set()
        observed = self._observed = await self._look()
        if await self._data_plane.survey(self._charon.ability):
            self._set_policy()
            self._fold()
        self._acting = 0.0
        began = self._monotonic()
        blocked = await self._data_plane.prepare(self._desired, observed)
        prepared = self._monotonic() - began
        self._plan = self._shown = self._planned(observed, blocked)
        self._under_ipsec = under_ipsec(self._desired, self._plan)
        decided = self._monotonic()
        await self._data_plane.lead(self._desired, self._plan, may_remove=self._may_remove)
        refused = await self._charon.apply(self._plan.actions)
        await self._data_plane.clear(self._desired, observed, may_remove=self._may_remove)
        self._acting = prepared + self._monotonic() - decided
        self._report("pre-shared keys", SECRETS_UNLISTED if self._charon.secrets_unlisted else "")
        self._report("refused by charon", "; ".join(f"{action.describe()}: {why}" for action, why in refused))
        # charon's log tells why an attempt failed, where there are no alerts (before 6.0.3).
        await self._charon.hear_log(wanted=self._plan.puzzling)
        self._chronicle.actions(self._plan, observed, refused)
        self._chronicle.softwires(self._desired, self._plan, self._monotonic())
        self.measurements.looked(observed.ike_sas, self._plan, decided, self._received)
        if await self._judge_sessions():
            self._wake.set()

    def _received(self, wire: SoftwireId) -> float:
        """When the first of the UPDATEs came that ask for a softwire; minus infinity where the configuration does."""
        routes = (self._hook.routes.get(key) for key in self._desired.carried.get(wire, ()))
        return min((route.received_at for route in routes if route is not None), default=-math.inf)

    async def _judge_sessions(self) -> bool:
        """See whether BGP's sessions are protected as they must be; returns whether that has changed."""
        guard = self._data_plane.guard
        before = self._sessions.verdicts
        changed = await self._sessions.look(
            self._hook.neighbors,
            ipsec=self._under_ipsec,
            guarded=() if guard is None else guard.under_ipsec,
            near=() if guard is None else guard.near,
        )
        if changed:
            self._set_policy()
        for name, verdict in self._sessions.verdicts.items():
            amiss = verdict.since is not None and not verdict.satisfied
            self._report(f"BGP session {name}", verdict.reason if amiss else "")
            if verdict.satisfied and verdict.protection is not before[name].protection:
                kind, reason = verdict.protection, verdict.reason
                if kind is SessionGuard.NONE:
                    self._log.warning("BGP session unprotected", neighbor=name, protection=kind.value, reason=reason)
                else:
                    self._log.info("BGP session", neighbor=name, protection=kind.value, reason=reason)
        return changed

    async def _look(self) -> Observed:
        return await self._charon.look(revocation_lists=bool(self._policy.revocation_lists))

    def _fold(self) -> None:
        # Of one moment with the routes: what arrives while charon is asked is not in what was folded.
        neighbors = self._hook.neighbors
        missing = self._knowledge.missing(self._policy.neighbors, self._policy.families, neighbors, self._monotonic())
        self._awaited = tuple(dict.fromkeys((*missing, *self._sessions.unjudged(neighbors))))
        self._complete = self._hook.synced and not self._awaited
        self._report("hook", self._hook_problem())
        trust = (self._keys_changed, self._policy)
        basis = (self._hook.generation, trust, self._may_remove)
        now = self._monotonic()
        due = self._desired.wake_at is not None and now >= self._desired.wake_at
        if basis == self._folded and not due:
            return
        if trust != self._trusted:
            self._trusted, self._memory = trust, Memory()
        self._folded = basis
        self._desired = fold(
            self._hook.routes.values(),
            self._policy,
            self._sources,
            self._memory,
            self._arrivals,
            now,
            complete=self._may_remove,
        )
        self._pending_since = {wire: self._pending_since.get(wire, now) for wire in self._desired.pending}

    def _hook_problem(self) -> str:
        kept, asked = self._hook.stale_time, self._policy.stale_times.longest
        if kept is None or kept >= asked:
            return ""
        remedy = "restart the bridge" if self.config.bgp.managed else f"start it with --stale-time {asked:g}"
        return f"it keeps routes of lost sessions for {kept:g} s, and stale_time asks for {asked:g} s: {remedy}"

    @property
    def _may_remove(self) -> bool:
        return self._complete and self._hook.synced

    def _planned(self, observed: Observed, blocked: Mapping[SoftwireId, str]) -> Plan:
        return plan(
            self._desired,
            observed,
            self._plan.progress,
            self._monotonic(),
            own=self._own,
            pace=self._pace,
            may_remove=self._may_remove,
            blocked=blocked,
            failures=self._charon.failures,
            # What charon had before us others may use: a host's key serves many.
            retired=self._retired.intersection(self._charon.keys_loaded),
            revocation_lists=self._policy.revocation_lists,
            led=self._data_plane.led(self._desired),
            endpoints=self._policy.endpoints,
        )

    async def _watch_keys(self) -> None:
        while True:
            await asyncio.sleep(_KEY_SCAN)
            changed = [directory.scan() for directory in self._directories]
            if self._trust_files.scan():
                self._set_policy()
                changed.append(True)
            if any(changed):
                self._keys_changed += 1
                self._log.info("keys changed", keys=sum(map(len, self._directories)))
                self._report_key_problems()
                self._wake.set()

    def _keys_found(self) -> None:
        self._keys_changed += 1
        self._wake.set()

    def _report_refusals(self) -> None:
        use = attribute_use(self.config)
        for neighbor in self._hook.neighbors:
            how = None if neighbor in use else self._hook.refused.get(neighbor)
            text = "" if how is None else f"it refuses it: {how}; {refusal_remedy(neighbor, self.config)}"
            self._report(f"attribute 23 to {neighbor}", text)

    def _report_withheld(self) -> None:
        withheld = self._withheld()
        for neighbor in self._hook.neighbors:
            found = withheld.get(neighbor)
            text = "" if found is None else f"our IPv4 prefixes: {found.reason}; {found.remedy}"
            self._report(f"withheld from {neighbor}", text)

    def _withheld(self) -> dict[str, Withheld]:
        if not self._hook.lacking:
            return {}
        return withheld_from(self._hook.neighbors, self._announcements, self._hook.lacking)

    def _report_key_problems(self) -> None:
        for directory in self._directories:
            self._report(f"keys {directory.path}", "; ".join(directory.problems))
        self._report("trust", "; ".join(self._trust_files.problems))

    def _report(self, subject: str, problem: str) -> None:
        """Log a problem when it appears or changes, and that it is over; not each time it is met."""
        if self._reported.get(subject, "") == problem:
            return
        if problem:
            self._reported[subject] = problem
            self._log.warning("problem", subject=subject, problem=problem)
        else:
            del self._reported[subject]
            self._log.info("problem over", subject=subject)

    # What commands ask.

    async def answer_status(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """``softmesh status``; whoever asks again and again may say how old the look at charon may be."""
        age = request.get("age", 0.0)
        if not isinstance(age, int | float) or not 0 <= age <= _OLDEST_LOOK:
            raise OperatorError(f"age: must be a number of seconds from 0 to {_OLDEST_LOOK:g}")
        return await self.status(age=age)

    async def status(self, *, age: float = 0.0) -> Mapping[str, Any]:
        """All of it, with counters as they are now, if charon answers, or were ``age`` seconds ago at most."""
        planned = await self._fresh(age)
        dropped: Mapping[str, int] = {}
        with contextlib.suppress(SoftmeshError):
            dropped = await self._data_plane.dropped()
        hook = self._hook
        carriage = carriage_of(self.config, hook.neighbors, hook.routes.values(), self._announcements, hook.refused)
        return status(replace(self._view(planned, dropped), carriage=carriage, withheld=self._withheld()))

    async def answer_mesh(self, _request: Mapping[str, Any]) -> Mapping[str, Any]:
        """The mesh document."""
        return await self.mesh()

    async def mesh(self, *, age: float = 0.0) -> Mapping[str, Any]:
        """The whole mesh as it is announced, our own softwires as ``status`` has them; ``age`` as for that."""
        status = await self.status(age=age)
        hook, now = self._hook, self._monotonic()
        basis = (hook.generation, self._announcements)
        if basis != self._observed_mesh[0]:
            router_id = self.config.bgp.router_id
            routes = with_our_own(
                hook.routes.values(), self._announcements, None if router_id is None else str(router_id)
            )
            # Of a large mesh it takes a good part of a second, and BGP and charon do not wait.
            observed = await asyncio.to_thread(
                observe, routes, accepted=tuple(ACCEPTED_TUNNEL_TYPES.values()), neighbors=dict(hook.neighbors)
            )
            self._observed_mesh = (basis, observed)
        return mesh_document(
            self._observed_mesh[1],
            datetime.now(UTC),
            now,
            neighbors=hook.neighbors.values(),
            connected=hook.connected,
            status=status,
        )

    async def answer_explain(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """``softmesh explain``."""
        return await self.explanation(str(request.get("target", "")))

    async def explanation(self, target: str, *, age: float = 0.0) -> Mapping[str, Any]:
        """The chain of decisions for ``target``; ``age`` as of ``status``. Raises OperatorError as ``explain`` does."""
        return explain(self._view(await self._fresh(age)), target)

    async def answer_plan(self, _request: Mapping[str, Any]) -> Mapping[str, Any]:
        """``softmesh plan``: the very actions the next pass would apply."""
        planned = await self._fresh()
        steps = self._data_plane.steps(self._desired, planned, self._observed, may_remove=self._may_remove)
        return {
            "actions": [action.describe() for action in (*steps, *planned.actions)],
            "removal_awaits": list(self._awaited),
            "charon": self._charon_problem(),
        }

    async def answer_audit(self, _request: Mapping[str, Any]) -> Mapping[str, Any]:
        """``softmesh audit``: every requirement, held against what is there now."""
        planned = await self._fresh()
        facts = await gather(self.config, self._own)
        node = Node(
            config=self.config,
            policy=self._policy,
            own=self._own,
            announced=self._announcements,
            view=self._view(planned),
            observed=self._observed,
            ability=self._charon.ability,
            facts=facts,
        )
        # Thousands of softwires take a second or more, and BGP and charon do not wait.
        return await asyncio.to_thread(audit.answer, node)

    async def answer_announce(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """``softmesh announce``; with a neighbour, that one gets attribute 23 again."""
        neighbor = request.get("attribute")
        if neighbor is not None:
            return {"attribute": self._try_attribute(str(neighbor))}
        self.announce(announcing=True)
        return {"announcing": list(map(str, self.config.announce.prefixes))}

    def _try_attribute(self, neighbor: str) -> str:
        try:
            address = str(ip_address(neighbor))
        except ValueError as error:
            raise OperatorError(f"{neighbor!r} is no address of a BGP neighbour") from error
        if address not in self._hook.refused:
            known = ", ".join(sorted(self._hook.refused)) or "none does"
            raise OperatorError(f"{address} is not known to refuse attribute 23; these are: {known}")
        if attribute_use(self.config).get(address) is AttributeUse.NEVER:
            raise OperatorError(f"bgp.neighbors: attribute of {address} is never; change it first")
        self._log.info("attribute 23 is tried again", neighbor=address)
        self._hook.try_attribute(address)
        return address

    async def answer_withdraw(self, _request: Mapping[str, Any]) -> Mapping[str, Any]:
        """``softmesh withdraw``."""
        self.announce(announcing=False)
        return {"withdrawn": list(map(str, self.config.announce.prefixes))}

    async def _fresh(self, age: float = 0.0) -> Plan:
        """A plan of this moment, applied nowhere; where charon is busy or gone, the newest there was.

        ``age``: seconds that the look at charon, which costs it something, may be old to do.

        Whoever asks waits for a moment only, but the look goes on: a command that is abandoned costs the connection.
        """
        if self._glance is None or (self._glance.done() and self._monotonic() - self._glanced >= age):
            self._glanced = self._monotonic()
            self._glance = asyncio.create_task(self._planned_anew(), name="glance")
        done, _ = await asyncio.wait([self._glance], timeout=_FRESH_LOOK)
        if done and (planned := self._glance.result()) is not None:
            return planned
        self._fold()
        return Plan(progress=self._shown.progress, installed=self._shown.installed)

    async def _planned_anew(self) -> Plan | None:
        """None where charon cannot be looked at: by then nobody may be waiting any more to be told."""
        async with self._turn:
            self._fold()
            self._charon.suspect()
            try:
                self._observed = await self._look()
            except SoftmeshError as error:
                if self._charon.connected:
                    # The next look has only just begun to wait for its answer.
                    self._report("charon", str(error))
                return None
            await self._data_plane.refresh(self._desired)
            planned = self._shown = self._planned(self._observed, self._data_plane.blocked(self._desired))
            self.measurements.traffic.look(self._observed.ike_sas, planned.installed)
            return planned

    def _summary(self) -> str:
        wires = (*self._desired.softwires, *self._desired.pending)
        up = sum(progress.state is State.UP for progress in self._plan.progress.values())
        count = len(self._reported)
        problems = f", {count} problem{'s' if count > 1 else ''}: softmesh status" if count else ""
        return f"{up} of {len(wires)} softwires up{problems}"

    def _charon_problem(self) -> str:
        return self._charon.problem or self._reported.get("charon", "")

    def _view(self, planned: Plan, dropped: Mapping[str, int] | None = None) -> View:
        now = self._monotonic()
        return View(
            now=now,
            endpoint=str(self.config.endpoint),
            authenticators=tuple(identity.authenticator.hex() for identity in self._own),
            announcing=self._announcing,
            prefixes=tuple(map(str, self.config.announce.prefixes)),
            hook_connected=self._hook.connected,
            hook_unread=self._hook.unread,
            hook_lost_lines=self._hook.lost_lines,
            hook_resynchronized=self._hook.resynchronized,
            charon=self._charon_problem(),
            awaited=self._awaited,
            neighbors=self._hook.neighbors,
            sessions=self._sessions.verdicts,
            desired=self._desired,
            progress=planned.progress,
            installed=planned.installed,
            pending_since=self._pending_since,
            stale_times=self._policy.stale_times,
            fabric=self._policy.fabric,
            layout=self._data_plane.state.layout,
            guards=self.config.dataplane.guards.value,
            dropped=dropped or {},
            routes=self._hook.route_counts(),
            keys_held=sum(map(len, self._directories)),
            certificates=expiries(self._own, self._desired),
            problem_subjects=subject_classes(
                (*self._reported, *("ExaBGP" for error in self._hook.errors if now - error.at < _RECENT))
            ),
            problems=(
                *(f"{subject}: {text}" for subject, text in self._reported.items()),
                *(error.text for error in self._hook.errors),
            ),
        )
