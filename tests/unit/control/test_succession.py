"""What goes when something else is wanted, and what stays until that is up."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from softmesh.charon.actions import (
    Action,
    Initiate,
    LoadConnection,
    TerminateChild,
    TerminateIke,
    UnloadConnection,
    UnloadSecret,
)
from softmesh.control.plan import Plan
from softmesh.control.progress import State
from softmesh.mesh.desired import Desired, Pending
from softmesh.mesh.refusal import Refusal, Rule
from softmesh.mesh.softwire import Address, Interface, InterfaceKind, Level, Mode, Profile, Softwire, SoftwireId
from tests.unit.control.world import (
    AH,
    HIGHER,
    INTEGRITY,
    PACE,
    World,
    certificate_of,
    certified,
    desired,
    group_key,
    kinds,
    planned,
    settled,
    softwire,
    the,
    transport,
    trusted,
)

IKE_CHANGED = Profile(Level.ENCRYPT, ("aes128gcm16-prfsha256-x25519",), ("aes256gcm16-x25519",))
ROUTED = Interface(InterfaceKind.XFRM, 0xA1B2C3D4)
VTI = Interface(InterfaceKind.VTI, 0xA1B2C3D4)


def test_change_of_esp_proposals_makes_the_new_child_before_it_breaks_the_old() -> None:
    world = World()
    before = settled(desired(softwire()), world)
    changed = desired(softwire(profile=replace(softwire().profile, proposals=("aes256gcm16", "aes128gcm16"))))
    outcome = planned(changed, world, 50.0, before.progress)
    assert kinds(outcome.actions) == [LoadConnection, Initiate]
    world.apply(outcome.actions)
    outcome = planned(changed, world, 50.1, outcome.progress)
    assert outcome.actions == ()
    outcome = planned(changed, world, 50.1 + PACE.surplus_grace, outcome.progress)
    assert kinds(outcome.actions) == [TerminateChild]
    world.apply(outcome.actions)
    assert [len(sa.children) for sa in world.sas] == [1]


def test_change_of_ike_proposals_makes_before_it_breaks() -> None:
    world = World()
    before = settled(desired(softwire()), world)
    changed = desired(softwire(profile=IKE_CHANGED))
    outcome = planned(changed, world, 50.0, before.progress)
    assert kinds(outcome.actions) == [LoadConnection, Initiate, UnloadConnection]
    world.apply(outcome.actions)
    after = planned(changed, world, 50.1, outcome.progress)
    assert after.actions == ()
    after = planned(changed, world, 50.1 + PACE.surplus_grace, after.progress)
    assert kinds(after.actions) == [TerminateIke]
    world.apply(after.actions)
    assert len(world.sas) == 1


@pytest.mark.parametrize("profile", [AH, IKE_CHANGED], ids=["level", "IKE"])
def test_what_was_superseded_waits_for_the_peer_to_have_moved(profile: Profile) -> None:
    """Its SA is the peer's too: deleted at once, it would take what the peer still sends into it."""
    world = World()
    before = settled(desired(softwire()), world)
    (held,) = (sa for ike in world.sas for sa in ike.children)
    changed = desired(softwire(profile=profile))
    outcome = planned(changed, world, 50.0, before.progress)
    world.apply(outcome.actions)
    for later in (0.1, 1.0, PACE.surplus_grace):
        outcome = planned(changed, world, 50.0 + later, outcome.progress)
        assert the(outcome).state is State.UP
        assert outcome.standing_in == (held,)
        assert outcome.wake_at is not None
        assert outcome.actions == ()
    outcome = planned(changed, world, 50.1 + PACE.surplus_grace, outcome.progress)
    assert outcome.standing_in == ()
    assert len(outcome.actions) == 1


def test_superseded_sa_does_not_outlive_its_time_if_the_successor_never_comes() -> None:
    world = World()
    before = settled(desired(softwire()), world)
    changed = desired(softwire(profile=IKE_CHANGED))
    outcome = planned(changed, world, 50.0, before.progress)
    world.apply(tuple(a for a in outcome.actions if not isinstance(a, Initiate)))
    assert TerminateIke not in kinds(planned(changed, world, 50.0 + PACE.succession - 1, outcome.progress).actions)
    assert TerminateIke in kinds(planned(changed, world, 50.0 + PACE.succession + 1, outcome.progress).actions)


