"""The planner from any state: it settles, says nothing once settled, and never does what it must not."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st

from softmesh.charon.actions import Initiate, TerminateChild, TerminateIke, UnloadConnection
from softmesh.charon.render import render
from softmesh.control.plan import Plan, plan
from softmesh.control.progress import Pace, State
from softmesh.mesh.desired import Desired
from softmesh.mesh.identity import Identity
from softmesh.mesh.softwire import Softwire
from tests.unit.control.world import NEW, OWN, World, certified, desired, group_key, softwire, trusted

Keyring: TypeAlias = tuple[Identity, ...]

PACE = Pace()
REMOTES = [f"2001:db8:f::{n:x}" for n in (2, 3, 9, 10)]

trusts = st.sampled_from(["a", "b", "a b", "certified", "other authority", "group", "other"])
sizes = st.dictionaries(st.sampled_from(REMOTES), st.integers(1, 3), max_size=4)
meshes = st.dictionaries(
    st.sampled_from(REMOTES),
    st.tuples(st.integers(1, 3), trusts),
    max_size=4,
).map(lambda chosen: desired(*(peer(remote, n, trust) for remote, (n, trust) in chosen.items())))
keyrings = st.sampled_from([(OWN,), (OWN, NEW), (NEW, OWN), (NEW,)])
"""Ours, that which we prefer first."""
damages = st.lists(
    st.sampled_from(["forget connections", "lose SAs", "lose children", "duplicate", "wrong selectors", "lose keys"]),
    max_size=3,
)


def peer(remote: str, sites: int, trust: str) -> Softwire:
    wire = softwire(remote, sites=sites, keys=tuple(trust.split()))
    match trust:
        case "certified" | "other authority":
            return trusted(wire, certified(wire, trust))
        case "group" | "other":
            return trusted(wire, group_key(wire, trust))
        case _:
            return wire


def step(
    wanted: Desired, world: World, before: Plan, now: float, *, may_remove: bool = True, own: Keyring = (OWN,)
) -> Plan:
    retired = {identity.key_id.hex() for identity in (OWN, NEW)} - {identity.key_id.hex() for identity in own}
    return plan(
        wanted, world.observed(), before.progress, now, own=own, pace=PACE, may_remove=may_remove, retired=retired
    )


def settle(wanted: Desired, world: World, now: float, before: Plan, own: Keyring = (OWN,)) -> tuple[Plan, float]:
    """Follow the planner's own clock until it has nothing more to do and nothing to wait for."""
    for _ in range(60):
        before = step(wanted, world, before, now, own=own)
        world.apply(before.actions)
        if not before.actions and before.wake_at is None:
            return before, now
        now = max(now, before.wake_at or now) + 0.001
    raise AssertionError(f"does not settle: {before.actions}, next at {before.wake_at}")


def damage(world: World, kinds: list[str]) -> None:
    for kind in kinds:
        match kind:
            case "forget connections":
                world.connections.clear()
            case "lose SAs":
                world.sas.clear()
            case "lose children":
                world.sas = [replace(sa, children=()) for sa in world.sas]
            case "duplicate":
                for sa in list(world.sas):
                    if sa.connection in world.connections and sa.children:
                        world.establish(sa.connection, sa.children[0].name, anew=True)
            case "wrong selectors":
                world.sas = [
                    replace(
                        sa,
                        children=tuple(replace(c, remote_ts=frozenset({"10.99.0.0/24"})) for c in sa.children),
                    )
                    for sa in world.sas
                ]
            case _:
                world.keys.clear()


