"""Who owns an endpoint, how many new ones come in at once, and which are left alone for a while."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address

import pytest

from softmesh.mesh import arrivals as module
from softmesh.mesh.arrivals import Arrivals, Claim, Judgement, announcer
from softmesh.mesh.policy import Dampening
from softmesh.mesh.refusal import Refusal, Rule
from softmesh.mesh.softwire import Address
from tests.unit.mesh.routes import REFLECTOR, route

E, F = ip_address("2001:db8:f::2"), ip_address("2001:db8:f::3")
CALM = Dampening(flaps=3, half_life=60.0)


class Mesh:
    """An ``Arrivals`` and the claims there are."""

    def __init__(self, *, max_arrivals: int = 30, dampening: Dampening | None = None) -> None:
        self.arrivals = Arrivals(0.0)
        self.max_arrivals = max_arrivals
        self.dampening = dampening
        self.claims: dict[Address, list[Claim]] = {}
        self.now = 0.0

    def announce(self, who: str, *endpoints: Address, at: float | None = None) -> None:
        """Add routes, or replace them."""
        for endpoint in endpoints:
            others = [claim for claim in self.claims.get(endpoint, ()) if claim.announcer != who]
            self.claims[endpoint] = [*others, Claim(who, self.now if at is None else at)]

    def withdraw(self, who: str, *endpoints: Address) -> None:
        for endpoint in endpoints:
            left = [claim for claim in self.claims[endpoint] if claim.announcer != who]
            if left:
                self.claims[endpoint] = left
            else:
                del self.claims[endpoint]

    def judge(self, now: float | None = None, *, complete: bool = True) -> Judgement:
        self.now = self.now if now is None else now
        return self.arrivals.judge(
            self.claims, self.now, max_arrivals=self.max_arrivals, dampening=self.dampening, complete=complete
        )

    def flap(self, who: str, endpoint: Address, times: int = 1, *, every: float = 0.1) -> None:
        """Have it withdrawn and announced again, each seen by us; it is announced before and after."""
        for _ in range(times):
            self.withdraw(who, endpoint)
            self.judge(self.now + every)
            self.announce(who, endpoint)
            self.judge(self.now + every)


def rule(refusal: Refusal | None) -> Rule | None:
    return None if refusal is None else refusal.rule


def many(count: int) -> list[Address]:
    return [ip_address(f"2001:db8:f:1::{number:x}") for number in range(1, count + 1)]


def refused(judgement: Judgement, claims: Mapping[Address, list[Claim]]) -> dict[tuple[Address, str], Rule]:
    return {
        (endpoint, claim.announcer): why.rule
        for endpoint, claimants in claims.items()
        for claim in claimants
        if (why := judgement.refusal(endpoint, claim.announcer)) is not None
    }


# --- who announces


def test_announcer_is_the_originator_however_it_came() -> None:
    for neighbor in (REFLECTOR, "2001:db8:f::fd"):
        assert announcer(route(neighbor=neighbor, originator_id="10.255.0.2", as_path=(65001,))) == "10.255.0.2"


def test_announcer_is_else_the_origin_as_else_the_neighbor() -> None:
    assert announcer(route(as_path=(65001, 65002))) == "AS 65002"
    assert announcer(route()) == REFLECTOR


# --- one owner an endpoint


def test_first_to_announce_owns_it() -> None:
    mesh = Mesh()
    mesh.announce("B", E, at=2.0)
    mesh.announce("A", E, at=1.0)
    judgement = mesh.judge(3.0)
    assert judgement.owners == {E: "A"}
    assert judgement.refusal(E, "A") is None
    assert judgement.refusal(E, "B") == Refusal(
        Rule.OWNER, f"endpoint {E} is announced by router A, its owner; B's announcement of it is refused"
    )


def test_ties_are_broken_by_text_whatever_the_order() -> None:
    for names in ("AB", "BA"):
        mesh = Mesh()
        for name in names:
            mesh.announce(name, E, at=1.0)
        assert mesh.judge(2.0).owners == {E: "A"}


def test_owner_may_announce_again_as_often_as_it_likes() -> None:
    mesh = Mesh()
    mesh.announce("A", E)
    mesh.judge(1.0)
    mesh.announce("B", E)
    mesh.judge(2.0)
    mesh.announce("A", E)
    assert refused(mesh.judge(3.0), mesh.claims) == {(E, "B"): Rule.OWNER}
    mesh.announce("B", E)
    assert refused(mesh.judge(4.0), mesh.claims) == {(E, "B"): Rule.OWNER}


def test_an_older_route_of_another_does_not_take_what_is_owned() -> None:
    mesh = Mesh()
    mesh.announce("A", E, at=5.0)
    mesh.judge(6.0)
    mesh.announce("B", E, at=1.0)
    assert mesh.judge(7.0).owners == {E: "A"}


def test_next_takes_over_when_the_owner_has_gone_and_keeps_it() -> None:
    mesh = Mesh()
    mesh.announce("A", E, at=1.0)
    mesh.announce("C", E, at=2.5)
    mesh.announce("B", E, at=2.0)
    mesh.judge(3.0)
    mesh.withdraw("A", E)
    assert mesh.judge(4.0).owners == {E: "B"}
    mesh.announce("A", E)
    assert mesh.judge(5.0).owners == {E: "B"}


def test_an_owner_with_several_routes_owns_until_the_last_is_gone() -> None:
    mesh = Mesh()
    mesh.claims = {E: [Claim("A", 1.0), Claim("B", 2.0), Claim("A", 3.0)]}
    mesh.judge(4.0)
    mesh.claims = {E: [Claim("B", 2.0), Claim("A", 3.0)]}
    assert mesh.judge(5.0).owners == {E: "A"}
    mesh.claims = {E: [Claim("B", 2.0)]}
    assert mesh.judge(6.0).owners == {E: "B"}


def test_nothing_has_gone_while_routes_are_still_being_received() -> None:
    mesh = Mesh(dampening=CALM)
    mesh.announce("A", E)
    mesh.judge(1.0)
    mesh.claims = {E: [Claim("B", 0.5)], F: [Claim("B", 0.5)]}
    judgement = mesh.judge(2.0, complete=False)
    assert judgement.owners == {E: "A", F: "B"}
    assert rule(judgement.refusal(E, "B")) is Rule.OWNER
    assert mesh.judge(3.0).owners == {E: "B", F: "B"}


def test_nothing_changed_costs_no_new_judgement() -> None:
    mesh = Mesh(dampening=CALM)
    mesh.announce("A", *many(100), at=0.0)
    mesh.max_arrivals = 100
    first = mesh.judge(1.0)
    assert mesh.judge(2.0) is first
    mesh.announce("A", E)
    assert mesh.judge(60.0) is not first
    assert E not in first.owners, "a judgement once given does not change"


# --- arrivals


def test_more_than_so_many_new_ones_wait_and_come_in_at_the_rate() -> None:
    mesh = Mesh(max_arrivals=30)
    mesh.announce("A", *many(50), at=0.0)
    judgement = mesh.judge(0.0)
    assert set(judgement.owners) == set(many(30))
    assert {why.rule for why in judgement.waiting.values()} == {Rule.ARRIVALS}
    assert judgement.wake_at == 2.0
    assert len(mesh.judge(1.9).owners) == 30
    assert set(mesh.judge(2.0).owners) == set(many(31))
    assert set(mesh.judge(39.9).owners) == set(many(49))
    last = mesh.judge(40.0)
    assert set(last.owners) == set(many(50))
    assert last.wake_at is None
    assert not last.waiting


def test_the_refusal_says_when_and_what_to_change() -> None:
    mesh = Mesh(max_arrivals=1)
    mesh.announce("A", *many(3), at=10.0)
    judgement = mesh.judge(10.0)
    assert judgement.wake_at == 70.0
    details = [judgement.waiting[endpoint, "A"].detail for endpoint in many(3)[1:]]
    assert "admission.max_arrivals" in details[0]
    assert "00:02:00 UTC" in details[0]
    assert "00:03:00 UTC" in details[1]
    assert judgement.waiting == mesh.judge(20.0).waiting, "it does not say something else on every pass"


def test_others_are_not_delayed_by_a_flood() -> None:
    mesh = Mesh(max_arrivals=30)
    mesh.announce("evil", *many(1000), at=0.0)
    mesh.judge(0.0)
    mesh.announce("A", E, at=1.0)
    judgement = mesh.judge(1.0)
    assert judgement.owners[E] == "A"
    assert len(judgement.owners) == 31


def test_a_flood_reserves_nothing() -> None:
    mesh = Mesh(max_arrivals=30)
    flood = many(1000)
    mesh.announce("evil", *flood, at=0.0)
    mesh.judge(0.0)
    mesh.announce("A", flood[-1], at=5.0)
    assert mesh.judge(5.0).owners[flood[-1]] == "A"
    assert mesh.judge(10_000.0).owners[flood[-1]] == "A"


def test_those_admitted_stay_when_others_flood_or_wait() -> None:
    mesh = Mesh(max_arrivals=2)
    mesh.announce("A", *many(2))
    mesh.judge(0.0)
    mesh.announce("A", *many(500))
    for now in (0.1, 30.0, 31.0):
        assert set(many(2)) <= set(mesh.judge(now).owners)


def test_a_queue_that_was_withdrawn_holds_nobody_up() -> None:
    mesh = Mesh(max_arrivals=30)
    mesh.announce("A", *many(1000), at=0.0)
    mesh.judge(0.0)
    mesh.withdraw("A", *many(1000)[30:])
    mesh.announce("A", E, at=3.0)
    assert E in mesh.judge(3.0).owners


def test_a_bridge_that_restarts_beside_a_thousand_routers_is_not_delayed() -> None:
    mesh = Mesh(max_arrivals=30)
    for number, endpoint in enumerate(many(1000)):
        mesh.announce(f"10.0.{number >> 8}.{number & 255}", endpoint, at=100.0)
    judgement = mesh.judge(100.0)
    assert len(judgement.owners) == 1000
    assert judgement.wake_at is None


def test_a_restarted_bridge_admits_what_the_one_before_had() -> None:
    """The time that counts is when a route was received: one announcer's 100 endpoints, ten a minute."""
    mesh = Mesh(max_arrivals=10)
    for number, endpoint in enumerate(many(100)):
        mesh.announce("AS 65001", endpoint, at=6.0 * number)
    assert len(mesh.judge(600.0).owners) == 100