def test_withdrawn_key_ends_the_sa_made_with_it_at_once() -> None:
    world = World()
    settled(desired(softwire(keys=("old",))), world)
    outcome = planned(desired(softwire(keys=("new",))), world, 50.0)
    assert kinds(outcome.actions) == [LoadConnection, Initiate, UnloadConnection, TerminateIke]


CHANGES = {
    "type 4 to 5": (softwire(), transport()),
    "type 5 to 4": (transport(), softwire()),
    "policy to route": (softwire(), softwire(interface=ROUTED)),
    "route to policy": (softwire(interface=ROUTED), softwire()),
    "XFRM to VTI": (softwire(interface=ROUTED), softwire(interface=VTI)),
    "pairs to any": (softwire(sites=2, interface=ROUTED), softwire(sites=2, interface=ROUTED, anything=True)),
    "any to pairs": (softwire(sites=2, interface=ROUTED, anything=True), softwire(sites=2, interface=ROUTED)),
    "encrypt to AH": (softwire(), softwire(profile=AH)),
    "AH to integrity": (softwire(profile=AH), softwire(profile=INTEGRITY)),
    "type, level and IKE proposals": (
        softwire(),
        transport(profile=replace(AH, ike_proposals=("aes128-sha256-x25519",))),
    ),
    "colour": (softwire(color=1, interface=ROUTED), softwire(color=2, interface=replace(ROUTED, number=5))),
}


@pytest.mark.parametrize(("old", "new"), CHANGES.values(), ids=CHANGES)
def test_change_makes_before_it_breaks(old: Softwire, new: Softwire) -> None:
    world = World()
    before = settled(desired(old), world)
    held = {sa.unique_id for ike in world.sas for sa in ike.children}
    # The peer has not heard of it yet: attempts fail, and nothing is lost meanwhile.
    outcome, now = before, 50.0
    while now < 60.0:
        outcome = planned(desired(new), world, now, outcome.progress)
        assert {sa.unique_id for sa in outcome.standing_in} == held
        assert not {TerminateChild, TerminateIke} & set(kinds(outcome.actions))
        world.apply(without_attempts(outcome))
        now += 1.0
    # Now it has. What was there goes, once all that takes over is up.
    while outcome.standing_in or outcome.actions:
        outcome = planned(desired(new), world, now, outcome.progress)
        left = {sa.unique_id for ike in world.sas for sa in ike.children} & held
        assert left or the(outcome).state is State.UP
        world.apply(outcome.actions)
        now += 1.0
        assert now < 50.0 + PACE.succession
    carried = [sa for ike in world.sas for sa in ike.children]
    assert not [sa for sa in carried if sa.unique_id in held]
    assert len(carried) == len(new.selectors)


def without_attempts(outcome: Plan) -> tuple[Action, ...]:
    return tuple(action for action in outcome.actions if not isinstance(action, Initiate))


@pytest.mark.parametrize(("old", "new"), CHANGES.values(), ids=CHANGES)
def test_what_was_superseded_does_not_outlive_its_time(old: Softwire, new: Softwire) -> None:
    world = World()
    outcome = settled(desired(old), world)
    for now in (50.0, 50.0 + PACE.succession - 1, 50.0 + PACE.succession):
        outcome = planned(desired(new), world, now, outcome.progress)
        world.apply(without_attempts(outcome))
    assert not [sa for ike in world.sas for sa in ike.children]


def test_change_of_what_has_been_incomplete_for_long_makes_before_it_breaks_too() -> None:
    world, old, new = World(), softwire(sites=2), softwire(sites=2, profile=AH)
    first = planned(desired(old), world)
    world.apply(first.actions)
    long_since = planned(desired(old), world, 1000.0, first.progress)
    assert the(long_since).state is State.DEGRADED
    (held,) = world.sas[0].children
    outcome = planned(desired(new), world, 2000.0, long_since.progress)
    assert outcome.standing_in == (held,)


