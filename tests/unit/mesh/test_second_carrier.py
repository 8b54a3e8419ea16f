"""Attribute 23 and an Encapsulation community on one route: one tunnel carried twice."""

from __future__ import annotations

from typing import Any

import pytest

from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.extended_communities import EncapsulationCommunity, attribute_digest
from softmesh.bgp.route import Route
from softmesh.mesh.decision import Decision
from softmesh.mesh.desired import Desired, fold
from softmesh.mesh.refusal import Rule
from softmesh.mesh.trust import AnnouncedKeys
from softmesh.mesh.trust_policy import TrustMode, TrustPolicy
from tests.unit.mesh.routes import REFLECTOR, attribute, policy, route

TYPE_4, TYPE_5 = int(EncapsulationCommunity(4)), int(EncapsulationCommunity(5))
PKI = TrustPolicy(TrustMode.PKI)
MODES = [TrustPolicy(), PKI, TrustPolicy(TrustMode.PINNED_PKI)]


def decided(desired: Desired) -> Decision:
    """The one decision there is."""
    (decision,) = desired.decisions.values()
    return decision


def folded(*routes: Route, **changes: Any) -> Desired:
    return fold(routes, policy(**changes), [AnnouncedKeys()])


@pytest.mark.parametrize("trust", MODES)
@pytest.mark.parametrize("key", ["peer", None])
@pytest.mark.parametrize("colors", [(), (7,), (9,)])
def test_the_community_changes_nothing_where_the_attribute_is(
    trust: TrustPolicy, key: str | None, colors: tuple[int, ...]
) -> None:
    value = attribute(key=key, colors=colors)
    alone = folded(route(value=value), trust=trust, colors=frozenset({7}))
    both = folded(route(value=value, communities=(TYPE_4,)), trust=trust, colors=frozenset({7}))
    assert both.softwires == alone.softwires
    assert both.pending == alone.pending
    of_both, of_alone = decided(both), decided(alone)
    assert (of_both.offer, of_both.refusals) == (of_alone.offer, of_alone.refusals)


def test_a_damaged_authenticator_is_not_made_good_by_the_community() -> None:
    damaged = attribute(key=None)
    # Sub-TLV 3 of three octets, where RFC 5566 §4 wants a type and 20 octets of a hash.
    broken = bytes([0, 4]) + (len(damaged) - 4 + 5).to_bytes(2) + damaged[4:] + bytes([3, 3, 0, 1, 0xFF])
    decision = decided(folded(route(value=broken, communities=(TYPE_4,)), trust=PKI))
    assert decision.offer is None
    assert [refusal.rule for refusal in decision.refusals] == [Rule.TUNNEL]


def test_another_type_or_another_endpoint_is_another_tunnel() -> None:
    value = attribute(key=None, kind=TunnelType.IPSEC_TUNNEL)
    chosen = folded(
        route(value=value, communities=(TYPE_5,)), trust=PKI, tunnel_types=(TunnelType.IP_IN_IP_IPSEC_TRANSPORT,)
    )
    assert [wire.type for wire in chosen.softwires] == [TunnelType.IP_IN_IP_IPSEC_TRANSPORT]
    elsewhere = attribute(key=None, endpoint="2001:db8:e::9")
    (wire,) = folded(route(value=elsewhere, communities=(TYPE_4,)), trust=PKI).softwires
    assert str(wire.remote) == "2001:db8:f::2", "the TLV's endpoint is not admitted, the next hop is"


def test_the_community_carries_on_where_the_attribute_was_taken_off() -> None:
    value = attribute(key=None)
    before = folded(route(value=value, communities=(TYPE_4,)), trust=PKI)
    after = folded(route(communities=(TYPE_4,)), trust=PKI)
    assert after.softwires == before.softwires, "not colored: the very same softwire"


@pytest.mark.parametrize("trust", [TrustPolicy(), TrustPolicy(TrustMode.PINNED_PKI)])
@pytest.mark.parametrize("communities", [(), (TYPE_4,)])
def test_a_refusal_says_who_took_the_attribute_off(trust: TrustPolicy, communities: tuple[int, ...]) -> None:
    digest = int(attribute_digest(attribute()))
    told = f"the announcement had attribute 23 when it was sent: {REFLECTOR} stripped it"
    for extra, said in ((digest,), True), ((), False):
        (refusal,) = decided(folded(route(communities=(*communities, *extra)), trust=trust)).refusals
        assert refusal.rule is (Rule.AUTHENTICATOR if communities else Rule.NO_TUNNEL)
        assert (told in refusal.detail) is said
