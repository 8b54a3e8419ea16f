"""Routes, policy and keys in; softwires and reasons out."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.extended_communities import ColorCommunity, EncapsulationCommunity
from softmesh.bgp.route import Family, Origin, Route
from softmesh.bgp.sub_tlv import Authenticator, Opaque, ProtocolType, PublicKey
from softmesh.mesh.credential import PinnedKey, authenticator_of, origin_of
from softmesh.mesh.desired import Desired, fold
from softmesh.mesh.refusal import Rule
from softmesh.mesh.route_table import RouteTable
from softmesh.mesh.selection import Offer
from softmesh.mesh.softwire import Mode, Softwire, SoftwireId
from softmesh.mesh.trust import AnnouncedKeys
from tests.unit.mesh.routes import OURS, attribute, hash_of, policy, route, spki

BOTH = (ip_network("10.1.0.0/24"), ip_network("2001:db8:1001::/64"))


class Directory:
    """Keys by name, as a directory would have them."""

    def __init__(self, *names: str) -> None:
        self._keys = [PinnedKey(hash_of(name), spki(name), f"{name}.pem") for name in names]

    def keys_for(self, offer: Offer) -> list[PinnedKey]:
        return [key for key in self._keys if key.authenticator in offer.authenticators]


def folded(*routes: Route, **changes: Any) -> Desired:
    return fold(routes, policy(**changes), [AnnouncedKeys()])


def only(desired: Desired) -> Softwire:
    assert len(desired.softwires) == 1, desired
    return next(iter(desired.softwires.values()))


def rule_of(desired: Desired, item: Route) -> Rule:
    """The rule that refused a route."""
    decision = desired.decisions[item.key]
    assert decision.refusals, decision
    return decision.refusals[-1].rule


def pairs(softwire: Softwire) -> set[tuple[str, str]]:
    return {(str(pair.local), str(pair.remote)) for pair in softwire.selectors}


def test_route_with_a_tunnel_makes_a_softwire() -> None:
    softwire = only(folded(route(value=attribute())))
    assert softwire.id == SoftwireId(ip_address(OURS), ip_address("2001:db8:f::2"), TunnelType.IPSEC_TUNNEL)
    assert softwire.mode is Mode.TUNNEL
    assert pairs(softwire) == {("10.1.0.0/24", "10.2.0.0/24")}
    assert [authenticator_of(key) for key in softwire.credentials] == [hash_of("peer")]


def test_one_softwire_serves_all_prefixes_of_an_endpoint() -> None:
    desired = folded(route("10.2.0.0/24", attribute()), route("10.2.1.0/24", attribute()))
    assert pairs(only(desired)) == {("10.1.0.0/24", "10.2.0.0/24"), ("10.1.0.0/24", "10.2.1.0/24")}


def test_endpoint_of_family_zero_is_the_next_hop() -> None:
    softwire = only(folded(route(value=attribute(endpoint=None), next_hop="2001:db8:f::7")))
    assert str(softwire.id.remote) == "2001:db8:f::7"


def test_mapped_next_hop_is_the_ipv4_address() -> None:
    desired = folded(
        route("2001:db8:1002::/64", attribute(endpoint=None), next_hop="::ffff:172.31.0.2"),
        endpoint=ip_address("172.31.0.1"),
        endpoints=(ip_network("172.31.0.0/24"),),
        local_prefixes=(ip_network("2001:db8:1001::/64"),),
        outside=frozenset({ip_address("172.31.0.1")}),
    )
    assert str(only(desired).id.remote) == "172.31.0.2"


@pytest.mark.parametrize(
    ("item", "changes", "rule"),
    [
        pytest.param(route(value=attribute(), neighbor="192.0.2.9"), {}, Rule.NEIGHBOR, id="stranger"),
        pytest.param(route(value=attribute(), originator_id="10.255.0.1"), {}, Rule.OWN, id="reflected by originator"),
        pytest.param(route(value=attribute(), next_hop=OURS), {}, Rule.OWN, id="reflected by next hop"),
        pytest.param(
            route(value=attribute()), {"families": frozenset({Family.IPV6_UNICAST})}, Rule.FAMILY, id="family"
        ),
        pytest.param(
            route(value=attribute(), as_path=(64512, 64513)), {"origin_as": frozenset({64512})}, Rule.ORIGIN_AS,
            id="origin AS",
        ),
        pytest.param(route(value=attribute()), {"origin_as": frozenset({64512})}, Rule.ORIGIN_AS, id="iBGP is our AS"),
        pytest.param(route("172.16.0.0/24", attribute()), {}, Rule.PREFIX, id="prefix outside"),
        pytest.param(route("0.0.0.0/0", attribute()), {}, Rule.PREFIX, id="default route is within nothing"),
        pytest.param(route("10.1.0.128/25", attribute()), {}, Rule.PREFIX, id="more specific than ours"),
        pytest.param(
            route("2001:db8:f::/64", attribute()), {"prefixes": (ip_network("2001:db8::/32"),)}, Rule.CAPTURE,
            id="captures our endpoint",
        ),
        pytest.param(
            route("2001:db8:a::/64", attribute(endpoint="2001:db8:a::1")),
            {"prefixes": (ip_network("2001:db8::/32"),), "endpoints": (ip_network("2001:db8::/32"),)},
            Rule.CAPTURE, id="endpoint within its own prefix",
        ),
        pytest.param(route(value=attribute(endpoint="2001:db8:e::2")), {}, Rule.ENDPOINT, id="endpoint not admitted"),
        pytest.param(route(value=attribute(endpoint="192.0.2.1")), {}, Rule.ENDPOINT, id="endpoint of other family"),
        pytest.param(route(value=attribute(endpoint=OURS), next_hop="2001:db8:f::2"), {}, Rule.OWN, id="our endpoint"),
        pytest.param(route(value=attribute(key=None)), {}, Rule.AUTHENTICATOR, id="no authenticator"),
        pytest.param(route(value=b""), {}, Rule.WITHDRAWN, id="empty attribute"),
        pytest.param(route(value=attribute()[:-1]), {}, Rule.WITHDRAWN, id="truncated attribute"),
        pytest.param(route(value=attribute(kind=8)), {}, Rule.TUNNEL, id="VXLAN is not accepted"),
        pytest.param(route(value=attribute(kind=3)), {}, Rule.TUNNEL, id="transmit only"),
        pytest.param(route(value=attribute(kind=4711)), {}, Rule.TUNNEL, id="unknown type"),
        pytest.param(route(value=attribute(colors=(7,))), {"colors": frozenset({8})}, Rule.TUNNEL, id="colour"),
        pytest.param(route(value=attribute(extra=(ProtocolType(0x86DD),))), {}, Rule.TUNNEL, id="carries only IPv6"),
        pytest.param(
            route(value=attribute(key=None, extra=(Opaque(3, b"\0\1short"),))), {}, Rule.TUNNEL, id="bad authenticator"
        ),
        pytest.param(route(), {}, Rule.NO_TUNNEL, id="nothing said of tunnels"),
    ],
)  # fmt: skip
def test_refused(item: Route, changes: dict[str, Any], rule: Rule) -> None:
    desired = folded(item, **changes)
    assert not desired.softwires
    assert rule_of(desired, item) is rule


def test_community_counts_as_a_tunnel_to_the_next_hop_but_has_no_authenticator() -> None:
    item = route(communities=(int(EncapsulationCommunity(4)),))
    assert rule_of(folded(item), item) is Rule.AUTHENTICATOR


def test_key_that_does_not_hash_to_the_authenticator_is_not_used() -> None:
    forged = attribute(key="peer", announced=False, extra=())
    lying = route(value=encode_with_key(forged, "liar"))
    desired = folded(lying)
    assert not desired.softwires
    (pending,) = desired.pending.values()
    assert pending.refusal.rule is Rule.KEY
    assert hash_of("peer").hex() in pending.refusal.detail


def encode_with_key(value: bytes, name: str) -> bytes:
    """The one tunnel of an attribute with one more sub-TLV 126."""
    key = spki(name)
    tail = bytes((126, len(key))) + key
    length = int.from_bytes(value[2:4]) + len(tail)
    return value[:2] + length.to_bytes(2) + value[4:] + tail


def test_pending_until_the_directory_has_the_key() -> None:
    item = route(value=attribute(announced=False))
    assert [p.refusal.rule for p in fold([item], policy(), [Directory("other")]).pending.values()] == [Rule.KEY]
    found = only(fold([item], policy(), [Directory("other", "peer")]))
    assert [origin_of(key) for key in found.credentials] == ["peer.pem"]


def test_sources_are_tried_in_order() -> None:
    item = route(value=attribute())
    keys = only(fold([item], policy(), [Directory("peer"), AnnouncedKeys()])).credentials
    assert [origin_of(key) for key in keys] == ["peer.pem"]


def test_several_authenticators_are_any_of() -> None:
    both = attribute(key="old", extra=(Authenticator(hash_of("new")), PublicKey(spki("new"))))
    found = only(folded(route(value=both))).credentials
    assert {authenticator_of(key) for key in found} == {hash_of("old"), hash_of("new")}


def test_only_what_all_announcements_of_an_endpoint_advertise_counts() -> None:
    """Whoever gets one past us in the owner's name must not add a key of his own."""
    both = attribute(key="peer", extra=(Authenticator(hash_of("thief")), PublicKey(spki("thief"))))
    found = only(folded(route(value=attribute()), route("10.2.1.0/24", both))).credentials
    assert [authenticator_of(key) for key in found] == [hash_of("peer")]
    desired = folded(route(value=attribute()), route("10.2.1.0/24", attribute(key="thief")))
    assert not desired.softwires
    (pending,) = desired.pending.values()
    assert pending.refusal.rule is Rule.AUTHENTICATOR
    assert "no authenticator in common" in pending.refusal.detail