def test_withdrawn_prefix_goes_at_once_though_another_is_still_to_come() -> None:
    world, old = World(), softwire(sites=2)
    before = settled(desired(old), world)
    gone = next(pair for pair in old.selectors if pair.remote.network == old.prefixes[0])
    added = softwire(sites=3)
    new = replace(added, selectors=added.selectors - {gone}, prefixes=added.prefixes[1:])
    outcome = planned(desired(new), world, 50.0, before.progress)
    assert kinds(outcome.actions) == [LoadConnection, Initiate, TerminateChild]
    world.apply(without_attempts(outcome))
    assert [sa.remote_ts for ike in world.sas for sa in ike.children] == [frozenset({str(old.prefixes[1])})]


@pytest.mark.parametrize("new", [transport(sites=1), softwire(sites=1, profile=IKE_CHANGED)], ids=["type", "IKE"])
def test_prefix_withdrawn_with_a_change_goes_at_once_and_the_others_stay(new: Softwire) -> None:
    world, old = World(), softwire(sites=2)
    before = settled(desired(old), world)
    outcome = planned(desired(new), world, 50.0, before.progress)
    world.apply(without_attempts(outcome))
    assert [sa.remote_ts for ike in world.sas for sa in ike.children] == [frozenset({str(old.prefixes[0])})]


def test_change_with_a_new_key_has_no_predecessor() -> None:
    world = World()
    before = settled(desired(softwire()), world)
    outcome = planned(desired(softwire(keys=("another",), profile=AH)), world, 50.0, before.progress)
    assert outcome.standing_in == ()
    assert TerminateIke in kinds(outcome.actions)


ELSEWHERE = "2001:db8:f::a"
CORE = (ip_network("2001:db8:f::/64"),)


def elsewhere(wire: Softwire, *, keys: tuple[str, ...] = ("other peer",)) -> Softwire:
    """The softwire that has the same traffic by another endpoint."""
    other = softwire(ELSEWHERE, keys=keys)
    interface = None if wire.interface is None else replace(wire.interface, number=wire.interface.number + 1)
    selectors = wire.selectors if wire.mode is Mode.TUNNEL else transport(ELSEWHERE).selectors
    return replace(
        wire, id=replace(wire.id, remote=other.id.remote), credentials=other.credentials, interface=interface,
        selectors=selectors,
    )  # fmt: skip


def led_to(wire: Softwire, remote: str = HIGHER) -> dict[SoftwireId, frozenset[Address]]:
    """Its routes lead there as yet."""
    return {wire.id: frozenset({ip_address(remote)})}


MOVES = {
    "policy": (softwire(), False),
    "XFRM interface": (softwire(interface=ROUTED), True),
    "VTI": (softwire(interface=VTI), True),
    "any, by XFRM interface": (softwire(interface=ROUTED, anything=True), True),
    "transport": (replace(transport(), interface=Interface(InterfaceKind.IP_IN_IP, 1)), True),
}


@pytest.mark.parametrize(("old", "routed"), MOVES.values(), ids=MOVES)
def test_a_move_to_another_endpoint_makes_before_it_breaks(old: Softwire, routed: bool) -> None:
    world, new = World(), elsewhere(old)
    outcome = settled(desired(old), world)
    (held,) = (sa for ike in world.sas for sa in ike.children)
    led = led_to(new) if routed else {}
    for now in (50.0, 55.0, 60.0):
        outcome = planned(desired(new), world, now, outcome.progress, led=led, endpoints=CORE)
        assert outcome.standing_in == (held,)
        assert [child.remote_ts for child in outcome.lacking[new.id]] == [str(pair.remote) for pair in new.selectors]
        assert TerminateIke not in kinds(outcome.actions)
        world.apply(without_attempts(outcome))
    world.establish(*connected(world, new))
    for now in (61.0, 61.0 + PACE.settling / 2):
        outcome = planned(desired(new), world, now, outcome.progress, led=led, endpoints=CORE)
        assert (outcome.standing_in, outcome.actions) == ((held,), ()), "the peer may not be ready yet"
        assert outcome.lacking.keys() == {new.id}
    now = 61.0 + PACE.settling
    if routed:
        outcome = planned(desired(new), world, now, outcome.progress, led=led, endpoints=CORE)
        assert outcome.standing_in == (held,), "the route goes over before the SA goes"
        assert outcome.lacking == {}
    outcome = planned(desired(new), world, now, outcome.progress, endpoints=CORE)
    assert kinds(outcome.actions) == [TerminateIke]
    world.apply(outcome.actions)
    assert [ike.remote_host for ike in world.sas] == [ELSEWHERE]


