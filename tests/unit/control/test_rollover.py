"""Our own key changes: announced beside the old, then preferred, then alone."""

from __future__ import annotations

import pytest

from softmesh.charon.actions import Initiate, LoadKey, TerminateIke, UnloadKey
from softmesh.charon.render import render
from softmesh.control.plan import Plan
from softmesh.control.progress import State
from softmesh.mesh.identity import Identity
from tests.unit.control.world import (
    HIGHER,
    LOWER,
    NEW,
    OWN,
    PACE,
    World,
    desired,
    kinds,
    planned,
    settled,
    softwire,
    the,
)

WIRE = softwire()


def names(*own: Identity) -> list[str]:
    return [connection.name for connection in render(WIRE, tuple(identity.own_key for identity in own))]


def test_second_key_of_ours_is_loaded_and_answered_for_and_moves_nothing() -> None:
    world = World()
    before = settled(desired(WIRE), world, own=(OWN,))
    standing = list(world.sas)
    outcome = planned(desired(WIRE), world, 50.0, before.progress, own=(OWN, NEW))
    assert Initiate not in kinds(outcome.actions)
    assert LoadKey in kinds(outcome.actions)
    world.apply(outcome.actions)
    assert set(world.connections) == set(names(OWN, NEW))
    assert world.sas == standing


def switched(remote: str = HIGHER, *, answering: bool = True) -> tuple[World, Plan]:
    world = World()
    wanted = desired(softwire(remote))
    before = settled(wanted, world, own=(OWN, NEW))
    before = settled(wanted, world, own=(OWN, NEW), start=20.0, progress=before.progress)
    world.answering = answering
    return world, planned(wanted, world, 50.0, before.progress, own=(NEW, OWN))


@pytest.mark.parametrize("remote", [LOWER, HIGHER], ids=["the peer is elected", "we are elected"])
def test_whoever_prefers_another_key_moves_at_once_whatever_the_election(remote: str) -> None:
    _, outcome = switched(remote)
    assert [action for action in outcome.actions if isinstance(action, Initiate)]
    assert TerminateIke not in kinds(outcome.actions)
    assert the(outcome).state is State.UP


def test_the_old_sa_goes_when_the_new_one_has_stood_for_a_while() -> None:
    world, outcome = switched()
    old = world.sas[0]
    world.apply(outcome.actions)
    wanted = desired(WIRE)
    after = planned(wanted, world, 50.1, outcome.progress, own=(NEW, OWN))
    assert after.actions == ()
    assert the(after).state is State.UP
    later = planned(wanted, world, 50.1 + PACE.surplus_grace, after.progress, own=(NEW, OWN))
    assert later.actions == (TerminateIke(old.unique_id),)
    world.apply(later.actions)
    # The old key is withdrawn: nothing stands on it any more, so nothing goes.
    last = planned(wanted, world, 90.0, later.progress, own=(NEW,), retired={OWN.key_id.hex()})
    assert TerminateIke not in kinds(last.actions)
    assert UnloadKey(OWN.key_id.hex()) in last.actions
    world.apply(last.actions)
    assert set(world.connections) == set(names(NEW))
    assert [sa.connection for sa in world.sas] == names(NEW)


def test_a_peer_that_does_not_accept_the_new_key_yet_keeps_the_softwire_on_the_old() -> None:
    world, outcome = switched(answering=False)
    attempts = 0
    for second in range(51, 200):
        world.apply(outcome.actions)
        world.sas = world.sas[:1]
        outcome = planned(desired(WIRE), world, float(second), outcome.progress, own=(NEW, OWN))
        assert TerminateIke not in kinds(outcome.actions)
        assert the(outcome).state is State.UP
        attempts += sum(isinstance(action, Initiate) for action in outcome.actions)
    assert 3 <= attempts <= 10, "less and less often"


def test_where_nothing_stands_both_keys_are_tried() -> None:
    world, outcome, tried = World(answering=False), Plan(), set()
    for now in range(0, 40, 10):
        outcome = planned(desired(WIRE), world, float(now), outcome.progress, own=(NEW, OWN))
        tried |= {action.connection for action in outcome.actions if isinstance(action, Initiate)}
        world.apply(outcome.actions)
        world.sas.clear()
    assert tried == set(names(NEW, OWN))


def test_a_key_that_is_withdrawn_without_warning_takes_its_sas_along_at_once() -> None:
    world = World()
    settled(desired(WIRE), world, own=(OWN,))
    outcome = planned(desired(WIRE), world, 50.0, own=(NEW,), retired={OWN.key_id.hex()})
    assert TerminateIke in kinds(outcome.actions)
