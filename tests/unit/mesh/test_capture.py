"""No softwire may carry another's endpoint."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from softmesh.mesh.capture import Core
from softmesh.mesh.refusal import Rule
from tests.unit.mesh.routes import attribute, route
from tests.unit.mesh.test_desired import BOTH, folded, pairs

WIDE = {"prefixes": (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")), "local_prefixes": BOTH}
PEER = route(value=attribute(endpoint="2001:db8:f::2"), received_at=1.0)
THIEF = attribute(endpoint="2001:db8:f:1::3", key="thief")
ENDPOINTS = (ip_network("2001:db8:f::/48"),)


def test_a_newcomer_that_would_capture_an_endpoint_loses_that_prefix() -> None:
    desired = folded(
        PEER,
        route("2001:db8:f::2/128", THIEF, received_at=2.0),
        route("2001:db8:1003::/64", THIEF, received_at=2.0),
        **WIDE, endpoints=ENDPOINTS,
    )  # fmt: skip
    thief = next(wire for wire in desired.softwires if str(wire.remote) == "2001:db8:f:1::3")
    assert pairs(desired.softwires[thief]) == {("2001:db8:1001::/64", "2001:db8:1003::/64")}
    assert desired.dropped[thief].rule is Rule.CAPTURE
    assert "2001:db8:f::2" in desired.dropped[thief].detail


def test_one_that_brings_nothing_else_has_no_softwire() -> None:
    desired = folded(PEER, route("2001:db8:f::2/128", THIEF, received_at=2.0), **WIDE, endpoints=ENDPOINTS)
    assert [str(wire.remote) for wire in desired.softwires] == ["2001:db8:f::2"]
    assert [pending.refusal.rule for pending in desired.pending.values()] == [Rule.CAPTURE]


def test_an_endpoint_within_what_an_earlier_softwire_carries_has_none() -> None:
    earlier = route("2001:db8:f:2::/64", attribute(endpoint="2001:db8:f::2"), received_at=1.0)
    later = route("10.3.0.0/24", attribute(endpoint="2001:db8:f:2::3", key="later"), received_at=2.0)
    desired = folded(earlier, later, **WIDE, endpoints=ENDPOINTS)
    assert [str(wire.remote) for wire in desired.softwires] == ["2001:db8:f::2"]
    assert [pending.refusal.rule for pending in desired.pending.values()] == [Rule.CAPTURE]


def test_core_finds_both_ways_at_the_edges() -> None:
    core = Core()
    core.add(ip_address("10.0.0.8"), [ip_network("10.1.0.0/24"), ip_network("2001:db8::/64")])
    core.add(ip_address("10.0.0.15"), [])
    assert core.endpoint_in(ip_network("10.0.0.8/29")) == ip_address("10.0.0.8")
    assert core.endpoint_in(ip_network("10.0.0.15/32")) == ip_address("10.0.0.15")
    assert core.endpoint_in(ip_network("10.0.0.0/29")) is None
    assert core.endpoint_in(ip_network("10.0.0.16/28")) is None
    assert core.endpoint_in(ip_network("2001:db8::/32")) is None
    assert core.destination_over(ip_address("10.1.0.255")) == ip_network("10.1.0.0/24")
    assert core.destination_over(ip_address("10.1.1.0")) is None
    assert core.destination_over(ip_address("2001:db8::ffff")) == ip_network("2001:db8::/64")
