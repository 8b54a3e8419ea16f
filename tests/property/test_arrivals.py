"""Whatever is announced and withdrawn: what judging promises of owners, of the rate and of time."""

from __future__ import annotations

from collections import defaultdict
from ipaddress import ip_address

from hypothesis import given, settings
from hypothesis import strategies as st

from softmesh.mesh.arrivals import Arrivals, Claim, Judgement
from softmesh.mesh.policy import Dampening
from softmesh.mesh.refusal import Rule
from softmesh.mesh.softwire import Address

ENDPOINTS = [ip_address(f"2001:db8:f::{number:x}") for number in range(2, 8)]
NAMES = ["10.255.0.2", "10.255.0.3", "AS 65001"]
RATE = 3
CALM = Dampening(flaps=2, half_life=20.0)

change = st.tuples(
    st.floats(0.0, 40.0, allow_nan=False),
    st.lists(st.tuples(st.booleans(), st.sampled_from(NAMES), st.sampled_from(ENDPOINTS)), max_size=6),
)
history = st.lists(change, min_size=1, max_size=25)


def judged(changes: list[tuple[float, list[tuple[bool, str, Address]]]], dampening: Dampening | None):  # type: ignore[no-untyped-def]
    """Each moment: the time, the claims, the judgement."""
    arrivals = Arrivals(0.0)
    held: dict[tuple[Address, str], float] = {}
    now = 0.0
    for wait, steps in changes:
        now += wait
        for announced, name, endpoint in steps:
            if announced:
                held[endpoint, name] = now
            else:
                held.pop((endpoint, name), None)
        claims: dict[Address, list[Claim]] = defaultdict(list)
        for (endpoint, name), at in held.items():
            claims[endpoint].append(Claim(name, at))
        yield now, dict(claims), arrivals.judge(claims, now, max_arrivals=RATE, dampening=dampening)


@given(history, st.sampled_from([None, CALM]))
@settings(deadline=None)
def test_promises(changes: list[tuple[float, list[tuple[bool, str, Address]]]], dampening: Dampening | None) -> None:
    before: Judgement = Judgement()
    admitted: dict[str, list[float]] = defaultdict(list)
    for now, claims, judgement in judged(changes, dampening):
        for endpoint, owner in judgement.owners.items():
            names = {claim.announcer for claim in claims[endpoint]}
            assert owner in names, "an owner announces what it owns"
            assert judgement.refusal(endpoint, owner) is None
            for other in names - {owner}:
                refusal = judgement.refusal(endpoint, other)
                assert refusal is not None
                assert refusal.rule is Rule.OWNER
            if before.owners.get(endpoint) != owner:
                admitted[owner].append(now)
        for endpoint, claimants in claims.items():
            previous = before.owners.get(endpoint)
            if previous in {claim.announcer for claim in claimants}:
                assert judgement.owners.get(endpoint) == previous, "an owner that announces stays"
            for claim in claimants:
                refusal = judgement.refusal(endpoint, claim.announcer)
                assert (refusal is None) == (judgement.owners.get(endpoint) == claim.announcer)
        for times in admitted.values():
            for start in range(len(times)):
                within = len(times) - start
                assert within <= RATE + (now - times[start]) * RATE / 60 + 1e-6, "a burst, and the rate"
        assert (judgement.wake_at is not None) == bool(judgement.waiting)
        if judgement.wake_at is not None:
            assert judgement.wake_at >= now + 1.0, "it does not wake us all the time"
        before = judgement


@given(history)
@settings(deadline=None)
def test_whoever_stays_is_let_in(changes: list[tuple[float, list[tuple[bool, str, Address]]]]) -> None:
    """Nobody waits for ever: at the times it asks to be woken, all endpoints come to have an owner."""
    arrivals = Arrivals(0.0)
    claims: dict[Address, list[Claim]] = {}
    now = 0.0
    for now, claims, _ in judged(changes, CALM):
        arrivals.judge(claims, now, max_arrivals=RATE, dampening=CALM)
    judgement = arrivals.judge(claims, now, max_arrivals=RATE, dampening=CALM)
    wakes = 0
    while judgement.wake_at is not None:
        now, wakes = judgement.wake_at, wakes + 1
        judgement = arrivals.judge(claims, now, max_arrivals=RATE, dampening=CALM)
        assert wakes <= 4 * len(ENDPOINTS), "each time somebody comes in"
    assert judgement.owners.keys() == claims.keys()
