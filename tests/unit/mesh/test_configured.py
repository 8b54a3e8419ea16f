"""Softwires of the configuration: the same fold, another source."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.route import Route
from softmesh.mesh.configured import CONFIGURATION, ConfiguredSoftwire
from softmesh.mesh.credential import Certified, PinnedKey
from softmesh.mesh.desired import Desired, fold
from softmesh.mesh.policy import Fabric
from softmesh.mesh.refusal import Rule
from softmesh.mesh.softwire import HostTraffic, InterfaceKind, Mode
from softmesh.mesh.trust import AnnouncedKeys, KeySource
from softmesh.mesh.trust_policy import TrustMode, TrustPolicy
from tests.unit.mesh.routes import attribute, hash_of, policy, route
from tests.unit.mesh.test_desired import Directory, only

REMOTE = ip_address("2001:db8:f::9")
FABRIC = Fabric(InterfaceKind.XFRM, interfaces=True)


def configured(kind: TunnelType, *prefixes: str, **values: Any) -> ConfiguredSoftwire:
    return ConfiguredSoftwire(REMOTE, kind, (hash_of("other"),), tuple(map(ip_network, prefixes)), **values)


def folded(*softwires: ConfiguredSoftwire, routes: tuple[Route, ...] = (), **changes: Any) -> Desired:
    sources: list[KeySource] = [Directory("other"), AnnouncedKeys()]
    return fold(routes, policy(configured=softwires, fabric=FABRIC, **changes), sources)


@pytest.mark.parametrize(
    ("kind", "protocol", "interface"),
    [(TunnelType.GRE, 47, InterfaceKind.GRE), (TunnelType.L2TPV3, 115, None)],
)
def test_an_encapsulation_is_protected_between_the_endpoints(
    kind: TunnelType, protocol: int, interface: InterfaceKind | None
) -> None:
    softwire = only(folded(configured(kind)))
    assert softwire.mode is Mode.TRANSPORT
    assert [(str(pair.local), str(pair.remote)) for pair in softwire.selectors] == [
        (f"2001:db8:f::1/128[{protocol}]", f"2001:db8:f::9/128[{protocol}]")
    ]
    assert (softwire.interface and softwire.interface.kind) == interface
    assert softwire.prefixes == ()


def test_destinations_are_served() -> None:
    softwire = only(folded(configured(TunnelType.GRE, "10.9.0.0/24", "2001:db8:1009::/64")))
    assert [str(prefix) for prefix in softwire.prefixes] == ["10.9.0.0/24", "2001:db8:1009::/64"]


def test_ip_in_ip_that_others_route_into_carries_both_families() -> None:
    softwire = only(folded(configured(TunnelType.IP_IN_IP_IPSEC_TRANSPORT)))
    assert {pair.local.protocol for pair in softwire.selectors} == {4, 41}


def session(**values: Any) -> ConfiguredSoftwire:
    return ConfiguredSoftwire(REMOTE, HostTraffic.BGP, (hash_of("other"),), **values)


def test_a_bgp_session_is_protected_whichever_end_connected() -> None:
    softwire = only(folded(session(local=ip_address("2001:db8:f::b"))))
    assert str(softwire.id) == "2001:db8:f::b - 2001:db8:f::9 BGP session"
    assert softwire.mode is Mode.TRANSPORT
    assert {(str(pair.local), str(pair.remote)) for pair in softwire.selectors} == {
        ("2001:db8:f::b/128[6/179]", "2001:db8:f::9/128[6]"),
        ("2001:db8:f::b/128[6]", "2001:db8:f::9/128[6/179]"),
    }
    assert (softwire.interface, softwire.prefixes) == (None, ())


def test_a_bgp_session_counts_as_no_softwire_to_a_peer() -> None:
    desired = folded(session(), routes=(route(value=attribute()),), max_softwires=1)
    assert {wire.type for wire in desired.softwires} == {HostTraffic.BGP, TunnelType.IPSEC_TUNNEL}
    assert not desired.pending


@pytest.mark.parametrize("mode", list(TrustMode))
def test_the_key_of_a_bgp_neighbour_is_pinned_whatever_the_mesh_trusts(mode: TrustMode) -> None:
    (credential,) = only(folded(session(), trust=TrustPolicy(mode))).credentials
    assert isinstance(credential, PinnedKey)
    assert credential.authenticator == hash_of("other")


def test_a_prefix_never_draws_in_a_bgp_neighbour() -> None:
    learned = route("2001:db8:f::8/125", attribute(endpoint="2001:db8:f::2"), received_at=1.0)
    desired = folded(session(), routes=(learned,), prefixes=(ip_network("2001:db8::/32"),))
    assert [wire.type for wire in desired.softwires] == [HostTraffic.BGP]
    (pending,) = desired.pending.values()
    assert pending.refusal.rule is Rule.CAPTURE


def test_no_key_no_softwire() -> None:
    desired = fold([], policy(configured=(configured(TunnelType.GRE),), fabric=FABRIC), [Directory("someone else")])
    assert [pending.refusal.rule for pending in desired.pending.values()] == [Rule.KEY]


def test_what_was_configured_wins_over_bgp() -> None:
    learned = route("10.9.0.0/24", attribute(), local_preference=1000)
    desired = folded(configured(TunnelType.GRE, "10.9.0.0/24"), routes=(learned,))
    assert only(desired).id.type == TunnelType.GRE
    assert desired.decisions[learned.key].refusals[-1].rule is Rule.NOT_BEST


def test_it_stands_beside_what_bgp_asks_for() -> None:
    desired = folded(configured(TunnelType.GRE, "10.9.0.0/24"), routes=(route(value=attribute()),))
    assert {wire.type for wire in desired.softwires} == {TunnelType.GRE, TunnelType.IPSEC_TUNNEL}
    assert [keys[0].neighbor for wire, keys in desired.carried.items() if wire.type == TunnelType.GRE] == [
        CONFIGURATION
    ]


def test_what_this_machine_cannot_have_is_refused() -> None:
    changed = policy(configured=(configured(TunnelType.GRE),), fabric=Fabric(unable={TunnelType.GRE: "no kernel ESP"}))
    desired = fold([], changed, [Directory("other")])
    assert not desired.softwires
    assert [decision.refusals[0].rule for decision in desired.decisions.values()] == [Rule.DATA_PLANE]


def test_bgp_cannot_loosen_what_the_configuration_pins() -> None:
    """Under a PKI a route without an authenticator would do with any certificate; the configured softwire does not."""
    bare = route("10.3.0.0/24", attribute(endpoint=str(REMOTE), key=None))
    pinned = configured(TunnelType.IPSEC_TUNNEL, "10.9.0.0/24")
    trust = TrustPolicy(TrustMode.PKI, (b"an authority",))
    desired = folded(pinned, routes=(bare,), trust=trust)
    assert not any(isinstance(c, Certified) for wire in desired.softwires.values() for c in wire.credentials)