def test_recursion_uses_the_tunnels_of_the_route_to_the_next_hop() -> None:
    payload = route("10.2.0.0/24", next_hop="2001:db8:f::2")
    loopback = route("2001:db8:f::2/128", attribute(), next_hop="2001:db8:f::2")
    desired = folded(payload, loopback)
    assert pairs(only(desired)) == {("10.1.0.0/24", "10.2.0.0/24")}
    decision = desired.decisions[payload.key]
    assert decision.offer is not None
    assert "2001:db8:f::2/128" in decision.offer.carried_by


def test_recursion_needs_a_common_colour_where_the_tunnel_has_one() -> None:
    loopback = route("2001:db8:f::2/128", attribute(colors=(100, 200)), next_hop="2001:db8:f::2")
    plain = route("10.2.0.0/24")
    assert rule_of(folded(plain, loopback), plain) is Rule.TUNNEL
    coloured = route("10.2.0.0/24", communities=(int(ColorCommunity(200)),))
    assert only(folded(coloured, loopback)).id.color == 200


def test_mutual_recursion_ends() -> None:
    first = route("2001:db8:f::2/128", next_hop="2001:db8:f::3")
    second = route("2001:db8:f::3/128", next_hop="2001:db8:f::2")
    payload = route("10.2.0.0/24", next_hop="2001:db8:f::2")
    assert rule_of(folded(first, second, payload), payload) is Rule.NO_TUNNEL