def test_returning_is_arriving() -> None:
    mesh = Mesh(max_arrivals=2)
    mesh.announce("A", E, F, at=0.0)
    mesh.judge(0.0)
    mesh.withdraw("A", E)
    mesh.judge(1.0)
    mesh.announce("A", E)
    assert rule(mesh.judge(2.0).refusal(E, "A")) is Rule.ARRIVALS
    assert mesh.judge(30.0).owners[E] == "A"


@pytest.mark.parametrize("rate", [1, 7, 30, 100_000])
def test_never_more_than_burst_and_rate(rate: int) -> None:
    mesh = Mesh(max_arrivals=rate)
    mesh.announce("A", *many(300), at=0.0)
    for now in range(0, 120, 7):
        assert len(mesh.judge(float(now)).owners) <= rate + int(now * rate / 60)


def test_a_large_limit_does_not_wake_us_all_the_time() -> None:
    mesh = Mesh(max_arrivals=200)
    mesh.announce("A", *many(400), at=0.0)
    assert mesh.judge(0.0).wake_at == 1.0


def test_a_long_queue_is_looked_at_less_often() -> None:
    mesh = Mesh(max_arrivals=30)
    mesh.announce("A", *many(5030), at=0.0)
    assert mesh.judge(0.0).wake_at == 5.0


