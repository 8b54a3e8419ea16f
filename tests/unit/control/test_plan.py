"""The planner: what it does about each difference, and that it does nothing where there is none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from softmesh.charon.actions import (
    Initiate,
    LoadConnection,
    LoadKey,
    TerminateChild,
    TerminateIke,
    UnloadConnection,
)
from softmesh.charon.failure import Cause, Failure, Proposals
from softmesh.charon.render import render
from softmesh.control.plan import Plan
from softmesh.control.progress import State, backoff, elected, takeover_at
from softmesh.mesh.desired import Desired
from softmesh.mesh.refusal import Refusal, Rule
from softmesh.mesh.softwire import Softwire, SoftwireId
from tests.unit.control.world import (
    HIGHER,
    IKE,
    LOWER,
    NEW,
    OWN,
    PACE,
    World,
    certified,
    desired,
    kinds,
    planned,
    settled,
    softwire,
    the,
    trusted,
)


def test_new_softwire_is_loaded_and_initiated_then_left_alone() -> None:
    world, wanted = World(), desired(softwire())
    first = planned(wanted, world)
    assert kinds(first.actions) == [LoadConnection, Initiate]
    world.apply(first.actions)
    second = planned(wanted, world, 0.1, first.progress)
    assert second.actions == ()
    assert the(second).state is State.UP
    assert second.wake_at is None


def test_our_key_is_loaded_first_where_charon_has_lost_it() -> None:
    world = World(keys={"somebody else's"})
    assert kinds(planned(desired(softwire()), world).actions) == [LoadKey, LoadConnection, Initiate]


def test_the_lower_endpoint_initiates_and_the_other_takes_over_in_time() -> None:
    wanted, world = desired(softwire(LOWER)), World()
    first = planned(wanted, world)
    assert kinds(first.actions) == [LoadConnection]
    assert the(first).state is State.WANTED
    world.apply(first.actions)
    assert first.wake_at is not None
    assert first.wake_at == PACE.patience
    second = planned(wanted, world, first.wake_at, first.progress)
    assert second.wake_at is not None
    assert PACE.takeover <= second.wake_at <= 1.5 * PACE.takeover
    assert planned(wanted, world, second.wake_at - 0.01, second.progress).actions == ()
    assert kinds(planned(wanted, world, second.wake_at, second.progress).actions) == [Initiate]


def test_towards_a_peer_that_only_transmits_nothing_is_ever_initiated() -> None:
    wanted, world = desired(softwire(may_initiate=False)), World()
    world.apply(planned(wanted, world).actions)
    later = planned(wanted, world, 1000.0)
    assert later.actions == ()
    assert "type 3" in the(later).reason


def test_attempt_under_way_is_not_repeated() -> None:
    wanted, world = desired(softwire()), World(answering=False)
    first = planned(wanted, world)
    world.apply(first.actions)
    second = planned(wanted, world, 10.0, first.progress)
    assert second.actions == ()
    assert second.wake_at == 10.0 + PACE.poll
    assert the(second).state is State.CONNECTING


def test_failed_attempts_back_off_and_start_again_from_the_shortest_after_success() -> None:
    wanted, world = desired(softwire()), World(answering=False)
    outcome, now, waits = Plan(), 0.0, []
    for _ in range(12):
        outcome = planned(wanted, world, now, outcome.progress)
        world.apply(outcome.actions)
        world.sas.clear()
        assert any(isinstance(action, Initiate) for action in outcome.actions)
        waits.append(the(outcome).next_attempt - now)
        now = the(outcome).next_attempt
    assert waits == sorted(waits[:8]) + waits[8:]
    assert PACE.retry_max / 2 <= waits[-1] <= PACE.retry_max
    world.answering = True
    outcome = planned(wanted, world, now, outcome.progress)
    world.apply(outcome.actions)
    outcome = planned(wanted, world, now, outcome.progress)
    assert (the(outcome).state, the(outcome).attempts) == (State.UP, 0)


def test_half_open_sas_have_a_ceiling_and_nobody_starves() -> None:
    wires = [softwire(f"2001:db8:f::{n:x}") for n in range(0x10, 0x20)]
    wanted, world = desired(*wires), World(answering=False)
    pace = replace(PACE, max_half_open=5)
    outcome, now, tried = Plan(), 0.0, set()
    for _ in range(12):
        outcome = planned(wanted, world, now, outcome.progress, pace=pace)
        started = [action for action in outcome.actions if isinstance(action, Initiate)]
        assert len(started) <= 5
        tried |= {action.connection for action in started}
        world.apply(outcome.actions)
        assert planned(wanted, world, now, outcome.progress, pace=pace).actions == ()
        world.sas.clear()
        now += 0.01
    assert len(tried) == len(wires)


def test_added_prefix_is_one_more_child_and_touches_no_other() -> None:
    world = World()
    settled(desired(softwire(sites=2)), world)
    before = {child.unique_id for sa in world.sas for child in sa.children}
    outcome = planned(desired(softwire(sites=3)), world, 50.0)
    assert kinds(outcome.actions) == [LoadConnection, Initiate]
    world.apply(outcome.actions)
    after = {child.unique_id for sa in world.sas for child in sa.children}
    assert before < after
    assert len(after) == 3
    assert len(world.sas) == 1


def test_withdrawn_prefix_takes_its_child_and_no_other() -> None:
    world = World()
    settled(desired(softwire(sites=3)), world)
    outcome = planned(desired(softwire(sites=2)), world, 50.0)
    assert kinds(outcome.actions) == [LoadConnection, TerminateChild]
    settled(desired(softwire(sites=2)), world)
    assert sum(len(sa.children) for sa in world.sas) == 2


def test_deletion_under_way_is_not_repeated() -> None:
    world = World()
    settled(desired(softwire(sites=3)), world)
    world.apply(tuple(a for a in planned(desired(softwire(sites=2)), world).actions if isinstance(a, LoadConnection)))
    world.sas[0] = replace(world.sas[0], tasks=frozenset({"CHILD_DELETE"}))
    assert planned(desired(softwire(sites=2)), world).actions == ()


def test_withdrawn_softwire_is_unloaded_before_it_is_terminated() -> None:
    world = World()
    settled(desired(softwire(), softwire("2001:db8:f::a")), world)
    outcome = planned(desired(softwire("2001:db8:f::a")), world, 50.0)
    assert kinds(outcome.actions) == [UnloadConnection, TerminateIke]
    world.apply(outcome.actions)
    assert {sa.remote_host for sa in world.sas} == {"2001:db8:f::a"}


def test_nothing_is_removed_on_ignorance_yet_what_is_missing_is_added() -> None:
    world = World()
    settled(desired(softwire()), world)
    held = list(world.sas)
    assert planned(desired(), world, may_remove=False).actions == ()
    world.apply(planned(desired(softwire("2001:db8:f::a")), world, may_remove=False).actions)
    assert held[0] in world.sas
    assert len(world.sas) == 2


def test_orphaned_sa_of_ours_is_terminated() -> None:
    world = World()
    settled(desired(softwire()), world)
    world.connections.clear()
    assert kinds(planned(desired(), world).actions) == [TerminateIke]


def test_unloaded_by_somebody_else_is_made_anew_before_the_old_sa_goes() -> None:
    """The IKE_SA that stands will never learn of a child that comes later: seen in a soak."""
    world = World()
    outcome = settled(desired(softwire()), world)
    (old,) = world.sas
    for start in (100.0, 200.0, 300.0):
        world.connections.clear()
        world.applied.clear()
        outcome = settled(desired(softwire()), world, start=start, progress=outcome.progress)
        assert kinds(tuple(world.applied)) == [LoadConnection, Initiate]
        outcome = settled(desired(softwire()), world, start=start + 50, progress=outcome.progress)
        assert kinds(tuple(world.applied[2:])) == [TerminateIke]
        (new,) = world.sas
        assert new.connection != old.connection
        assert new.connection in world.connections
        assert the(outcome).state is State.UP
        old = new


def test_what_stands_under_another_name_gets_its_further_children_there() -> None:
    world = World()
    outcome = settled(desired(softwire()), world)
    world.connections.clear()
    outcome = settled(desired(softwire()), world, progress=outcome.progress)
    (name,) = world.connections
    settled(desired(softwire(sites=2)), world, progress=outcome.progress)
    assert [*world.connections] == [name]
    assert [len(sa.children) for sa in world.sas] == [2]
    settled(desired(), world)
    assert not world.connections
    assert not world.sas


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"mode": "transport"}, "mode"),
        ({"remote_ts": frozenset({"10.9.0.0/25"})}, "selector"),
        ({"encr_alg": "AES_CBC_128", "integ_alg": "HMAC_SHA2_256_128"}, "AES_CBC_128"),
        ({"protocol": "AH"}, "AH"),
        ({"if_id_in": 7, "if_id_out": 7}, "if_id"),
    ],
)
def test_sa_that_is_not_what_was_asked_for_is_terminated_and_tried_again_later(
    change: dict[str, Any], reason: str
) -> None:
    world, wanted = World(), desired(softwire())
    before = settled(wanted, world)
    good = world.sas[0]
    world.sas[0] = replace(good, children=(replace(good.children[0], **change),))
    outcome = planned(wanted, world, 100.0, before.progress)
    assert kinds(outcome.actions) == [TerminateChild]
    assert the(outcome).state is not State.UP
    assert reason in the(outcome).reason
    assert the(outcome).cause is Cause.UNFIT
    world.apply(outcome.actions)
    paused = planned(wanted, world, 100.0, outcome.progress)
    assert paused.actions == ()
    assert paused.wake_at is not None
    assert kinds(planned(wanted, world, paused.wake_at, paused.progress).actions) == [Initiate]


def test_ike_sa_without_child_is_not_up() -> None:
    world, wanted = World(), desired(softwire())
    before = settled(wanted, world)
    world.sas[0] = replace(world.sas[0], children=())
    outcome = planned(wanted, world, 10.0, before.progress)
    assert the(outcome).state is not State.UP
    assert kinds(outcome.actions) == [Initiate]


def test_child_being_negotiated_is_waited_for() -> None:
    world, wanted = World(), desired(softwire())
    before = settled(wanted, world)
    world.sas[0] = replace(world.sas[0], children=(), tasks=frozenset({"CHILD_CREATE"}))
    assert planned(wanted, world, 10.0, before.progress).actions == ()


def test_duplicate_is_closed_by_the_elected_end_after_a_grace() -> None:
    for remote, closes in ((HIGHER, True), (LOWER, False)):
        world, wanted = World(), desired(softwire(remote))
        before = settled(wanted, world) if closes else planned(wanted, world)
        world.apply(before.actions)
        name, connection = next(iter(world.connections.items()))
        world.sas.clear()
        world.establish(name, connection.children[0].name, installed_for=9)
        world.establish(name, connection.children[0].name, anew=True)
        old, new = world.sas
        first = planned(wanted, world, 100.0, before.progress)
        assert first.actions == ()
        assert the(first).state is State.UP
        later = planned(wanted, world, 100.0 + PACE.surplus_grace, first.progress)
        world.apply(later.actions)
        assert world.sas == ([new] if closes else [old, new])


def test_duplicate_is_closed_though_something_else_is_missing() -> None:
    """Which may be for ever: a peer that does not carry one of the prefixes."""
    world, wanted = World(), desired(softwire(sites=2))
    before = planned(wanted, world)
    world.apply(before.actions)
    (held,) = world.sas[0].children
    world.establish(world.sas[0].connection, held.name, anew=True)
    first = planned(wanted, world, 100.0, before.progress)
    assert the(first).state is State.DEGRADED
    later = planned(wanted, world, 100.0 + PACE.surplus_grace, first.progress)
    assert kinds(later.actions).count(TerminateChild) == 1
    assert TerminateIke not in kinds(later.actions), "on that IKE_SA what is missing may come up"


def test_duplicate_is_closed_by_the_other_end_where_the_elected_one_does_not() -> None:
    world, wanted = World(), desired(softwire(LOWER))
    world.apply(planned(wanted, world).actions)
    ((name, connection),) = world.connections.items()
    for _ in range(2):
        world.establish(name, connection.children[0].name, anew=True)
    outcome = settled(wanted, world)
    assert outcome.wake_at is not None
    assert PACE.surplus_grace + PACE.takeover <= outcome.wake_at <= PACE.surplus_grace + 1.5 * PACE.takeover
    world.apply(planned(wanted, world, outcome.wake_at, outcome.progress).actions)
    assert len(world.sas) == 1


def test_with_two_keys_each_attempt_tries_another() -> None:
    world, wanted = World(answering=False), desired(softwire(keys=("old", "new")))
    outcome, tried = Plan(), []
    for now in range(0, 40, 10):
        outcome = planned(wanted, world, float(now), outcome.progress)
        tried += [action.connection for action in outcome.actions if isinstance(action, Initiate)]
        world.apply(outcome.actions)
        world.sas.clear()
    assert len(set(tried)) == 2
    assert tried[0] != tried[1]


def test_softwire_that_cannot_carry_everything_is_degraded_and_says_so() -> None:
    world = World()
    wire = softwire()
    wanted = Desired(softwires={wire.id: wire}, dropped={wire.id: Refusal(Rule.MAX_SELECTORS, "5 prefix pairs")})
    outcome = settled(wanted, world)
    assert (the(outcome).state, the(outcome).reason) == (State.DEGRADED, "5 prefix pairs")


def test_reason_of_a_failure_is_kept_until_it_is_up() -> None:
    world, wanted = World(answering=False), desired(softwire())
    name = render(softwire(), (OWN.own_key,))[0].name
    silent = Failure(name, "the peer does not answer", cause=Cause.SILENT)
    first = planned(wanted, world, failures={name: silent})
    world.apply(first.actions)
    second = planned(wanted, world, 1.0, first.progress)
    assert the(second).reason.startswith("the peer does not answer; ")
    assert the(second).cause is Cause.SILENT
    world.sas.clear()
    world.answering = True
    world.apply((Initiate(name, next(iter(world.connections[name].children)).name),))
    third = the(planned(wanted, world, 2.0, second.progress))
    assert (third.reason, third.cause) == ("", None)


def test_since_changes_only_with_the_state() -> None:
    world, wanted = World(), desired(softwire())
    up = settled(wanted, world)
    assert the(planned(wanted, world, 500.0, up.progress)).since == the(up).since


def test_both_ends_agree_who_is_elected() -> None:
    wire = softwire().id
    mirrored = SoftwireId(wire.remote, wire.local, wire.type)
    assert elected(wire) is not elected(mirrored)
    assert takeover_at(wire, 7.0, PACE) == 7.0
    assert takeover_at(mirrored, 7.0, PACE) >= 7.0 + PACE.takeover


def test_backoff_is_jittered_and_bounded() -> None:
    wires = [softwire(f"2001:db8:f::{n:x}").id for n in range(16, 80)]
    waits = [backoff(wire, 3, PACE) for wire in wires]
    assert len(set(waits)) > 60
    assert all(0.5 <= wait <= 1.0 for wait in waits)
    assert backoff(wires[0], 10_000, PACE) <= PACE.retry_max


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"remote_id": "00:11"}, "remote identity"), ({"remote_host": "2001:db8:f::8"}, "remote address")],
)
def test_ike_sa_with_another_peer_is_terminated_and_carries_nothing(change: dict[str, str], reason: str) -> None:
    world, wanted = World(), desired(softwire())
    before = settled(wanted, world)
    good = world.sas[0]
    world.sas[0] = replace(good, **change)  # type: ignore[arg-type]
    outcome = planned(wanted, world, 100.0, before.progress)
    assert outcome.actions == (TerminateIke(good.unique_id),)
    assert reason in the(outcome).reason
    assert outcome.standing == frozenset()
    world.apply(outcome.actions)
    assert outcome.wake_at is not None
    paused = planned(wanted, world, 100.0, outcome.progress)
    assert paused.actions == ()
    assert kinds(planned(wanted, world, 110.0, paused.progress).actions) == [Initiate]


def test_standing_is_what_a_verified_sa_carries() -> None:
    world, wire = World(), softwire(sites=2)
    first = planned(desired(wire), world)
    assert first.standing == frozenset()
    world.apply(first.actions[:2])
    assert planned(desired(wire), world).standing == {wire.id}
    (ike,) = world.sas
    world.sas = [replace(ike, children=tuple(replace(sa, state="REKEYING") for sa in ike.children))]
    assert planned(desired(wire), world).standing == {wire.id}
    world.sas = [replace(ike, children=tuple(replace(sa, encr_alg="NULL") for sa in ike.children))]
    assert planned(desired(wire), world).standing == frozenset()


def test_rekeying_is_neither_a_loss_nor_a_surplus() -> None:
    world, wanted = World(), desired(softwire())
    before = settled(wanted, world)
    (ike,) = world.sas
    (old,) = ike.children
    for children in (
        (replace(old, state="REKEYING"),),
        (replace(old, state="REKEYING"), replace(old, unique_id="99")),
        (replace(old, state="REKEYED"), replace(old, unique_id="99")),
    ):
        world.sas = [replace(ike, children=children)]
        outcome = planned(wanted, world, 10.0, before.progress)
        assert (outcome.actions, the(outcome).state) == ((), State.UP)
        later = planned(wanted, world, 10.0 + 2 * PACE.surplus_grace, outcome.progress)
        assert later.actions == ()


def test_softwires_that_share_an_ike_sa_leave_each_others_children_alone() -> None:
    red, blue = softwire(color=1), replace(softwire(color=2, sites=2), selectors=softwire(sites=2).selectors)
    blue = replace(blue, selectors=blue.selectors - red.selectors)
    world, wanted = World(), desired(red, blue)
    before = settled(wanted, world)
    # Crossing initiations left either on an IKE_SA of its own.
    (ike,) = world.sas
    world.sas = [replace(ike, unique_id=f"9{n}", children=(sa,)) for n, sa in enumerate(ike.children)]
    for now in (50.0, 60.0, 70.0):
        before = planned(wanted, world, now, before.progress)
        assert before.actions == ()
    assert {progress.state for progress in before.progress.values()} == {State.UP}


def test_softwires_that_share_even_the_child_are_up_together() -> None:
    wires = [softwire(color=color, anything=True) for color in (1, 2)]
    world, wanted = World(), desired(*wires)
    first = planned(wanted, world)
    assert kinds(first.actions) == [LoadConnection, Initiate]
    world.apply(first.actions)
    assert planned(wanted, world, 1.0, first.progress).standing == {wire.id for wire in wires}


def test_what_the_peer_refuses_is_told_with_our_proposals() -> None:
    world, wanted = World(answering=False), desired(softwire())
    name = render(softwire(), (OWN.own_key,))[0].name
    refusal = Failure(name, "the peer answered NO_PROPOSAL_CHOSEN", Proposals.CHILD)
    outcome = planned(wanted, world, failures={name: refusal})
    assert the(outcome).failure.startswith(
        "the peer accepts none of our proposals aes256gcm16-x25519 (level encrypt): it has another level"
    )
    known = replace(refusal, reason="the peer proposes X, we accept Y", both_known=True)
    assert the(planned(wanted, world, failures={name: known})).failure == "the peer proposes X, we accept Y"
    ike = replace(refusal, disagreement=Proposals.IKE)
    assert IKE[0] in the(planned(wanted, world, failures={name: ike})).failure


def test_charons_log_is_listened_to_when_an_sa_is_missing_for_long() -> None:
    for wire in (softwire(LOWER), softwire(may_initiate=False), softwire()):
        wanted, world = desired(wire), World(answering=False)
        first = planned(wanted, world)
        assert not first.puzzling
        assert first.wake_at is not None
        assert first.wake_at <= PACE.patience
        late = planned(wanted, world, PACE.patience, first.progress)
        assert late.puzzling
    world = World()
    assert not settled(desired(softwire()), world).puzzling


@pytest.mark.parametrize("wire", [replace(softwire(), credentials=()), trusted(softwire(), certified(softwire()))])
def test_a_softwire_nobody_can_authenticate_for_is_refused_and_holds_up_no_other(wire: Softwire) -> None:
    """No credential, or one that asks for a certificate of ours where we have none."""
    bare = replace(OWN, certificate=None)
    outcome = planned(desired(wire, softwire(LOWER)), World(), own=(bare,))
    assert outcome.progress[wire.id].state is State.REFUSED
    assert {action.connection.remote_address for action in outcome.actions if isinstance(action, LoadConnection)} == {
        LOWER
    }


def test_no_preference_where_the_key_we_prefer_can_show_no_certificate() -> None:
    bare, wire = replace(OWN, certificate=None), trusted(softwire(), certified(softwire()))
    world = World()
    settled(desired(wire), world, own=(NEW,))
    assert planned(desired(wire), world, 50.0, own=(bare, NEW)).actions == ()