def test_longest_prefix_resolves() -> None:
    wide, narrow = route("2001:db8:f::/64"), route("2001:db8:f::2/128")
    table = RouteTable([wide, narrow])
    assert table.resolve(ip_address("2001:db8:f::2")) is narrow
    assert table.resolve(ip_address("2001:db8:f::9")) is wide
    assert table.resolve(ip_address("192.0.2.1")) is None


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"local_preference": 200}, {}),
        ({}, {"local_preference": 50}),
        ({"as_path": (1,)}, {"as_path": (1, 2)}),
        ({"origin": Origin.IGP}, {"origin": Origin.INCOMPLETE}),
        ({"med": 5}, {"med": 10}),
        ({"originator_id": "10.255.0.2"}, {"originator_id": "10.255.0.10"}),
        (
            {"originator_id": "10.0.0.2", "cluster_list": ("1",)},
            {"originator_id": "10.0.0.2", "cluster_list": ("1", "2")},
        ),
        ({}, {"stale_since": 1.0, "local_preference": 500}),
    ],
)
def test_best_path(better: dict[str, Any], worse: dict[str, Any]) -> None:
    good = route(value=attribute(endpoint="2001:db8:f::2"), path_id="1", **better)
    bad = route(value=attribute(endpoint="2001:db8:f::3", key="other"), path_id="2", **worse)
    for order in ([good, bad], [bad, good]):
        desired = folded(*order)
        assert str(only(desired).id.remote) == "2001:db8:f::2"
        assert rule_of(desired, bad) is Rule.NOT_BEST
        assert not desired.decisions[bad.key].best