# --- dampening


def test_an_endpoint_that_flaps_is_refused_until_it_has_calmed_down() -> None:
    mesh = Mesh(dampening=CALM)
    mesh.announce("A", E)
    mesh.judge(0.0)
    mesh.flap("A", E, 2)
    assert mesh.judge().refusal(E, "A") is None
    mesh.flap("A", E)
    judgement = mesh.judge()
    refusal = judgement.refusal(E, "A")
    assert rule(refusal) is Rule.DAMPENED
    assert E not in judgement.owners
    # From 3 to 1.5: one half-life after the last departure.
    assert judgement.wake_at == pytest.approx(60.5, abs=1.0)
    assert "admission.dampening" in str(refusal)
    assert "00:01:0" in str(refusal)
    assert judgement.wake_at is not None
    assert rule(mesh.judge(judgement.wake_at - 1.5).refusal(E, "A")) is Rule.DAMPENED
    assert mesh.judge(judgement.wake_at).owners == {E: "A"}


def test_one_that_is_refused_and_still_flaps_waits_longer() -> None:
    mesh = Mesh(dampening=CALM)
    mesh.announce("A", E)
    mesh.judge(0.0)
    mesh.flap("A", E, 3)
    first = mesh.judge().wake_at
    mesh.flap("A", E, 3)
    second = mesh.judge().wake_at
    assert first is not None
    assert second is not None
    assert second - first == pytest.approx(60.0, abs=2.0), "twice the figure, one half-life more"


def test_going_while_dampened_is_no_way_out() -> None:
    mesh = Mesh(dampening=Dampening(flaps=6, half_life=60.0))
    mesh.announce("A", E)
    mesh.judge(0.0)
    mesh.flap("A", E, 6)
    due = mesh.judge().wake_at
    assert due is not None
    # Just before it may come in, between half the limit and the limit.
    mesh.now = due - 5.0
    mesh.flap("A", E)
    assert rule(mesh.judge().refusal(E, "A")) is Rule.DAMPENED


