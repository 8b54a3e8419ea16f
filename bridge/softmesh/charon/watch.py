"""charon as the bridge watches it: what it held at the last look, whether that still serves, why attempts failed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

from softmesh.charon.ability import Ability
from softmesh.charon.actions import Action, Initiate, LoadConnection, UnloadConnection
from softmesh.charon.driver import Driver
from softmesh.charon.failure import ALERT, LOG, Failure, Failures
from softmesh.charon.listing import ike_sas, is_up
from softmesh.charon.observed import Observed
from softmesh.charon.packet import Section
from softmesh.charon.vici import CommandError, OnAnswer, Vici
from softmesh.errors import Unreachable

AUDIT = 10.0
"""Seconds after which charon is looked at even if nothing happened: others may change it without an event."""
GLANCE = 0.1
"""Seconds for which a look serves in spite of changes: shorter than any pause between two attempts."""
_BURST = 0.5
"""Seconds for which our own actions, one after the other, can put off a look."""
SECRETS_UNLISTED = (
    "charon holds more of them, of whomever, than it can list (512 KiB a VICI message): after trust.secret_file has "
    "changed, restart strongSwan, for an old group key of ours cannot be found there"
)
"""What an operator is to know where ``Watch.secrets_unlisted``."""
_SILENCE = 1.0
"""Seconds without an answer after which charon is called silent."""
_REKEYED = {"ike-rekey": "ike", "child-rekey": "child"}
_EVENTS = ("ike-updown", "ike-rekey", "ike-update", "child-updown", "child-rekey", ALERT)


class Watch:
    """One charon; ``on_change`` is called, from the event loop, when it may hold something else than before."""

    def __init__(
        self,
        path: Path,
        *,
        on_change: Callable[[], None],
        on_answer: OnAnswer | None = None,
        on_rekeyed: Callable[[str], None] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``on_answer`` is told of every command, ``on_rekeyed`` of every SA of ours: ``ike`` or ``child``."""
        self._vici = Vici(path, _EVENTS, self._on_event, self._on_connection, on_answer=on_answer)
        self._on_rekeyed = on_rekeyed
        self._driver = Driver(self._vici)
        self._on_change = on_change
        self._monotonic = monotonic
        self._observed: Observed | None = None
        self._looked_at = 0.0
        self._acted_since: float | None = None
        """When we first acted since the last look."""
        self.look_due = 0.0
        """When the last look will serve no more."""
        self._reminder: asyncio.TimerHandle | None = None
        """Calls ``on_change`` when a look is due because of events that came while the last one still served."""
        self._asked_at: float | None = None
        """When charon was asked for what it holds; None while no answer is awaited."""
        self._failures = Failures()
        self._loaded: frozenset[str] = frozenset()
        """Names of our connections, as of the last look."""
        self.ability: Ability | None = None
        """What this charon can; None until it was looked at for the first time since it was connected."""

    async def run(self) -> None:
        """Keep connected until cancelled."""
        await self._vici.run()

    async def wait_connected(self) -> None:
        """Wait until charon can be asked."""
        await self._vici.wait_connected()

    @property
    def connected(self) -> bool:
        """Whether charon can be asked."""
        return self._vici.connected

    @property
    def problem(self) -> str:
        """Why charon does not answer; empty while it does."""
        if not self._vici.connected:
            return str(self._vici.last_error or "not connected yet")
        silent = 0.0 if self._asked_at is None else self._monotonic() - self._asked_at
        if silent > _SILENCE:
            return f"charon has not answered for {silent:.0f} s; what is shown is what it held before"
        return ""

    @property
    def secrets_unlisted(self) -> bool:
        """Whether charon cannot say which pre-shared keys of ours it has."""
        return self._driver.secrets_unlisted

    @property
    def keys_loaded(self) -> Collection[str]:
        """Identifiers of the private keys that charon has from us, as far as is certain; the others are not ours."""
        return self._driver.keys_loaded

    @property
    def failures(self) -> Mapping[str, Failure]:
        """Why the last attempt of a connection failed, by its name, where charon told."""
        return self._failures.told

    def suspect(self) -> None:
        """Let no look serve that was made before now: something may have changed without an event."""
        self.look_due = 0.0

    async def look(self, *, revocation_lists: bool = False) -> Observed:
        """What charon holds: by the last look while that serves, else by a new one.

        ``revocation_lists``: the CRLs too, which hardly anybody needs.

        It serves while nothing is known to have changed, for a moment after our own actions, whose certain part is
        accounted for, and for a moment after itself whatever happens: in a burst of UPDATEs or events a listing for
        each handful of them would cost more than the softwires themselves. Raises as ``Driver.observe``.
        """
        now = self._monotonic()
        if self._observed is None or now >= self.look_due:
            # Before it: an event that comes meanwhile is a change since.
            self._looked_at, self.look_due, self._acted_since = now, now + AUDIT, None
            self._observed = None
            self._asked_at = now
            try:
                if self.ability is None:
                    self.ability = await self._driver.ability()
                self._observed = await self._driver.observe(revocation_lists=revocation_lists)
            finally:
                self._asked_at = None
            self._loaded = frozenset(self._observed.connections)
        return self._observed

    async def apply(self, actions: Iterable[Action]) -> list[tuple[Action, str]]:
        """Apply actions in order; returns those charon refused, with its words.

        Raises Unreachable or PeerError where it does not answer, or is not that which was looked at; the rest is left.
        """
        applied: list[Action] = []
        refused: list[tuple[Action, str]] = []
        for action in actions:
            if self._observed is None:
                raise Unreachable("charon was connected anew since the last look; nothing is done before the next")
            now = self._monotonic()
            self._acted_since = now if self._acted_since is None else self._acted_since
            self.look_due = min(now + GLANCE, self._acted_since + _BURST)
            try:
                await self._driver.apply(action)
            except CommandError as error:
                refused.append((action, str(error)))
                if isinstance(action, LoadConnection | Initiate):
                    self._failures.note(_connection(action), str(error))
            else:
                applied.append(action)
                if isinstance(action, LoadConnection | UnloadConnection):
                    self._failures.forget(_connection(action))
        if applied and self._observed is not None:
            self._observed = self._observed.after(applied)
        return refused

    async def hear_log(self, *, wanted: bool) -> None:
        """Have charon's log searched for reasons of failures, which is not cheap, or no more."""
        await self._vici.listen(LOG, wanted=wanted)

    def _remind(self) -> None:
        self._reminder = None
        self._on_change()

    def _on_event(self, name: str, message: Section) -> None:
        if name in {LOG, ALERT}:
            self._failures.hear(name, message, self._loaded)
        elif name == "child-updown" and is_up(message):
            for sa in ike_sas([message]):
                self._failures.forget(sa.connection)
        elif name in _REKEYED and self._on_rekeyed is not None and ike_sas([message]):
            self._on_rekeyed(_REKEYED[name])
        if name == LOG:
            return
        now = self._monotonic()
        if self._acted_since is None:
            self.look_due = min(self.look_due, self._looked_at + GLANCE)
        if now >= self.look_due:
            self._on_change()
        elif self._reminder is None:
            self._reminder = asyncio.get_running_loop().call_later(self.look_due - now, self._remind)

    def _on_connection(self, up: bool) -> None:
        self.suspect()
        self._failures.clear()
        self.ability = None
        self._driver.secrets_unlisted = False
        # It may be another charon: who gave that its keys is not known, nor whose the SAs are that have our numbers.
        self._driver.keys_loaded.clear()
        self._observed = None
        self._on_change()


def _connection(action: LoadConnection | UnloadConnection | Initiate) -> str:
    match action:
        case LoadConnection(connection):
            return connection.name
        case UnloadConnection(name):
            return name
        case Initiate(name, _):
            return name
