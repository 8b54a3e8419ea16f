"""Who may be a peer: sources, destinations and endpoints."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.route import Family, Route
from softmesh.mesh.admission import admit_endpoint, admit_prefix, admit_source
from softmesh.mesh.desired import fold
from softmesh.mesh.refusal import Refusal, Rule
from softmesh.mesh.trust import AnnouncedKeys
from tests.unit.mesh.routes import OURS, REFLECTOR, attribute, policy, route

OTHER = "2001:db8:f::fd"


def rule(refusal: Refusal | None) -> Rule | None:
    return None if refusal is None else refusal.rule


def test_a_session_of_another_as_is_filtered_and_the_remedy_named() -> None:
    ours = policy(neighbors=frozenset({REFLECTOR, OTHER}), external=frozenset({OTHER}))
    assert admit_source(route(neighbor=REFLECTOR), ours) is None
    assert admit_source(route(neighbor=OTHER), ours) == Refusal(
        Rule.EBGP,
        f"neighbour {OTHER} is of another AS: its tunnels do not count (RFC 9012 §11); "
        "bgp.neighbors[].tunnels: true accepts them",
    )


def test_an_unprotected_session_is_refused_with_the_reason() -> None:
    ours = policy(unprotected={REFLECTOR: "its session has no TCP-MD5 key"})
    refusal = admit_source(route(), ours)
    assert rule(refusal) is Rule.SESSION
    assert "its session has no TCP-MD5 key" in str(refusal)


def test_what_is_not_a_neighbor_at_all_comes_first() -> None:
    ours = policy(external=frozenset({OTHER}), unprotected={OTHER: "no key"})
    assert rule(admit_source(route(neighbor=OTHER), ours)) is Rule.NEIGHBOR


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        pytest.param(route(originator_id="10.255.0.1"), Rule.OWN, id="our own reflected, by originator"),
        pytest.param(route(next_hop=OURS), Rule.OWN, id="our own reflected, by next hop"),
        pytest.param(route("2001:db8:1002::/64"), Rule.FAMILY, id="family"),
        pytest.param(route(as_path=(65001, 65002)), Rule.ORIGIN_AS, id="origin AS, the last"),
        pytest.param(route(as_path=(65002, 65001)), None, id="origin AS admitted"),
        pytest.param(route(), None, id="no AS path: ours"),
    ],
)
def test_sources(entry: Route, expected: Rule | None) -> None:
    ours = policy(families=frozenset({Family.IPV4_UNICAST}), origin_as=frozenset({65000, 65001}))
    assert rule(admit_source(entry, ours)) is expected


@pytest.mark.parametrize("refused", ["external", "unprotected"])
def test_refused_routes_serve_no_recursion(refused: str) -> None:
    """RFC 9012 §8: the tunnel of the route to the next hop, which is of a session that does not count."""
    via = route("2001:db8:f::2/128", attribute(), neighbor=OTHER)
    plain = route("10.2.0.0/24", next_hop="2001:db8:f::2")
    admitted = {
        "neighbors": frozenset({REFLECTOR, OTHER}),
        "prefixes": (ip_network("10.0.0.0/8"), ip_network("2001:db8:f::/64")),
        "outside": frozenset({ip_address(OURS)}),
    }
    assert fold([via, plain], policy(**admitted), [AnnouncedKeys()]).softwires
    filtered = {"external": frozenset({OTHER})} if refused == "external" else {"unprotected": {OTHER: "no key"}}
    desired = fold([via, plain], policy(**admitted, **filtered), [AnnouncedKeys()])
    assert not desired.softwires
    assert {rule(why) for why in desired.decisions[plain.key].refusals} == {Rule.NO_TUNNEL}


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("10.2.0.0/24", None),
        ("192.168.0.0/24", Rule.PREFIX),
        ("10.1.0.128/25", Rule.PREFIX),
        ("10.0.0.0/8", Rule.PREFIX),
        ("2001:db8:f::/64", Rule.PREFIX),
    ],
)
def test_prefixes(prefix: str, expected: Rule | None) -> None:
    assert rule(admit_prefix(ip_network(prefix), policy())) is expected


def test_a_prefix_that_holds_what_must_stay_outside_is_refused() -> None:
    ours = policy(prefixes=(ip_network("2001:db8::/32"),))
    assert rule(admit_prefix(ip_network("2001:db8:f::/64"), ours)) is Rule.CAPTURE


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("2001:db8:f::2", None),
        (OURS, Rule.OWN),
        ("192.0.2.1", Rule.ENDPOINT),
        ("2001:db8:e::2", Rule.ENDPOINT),
    ],
)
def test_endpoints(endpoint: str, expected: Rule | None) -> None:
    assert rule(admit_endpoint(ip_address(endpoint), ip_network("10.2.0.0/24"), policy())) is expected


@pytest.mark.parametrize("endpoint", ["::1", "fe80::1", "ff02::1", "::", "100:0:0:1::1"])
def test_special_purpose_endpoints_are_refused_whatever_is_admitted(endpoint: str) -> None:
    ours = policy(endpoints=(ip_network("::/0"),))
    refusal = admit_endpoint(ip_address(endpoint), ip_network("10.2.0.0/24"), ours)
    assert rule(refusal) is Rule.ENDPOINT
    assert "special-purpose" in str(refusal)


@pytest.mark.parametrize("endpoint", ["127.0.0.1", "169.254.1.1", "224.0.0.5", "255.255.255.255", "0.0.0.1"])
def test_special_purpose_endpoints_of_an_ipv4_core(endpoint: str) -> None:
    ours = policy(endpoint=ip_address("172.31.0.1"), endpoints=(ip_network("0.0.0.0/0"),))
    assert rule(admit_endpoint(ip_address(endpoint), ip_network("2001:db8:1002::/64"), ours)) is Rule.ENDPOINT


@pytest.mark.parametrize(
    "value", [attribute(endpoint=None), attribute(endpoint="fe80::2")], ids=["address family 0", "in the sub-TLV"]
)
def test_a_special_purpose_next_hop_is_no_endpoint(value: bytes) -> None:
    """RFC 9012 §3.1, §4.1: where the next hop stands in, the codec never sees an endpoint to strip."""
    ours = policy(endpoints=(ip_network("::/0"),))
    entry = route(value=value, next_hop="fe80::2")
    desired = fold([entry], ours, [AnnouncedKeys()])
    assert not desired.softwires
    assert "special-purpose" in str(desired.decisions[entry.key].refusals)


def test_a_community_with_a_special_purpose_next_hop_is_refused() -> None:
    community = 0x030C << 48 | TunnelType.IPSEC_TUNNEL
    entry = route(communities=(community,), next_hop="fe80::2")
    desired = fold([entry], policy(endpoints=(ip_network("::/0"),)), [AnnouncedKeys()])
    assert not desired.softwires
    assert not desired.pending