def test_nobody_waits_longer_than_three_half_lives() -> None:
    mesh = Mesh(dampening=CALM, max_arrivals=100_000)
    mesh.announce("A", E)
    mesh.judge(0.0)
    mesh.flap("A", E, 500)
    wake_at = mesh.judge().wake_at
    assert wake_at is not None
    assert wake_at - mesh.now <= 3 * 60.0


def test_slow_coming_and_going_is_not_flapping() -> None:
    mesh = Mesh(dampening=CALM)
    mesh.announce("A", E)
    mesh.judge(0.0)
    mesh.flap("A", E, 20, every=60.0)
    assert mesh.judge().owners == {E: "A"}


def test_one_router_cannot_have_the_endpoint_of_another_dampened() -> None:
    mesh = Mesh(dampening=CALM)
    mesh.announce("A", E)
    mesh.judge(0.0)
    mesh.announce("evil", E)
    mesh.flap("evil", E, 10)
    assert mesh.judge().owners == {E: "A"}
    # Nor where it comes first: what is counted is this router's coming and going.
    mesh.announce("evil", F)
    mesh.flap("evil", F, 10)
    assert rule(mesh.judge().refusal(F, "evil")) is Rule.DAMPENED
    mesh.announce("B", F)
    assert mesh.judge(mesh.now + 0.1).owners == {E: "A", F: "B"}


def test_two_that_take_turns_are_dampened_as_well() -> None:
    mesh = Mesh(dampening=CALM)
    mesh.announce("A", E)
    mesh.judge(0.0)
    for _ in range(5):
        for comes, goes in (("B", "A"), ("A", "B")):
            mesh.announce(comes, E)
            mesh.withdraw(goes, E)
            mesh.judge(mesh.now + 0.1)
    assert not mesh.judge().owners


def test_without_dampening_nothing_is_remembered() -> None:
    mesh = Mesh(max_arrivals=1000)
    mesh.announce("A", E)
    mesh.judge(0.0)
    mesh.flap("A", E, 50)
    assert mesh.judge().owners == {E: "A"}
    mesh.dampening = CALM
    mesh.flap("A", E, 2)
    assert mesh.judge().owners == {E: "A"}


def test_memory_of_those_gone_is_bounded_and_the_restless_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FIGURES", 2000)
    mesh = Mesh(dampening=CALM, max_arrivals=100_000)
    mesh.announce("A", E)
    mesh.judge(0.0)
    mesh.flap("A", E, 5)
    mesh.withdraw("A", E)
    for number in range(10):
        batch = [ip_address(f"2001:db8:f:{number + 16:x}::{low:x}") for low in range(1000)]
        mesh.announce("B", *batch)
        mesh.judge(mesh.now + 0.1)
        mesh.withdraw("B", *batch)
        mesh.judge(mesh.now + 0.1)
        assert len(mesh.arrivals._figures) <= 2000
    mesh.announce("A", E)
    assert rule(mesh.judge().refusal(E, "A")) is Rule.DAMPENED


def test_memory_of_those_gone_fades() -> None:
    mesh = Mesh(dampening=CALM, max_arrivals=100_000)
    old, new = many(4000)[:2000], many(4000)[2000:]
    for endpoints, at in ((old, 0.0), (new, 1000.0)):
        mesh.announce("A", *endpoints, at=at)
        mesh.judge(at)
        mesh.withdraw("A", *endpoints)
        mesh.judge(at + 1.0)
    # It is looked through when it has doubled.
    mesh.announce("A", E)
    mesh.judge(1002.0)
    mesh.flap("A", E)
    assert {endpoint for endpoint, _ in mesh.arrivals._figures} == {*new, E}


def test_endpoints_that_others_gave_up_are_arrivals_of_now() -> None:
    """Else whoever claims those of others for long takes over all of them at once when they go."""
    mesh = Mesh(max_arrivals=3)
    taken = many(6)
    for number, endpoint in enumerate(taken):
        mesh.announce(f"owner {number}", endpoint, at=float(number))
        mesh.announce("A", endpoint, at=float(60 * number + 10))
    mesh.judge(1000.0)
    for number, endpoint in enumerate(taken):
        mesh.withdraw(f"owner {number}", endpoint)
    owners = mesh.judge(1001.0).owners
    assert list(owners.values()) == ["A"] * 3
