"""What the fold makes of endpoints that others own, and of those that come too fast."""

from __future__ import annotations

from ipaddress import ip_address

from softmesh.mesh.arrivals import Arrivals
from softmesh.mesh.credential import authenticator_of
from softmesh.mesh.desired import fold
from softmesh.mesh.refusal import Rule
from softmesh.mesh.trust import AnnouncedKeys
from tests.unit.mesh.routes import attribute, hash_of, policy, route

KEYS = [AnnouncedKeys()]


def test_a_second_router_cannot_add_a_key_to_the_endpoint_of_another() -> None:
    arrivals = Arrivals(0.0)
    owner = route("10.2.0.0/24", attribute(), originator_id="10.255.0.2", received_at=1.0)
    thief = route("10.3.0.0/24", attribute(key="thief"), originator_id="10.255.0.3", received_at=2.0)
    desired = fold([owner, thief], policy(), KEYS, arrivals=arrivals, now=3.0)
    (softwire,) = desired.softwires.values()
    assert [authenticator_of(credential) for credential in softwire.credentials] == [hash_of("peer")]
    assert desired.decisions[thief.key].offer is None
    assert desired.decisions[thief.key].refusals[0].rule is Rule.OWNER
    # Also when the owner announces anew, and is the later one of the two.
    again = route("10.2.0.0/24", attribute(key="peer", colors=(1,)), originator_id="10.255.0.2", received_at=9.0)
    desired = fold([again, thief], policy(), KEYS, arrivals=arrivals, now=10.0)
    assert desired.decisions[thief.key].refusals[0].rule is Rule.OWNER


def test_a_refused_claim_wins_no_prefix() -> None:
    """The thief announces the owner's prefix as well, and is preferred by BGP."""
    owner = route(value=attribute(), originator_id="10.255.0.2", received_at=1.0, path_id="1")
    thief = route(
        value=attribute(key="thief"), originator_id="10.255.0.3", received_at=2.0, path_id="2", local_preference=500
    )
    desired = fold([owner, thief], policy(), KEYS, arrivals=Arrivals(0.0), now=3.0)
    (softwire,) = desired.softwires.values()
    assert [authenticator_of(credential) for credential in softwire.credentials] == [hash_of("peer")]
    assert desired.decisions[owner.key].best


def test_a_route_that_only_leads_to_the_next_hop_of_another_claims_nothing() -> None:
    """RFC 9012 §8: the tunnel is the other's, who announced it."""
    owner = route("10.2.0.0/24", attribute(), originator_id="10.255.0.2", received_at=5.0)
    host = route(
        "2001:db8:f::2/128", attribute(), originator_id="10.255.0.2", received_at=5.0, next_hop="2001:db8:f::2"
    )
    payload = route("10.9.0.0/24", originator_id="10.255.0.9", received_at=1.0, next_hop="2001:db8:f::2")
    desired = fold([payload, host, owner], policy(), KEYS, arrivals=Arrivals(0.0), now=6.0)
    (softwire,) = desired.softwires.values()
    assert {str(prefix) for prefix in softwire.prefixes} == {"10.2.0.0/24", "10.9.0.0/24"}


def test_what_must_wait_comes_in_when_its_time_has_come() -> None:
    arrivals = Arrivals(0.0)
    routes = [
        route(
            f"10.2.{n}.0/24", attribute(endpoint=f"2001:db8:f::{n + 16:x}", key=f"peer{n}"),
            originator_id="10.255.0.2", received_at=100.0, next_hop=f"2001:db8:f::{n + 16:x}",
        )
        for n in range(5)
    ]  # fmt: skip
    desired = fold(routes, policy(max_arrivals=3), KEYS, arrivals=arrivals, now=100.0)
    assert len(desired.softwires) == 3
    waiting = [d for d in desired.decisions.values() if d.refusals and d.refusals[0].rule is Rule.ARRIVALS]
    assert len(waiting) == 2
    assert desired.wake_at is not None
    first = set(desired.softwires)
    desired = fold(routes, policy(max_arrivals=3), KEYS, arrivals=arrivals, now=desired.wake_at)
    assert len(desired.softwires) == 4
    assert first < set(desired.softwires)
    assert ip_address("2001:db8:f::10") in {wire.remote for wire in desired.softwires}


def test_no_key_is_added_by_way_of_another_tunnel_to_the_same_endpoint() -> None:
    """In the owner's name, where a reflector lets that pass: another type or colour is the same router still."""
    owner = route("10.2.0.0/24", attribute(), originator_id="10.255.0.2", received_at=1.0)
    forged = route("10.3.0.0/24", attribute(key="thief", colors=(7,)), originator_id="10.255.0.2", received_at=2.0)
    desired = fold([owner, forged], policy(), KEYS, arrivals=Arrivals(0.0), now=3.0)
    assert not desired.softwires
    assert {pending.refusal.rule for pending in desired.pending.values()} == {Rule.AUTHENTICATOR}
