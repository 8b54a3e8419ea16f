"""For how long routes of lost sessions keep softwires."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

from softmesh.bgp.route import Route
from softmesh.mesh.arrivals import Arrivals
from softmesh.mesh.desired import Desired, fold
from softmesh.mesh.policy import StaleTimes
from softmesh.mesh.refusal import Rule
from softmesh.mesh.trust import AnnouncedKeys
from tests.unit.mesh.routes import attribute, policy, route

NEAR, FAR = "2001:db8:f::2", "2001:db8:f::3"
TIMES = StaleTimes(300.0, (((ip_network(f"{FAR}/128"),), 30.0),))
OTHER = "2001:db8:f::fd"


def to(endpoint: str, prefix: str, **changes: Any) -> Route:
    return route(prefix, attribute(endpoint=endpoint, key=endpoint), next_hop=endpoint, **changes)


def at(now: float, *routes: Route, arrivals: Arrivals | None = None, **changes: Any) -> Desired:
    return fold(routes, policy(stale_times=TIMES, **changes), [AnnouncedKeys()], None, arrivals, now)


def endpoints(desired: Desired) -> set[str]:
    return {str(wire.remote) for wire in desired.softwires}


def test_the_shortest_that_a_group_of_an_endpoint_says_counts() -> None:
    core, one = ip_network("2001:db8:f::/64"), ip_network(f"{FAR}/128")
    times = StaleTimes(300.0, (((core,), 600.0), ((one, ip_network("192.0.2.0/24")), 60.0)))
    assert times.of(ip_address(FAR)) == 60.0
    assert times.of(ip_address(NEAR)) == 600.0
    assert times.of(ip_address("198.51.100.1")) == 300.0
    assert times.longest == 600.0
    assert StaleTimes(300.0).longest == 300.0


def test_each_softwire_is_kept_as_long_as_its_endpoint_says() -> None:
    routes = to(NEAR, "10.2.0.0/24", stale_since=100.0), to(FAR, "10.3.0.0/24", stale_since=100.0)
    before = at(129.9, *routes)
    assert endpoints(before) == {NEAR, FAR}
    assert {str(wire.remote): until for wire, until in before.stale.items()} == {NEAR: 400.0, FAR: 130.0}
    assert before.wake_at == 130.0
    after = at(130.0, *routes)
    assert endpoints(after) == {NEAR}
    assert after.wake_at == 400.0
    (why,) = after.decisions[routes[1].key].refusals
    assert (why.rule, "30 s" in why.detail) == (Rule.STALE, True)
    last = at(400.0, *routes)
    assert (endpoints(last), last.wake_at) == (set(), None)


def test_fresh_routes_have_no_end() -> None:
    desired = at(1e9, to(FAR, "10.3.0.0/24"))
    assert (endpoints(desired), dict(desired.stale), desired.wake_at) == ({FAR}, {}, None)


def test_a_softwire_stands_as_long_as_the_last_of_its_routes() -> None:
    routes = to(NEAR, "10.2.0.0/24", stale_since=100.0), to(NEAR, "10.2.1.0/24", stale_since=150.0)
    assert set(at(200.0, *routes).stale.values()) == {450.0}
    assert at(200.0, routes[0], to(NEAR, "10.2.1.0/24")).stale == {}
    (carried,) = at(410.0, *routes).carried.values()
    assert [key.prefix for key in carried] == ["10.2.1.0/24"]


def test_another_reflectors_route_takes_over_without_a_change() -> None:
    lost, fresh = to(FAR, "10.3.0.0/24", stale_since=100.0), to(FAR, "10.3.0.0/24", neighbor=OTHER)
    neighbors = frozenset({lost.key.neighbor, OTHER})
    before, after = (at(now, lost, fresh, neighbors=neighbors) for now in (110.0, 1000.0))
    assert before.softwires == after.softwires
    assert before.stale == after.stale == {}


def test_a_tunnel_found_by_recursion_is_no_longer_lived_than_the_route_that_has_it() -> None:
    """RFC 9012 §8: the route itself is fresh, that to its next hop is not."""
    tail = route("10.9.0.0/24", next_hop=FAR)
    carrier = route(f"{FAR}/128", attribute(endpoint=FAR, key="x"), next_hop=FAR, stale_since=100.0)
    assert [str(wire.remote) for wire in at(110.0, tail, carrier).softwires] == [FAR]
    assert set(at(110.0, tail, carrier).stale.values()) == {130.0}
    assert not at(130.0, tail, carrier).softwires
    # A shorter prefix that is fresh takes over then.
    wider = route("2001:db8:f::/96", attribute(endpoint=NEAR, key="y"), next_hop=NEAR)
    assert [str(wire.remote) for wire in at(110.0, tail, carrier, wider).softwires] == [FAR]
    assert [str(wire.remote) for wire in at(130.0, tail, carrier, wider).softwires] == [NEAR]


def test_who_owned_an_endpoint_owns_it_after_a_restart() -> None:
    """Though another announced it earlier, as far as this bridge knows."""
    owner = to(FAR, "10.3.0.0/24", originator_id="10.255.0.3", received_at=50.0)
    thief = to(FAR, "10.4.0.0/24", originator_id="10.255.0.9", received_at=10.0)
    forgetful, mindful = Arrivals(0.0), Arrivals(0.0)
    mindful.restore({ip_address(FAR): "10.255.0.3"})
    (taken,) = at(60.0, owner, thief, arrivals=forgetful).carried.values()
    assert [key.prefix for key in taken] == ["10.4.0.0/24"]
    (kept,) = at(60.0, owner, thief, arrivals=mindful).carried.values()
    assert [key.prefix for key in kept] == ["10.3.0.0/24"]
    assert mindful.owners == {ip_address(FAR): "10.255.0.3"}