def connected(world: World, wire: Softwire) -> tuple[str, str]:
    """The connection of a softwire in charon and the name of its child."""
    (connection,) = (c for c in world.connections.values() if c.remote_address == str(wire.id.remote))
    return connection.name, connection.children[0].name


@pytest.mark.parametrize(("old", "routed"), MOVES.values(), ids=MOVES)
def test_a_move_to_where_nothing_comes_up_ends_in_time(old: Softwire, routed: bool) -> None:
    world, new = World(), elsewhere(old)
    outcome = settled(desired(old), world)
    led = led_to(new) if routed else {}
    for now in (50.0, 50.0 + PACE.succession - 1, 50.0 + PACE.succession):
        outcome = planned(desired(new), world, now, outcome.progress, led=led, endpoints=CORE)
        world.apply(without_attempts(outcome))
    assert world.sas == []
    assert outcome.lacking == {}


@pytest.mark.parametrize(("old", "routed"), MOVES.values(), ids=MOVES)
def test_what_did_not_move_goes_at_once(old: Softwire, routed: bool) -> None:
    """A softwire that goes leaves nothing to that of another peer which has other traffic."""
    world, new = World(), softwire(ELSEWHERE, interface=elsewhere(old).interface)
    outcome = settled(desired(old), world)
    outcome = planned(desired(new), world, 50.0, outcome.progress, endpoints=CORE)
    assert outcome.standing_in == ()
    assert TerminateIke in kinds(outcome.actions)


def test_of_a_peer_that_keeps_other_prefixes_the_moved_one_stands_until_it_has_moved() -> None:
    world, old = World(), softwire(sites=2)
    moving = next(pair for pair in old.selectors if pair.remote.network == old.prefixes[0])
    outcome = settled(desired(old), world)
    left = replace(old, selectors=old.selectors - {moving}, prefixes=old.prefixes[1:])
    new = replace(elsewhere(softwire()), selectors=frozenset({moving}))
    for now in (50.0, 51.0):
        outcome = planned(desired(left, new), world, now, outcome.progress, endpoints=CORE)
        assert len(outcome.standing_in) == 1
        world.apply(without_attempts(outcome))
    world.establish(*connected(world, new))
    outcome = planned(desired(left, new), world, 52.0, outcome.progress, endpoints=CORE)
    assert outcome.actions == ()
    outcome = planned(desired(left, new), world, 52.0 + PACE.settling, outcome.progress, endpoints=CORE)
    assert kinds(outcome.actions) == [TerminateChild]
    world.apply(outcome.actions)
    assert [len(ike.children) for ike in world.sas] == [1, 1]


def test_a_route_whose_sa_others_need_too_has_its_time_as_well() -> None:
    """By transport mode the SA to the former peer is still wanted: only the route has to wait."""
    interface = Interface(InterfaceKind.IP_IN_IP, 1)
    world, old = World(), replace(transport(sites=2), interface=interface)
    new = elsewhere(replace(old, prefixes=old.prefixes[:1]))
    left = replace(old, prefixes=old.prefixes[1:])
    outcome = settled(desired(old), world)
    for now, lacks in ((50.0, True), (50.0 + PACE.succession - 1, True), (50.0 + PACE.succession, False)):
        outcome = planned(desired(left, new), world, now, outcome.progress, led=led_to(new), endpoints=CORE)
        assert (new.id in outcome.lacking) == lacks
        world.apply(without_attempts(outcome))