def test_infeasible_route_is_not_resolvable_and_gives_way() -> None:
    preferred = route(value=attribute(endpoint="2001:db8:e::9"), path_id="1", local_preference=500)
    feasible = route(value=attribute(), path_id="2")
    assert str(only(folded(preferred, feasible)).id.remote) == "2001:db8:f::2"


def test_route_with_a_key_is_preferred_to_one_without() -> None:
    keyless = route(value=attribute(endpoint="2001:db8:f::3", announced=False), path_id="1", local_preference=500)
    keyed = route(value=attribute(), path_id="2")
    assert str(only(folded(keyless, keyed)).id.remote) == "2001:db8:f::2"


def test_policy_orders_the_tunnels_of_an_attribute() -> None:
    both = attribute(kind=TunnelType.IP_IN_IP_IPSEC_TRANSPORT) + attribute()
    assert only(folded(route(value=both))).id.type == TunnelType.IPSEC_TUNNEL
    reverse = (TunnelType.IP_IN_IP_IPSEC_TRANSPORT, TunnelType.IPSEC_TUNNEL)
    assert only(folded(route(value=both), tunnel_types=reverse)).mode is Mode.TRANSPORT


@pytest.mark.parametrize(
    ("kind", "prefixes", "expected"),
    [
        (TunnelType.IP_IN_IP_IPSEC_TRANSPORT, ["10.2.0.0/24"], {4}),
        (TunnelType.IP_IN_IP_IPSEC_TRANSPORT, ["2001:db8:1002::/64"], {41}),
        (TunnelType.IP_IN_IP_IPSEC_TRANSPORT, ["10.2.0.0/24", "2001:db8:1002::/64"], {4, 41}),
        (TunnelType.MPLS_IN_IP_IPSEC_TRANSPORT, ["10.2.0.0/24"], {137}),
    ],
)
def test_transport_mode_protects_the_protocols_between_the_endpoints(
    kind: TunnelType, prefixes: list[str], expected: set[int]
) -> None:
    softwire = only(folded(*(route(prefix, attribute(kind=kind)) for prefix in prefixes), local_prefixes=BOTH))
    assert softwire.mode is Mode.TRANSPORT
    assert {pair.local.protocol for pair in softwire.selectors} == expected
    assert {str(pair.remote) for pair in softwire.selectors} == {f"2001:db8:f::2/128[{number}]" for number in expected}


def test_a_family_only_one_side_has_is_not_asked_for() -> None:
    # The peer, who hears nothing of the kind from us, would never accept it.
    desired = folded(
        route("10.2.0.0/24", attribute(kind=TunnelType.IP_IN_IP_IPSEC_TRANSPORT)),
        route("2001:db8:1002::/64", attribute(kind=TunnelType.IP_IN_IP_IPSEC_TRANSPORT)),
    )
    assert {pair.local.protocol for pair in only(desired).selectors} == {4}


@pytest.mark.parametrize("kind", [4, 5, 6])
def test_nothing_of_ours_to_carry_is_said(kind: int) -> None:
    desired = folded(route("2001:db8:1002::/64", attribute(kind=kind)))
    assert [p.refusal.rule for p in desired.pending.values()] == [Rule.SELECTORS]


def test_selectors_over_the_limit_are_dropped_and_said() -> None:
    desired = folded(*(route(f"10.2.{n}.0/24", attribute()) for n in range(5)), max_selectors=3)
    assert len(only(desired).selectors) == 3
    assert [r.rule for r in desired.dropped.values()] == [Rule.MAX_SELECTORS]


def test_first_come_first_served_at_the_ceiling() -> None:
    flood = [
        route(f"10.{n}.0.0/24", attribute(endpoint=f"2001:db8:f::{n}", key=str(n)), received_at=100.0 - n)
        for n in range(10, 20)
    ]
    desired = folded(*flood, max_softwires=3)
    assert {str(wire.remote) for wire in desired.softwires} == {f"2001:db8:f::{n}" for n in (17, 18, 19)}
    assert {p.refusal.rule for p in desired.pending.values()} == {Rule.MAX_SOFTWIRES}


def test_stale_only_when_all_routes_are() -> None:
    lost = route("10.2.0.0/24", attribute(), stale_since=1.0)
    assert folded(lost).stale == {only(folded(lost)).id: 301.0}
    assert not folded(lost, route("10.2.1.0/24", attribute())).stale
