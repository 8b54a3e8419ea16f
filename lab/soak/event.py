"""What happens to a mesh in a soak, drawn from a seed. Pure: nothing of it touches a mesh."""

from __future__ import annotations

import enum
import random
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from lab.fault import Part, Way

SITES = 3
"""Prefixes an island may have."""
_REST = 1.5
"""Seconds between two events of a round, at most."""
_LONGEST_FAULT = 8.0
"""Seconds: shorter than what ends an SA by itself (DPD) or a BGP session (hold time)."""


class Kind(enum.StrEnum):
    """What may happen."""

    ANNOUNCE = "announce"
    """A router announces one prefix more."""
    WITHDRAW = "withdraw"
    """A router announces one prefix less."""
    LEAVE = "leave"
    """A router withdraws everything: ``softmesh withdraw``."""
    RETURN = "return"
    """It comes back: ``softmesh announce``."""
    KEY = "key"
    """A router has another key from now on, without any transition."""
    ROLLOVER = "rollover"
    """The same in the way of docs/keys.md: announced beside the old, preferred, alone."""
    FAULT = "fault"
    """A part fails, and is mended after a while."""
    PARTITION = "partition"
    """Some routers are cut off from the rest of the core, but not from each other, for a while."""
    OPERATOR = "operator"
    """An operator has swanctl load his connections, which unloads all others: ours."""


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event of a round."""

    after: float
    """Seconds since the event before it."""
    kind: Kind
    router: int = 0
    site: int = 0
    part: Part | None = None
    way: Way | None = None
    reflector: int = 0
    routers: tuple[int, ...] = ()
    lasts: float = 0.0
    """Seconds until it is mended."""

    def describe(self) -> str:
        """For people, on one line."""
        what = [self.kind.value]
        if self.kind is Kind.FAULT:
            assert self.part is not None
            assert self.way is not None
            what += [self.way.value, self.part.value, f"for {self.lasts:.1f} s"]
        elif self.kind is Kind.PARTITION:
            what += [f"routers {', '.join(map(str, self.routers))}", f"for {self.lasts:.1f} s"]
        elif self.kind in {Kind.ANNOUNCE, Kind.WITHDRAW}:
            what.append(f"site {self.site}")
        if self.router:
            what.append(f"of router {self.router}")
        elif self.part is Part.REFLECTOR:
            what.append(f"number {self.reflector + 1}")
        return " ".join(what)


class Model:
    """What ought to be, as far as routers and prefixes go: nothing that Softmesh says counts here."""

    def __init__(self, routers: Iterable[int]) -> None:
        self.sites = {router: {0} for router in routers}
        self.absent: set[int] = set()

    def copy(self) -> Model:
        """One that goes its own way."""
        copy = Model(())
        copy.sites = {router: set(sites) for router, sites in self.sites.items()}
        copy.absent = set(self.absent)
        return copy

    def apply(self, event: Event) -> None:
        """Take over what an event changes for good."""
        if event.kind is Kind.ANNOUNCE:
            self.sites[event.router].add(event.site)
        elif event.kind is Kind.WITHDRAW:
            self.sites[event.router].discard(event.site)
        elif event.kind is Kind.LEAVE:
            self.absent.add(event.router)
        elif event.kind is Kind.RETURN:
            self.absent.discard(event.router)

    @property
    def present(self) -> list[int]:
        """The routers that are in the mesh."""
        return sorted(set(self.sites) - self.absent)

    def pairs(self, router: int) -> set[tuple[int, int, int]]:
        """The CHILD SAs a router ought to have: each peer with a site of ours and one of its own."""
        if router in self.absent:
            return set()
        return {
            (peer, ours, theirs)
            for peer in self.present
            if peer != router
            for ours in self.sites[router]
            for theirs in self.sites[peer]
        }


SPARED = 1
"""A router whose bridge, hook and ExaBGP are never ended: their memory and descriptors tell of leaks."""

_WEIGHTS = {
    Kind.ANNOUNCE: 5,
    Kind.WITHDRAW: 4,
    Kind.LEAVE: 1,
    Kind.RETURN: 3,
    Kind.KEY: 1,
    Kind.ROLLOVER: 1,
    Kind.FAULT: 8,
    Kind.PARTITION: 1,
    Kind.OPERATOR: 1,
}
_OF_BGP = {Part.BRIDGE, Part.HOOK, Part.EXABGP}
_OF_REFLECTORS = {Part.REFLECTOR, Part.REFLECTORS}


def draw(chance: random.Random, before: Model, reflectors: int) -> list[Event]:
    """The events of one round."""
    model = before.copy()
    round_ = _Round(chance, model, reflectors)
    events = []
    for _ in range(chance.randint(1, 6)):
        event = round_.next()
        model.apply(event)
        events.append(event)
    return events


class _Round:
    """What has failed in a round stays so to its end: it takes no command, and does not fail once more."""

    def __init__(self, chance: random.Random, model: Model, reflectors: int) -> None:
        self._chance = chance
        self._model = model
        self._reflectors = reflectors
        self._faults = {(part, router) for part in Part if part not in _OF_REFLECTORS for router in model.sites}
        self._faults.add((Part.REFLECTOR, 0))
        self._faults.add((Part.REFLECTORS, 0))
        self._mute: set[int] = set()
        self._without_charon: set[int] = set()

    def next(self) -> Event:
        possible = {kind: found for kind in _WEIGHTS if (found := self._routers(kind))}
        (kind,) = self._chance.choices(list(possible), [_WEIGHTS[kind] for kind in possible])
        after = round(self._chance.uniform(0.0, _REST), 2)
        lasts = round(self._chance.uniform(0.5, _LONGEST_FAULT), 1)
        if kind is Kind.FAULT:
            return self._fault(after, lasts)
        if kind is Kind.PARTITION:
            cut = tuple(sorted(self._chance.sample(possible[kind], self._chance.randint(1, len(possible[kind]) // 2))))
            self._faults -= {(Part.LINK, router) for router in cut}
            return Event(after, kind, routers=cut, lasts=lasts)
        router = self._chance.choice(possible[kind])
        sites = self._model.sites[router]
        if kind is Kind.ANNOUNCE:
            return Event(after, kind, router, self._chance.choice(sorted(set(range(SITES)) - sites)))
        if kind is Kind.WITHDRAW:
            return Event(after, kind, router, self._chance.choice(sorted(sites)))
        if kind is Kind.ROLLOVER:
            # It takes some seconds, and what is done meanwhile would undo it.
            self._mute.add(router)
        return Event(after, kind, router)

    def _routers(self, kind: Kind) -> Sequence[int]:
        """The routers to which it may happen; for a fault that of each that is left."""
        if kind is Kind.FAULT:
            return [router for _, router in self._faults]
        if kind is Kind.PARTITION:
            linked = [router for router in sorted(self._model.sites) if (Part.LINK, router) in self._faults]
            return linked if len(linked) > 1 else []
        model = self._model
        may: dict[Kind, Callable[[int], bool]] = {
            Kind.ANNOUNCE: lambda router: len(model.sites[router]) < SITES,
            Kind.WITHDRAW: lambda router: len(model.sites[router]) > 1,
            Kind.LEAVE: lambda router: router not in model.absent and len(model.present) > 2,
            Kind.RETURN: lambda router: router in model.absent,
            Kind.OPERATOR: lambda router: router not in self._without_charon,
        }
        commanded = [router for router in sorted(model.sites) if router not in self._mute]
        return [router for router in commanded if kind not in may or may[kind](router)]

    def _fault(self, after: float, lasts: float) -> Event:
        part, router = self._chance.choice(sorted(self._faults, key=str))
        way = self._chance.choice(list(Way))
        if router == SPARED and part in _OF_BGP:
            way = Way.HANG
        for group in (_OF_BGP, _OF_REFLECTORS, {part}):
            if part in group:
                self._faults -= {(other, router) for other in group}
        if part in _OF_BGP:
            self._mute.add(router)
        elif part is Part.CHARON:
            self._without_charon.add(router)
        reflector = self._chance.randrange(self._reflectors) if part is Part.REFLECTOR else 0
        return Event(after, Kind.FAULT, router, part=part, way=way, reflector=reflector, lasts=lasts)


_TEARS = {Kind.LEAVE, Kind.RETURN, Kind.KEY, Kind.ROLLOVER, Kind.OPERATOR}
"""What gives a router new SAs."""
_CUTS = {Part.CHARON, Part.LINK}
"""What must not fail while an SA is set up or closed."""


def undisturbed(events: Sequence[Event], routers: Iterable[int]) -> set[tuple[int, int]]:
    """The pairs of routers, the lower first, whose common CHILD SAs must come through a round with the same SPIs."""
    routers = sorted(routers)
    torn = {event.router for event in events if event.kind in _TEARS or _kills_charon(event)}
    cut = {router for event in events for router in _cut_off(event)}
    changed = {event.router for event in events if event.kind in {Kind.ANNOUNCE, Kind.WITHDRAW}}
    return {
        (low, high)
        for low in routers
        for high in routers
        # An exchange that nobody answers for long enough costs the whole IKE_SA.
        if low < high and not {low, high} & torn and not ({low, high} & cut and {low, high} & changed)
    }


def renews(events: Iterable[Event]) -> bool:
    """Whether SAs are set up that stand in for others, or take over from them."""
    return any(event.kind in _TEARS or _kills_charon(event) for event in events)


def _kills_charon(event: Event) -> bool:
    return event.part is Part.CHARON and event.way is not Way.HANG


def _cut_off(event: Event) -> Iterator[int]:
    if event.kind is Kind.PARTITION:
        yield from event.routers
    elif event.part in _CUTS:
        yield event.router


class Recording(msgspec.Struct, frozen=True):
    """A soak, or the part of one that failed, so that it can be had again."""

    seed: int
    direction: str
    sites: list[list[int]]
    """Those of each router at the start."""
    absent: list[int]
    """Routers that had left at the start."""
    rounds: list[list[Event]]

    def model(self) -> Model:
        """What ought to be at the start."""
        model = Model(range(1, len(self.sites) + 1))
        model.sites = {router: set(sites) for router, sites in enumerate(self.sites, 1)}
        model.absent = set(self.absent)
        return model


def withdrawn(events: Iterable[Event]) -> set[tuple[int, int]]:
    """Router and site of each prefix that is withdrawn in a round, though it may have come back in it."""
    return {(event.router, event.site) for event in events if event.kind is Kind.WITHDRAW}
