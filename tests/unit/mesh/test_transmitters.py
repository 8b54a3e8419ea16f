"""Peers that only transmit: tunnel type 3 (RFC 5566 §4.1)."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.route import Route
from softmesh.control.wanted_layout import routes_for
from softmesh.dataplane.layout import Layout
from softmesh.mesh.credential import PinnedKey
from softmesh.mesh.desired import Desired, fold
from softmesh.mesh.refusal import Rule
from softmesh.mesh.softwire import SoftwireId
from softmesh.mesh.trust import AnnouncedKeys
from tests.unit.mesh.routes import OURS, attribute, hash_of, policy, route, spki

ANNOUNCED = ((TunnelType.IPSEC_TUNNEL, None), (TunnelType.IP_IN_IP_IPSEC_TRANSPORT, 7))
TRANSMITTER = attribute(kind=TunnelType.TRANSMIT_TUNNEL_ENDPOINT)
PEER = ip_address("2001:db8:f::2")


def folded(*routes: Route, **changes: Any) -> Desired:
    return fold(routes, policy(announced=ANNOUNCED, **changes), [AnnouncedKeys()])


def test_it_may_set_up_any_tunnel_we_announce_with_the_key_it_advertised_and_no_other() -> None:
    desired = folded(route(value=TRANSMITTER))
    assert set(desired.softwires) == {SoftwireId(ip_address(OURS), PEER, kind, color) for kind, color in ANNOUNCED}
    for softwire in desired.softwires.values():
        assert not softwire.may_initiate
        assert softwire.credentials == (PinnedKey(hash_of("peer"), spki("peer"), "sub-TLV 126"),)
    pairs = {
        str(pair.remote) for pair in desired.softwires[SoftwireId(ip_address(OURS), PEER, ANNOUNCED[0][0])].selectors
    }
    assert pairs == {"10.2.0.0/24"}


def test_nothing_is_routed_to_it() -> None:
    desired = folded(route(value=TRANSMITTER))
    assert routes_for(desired, set(desired.softwires), {}, (), Layout()) == {}


def test_without_an_authenticator_it_is_refused() -> None:
    item = route(value=attribute(kind=TunnelType.TRANSMIT_TUNNEL_ENDPOINT, key=None))
    desired = folded(item)
    assert not desired.softwires
    assert [refusal.rule for refusal in desired.decisions[item.key].refusals] == [Rule.AUTHENTICATOR]


def test_one_that_also_receives_is_a_peer_like_any_other() -> None:
    desired = folded(route(value=attribute()), route("10.2.1.0/24", TRANSMITTER))
    softwire = desired.softwires[SoftwireId(ip_address(OURS), PEER, TunnelType.IPSEC_TUNNEL)]
    assert softwire.may_initiate
    assert list(map(str, softwire.prefixes)) == ["10.2.0.0/24"]


def test_where_we_announce_nothing_to_send_into_it_is_refused() -> None:
    item = route(value=TRANSMITTER)
    desired = fold([item], policy(announced=((TunnelType.TRANSMIT_TUNNEL_ENDPOINT, None),)), [AnnouncedKeys()])
    assert not desired.softwires
    assert desired.decisions[item.key].offer is None
    assert "announce it no tunnel" in desired.decisions[item.key].refusals[0].detail


def test_it_does_not_compete_for_a_prefix_with_one_that_receives() -> None:
    receives = route(value=attribute(endpoint="2001:db8:f::3", key="other"), path_id="1", local_preference=1)
    desired = folded(route(value=TRANSMITTER, path_id="2", local_preference=999), receives)
    wire = SoftwireId(ip_address(OURS), ip_address("2001:db8:f::3"), TunnelType.IPSEC_TUNNEL)
    assert desired.softwires[wire].prefixes == (ip_network("10.2.0.0/24"),)