@pytest.mark.parametrize(
    ("changes", "desires"),
    [
        pytest.param({"endpoints": ()}, [], id="its endpoint is not admitted any more"),
        pytest.param({}, [replace(softwire(keys=("new",), sites=2), prefixes=())], id="its key is another now"),
    ],
)
@pytest.mark.parametrize("may_remove", [True, False])
def test_a_move_keeps_nobody_in_who_is_not_trusted(
    changes: dict[str, Any], desires: list[Softwire], may_remove: bool
) -> None:
    world, new = World(), elsewhere(softwire())
    before = settled(desired(softwire()), world)
    settings: dict[str, Any] = {"endpoints": CORE, "may_remove": may_remove or not desires} | changes
    outcome = planned(desired(new, *desires), world, 50.0, before.progress, **settings)
    assert outcome.standing_in == ()
    assert TerminateIke in kinds(outcome.actions)


def test_a_move_keeps_nobody_in_whose_key_is_gone() -> None:
    world, new = World(), elsewhere(softwire())
    before = settled(desired(softwire()), world)
    pending = Pending(softwire().id, Refusal(Rule.KEY, "no key found"), ())
    wanted = Desired({new.id: new}, {pending.id: pending})
    outcome = planned(wanted, world, 50.0, before.progress, endpoints=CORE)
    assert outcome.standing_in == ()
    assert TerminateIke in kinds(outcome.actions)


@pytest.mark.parametrize("may_remove", [True, False])
def test_of_a_blocked_softwire_nothing_is_left_or_begun(may_remove: bool) -> None:
    world, wire = World(), softwire(interface=ROUTED)
    before = settled(desired(wire), world)
    outcome = planned(desired(wire), world, 50.0, before.progress, may_remove=may_remove, blocked={wire.id: "no guard"})
    assert kinds(outcome.actions) == [UnloadConnection, TerminateIke]
    assert (the(outcome).state, the(outcome).reason) == (State.REFUSED, "no guard")
    assert outcome.standing == frozenset()
    world.apply(outcome.actions)
    again = planned(desired(wire), world, 60.0, outcome.progress, may_remove=may_remove, blocked={wire.id: "no guard"})
    assert (again.actions, the(again)) == ((), the(outcome))
    freed = planned(desired(wire), world, 70.0, again.progress, may_remove=may_remove)
    assert kinds(freed.actions) == [LoadConnection, Initiate]


@pytest.mark.parametrize("may_remove", [True, False])
def test_of_what_a_blocked_softwire_was_before_nothing_is_left_either(may_remove: bool) -> None:
    """Neither an SA of another level nor one of another connection stands in for what must not be."""
    for profile in (AH, IKE_CHANGED):
        world = World()
        settled(desired(softwire()), world)
        wire = softwire(profile=profile)
        other = transport()
        wanted = desired(wire, other)
        outcome = planned(wanted, world, 50.0, may_remove=may_remove, blocked={wire.id: "no interface"})
        world.apply(without_attempts(outcome))
        assert not [sa for ike in world.sas for sa in ike.children]


@pytest.mark.parametrize("may_remove", [True, False])
def test_blocked_softwire_leaves_others_of_its_connection_alone(may_remove: bool) -> None:
    red, blue = softwire(color=1), replace(transport(), id=replace(transport().id, color=2))
    world = World()
    before = settled(desired(red, blue), world)
    assert len(world.sas) == 1
    for now in (50.0, 51.0):
        before = planned(
            desired(red, blue), world, now, before.progress, may_remove=may_remove, blocked={red.id: "no interface"}
        )
        world.apply(before.actions)
    ((left,),) = (ike.children for ike in world.sas)
    assert left.mode == "transport"
    assert before.standing == {blue.id}
    assert {wire: progress.state for wire, progress in before.progress.items()} == {
        red.id: State.REFUSED,
        blue.id: State.UP,
    }


def test_blocked_softwire_that_nobody_wants_is_no_softwire() -> None:
    assert planned(desired(), World(), blocked={softwire(HIGHER).id: "no guard"}).progress == {}


