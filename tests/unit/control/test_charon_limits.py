"""The planner where charon cannot say all it holds, or was made to forget what it needs."""

from __future__ import annotations

from dataclasses import replace

from softmesh.charon.actions import (
    Initiate,
    LoadConnection,
    LoadKey,
    LoadSecret,
    TerminateChild,
    TerminateIke,
    UnloadConnection,
    UnloadSecret,
)
from softmesh.charon.observed import Observed
from softmesh.control.plan import Plan, plan
from softmesh.control.progress import State
from softmesh.mesh.desired import Desired
from tests.unit.control.world import (
    HIGHER,
    LOWER,
    OWN,
    PACE,
    World,
    desired,
    group_key,
    kinds,
    planned,
    settled,
    softwire,
    the,
    trusted,
)

WIRE = softwire()


def seen(wanted: Desired, observed: Observed, *, may_remove: bool = True) -> Plan:
    return plan(wanted, observed, {}, 100.0, own=(OWN,), pace=PACE, may_remove=may_remove)


def in_the_dark() -> World:
    """A softwire whose IKE_SA has more CHILD SAs than charon can list."""
    world = World()
    settled(desired(WIRE), world)
    world.sas = [replace(sa, children=(), unlisted=True) for sa in world.sas]
    return world


def test_an_sa_that_charon_cannot_describe_is_neither_doubled_nor_closed() -> None:
    outcome = planned(desired(WIRE), in_the_dark(), 100.0)
    assert outcome.actions == ()
    assert the(outcome).state is State.DEGRADED
    assert "swanctl --terminate --ike softmesh-" in the(outcome).reason
    assert outcome.standing == {WIRE.id}, "what leads into it stays"
    later = planned(desired(WIRE), in_the_dark(), 200.0, outcome.progress)
    assert (later.actions, the(later).since) == ((), 100.0)


def test_it_goes_when_it_is_wanted_no_more() -> None:
    world = in_the_dark()
    outcome = planned(desired(), world, 100.0)
    assert kinds(outcome.actions) == [UnloadConnection, TerminateIke]


def test_it_is_no_other_softwires_concern() -> None:
    world, both = in_the_dark(), desired(WIRE, softwire("2001:db8:f::a"))
    assert kinds(planned(both, world, 100.0).actions) == [LoadConnection, Initiate]


def test_cleared_credentials_are_loaded_with_every_connection_for_those_pin_the_peers() -> None:
    world, wanted = World(), desired(WIRE, softwire(LOWER))
    settled(wanted, world)
    world.keys = {"somebody else's"}
    assert kinds(planned(wanted, world, 100.0).actions) == [LoadKey, LoadConnection, LoadConnection]
    world.apply(planned(wanted, world, 100.0).actions)
    assert planned(wanted, world, 101.0).actions == ()


def test_group_key_is_loaded_with_its_connection_where_charon_cannot_say_which_it_has() -> None:
    wire = trusted(WIRE, group_key(WIRE))
    world = World()
    first = seen(desired(wire), replace(world.observed(), secrets=None))
    assert kinds(first.actions) == [LoadSecret, LoadConnection, Initiate]
    world.apply(first.actions)
    after = replace(world.observed(), secrets=None).after(first.actions)
    assert after.secrets is None
    assert kinds(seen(desired(wire), after).actions) == []
    # Under another key the connection has another name.
    other = trusted(WIRE, group_key(WIRE, "another"))
    actions = kinds(seen(desired(other), after).actions)
    assert LoadSecret in actions
    assert UnloadSecret not in actions
    cleared = replace(after, key_ids=frozenset())
    assert kinds(seen(desired(wire), cleared).actions) == [LoadKey, LoadSecret, LoadConnection]


def test_deletion_under_way_is_not_asked_for_again() -> None:
    """Each would be one more in charon's queue, and a peer that does not answer holds them all up."""
    world, wanted = World(), desired(softwire(HIGHER))
    settled(wanted, world)
    wrong = [replace(child, mode="transport") for child in world.sas[0].children]
    world.sas = [replace(world.sas[0], children=tuple(wrong))]
    assert kinds(planned(wanted, world, 100.0).actions) == [TerminateChild]
    world.sas = [replace(world.sas[0], tasks=frozenset({"CHILD_DELETE"}))]
    outcome = planned(wanted, world, 100.0)
    assert outcome.actions == ()
    assert "asked for tunnel mode" in the(outcome).reason
