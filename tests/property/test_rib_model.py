"""The Adj-RIB-In and the bridge's copy of it, held against plain dictionaries through whatever BGP and processes do."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from softmesh.bgp.adj_rib_in import AdjRibIn, Change, NeighborChanged, RouteChanged
from softmesh.bgp.exabgp_json import EndOfRib, NeighborListed, RefreshMarked, SessionChanged, UpdateReceived
from softmesh.bgp.hook_protocol import VERSION, Hello, SnapshotComplete
from softmesh.bgp.mirror import Mirror
from softmesh.bgp.route import Family, PathAttributes, RouteKey, SessionState

STALE = 30.0
NEIGHBORS = ["10.0.1.1", "10.0.1.2"]
FAMILIES = [Family.IPV4_UNICAST, Family.IPV6_UNICAST]
KEYS = [
    RouteKey(neighbor, family, prefix, path)
    for neighbor in NEIGHBORS
    for family, prefix in zip(FAMILIES, ("10.2.0.0/24", "2001:db8::/64"), strict=True)
    for path in (None, "0.0.0.1")
]

neighbors = st.sampled_from(NEIGHBORS)
families = st.sampled_from(FAMILIES)
keys = st.sampled_from(KEYS)


class Ribs(RuleBasedStateMachine):
    """A hook with its Adj-RIB-In, and a bridge that is connected to it or is not."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.hooks = 0
        self.new_hook()
        self.mirror = Mirror()
        self.connected = False
        self.earlier: dict[RouteKey, bool] = {}
        """What the bridge knows only from earlier hooks, with whether a loss of the session was seen since."""
        self.lost: set[RouteKey] = set()
        """What the bridge knows to be of a lost session."""
        self.met: int | None = None
        """The hook that the bridge was connected to last."""
        self.met_at = 0.0

    def new_hook(self) -> None:
        self.hooks += 1
        self.rib = AdjRibIn()
        self.routes: dict[RouteKey, tuple[int, float | None]] = {}
        """What ought to be in it: a value, and since when it is stale."""
        self.refreshing: dict[tuple[str, Family], set[RouteKey]] = {}
        self.complete: set[tuple[str, Family]] = set()
        self.up: set[str] = set()

    def tell(self, changes: list[Change]) -> None:
        if self.connected:
            for change in changes:
                self.mirror.apply(change, self.now)

    # --- what BGP does

    @rule(seconds=st.sampled_from([1.0, 7.0, 29.0, 30.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        for key, (_, since) in list(self.routes.items()):
            if since is not None and self.now - since >= STALE:
                self.forget(key)
        self.tell(self.rib.expire(self.now, STALE))
        self.mirror.expire(self.now)
        if self.connected and self.now >= self.met_at + STALE:
            self.earlier.clear()

    @rule(neighbor=neighbors, up=st.booleans())
    def session(self, neighbor: str, up: bool) -> None:
        if not up and neighbor not in self.up and neighbor in self.rib.neighbors:
            self.tell(self.rib.apply(SessionChanged(neighbor, 65000, None, up, ""), self.now))
            return
        known = [key for key in self.routes if key.neighbor == neighbor]
        fresh = [key for key in known if self.routes[key][1] is None]
        for key in fresh:
            self.routes[key] = self.routes[key][0], self.now
        for family in FAMILIES:
            self.refreshing.pop((neighbor, family), None)
            self.complete.discard((neighbor, family))
        if self.connected and (fresh or (not up and neighbor in self.up)):
            self.lost.update(fresh)
            for key in self.earlier:
                if key.neighbor == neighbor:
                    self.earlier[key] = True
        if up:
            self.up.add(neighbor)
        else:
            self.up.discard(neighbor)
        self.tell(self.rib.apply(SessionChanged(neighbor, 65000, None, up, ""), self.now))

    @rule(key=keys, value=st.integers(0, 2))
    def announce(self, key: RouteKey, value: int) -> None:
        self.up.add(key.neighbor)
        self.routes[key] = value, None
        self.heard(key)
        attributes = PathAttributes(bytes([value]))
        update = UpdateReceived(key.neighbor, 65000, None, attributes, ((key, key.neighbor),), ())
        self.tell(self.rib.apply(update, self.now))

    @rule(key=keys)
    def withdraw(self, key: RouteKey) -> None:
        self.up.add(key.neighbor)
        self.forget(key)
        self.heard(key)
        update = UpdateReceived(key.neighbor, 65000, None, PathAttributes(), (), (key,))
        self.tell(self.rib.apply(update, self.now))

    @rule(neighbor=neighbors, family=families)
    def end_of_rib(self, neighbor: str, family: Family) -> None:
        """It removes nothing of this hook's; what a refresh did not bring again is stale from now on."""
        self.up.add(neighbor)
        for key in self.refreshing.pop((neighbor, family), ()):
            value, since = self.routes[key]
            self.routes[key] = value, self.now if since is None else since
            if self.connected:
                self.lost.add(key)
        self.completed(neighbor, family)
        self.tell(self.rib.apply(EndOfRib(neighbor, 65000, None, family), self.now))

    @rule(neighbor=neighbors, family=families, begins=st.booleans())
    def marked_refresh(self, neighbor: str, family: Family, begins: bool) -> None:
        self.up.add(neighbor)
        if begins:
            self.refreshing[neighbor, family] = {
                key for key in self.routes if (key.neighbor, key.family) == (neighbor, family)
            }
            self.complete.discard((neighbor, family))
        else:
            for key in list(self.refreshing.pop((neighbor, family), ())):
                self.forget(key)
            self.completed(neighbor, family)
        self.tell(self.rib.apply(RefreshMarked(neighbor, 65000, None, family, begins), self.now))

    def heard(self, key: RouteKey) -> None:
        for awaited in self.refreshing.values():
            awaited.discard(key)
        if self.connected:
            self.earlier.pop(key, None)
            self.lost.discard(key)

    def forget(self, key: RouteKey) -> None:
        self.routes.pop(key, None)
        for awaited in self.refreshing.values():
            awaited.discard(key)

    def completed(self, neighbor: str, family: Family) -> None:
        self.complete.add((neighbor, family))
        self.believe_ends()

    def believe_ends(self) -> None:
        """The bridge gives up what only earlier hooks knew and this one's neighbour did not say, unless it was away."""
        if self.connected:
            for key, away in list(self.earlier.items()):
                if (key.neighbor, key.family) in self.complete and not away:
                    del self.earlier[key]

    # --- what processes do

    @rule()
    @precondition(lambda self: self.connected)
    def connection_is_lost(self) -> None:
        self.mirror.lost()
        self.connected = False

    @rule(listed=st.booleans())
    def hook_starts_again(self, listed: bool) -> None:
        if self.connected:
            self.connection_is_lost()
        self.new_hook()
        if listed:
            for neighbor in NEIGHBORS:
                self.rib.apply(NeighborListed(neighbor, 65000, "idle"), self.now)

    @rule()
    def bridge_starts_again(self) -> None:
        """It is given what the one before knew."""
        known, instance = list(self.mirror.routes.values()), self.mirror.instance
        if self.connected:
            self.connection_is_lost()
        self.mirror = Mirror()
        self.mirror.restore(known, instance, self.now)
        self.lost = {route.key for route in known if route.stale_since is not None}
        if instance is None:
            self.met = None

    @rule()
    @precondition(lambda self: not self.connected)
    def bridge_connects(self) -> None:
        before = set(self.mirror.routes)
        if self.met != self.hooks:
            self.earlier = {key: key in self.lost or self.earlier.get(key, False) for key in before}
            self.met, self.met_at = self.hooks, self.now
        self.mirror.hello(Hello(VERSION, str(self.hooks), 1, STALE), self.now)
        for neighbor in self.rib.neighbors.values():
            self.mirror.apply(NeighborChanged(neighbor), self.now)
        for route in self.rib.routes.values():
            self.mirror.apply(RouteChanged(route), self.now)
            self.earlier.pop(route.key, None)
        self.mirror.apply(SnapshotComplete(), self.now)
        self.connected = True
        self.lost = {key for key, (_, since) in self.routes.items() if since is not None}
        self.mirror.expire(self.now)
        if self.now >= self.met_at + STALE:
            self.earlier.clear()
        self.believe_ends()

    # --- what holds

    @invariant()
    def the_adj_rib_in_is_what_was_said(self) -> None:
        held = {
            key: (route.attributes.tunnel_encapsulation, route.stale_since) for key, route in self.rib.routes.items()
        }
        assert held == {key: (bytes([value]), since) for key, (value, since) in self.routes.items()}
        assert {
            (name, family) for name, each in self.rib.neighbors.items() for family in each.end_of_rib
        } == self.complete
        assert {name for name, each in self.rib.neighbors.items() if each.state is SessionState.UP} == self.up

    @invariant()
    def the_bridge_knows_that_and_what_nobody_took_back(self) -> None:
        if self.connected:
            known = self.mirror.routes
            assert {key: known.get(key) for key in self.rib.routes} == self.rib.routes
            assert known.keys() - self.rib.routes.keys() == self.earlier.keys()


TestRibs = Ribs.TestCase
TestRibs.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
