"""What the kernel ought to hold for a fold and a look at charon."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.route import Route
from softmesh.charon.connection import Child
from softmesh.charon.observed import ChildSa, IkeSa, Observed
from softmesh.charon.render import render
from softmesh.control.wanted_layout import bearing, devices_for, encapsulated, guarded, led, routes_for
from softmesh.control.wanted_layout import installed as installed_in
from softmesh.dataplane.layout import CorePath, Device, Hop, KernelState, Layout
from softmesh.mesh.desired import Desired, fold
from softmesh.mesh.policy import Fabric, LevelRule, Protection
from softmesh.mesh.softwire import Interface, InterfaceKind, Level, SoftwireId
from softmesh.mesh.trust import AnnouncedKeys
from tests.unit.control.world import OWN
from tests.unit.mesh.routes import OURS, PROFILES, attribute, policy, route

PEER = "2001:db8:f::2"
ALL = Fabric(InterfaceKind.XFRM, interfaces=True)
PREFIX = ip_network("10.2.0.0/24")
CORE = {ip_address(PEER): 1500}


def folded(*routes: Route, fabric: Fabric = ALL, **changes: Any) -> Desired:
    return fold(routes, policy(fabric=fabric, **changes), [AnnouncedKeys()])


def one(desired: Desired) -> tuple[SoftwireId, str]:
    """The only softwire and the name of its interface."""
    ((wire, softwire),) = desired.softwires.items()
    assert softwire.interface is not None
    return wire, softwire.interface.name


def ike(*children: ChildSa) -> Observed:
    return Observed(
        {}, (IkeSa("softmesh-c", "1", "ESTABLISHED", True, OURS, PEER, "", "", children=children),), frozenset()
    )


def child(**values: Any) -> ChildSa:
    plain = ChildSa("c", "7", "INSTALLED", "tunnel", "ESP", frozenset({"10.1.0.0/24"}), frozenset({"10.2.0.0/24"}))
    return replace(plain, **values)


TRANSPORT = child(
    mode="transport", local_ts=frozenset({f"{OURS}/128[ipv6]"}), remote_ts=frozenset({f"{PEER}/128[ipv6]"})
)


def test_a_softwire_has_a_device_between_its_endpoints() -> None:
    desired = folded(route(value=attribute()))
    _, name = one(desired)
    assert [(d.name, str(d.local), str(d.remote), d.mtu) for d in devices_for(desired, CORE).values()] == [
        (name, OURS, PEER, 1426)
    ]
    smaller = devices_for(desired, {ip_address(PEER): 1400})[name].mtu
    assert smaller < devices_for(desired, CORE)[name].mtu
    assert devices_for(desired, CORE, encapsulated=[ip_address(PEER)])[name].mtu == 1426 - 8


def test_the_policy_plane_has_neither_device_nor_route() -> None:
    desired = folded(route(value=attribute()), fabric=Fabric())
    assert devices_for(desired, CORE) == {}
    assert routes_for(desired, desired.softwires, {}, (), Layout()) == {}


def test_softwires_that_share_an_interface_get_the_smaller_mtu() -> None:
    colored = attribute(kind=5, colors=(7,))
    desired = folded(
        route(value=attribute(kind=5)),
        route("10.3.0.0/24", colored),
        protection=Protection(Level.AH, (LevelRule(Level.ENCRYPT, colors=frozenset({7})),), PROFILES),
    )
    assert len(desired.softwires) == 2
    (device,) = devices_for(desired, CORE).values()
    assert device.mtu == 1426


def test_routes_lead_into_what_stands_only() -> None:
    desired = folded(route(value=attribute()))
    wire, name = one(desired)
    assert routes_for(desired, {wire}, {}, {name}, Layout()) == {PREFIX: Hop(name)}
    assert routes_for(desired, (), {}, (), Layout(routes={PREFIX: Hop(name)})) == {}


def test_mpls_gets_an_explicit_null_label() -> None:
    desired = folded(route(value=attribute(kind=TunnelType.MPLS_IN_IP_IPSEC_TRANSPORT)))
    wire, name = one(desired)
    assert routes_for(desired, {wire}, {}, (), Layout()) == {PREFIX: Hop(name, explicit_null=True)}


def lacking(desired: Desired, *prefixes: str) -> dict[SoftwireId, tuple[Child, ...]]:
    """What the only softwire lacks: what goes to these prefixes."""
    ((wire, softwire),) = desired.softwires.items()
    (connection,) = render(softwire, (OWN.own_key,))
    return {wire: tuple(each for each in connection.children if each.remote_ts in prefixes)}


def test_a_route_stays_where_it_was_until_its_new_softwire_stands() -> None:
    desired = folded(route(value=attribute()))
    wire, name = one(desired)
    held = Layout(routes={PREFIX: Hop("sm-00000001")})
    without = lacking(desired, "10.2.0.0/24")
    assert routes_for(desired, (), without, {"sm-00000001"}, held) == held.routes
    assert routes_for(desired, (), without, (), held) == {}
    assert routes_for(desired, (), {}, {"sm-00000001"}, held) == {}, "its time is over"
    assert routes_for(desired, {wire}, {}, {"sm-00000001"}, held) == {PREFIX: Hop(name)}


def test_a_route_waits_for_its_own_sa_though_the_new_softwire_stands_by_others() -> None:
    desired = folded(route(value=attribute()), route("10.3.0.0/24", value=attribute()))
    wire, name = one(desired)
    other = ip_network("10.3.0.0/24")
    held = Layout(routes={PREFIX: Hop("sm-00000001")})
    assert routes_for(desired, {wire}, lacking(desired, "10.2.0.0/24"), {"sm-00000001"}, held) == {
        PREFIX: Hop("sm-00000001"),
        other: Hop(name),
    }


def test_a_route_stays_too_where_the_new_softwire_will_have_no_interface() -> None:
    desired = folded(route(value=attribute()), fabric=Fabric())
    held = Layout(routes={PREFIX: Hop("sm-00000001")})
    assert routes_for(desired, (), lacking(desired, "10.2.0.0/24"), {"sm-00000001"}, held) == held.routes
    assert routes_for(desired, desired.softwires, {}, {"sm-00000001"}, held) == {}


def test_where_routes_lead_that_have_yet_to_move() -> None:
    desired = folded(route(value=attribute()))
    wire, name = one(desired)
    former = ip_address("2001:db8:f::3")
    old = Device(Interface(InterfaceKind.XFRM, 7), ip_address(OURS), former, 1400)
    assert led(desired, Layout({old.name: old}, {PREFIX: Hop(old.name)})) == {wire: {former}}
    assert led(desired, Layout({old.name: old}, {PREFIX: Hop(name)})) == {}
    assert led(desired, Layout({old.name: old})) == {}


def test_guards_let_in_from_the_former_peer_what_has_yet_to_move() -> None:
    former = ip_address("2001:db8:f::3")
    old = Device(Interface(InterfaceKind.XFRM, 7), ip_address(OURS), former, 1400)
    withdrawn = ip_network("10.9.0.0/24")
    layout = Layout({old.name: old}, {PREFIX: Hop(old.name), withdrawn: Hop(old.name)})
    told = guarded(folded(route(value=attribute())), KernelState(layout))
    assert told.sources[old.name] == {PREFIX}
    assert told.admitted == {ip_address(PEER), former}


@pytest.mark.parametrize(
    ("kind", "sa", "expected"),
    [
        (InterfaceKind.XFRM, child(if_id_in=66, if_id_out=66), True),
        (InterfaceKind.XFRM, child(if_id_in=67, if_id_out=67), False),
        (InterfaceKind.XFRM, child(if_id_in=66, if_id_out=66, state="REKEYING"), True),
        (InterfaceKind.XFRM, child(if_id_in=66, if_id_out=66, state="DELETED"), False),
        (InterfaceKind.XFRM, child(), False),
        (InterfaceKind.VTI, child(mark_in=66, mark_out=66), True),
        (InterfaceKind.IP_IN_IP, TRANSPORT, True),
        (InterfaceKind.IP_IN_IP, child(), False),
        (InterfaceKind.GRE, TRANSPORT, True),
    ],
)
def test_which_interface_an_sa_is_bound_to(kind: InterfaceKind, sa: ChildSa, expected: bool) -> None:
    device = Device(Interface(kind, 66), ip_address(OURS), ip_address(PEER), 1400)
    other = replace(device, interface=Interface(kind, 68), remote=ip_address("2001:db8:f::3"))
    found = Layout({device.name: device, other.name: other})
    assert bearing(installed_in(ike(sa)), found) == ({device.name} if expected else frozenset())


def test_udp_encapsulation_is_seen() -> None:
    assert encapsulated(ike(child(encap=True))) == {ip_address(PEER)}
    assert encapsulated(ike(child())) == frozenset()


def test_guards_know_destinations_sources_and_the_core() -> None:
    state = KernelState(core={ip_address(PEER): CorePath("core0", 1500)})
    desired = folded(route(value=attribute()))
    _, name = one(desired)
    told = guarded(desired, state)
    assert told.destinations == {PREFIX}
    assert told.sources == {name: frozenset({PREFIX})}
    assert told.admitted == {ip_address(PEER)}
    assert told.core_devices == {"core0"}
    policy_plane = guarded(folded(route(value=attribute()), fabric=Fabric()), state)
    assert policy_plane.destinations == {PREFIX}
    assert policy_plane.sources == {}


def test_what_comes_under_an_explicit_null_label_is_told_by_endpoint() -> None:
    told = guarded(folded(route(value=attribute(kind=6))), KernelState())
    assert told.labelled == {ip_address(PEER): frozenset({PREFIX})}


def test_an_interface_that_was_superseded_still_lets_its_peer_in() -> None:
    old = Device(Interface(InterfaceKind.XFRM, 7), ip_address(OURS), ip_address(PEER), 1400)
    gone = Device(Interface(InterfaceKind.XFRM, 8), ip_address(OURS), ip_address("2001:db8:f::9"), 1400)
    state = KernelState(Layout({old.name: old, gone.name: gone}))
    told = guarded(folded(route(value=attribute(kind=5))), state)
    assert told.sources[old.name] == {PREFIX}
    assert told.sources[gone.name] == frozenset()