CERTIFIED = trusted(softwire(), certified(softwire()))


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(trusted(softwire(), certified(softwire(), "another authority")), id="authority"),
        pytest.param(trusted(softwire(), certified(softwire(), revocation="1234")), id="revocation list"),
    ],
)
def test_peers_authenticate_anew_when_what_vouches_for_them_changes(after: Softwire) -> None:
    """And do so before the SA goes that they have: who cannot any more loses it when the time is over."""
    world = World()
    before = settled(desired(CERTIFIED), world)
    outcome = planned(desired(after), world, 50.0, before.progress)
    assert Initiate in kinds(outcome.actions)
    assert TerminateIke not in kinds(outcome.actions)
    world.apply(tuple(action for action in outcome.actions if not isinstance(action, Initiate)))
    outcome = planned(desired(after), world, 50.0 + PACE.succession + 1, outcome.progress)
    assert TerminateIke in kinds(outcome.actions)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            trusted(softwire(), group_key(softwire())), trusted(softwire(), group_key(softwire(), "new")),
            id="another group key",
        ),
        pytest.param(CERTIFIED, softwire(), id="from certificates to a pinned key"),
        pytest.param(softwire(), CERTIFIED, id="from a pinned key to certificates"),
        pytest.param(
            trusted(softwire(), certificate_of("old")), trusted(softwire(), certificate_of("new")),
            id="another pinned certificate",
        ),
        pytest.param(CERTIFIED, trusted(softwire(), certificate_of("peer")), id="a certificate is pinned, too"),
    ],
)  # fmt: skip
def test_what_was_made_by_a_credential_that_counts_no_more_goes_at_once(before: Softwire, after: Softwire) -> None:
    world = World()
    settled(desired(before), world)
    assert TerminateIke in kinds(planned(desired(after), world, 50.0).actions)


def test_a_certificate_of_the_same_key_is_renewed_without_a_gap() -> None:
    world = World()
    first, second = (trusted(softwire(), certificate_of("peer", serial)) for serial in (1, 2))
    before = settled(desired(first), world)
    outcome = planned(desired(second), world, 50.0, before.progress)
    assert Initiate in kinds(outcome.actions)
    assert TerminateIke not in kinds(outcome.actions)


@pytest.mark.parametrize("may_remove", [True, False])
def test_a_group_key_that_was_replaced_goes_before_the_connection_that_rests_on_the_new(may_remove: bool) -> None:
    """charon tries all keys of an owner: by the old one somebody could come in on the new connection meanwhile."""
    world = World()
    settled(desired(trusted(softwire(), group_key(softwire(), "stolen"))), world)
    (stolen,) = world.secrets
    fresh = desired(trusted(softwire(), group_key(softwire(), "fresh")))
    actions = planned(fresh, world, 50.0, may_remove=may_remove).actions
    assert actions.index(UnloadSecret(stolen)) < kinds(actions).index(LoadConnection)
    assert kinds(actions).count(UnloadSecret) == 1


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(softwire(keys=("old",)), softwire(keys=("new",)), id="pinned key"),
        pytest.param(
            trusted(softwire(), group_key(softwire())),
            trusted(softwire(), group_key(softwire(), "new")),
            id="group key",
        ),
    ],
)
def test_a_withdrawn_credential_does_not_wait_for_bgp(before: Softwire, after: Softwire) -> None:
    """Nothing is torn down on ignorance, but whom we trust is not what BGP has to say."""
    world = World()
    settled(desired(before, softwire("2001:db8:f::8")), world)
    outcome = planned(desired(after), world, 50.0, may_remove=False)
    (gone,) = (action for action in outcome.actions if isinstance(action, TerminateIke))
    (made,) = (sa.remote_host for sa in world.sas if sa.unique_id == gone.unique_id)
    assert made == HIGHER


def test_a_peer_whose_key_is_gone_is_let_out_without_waiting_for_bgp() -> None:
    world = World()
    wire = softwire()
    settled(desired(wire, softwire("2001:db8:f::8")), world)
    pending = Pending(wire.id, Refusal(Rule.KEY, "no key found"), ())
    outcome = planned(Desired(pending={wire.id: pending}), world, 50.0, may_remove=False)
    (gone,) = (action for action in outcome.actions if isinstance(action, TerminateIke))
    assert {sa.unique_id: sa.remote_host for sa in world.sas}[gone.unique_id] == HIGHER
    other = Pending(wire.id, Refusal(Rule.MAX_SOFTWIRES, "as many came first"), ())
    outcome = planned(Desired(pending={wire.id: other}), world, 50.0, may_remove=False)
    assert TerminateIke not in kinds(outcome.actions)
