"""Tunnel endpoints as they come and go: who owns one, how many new ones at once, and which are left alone for a while.

A route reflector hands on whatever it hears, so that a router can announce the endpoint of another, or endpoints by the
thousand, or one that comes and goes. None of these must cost the softwires that stand. What this takes is memory, kept
here from fold to fold:

- One owner an endpoint. Who announced it first owns it for as long as it announces it without a break; announcements
  by others are refused, however often either repeats its own. When the owner has gone, the next takes over.
- Arrivals. New endpoints of one announcing router are admitted at so many a minute, as many at once to begin with; the
  others wait, in the order they came. Time counts from when a route was received, not from when we look: a bridge that
  starts beside a mesh which grew slowly admits all of it at once.
- Places. A route that changes is a new one, and what it is for keeps its place all the same: whatever is served first
  come, first served goes by when it was first asked for without a break.
- Dampening (RFC 2439 §4.2). An endpoint its owner withdraws adds one to a figure that halves every half-life. Where
  that comes to the limit, the owner gets no softwire to it until the figure is below half the limit.

A router that waits or is dampened owns nothing: another that announces the same endpoint meanwhile may have it, so that
a flood of claims reserves nothing.

Pure: times are readings of CLOCK_MONOTONIC in seconds, given by the caller.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple, TypeAlias

from softmesh.bgp.route import Route
from softmesh.mesh.policy import Dampening
from softmesh.mesh.refusal import Refusal, Rule
from softmesh.mesh.softwire import Address, SoftwireId

MAX_FIGURES = 65536
"""Endpoints that have gone and are remembered; beyond, those with the least figures are forgotten."""

_NEGLIGIBLE = 0.1
"""A figure below which a departure is forgotten."""
_CEILING = 4
"""A figure counts no further than this many limits, so that nobody waits longer than three half-lives."""
_SHORTEST_WAIT = 1.0
"""Seconds: those that may come in within one are let in together."""
_LOOKS = 1000
"""How many are looked at in a second on average, for no other reason than that they wait."""


class Claim(NamedTuple):
    """One admitted route that offers an endpoint; a tuple, since there is one for every route."""

    announcer: str
    """As ``announcer`` gives it for the route that carries the tunnel (RFC 9012 §8: not one that recurses to it)."""
    received_at: float
    stale_since: float | None = None
    """When the session of that route was lost."""


Pair: TypeAlias = tuple[Address, str]
"""An endpoint and an announcer of it."""


def announcer(route: Route) -> str:
    """Who announced a route, however many reflectors it came through.

    The router of ORIGINATOR_ID (RFC 4456 §8); else the AS it originates in, which is another than ours; else the
    neighbour itself.
    """
    attributes = route.attributes
    if attributes.originator_id is not None:
        return attributes.originator_id
    if attributes.as_path:
        return f"AS {attributes.as_path[-1]}"
    return route.key.neighbor


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is to be done with each claim."""

    owners: Mapping[Address, str] = field(default_factory=dict)
    """Who owns an endpoint; nobody where all who announce it wait."""
    waiting: Mapping[Pair, Refusal] = field(default_factory=dict)
    """Claims to endpoints without an owner, and why each must wait."""
    wake_at: float | None = None
    """When one of those may come in; None where none waits."""

    def refusal(self, endpoint: Address, announcer: str) -> Refusal | None:
        """Why a claim is refused; None: it counts."""
        owner = self.owners.get(endpoint)
        if owner == announcer:
            return None
        if owner is None:
            return self.waiting.get((endpoint, announcer))
        return Refusal(
            Rule.OWNER,
            f"endpoint {endpoint} is announced by router {owner}, its owner; "
            f"{announcer}'s announcement of it is refused",
        )


@dataclass(frozen=True, slots=True)
class Figure:
    """How often of late an endpoint went, as RFC 2439 §4.2 counts: one for each time, halved every half-life."""

    value: float
    at: float
    """When it had that value."""
    dampened: bool
    """Whether it has come to the limit, and was not below half of that since."""

    def now(self, now: float, half_life: float) -> float:
        """Its value by now."""
        return float(self.value * 2.0 ** (min(0.0, self.at - now) / half_life))


