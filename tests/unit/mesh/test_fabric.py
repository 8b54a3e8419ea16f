"""What of a softwire depends on the machine and on the levels of protection: interface, selectors, profile."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from softmesh.bgp.codepoints import TunnelType
from softmesh.mesh.credential import authenticator_of
from softmesh.mesh.interface import Interfaces
from softmesh.mesh.policy import Fabric, LevelRule, Protection
from softmesh.mesh.refusal import Rule
from softmesh.mesh.softwire import Interface, InterfaceKind, Level, SoftwireId
from tests.unit.mesh.routes import OURS, PROFILES, attribute, hash_of, route
from tests.unit.mesh.test_desired import BOTH, folded, only, pairs, rule_of

ALL = Fabric(InterfaceKind.XFRM, interfaces=True)


def wire(kind: int = TunnelType.IPSEC_TUNNEL, *, remote: str = "2001:db8:f::2", color: int | None = None) -> SoftwireId:
    return SoftwireId(ip_address(OURS), ip_address(remote), TunnelType(kind), color)


@pytest.mark.parametrize(
    ("kind", "fabric", "expected"),
    [
        (4, Fabric(), None),
        (4, ALL, InterfaceKind.XFRM),
        (4, Fabric(InterfaceKind.VTI), InterfaceKind.VTI),
        (5, ALL, InterfaceKind.IP_IN_IP),
        (6, ALL, InterfaceKind.IP_IN_IP),
        (5, Fabric(InterfaceKind.XFRM), None),
        (TunnelType.GRE, ALL, InterfaceKind.GRE),
        (TunnelType.L2TPV3, ALL, None),
    ],
)
def test_interface_of_each_type(kind: int, fabric: Fabric, expected: InterfaceKind | None) -> None:
    interface = Interfaces(fabric).give(wire(kind))
    assert (interface and interface.kind) == expected


def test_an_interface_keeps_its_name_whatever_else_there_is() -> None:
    alone = Interfaces(ALL).give(wire())
    among = Interfaces(ALL)
    for number in range(3, 200):
        among.give(wire(remote=f"2001:db8:f::{number:x}"))
    assert among.give(wire()) == alone
    assert alone is not None
    assert alone.name == f"sm-{alone.number:08x}"
    assert len(alone.name) < 16


def test_colours_have_xfrm_interfaces_of_their_own_and_share_the_others() -> None:
    interfaces = Interfaces(ALL)
    assert interfaces.give(wire(color=1)) != interfaces.give(wire(color=2))
    assert interfaces.give(wire(5, color=1)) == interfaces.give(wire(5, color=2)) == interfaces.give(wire(6))
    assert interfaces.give(wire(5)) != interfaces.give(wire(TunnelType.GRE))


def test_two_purposes_never_share_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    # Two digests that agree are too rare to be found: make the first of every purpose agree.
    class Digest:
        def __init__(self, content: bytes, digest_size: int) -> None:
            self._first = content.startswith(b"0 ")
            self._content = content

        def digest(self) -> bytes:
            return bytes(4) if self._first else self._content[:1] + self._content[-3:]

    monkeypatch.setattr("softmesh.mesh.interface.hashlib.blake2b", Digest)
    interfaces = Interfaces(ALL)
    assert interfaces.give(wire(color=None)) != Interface(InterfaceKind.XFRM, 0)
    assert interfaces.give(wire(remote="2001:db8:f::1:3")) != interfaces.give(wire(remote="2001:db8:f::2:3"))


def test_the_fold_gives_interface_and_destinations() -> None:
    softwire = only(folded(route(value=attribute()), fabric=ALL))
    assert softwire.interface == Interfaces(ALL).give(softwire.id)
    assert softwire.prefixes == (ip_network("10.2.0.0/24"),)
    assert pairs(softwire) == {("10.1.0.0/24", "10.2.0.0/24")}


def test_any_selectors_of_the_families_both_sides_have() -> None:
    fabric = Fabric(InterfaceKind.XFRM, any_selectors=True)
    many = [route(f"10.2.{n}.0/24", attribute()) for n in range(9)]
    assert pairs(only(folded(*many, fabric=fabric, max_selectors=3))) == {("0.0.0.0/0", "0.0.0.0/0")}
    both = [*many, route("2001:db8:1002::/64", attribute())]
    assert pairs(only(folded(*both, fabric=fabric))) == {("0.0.0.0/0", "0.0.0.0/0")}
    assert pairs(only(folded(*both, fabric=fabric, local_prefixes=BOTH))) == {
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("::/0", "::/0"),
    }


def test_any_selectors_need_an_interface() -> None:
    # Without one they would capture BGP, IKE and everything else.
    assert pairs(only(folded(route(value=attribute()), fabric=Fabric(any_selectors=True)))) == {
        ("10.1.0.0/24", "10.2.0.0/24")
    }


def test_any_selectors_leave_room_for_one_colour_a_peer() -> None:
    plain, colored = route(value=attribute(), received_at=1.0), route("10.3.0.0/24", attribute(colors=(7,)))
    desired = folded(plain, colored, fabric=Fabric(InterfaceKind.XFRM, any_selectors=True))
    assert [wire.color for wire in desired.softwires] == [7]
    assert [pending.refusal.detail for pending in desired.pending.values()] == [
        "dataplane.selectors is any, so there is one softwire between two endpoints, and that has colour 7"
    ]


def test_a_type_this_machine_cannot_have_gives_way_to_another() -> None:
    fabric = Fabric(unable={TunnelType.IP_IN_IP_IPSEC_TRANSPORT: "charon's ESP is kernel-libipsec's"})
    item = route(value=attribute(kind=5))
    desired = folded(item, fabric=fabric)
    assert rule_of(desired, item) is Rule.DATA_PLANE
    assert "kernel-libipsec" in desired.decisions[item.key].refusals[0].detail
    both = route(value=attribute(kind=5) + attribute())
    assert only(folded(both, fabric=fabric, tunnel_types=tuple(TunnelType))).id.type == TunnelType.IPSEC_TUNNEL


GROUP = (ip_network("2001:db8:f::/126"),)
ONLY_THE_PEER = (ip_network("2001:db8:f::2/127"),)
OTHERS = (ip_network("2001:db8:e::/120"),)


@pytest.mark.parametrize(
    ("rules", "level"),
    [
        ((), Level.ENCRYPT),
        ((LevelRule(Level.AH, endpoints=GROUP),), Level.AH),
        ((LevelRule(Level.AH, endpoints=OTHERS),), Level.ENCRYPT),
        # The peer, who has the same rules, would say no.
        ((LevelRule(Level.AH, endpoints=ONLY_THE_PEER),), Level.ENCRYPT),
        ((LevelRule(Level.AH, colors=frozenset({7})), LevelRule(Level.INTEGRITY)), Level.AH),
        ((LevelRule(Level.AH, colors=frozenset({8})), LevelRule(Level.INTEGRITY)), Level.INTEGRITY),
        ((LevelRule(Level.AH, tunnel_types=frozenset({TunnelType.IPSEC_TUNNEL})),), Level.AH),
        ((LevelRule(Level.AH, tunnel_types=frozenset({TunnelType.GRE})),), Level.ENCRYPT),
        ((LevelRule(Level.AH, GROUP, frozenset({7}), frozenset({TunnelType.IPSEC_TUNNEL})),), Level.AH),
        ((LevelRule(Level.AH, GROUP, frozenset({8}), frozenset({TunnelType.IPSEC_TUNNEL})),), Level.ENCRYPT),
    ],
)
def test_the_first_rule_that_matches_gives_the_level(rules: tuple[LevelRule, ...], level: Level) -> None:
    softwire = only(
        folded(
            route(value=attribute(colors=(7,), key="peer")),
            protection=Protection(Level.ENCRYPT, rules, PROFILES),
        )
    )
    assert softwire.profile == PROFILES[level]
    assert [authenticator_of(key) for key in softwire.credentials] == [hash_of("peer")]


def test_both_ends_come_to_the_same_level() -> None:
    protection = Protection(Level.ENCRYPT, (LevelRule(Level.AH, endpoints=GROUP),), PROFILES)
    ours = wire()
    theirs = SoftwireId(ours.remote, ours.local, ours.type)
    assert protection.profile(ours) == protection.profile(theirs) == PROFILES[Level.AH]
