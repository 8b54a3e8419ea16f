"""The fold over whatever the Encapsulation SAFI may bring: it raises nothing, and nobody gets past the owner."""

from __future__ import annotations

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.extended_communities import ColorCommunity, EncapsulationCommunity
from softmesh.bgp.route import ENCAPSULATION, UNICAST, Family, Route
from softmesh.bgp.sub_tlv import Authenticator, Color, EgressEndpoint, ProtocolType, PublicKey
from softmesh.bgp.tunnel_encapsulation import Tunnel, encode
from softmesh.mesh.arrivals import Arrivals
from softmesh.mesh.credential import authenticator_of
from softmesh.mesh.desired import fold
from softmesh.mesh.trust import AnnouncedKeys
from tests.unit.mesh.routes import hash_of, policy, route, spki

ENDPOINTS = st.sampled_from(["2001:db8:f::2", "2001:db8:f::3", "2001:db8:e::2", "::ffff:172.31.0.2", "2001:db8:f::1"])
ORIGINATORS = st.sampled_from(["10.255.0.2", "10.255.0.3", None])
SUB_TLVS = st.one_of(
    ENDPOINTS.map(lambda text: EgressEndpoint(ip_address(text))),
    st.builds(Color, st.integers(0, 2)),
    st.sampled_from([0x0800, 0x86DD, 0x8847]).map(ProtocolType),
    st.sampled_from("ab").map(lambda name: Authenticator(hash_of(name))),
    st.sampled_from("ab").map(lambda name: PublicKey(spki(name))),
)
TUNNELS = st.builds(Tunnel, st.sampled_from([*map(int, TunnelType), 999]), st.lists(SUB_TLVS, max_size=4).map(tuple))
VALUES = st.one_of(st.none(), st.binary(max_size=40), st.lists(TUNNELS, max_size=3).map(encode))
COMMUNITIES = st.lists(
    st.one_of(
        st.integers(0, 2).map(lambda color: int(ColorCommunity(color))),
        st.sampled_from([3, 4, 5, 999]).map(lambda kind: int(EncapsulationCommunity(kind))),
    ),
    max_size=2,
).map(tuple)


@st.composite
def routes(draw: st.DrawFn) -> Route:
    about = draw(st.sampled_from(list(Family)))
    if about in ENCAPSULATION:
        prefix = f"{draw(ENDPOINTS)}/{draw(st.sampled_from([128, 128, 128, 127]))}"
        if about is Family.IPV4_ENCAPSULATION:
            prefix = draw(st.sampled_from(["172.31.0.2/32", "172.31.0.0/24", "0.0.0.0/0"]))
    else:
        prefix = draw(st.sampled_from(["10.2.0.0/24", "10.3.0.0/16", "2001:db8:1002::/64", "2001:db8:f::/64"]))
    return route(
        prefix,
        draw(VALUES),
        next_hop=draw(ENDPOINTS),
        path_id=str(draw(st.integers(0, 3))),
        communities=draw(COMMUNITIES),
        family=about,
        received_at=draw(st.floats(0, 10)),
        originator_id=draw(ORIGINATORS),
        local_preference=draw(st.sampled_from([None, 50, 900])),
    )


@given(st.lists(routes(), max_size=8, unique_by=lambda item: item.key))
def test_nothing_is_raised_and_every_route_is_accounted_for(announced: list[Route]) -> None:
    ours = policy(families=UNICAST | ENCAPSULATION)
    desired = fold(announced, ours, [AnnouncedKeys()])
    assert desired.decisions.keys() == {item.key for item in announced}
    for wire in desired.softwires:
        assert any(wire.remote in network for network in ours.endpoints)
    for item in announced:
        decision = desired.decisions[item.key]
        assert decision.offer is not None or decision.refusals


@given(st.lists(routes(), max_size=6, unique_by=lambda item: item.key))
def test_whatever_others_say_later_the_owner_of_an_endpoint_is_the_same(later: list[Route]) -> None:
    endpoint = "2001:db8:f::2"
    value = encode([Tunnel(TunnelType.IPSEC_TUNNEL, (Authenticator(hash_of("owner")), PublicKey(spki("owner"))))])
    owners = route(
        f"{endpoint}/128", value, next_hop=endpoint, path_id="own", family=Family.IPV6_ENCAPSULATION,
        originator_id="10.255.0.9",
    )  # fmt: skip
    reliant = route("10.9.0.0/24", next_hop=endpoint, path_id="own", originator_id="10.255.0.9")
    ours, arrivals = policy(families=UNICAST | ENCAPSULATION), Arrivals(0.0)
    fold([owners, reliant], ours, [AnnouncedKeys()], arrivals=arrivals, now=0.0)
    desired = fold([*later, owners, reliant], ours, [AnnouncedKeys()], arrivals=arrivals, now=20.0)
    for wire, softwire in desired.softwires.items():
        if str(wire.remote) == endpoint:
            assert {authenticator_of(credential) for credential in softwire.credentials} == {hash_of("owner")}