class Arrivals:
    """What is remembered of tunnel endpoints between folds.

    ``epoch``: the wall clock's reading, in seconds since 1970, at CLOCK_MONOTONIC zero; refusals name times of day.
    """

    def __init__(self, epoch: float) -> None:
        self._epoch = epoch
        self._owners: dict[Address, str] = {}
        self._next_free: dict[str, float] = {}
        self._figures: dict[Pair, Figure] = {}
        self._forget_beyond = 1024
        self._dampened: frozenset[Pair] = frozenset()
        self._judged = Judgement()
        self._since: Mapping[SoftwireId, float] = {}

    @property
    def owners(self) -> Mapping[Address, str]:
        """Who owns which endpoint."""
        return self._owners

    def restore(self, owners: Mapping[Address, str]) -> None:
        """Begin with the owners that an earlier bridge knew."""
        self._owners = dict(owners)

    def owner(self, endpoint: Address) -> str | None:
        """Who owned an endpoint when last judged."""
        return self._owners.get(endpoint)

    def since(self, received: Mapping[SoftwireId, float], *, complete: bool = True) -> Mapping[SoftwireId, float]:
        """When each softwire was first asked for, without a break since.

        ``received``: when the oldest of its present routes was received. ``complete``: as ``judge`` has it.
        """
        held = self._since
        since = {wire: min(at, held.get(wire, at)) for wire, at in received.items()}
        self._since = since if complete else {**held, **since}
        return self._since

    def judge(
        self,
        claims: Mapping[Address, Sequence[Claim]],
        now: float,
        *,
        max_arrivals: int,
        dampening: Dampening | None,
        complete: bool = True,
    ) -> Judgement:
        """Judge all the claims there are.

        ``max_arrivals``: new endpoints of one announcer in a minute. ``complete``: whether what is not claimed has
        gone; False while routes are still being received.
        """
        if dampening is None:
            self._figures.clear()
        freed = self._take_leave(claims, now, dampening) if complete else frozenset()
        newcomers = self._newcomers(claims)
        if newcomers:
            self._judged = self._admit(newcomers, freed, now, max_arrivals, dampening)
        else:
            self._dampened = frozenset()
            if self._judged.waiting or self._judged.owners is not self._owners:
                self._judged = Judgement(self._owners)
        return self._judged

    def _take_leave(
        self, claims: Mapping[Address, Sequence[Claim]], now: float, dampening: Dampening | None
    ) -> Collection[Address]:
        """Forget owners that no longer announce what they owned, and count that; returns what they owned."""
        gone = [pair for pair in self._owners.items() if not _claims(claims, pair)]
        if gone:
            left = dict(gone)
            self._owners = {endpoint: owner for endpoint, owner in self._owners.items() if endpoint not in left}
        if dampening is not None:
            # Those dampened own nothing, but coming and going still counts against them.
            gone += [pair for pair in self._dampened if not _claims(claims, pair)]
            for pair in gone:
                self._count(pair, now, dampening)
            self._forget(now, dampening)
        return frozenset(endpoint for endpoint, _ in gone)

    def _newcomers(self, claims: Mapping[Address, Sequence[Claim]]) -> list[tuple[float, str, Address]]:
        """Each claimant of each endpoint without an owner, by when it first announced it."""
        owners = self._owners
        if len(owners) == len(claims) and owners.keys() == claims.keys():
            return []
        newcomers = []
        for endpoint, claimants in claims.items():
            if endpoint not in owners:
                first: dict[str, float] = {}
                for claim in claimants:
                    first[claim.announcer] = min(claim.received_at, first.get(claim.announcer, math.inf))
                newcomers += [(received_at, name, endpoint) for name, received_at in first.items()]
        newcomers.sort(key=lambda newcomer: (newcomer[0], newcomer[1], newcomer[2].version, int(newcomer[2])))
        return newcomers

    def _admit(
        self,
        newcomers: Iterable[tuple[float, str, Address]],
        freed: Collection[Address],
        now: float,
        max_arrivals: int,
        dampening: Dampening | None,
    ) -> Judgement:
        """Give endpoints their owners, in the order of arrival, as far as the two limits allow."""
        interval = 60.0 / max_arrivals
        owners = dict(self._owners)
        waiting: dict[Pair, Refusal] = {}
        dampened: list[Pair] = []
        queued: Counter[str] = Counter()
        # One for all that wait until the same minute: after a flood they are many.
        too_many: dict[tuple[str, int], Refusal] = {}
        wake_at = math.inf
        for received_at, name, endpoint in newcomers:
            if endpoint in owners:
                continue
            if dampening is not None and (until := self._dampened_until((endpoint, name), now, dampening)) is not None:
                dampened.append((endpoint, name))
                waiting[endpoint, name] = self._too_restless(endpoint, name, until, dampening)
                wake_at = min(wake_at, until)
                continue
            # A bucket of max_arrivals tokens, kept as the time by which it is full again (ITU-T I.371, "virtual
            # scheduling"): one is left as long as that is less than all but one of them away.
            full_at = self._next_free.get(name, -math.inf)
            # What could not be had before, whoever announced it, comes only now.
            arrived_at = now if endpoint in freed or (endpoint, name) in self._dampened else min(received_at, now)
            admitted_at = max(arrived_at, full_at - (max_arrivals - 1) * interval)
            if admitted_at > now or name in queued:
                admitted_at = max(admitted_at, now) + queued[name] * interval
                queued[name] += 1
                minute = math.ceil((self._epoch + admitted_at) / 60)
                why = too_many.get((name, minute))
                if why is None:
                    why = too_many[name, minute] = _too_many(name, minute, max_arrivals)
                waiting[endpoint, name] = why
                wake_at = min(wake_at, admitted_at)
                continue
            self._next_free[name] = max(full_at, admitted_at) + interval
            owners[endpoint] = name
        self._next_free = {name: full_at for name, full_at in self._next_free.items() if full_at > now}
        self._owners = owners
        self._dampened = frozenset(dampened)
        # Whoever comes later in the order of arrival may have taken what an earlier one must wait for.
        waiting = {pair: why for pair, why in waiting.items() if pair[0] not in owners}
        pause = max(_SHORTEST_WAIT, len(waiting) / _LOOKS)
        return Judgement(owners, waiting, max(wake_at, now + pause) if waiting else None)

    def _count(self, pair: Pair, now: float, dampening: Dampening) -> None:
        """Count that an endpoint went."""
        figure = self._figures.get(pair)
        before = 0.0 if figure is None else figure.now(now, dampening.half_life)
        value = min(before + 1.0, float(_CEILING * dampening.flaps))
        # Rounded to the nearest: what decays between one departure and the next does not make it one more.
        over = value >= dampening.flaps - 0.5
        still = figure is not None and figure.dampened and before > dampening.flaps / 2
        self._figures[pair] = Figure(value, now, over or still)

    def _dampened_until(self, pair: Pair, now: float, dampening: Dampening) -> float | None:
        """When an endpoint that returns may be had; None: at once."""
        figure = self._figures.get(pair)
        if figure is None or not figure.dampened or figure.now(now, dampening.half_life) <= dampening.flaps / 2:
            return None
        return figure.at + dampening.half_life * math.log2(2 * figure.value / dampening.flaps)

    def _forget(self, now: float, dampening: Dampening) -> None:
        if len(self._figures) <= self._forget_beyond:
            return
        by_now = {pair: figure.now(now, dampening.half_life) for pair, figure in self._figures.items()}
        kept = [pair for pair, value in by_now.items() if value >= _NEGLIGIBLE]
        if len(kept) > MAX_FIGURES:
            kept = sorted(kept, key=by_now.__getitem__, reverse=True)[: MAX_FIGURES * 3 // 4]
        self._figures = {pair: self._figures[pair] for pair in kept}
        self._forget_beyond = min(MAX_FIGURES, max(1024, 2 * len(kept)))

    def _too_restless(self, endpoint: Address, name: str, until: float, dampening: Dampening) -> Refusal:
        return Refusal(
            Rule.DAMPENED,
            f"endpoint {endpoint} of {name} came and went too often; refused until "
            f"{_time_of_day(math.ceil(self._epoch + until))} "
            f"(admission.dampening: {dampening.flaps} times, half-life {dampening.half_life:g} s)",
        )


def _too_many(name: str, minute: int, max_arrivals: int) -> Refusal:
    return Refusal(
        Rule.ARRIVALS,
        f"{name} announced more new endpoints than the {max_arrivals} a minute of admission.max_arrivals; "
        f"this one waits until {_time_of_day(60 * minute)} at the latest, as things stand",
    )


def _time_of_day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%H:%M:%S UTC")


def _claims(claims: Mapping[Address, Sequence[Claim]], pair: Pair) -> bool:
    endpoint, name = pair
    return any(claim.announcer == name for claim in claims.get(endpoint, ()))