@given(first=meshes, second=meshes, kinds=damages, own=st.tuples(keyrings, keyrings))
@settings(max_examples=250, deadline=None, derandomize=True)
def test_settles_from_anything_into_exactly_what_is_wanted(
    first: Desired, second: Desired, kinds: list[str], own: tuple[Keyring, Keyring]
) -> None:
    world = World()
    before, now = settle(first, world, 0.0, Plan(), own[0])
    damage(world, kinds)
    after, now = settle(second, world, now + 1, before, own[1])
    assert {progress.state for progress in after.progress.values()} <= {State.UP}
    wanted = {(wire.id.remote, pair) for wire in second.softwires.values() for pair in wire.selectors}
    held = [
        (sa.remote_host, tuple(child.local_ts), tuple(child.remote_ts)) for sa in world.sas for child in sa.children
    ]
    surplus = [sa for sa in world.sas if not sa.children]
    expected = {(str(remote), (str(pair.local),), (str(pair.remote),)) for remote, pair in wanted}
    assert set(held) == expected
    # Where the peer is elected, closing duplicates is its part.
    ours = [entry for entry in held if entry[0] in REMOTES[2:]]
    assert len(ours) == len(set(ours))
    assert not [sa for sa in surplus if sa.remote_host in REMOTES[2:]]
    assert step(second, world, after, now, own=own[1]).actions == ()
    # Nothing is left of keys that are not ours, nor of those of others that do not count.
    assert world.keys == {identity.key_id.hex() for identity in own[1]}
    assert world.secrets == {c.secret.name for c in world.connections.values() if c.secret is not None}
    assert {sa.connection for sa in world.sas} <= world.connections.keys()


@given(wanted=meshes, order=st.sampled_from([(OWN, NEW), (NEW, OWN)]))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_a_rollover_leaves_no_moment_without_an_sa(wanted: Desired, order: Keyring) -> None:
    world = World()
    old, new = order
    before, now = settle(wanted, world, 0.0, Plan(), (old,))
    carried = {child.name for sa in world.sas for child in sa.children}
    for own in ((old, new), (new, old), (new,)):
        for _ in range(60):
            before = step(wanted, world, before, now, own=own)
            for action in before.actions:
                world.apply((action,))
                assert carried <= {child.name for sa in world.sas for child in sa.children}, action
            if not before.actions and before.wake_at is None:
                break
            now = max(now, before.wake_at or now) + 0.001
        # Where the peer is elected, it closes what is double.
        world.sas = [sa for sa in world.sas if len(own) == 1 or sa.connection in preferred(wanted, own[0])]
        now += 1


def preferred(wanted: Desired, own: Identity) -> set[str]:
    return {c.name for wire in wanted.softwires.values() for c in render(wire, (own.own_key,))}


@given(first=meshes, second=meshes, kinds=damages)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_is_a_function_of_its_input(first: Desired, second: Desired, kinds: list[str]) -> None:
    world = World()
    before, now = settle(first, world, 0.0, Plan())
    damage(world, kinds)
    assert step(second, world, before, now) == step(second, world, before, now)


@given(trust=st.fixed_dictionaries(dict.fromkeys(REMOTES, trusts)), sites=st.tuples(sizes, sizes))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_removes_nothing_on_ignorance(trust: dict[str, str], sites: tuple[dict[str, int], dict[str, int]]) -> None:
    """Whom we trust is no matter of what BGP has said, so that is the same before and after."""
    first, second = (desired(*(peer(remote, n, trust[remote]) for remote, n in known.items())) for known in sites)
    world = World()
    before, now = settle(first, world, 0.0, Plan())
    held = {child.unique_id for sa in world.sas for child in sa.children}
    for _ in range(5):
        before = step(second, world, before, now, may_remove=False)
        assert not [a for a in before.actions if isinstance(a, TerminateIke | TerminateChild | UnloadConnection)]
        world.apply(before.actions)
        now += 10
    assert held <= {child.unique_id for sa in world.sas for child in sa.children}


@given(wanted=meshes)
@settings(max_examples=50, deadline=None, derandomize=True)
def test_one_attempt_a_peer_at_a_time(wanted: Desired) -> None:
    world, before, now = World(answering=False), Plan(), 0.0
    for _ in range(8):
        before = step(wanted, world, before, now)
        world.apply(before.actions)
        attempts = [a for a in before.actions if isinstance(a, Initiate)]
        assert len(attempts) == len({a.connection for a in attempts})
        hosts = [sa.remote_host for sa in world.sas]
        assert len(hosts) == len(set(hosts))
        now += 5
