"""What the Encapsulation SAFI says of endpoints, and what becomes of routes that leave it to it (RFC 5512 §3 to §5)."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.extended_communities import ColorCommunity, EncapsulationCommunity
from softmesh.bgp.route import ENCAPSULATION, UNICAST, Family, Route
from softmesh.bgp.sub_tlv import Authenticator, Color, EgressEndpoint, ProtocolType, PublicKey, SubTlv
from softmesh.bgp.tunnel_encapsulation import Tunnel, encode
from softmesh.mesh.arrivals import Arrivals
from softmesh.mesh.credential import authenticator_of
from softmesh.mesh.desired import Desired, fold
from softmesh.mesh.encapsulations import Encapsulations
from softmesh.mesh.policy import StaleTimes
from softmesh.mesh.refusal import Rule
from softmesh.mesh.trust import AnnouncedKeys
from tests.unit.mesh.routes import OURS, attribute, hash_of, policy, route, spki

E = "2001:db8:f::2"


def tunnels(key: str | None = "peer", *further: SubTlv, kind: int = TunnelType.IPSEC_TUNNEL) -> bytes:
    """Attribute 23 as RFC 5512 has it: where the tunnel ends it does not say."""
    proof = () if key is None else (Authenticator(hash_of(key)), PublicKey(spki(key)))
    return encode([Tunnel(kind, (*proof, *further))])


def of_endpoint(value: bytes | None, endpoint: str = E, *, length: int = 128, **more: Any) -> Route:
    """A route of the Encapsulation SAFI."""
    family = Family.IPV6_ENCAPSULATION if ":" in endpoint else Family.IPV4_ENCAPSULATION
    return route(f"{endpoint}/{length}", value, **{"family": family, "next_hop": endpoint} | more)


def folded(*routes: Route, arrivals: Arrivals | None = None, now: float = 0.0, **changes: Any) -> Desired:
    ours = policy(**{"families": UNICAST | ENCAPSULATION} | changes)
    return fold(routes, ours, [AnnouncedKeys()], arrivals=arrivals, now=now)


def keys(desired: Desired) -> list[bytes | None]:
    """By what the peer of the only softwire may authenticate."""
    (softwire,) = desired.softwires.values()
    return [authenticator_of(credential) for credential in softwire.credentials]


def refused(desired: Desired, item: Route) -> Rule:
    decision = desired.decisions[item.key]
    assert decision.offer is None, decision
    return decision.refusals[0].rule


def test_routes_take_the_tunnels_of_their_next_hop() -> None:
    desired = folded(
        of_endpoint(tunnels()), route(), route("10.3.0.0/24"), route("10.4.0.0/24", next_hop="2001:db8:f::4")
    )
    (wire,) = desired.softwires
    assert (str(wire.remote), wire.type) == (E, TunnelType.IPSEC_TUNNEL)
    assert sorted(key.prefix for key in desired.carried[wire]) == ["10.2.0.0/24", "10.3.0.0/24"]
    assert keys(desired) == [hash_of("peer")]


def test_an_endpoint_alone_makes_no_softwire() -> None:
    """RFC 5566 §3: one that has packets whose next hop it is sets up a security association."""
    desired = folded(item := of_endpoint(tunnels()))
    assert not desired.softwires
    assert not desired.pending
    assert desired.decisions[item.key].offer is not None


def test_across_an_ipv4_core() -> None:
    desired = folded(
        of_endpoint(tunnels(), "172.31.0.2", length=32),
        route("2001:db8:1002::/64", next_hop="::ffff:172.31.0.2"),
        endpoint=ip_address("172.31.0.1"),
        endpoints=(ip_network("172.31.0.0/24"),),
        local_prefixes=(ip_network("2001:db8:1001::/64"),),
        outside=frozenset({ip_address("172.31.0.1")}),
    )
    assert [str(wire.remote) for wire in desired.softwires] == ["172.31.0.2"]


def test_what_a_route_says_itself_wins() -> None:
    spoken = of_endpoint(tunnels("old"))
    assert keys(folded(spoken, route(value=attribute(key="new")))) == [hash_of("new")]
    community = int(EncapsulationCommunity(TunnelType.IPSEC_TUNNEL))
    assert refused(folded(spoken, bare := route(communities=(community,))), bare) is Rule.AUTHENTICATOR


def test_it_goes_before_a_route_to_the_next_hop() -> None:
    """That route is of RFC 9012 §8, and may be about other hosts as well."""
    loopback = route("2001:db8:f::/64", attribute(key="other"), next_hop=E)
    assert keys(folded(loopback, route(), of_endpoint(tunnels()))) == [hash_of("peer")]
    assert keys(folded(loopback, route())) == [hash_of("other")]


def test_it_is_reached_through_routes_to_next_hops() -> None:
    via = route("2001:db8:f:0:1::/80", next_hop=E)
    assert keys(folded(of_endpoint(tunnels()), via, route(next_hop="2001:db8:f:0:1::9"))) == [hash_of("peer")]


@pytest.mark.parametrize("ending", [None, EgressEndpoint(ip_address(E)), EgressEndpoint(None)], ids=str)
def test_where_a_tunnel_ends_may_be_said_twice(ending: SubTlv | None) -> None:
    value = tunnels("peer", *([ending] if ending else []))
    assert folded(of_endpoint(value), route()).softwires


def test_elsewhere_a_tunnel_must_say_where_it_ends() -> None:
    assert refused(folded(item := route(value=tunnels())), item) is Rule.WITHDRAWN


@pytest.mark.parametrize(
    ("spoken", "changes", "rule"),
    [
        pytest.param(
            of_endpoint(tunnels("peer", EgressEndpoint(ip_address("2001:db8:f::9")))), {}, Rule.ENDPOINT, id="other end"
        ),
        pytest.param(of_endpoint(tunnels(), length=120), {}, Rule.ENDPOINT, id="no host"),
        pytest.param(of_endpoint(tunnels(), endpoint="2001:db8:e::2"), {}, Rule.ENDPOINT, id="not admitted"),
        pytest.param(of_endpoint(tunnels(), "172.31.0.2", length=32), {}, Rule.ENDPOINT, id="not the core's family"),
        pytest.param(of_endpoint(tunnels(), endpoint=OURS, next_hop=E), {}, Rule.OWN, id="ours"),
        pytest.param(of_endpoint(None), {}, Rule.NO_TUNNEL, id="nothing said"),
        pytest.param(of_endpoint(tunnels()[:-1]), {}, Rule.WITHDRAWN, id="malformed"),
        pytest.param(of_endpoint(tunnels(None)), {}, Rule.AUTHENTICATOR, id="without authenticator"),
        pytest.param(of_endpoint(tunnels(kind=TunnelType.GRE)), {}, Rule.TUNNEL, id="tunnel not accepted"),
        pytest.param(of_endpoint(tunnels()), {"families": UNICAST}, Rule.FAMILY, id="family"),
        pytest.param(of_endpoint(tunnels(), neighbor="192.0.2.9"), {}, Rule.NEIGHBOR, id="stranger"),
    ],
)
def test_what_is_no_use_is_refused_and_what_relies_on_it(spoken: Route, changes: dict[str, Any], rule: Rule) -> None:
    reliant = route(next_hop=spoken.next_hop)
    desired = folded(spoken, reliant, **changes)
    assert refused(desired, spoken) is rule
    assert refused(desired, reliant) is Rule.NO_TUNNEL
    assert not desired.softwires


def test_a_tunnel_for_other_payload_is_refused_to_the_route_alone() -> None:
    spoken, reliant = of_endpoint(tunnels("peer", ProtocolType(0x86DD))), route()
    desired = folded(spoken, reliant)
    assert desired.decisions[spoken.key].offer is not None
    assert refused(desired, reliant) is Rule.TUNNEL


@pytest.mark.parametrize(
    ("of_tunnel", "of_route", "color"),
    [
        pytest.param((), (), None, id="none"),
        pytest.param((7,), (7,), 7, id="the same"),
        pytest.param((0,), (0,), 0, id="zero"),
        pytest.param((7, 8), (8,), 8, id="one of two"),
        # RFC 5512 §4.4: an uncoloured route may take any, a coloured one only its own.
        pytest.param((7,), (), 7, id="uncoloured route"),
        pytest.param((), (7,), "refused", id="uncoloured tunnel"),
        pytest.param((8,), (7,), "refused", id="another"),
    ],
)
def test_colors(of_tunnel: tuple[int, ...], of_route: tuple[int, ...], color: int | str | None) -> None:
    reliant = route(communities=tuple(int(ColorCommunity(value)) for value in of_route))
    desired = folded(of_endpoint(tunnels("peer", *map(Color, of_tunnel))), reliant)
    if color == "refused":
        assert refused(desired, reliant) is Rule.TUNNEL
    else:
        assert [wire.color for wire in desired.softwires] == [color]


def test_a_community_names_a_tunnel_to_the_endpoint_not_to_the_next_hop() -> None:
    community = int(EncapsulationCommunity(TunnelType.IPSEC_TUNNEL))
    spoken = of_endpoint(None, communities=(community,), next_hop="2001:db8:f::7")
    offer = folded(spoken).decisions[spoken.key]
    assert offer.refusals[0].detail.startswith(f"{E} advertises")


def test_the_owner_of_an_endpoint_is_believed_however_preferred_another_is() -> None:
    arrivals = Arrivals(0.0)
    first = of_endpoint(tunnels("first"), path_id="0.0.0.1", originator_id="10.255.0.2", received_at=1.0)
    thief = of_endpoint(
        tunnels("thief"), path_id="0.0.0.2", originator_id="10.255.0.3", received_at=2.0, local_preference=900
    )
    reliant = route(received_at=3.0)
    assert keys(folded(first, reliant, arrivals=arrivals, now=3.0)) == [hash_of("first")]
    both = folded(first, thief, reliant, arrivals=arrivals, now=4.0)
    assert keys(both) == [hash_of("first")]
    assert refused(both, thief) is Rule.OWNER
    # An owner that announces it differently goes on owning it.
    again = of_endpoint(tunnels("second"), path_id="0.0.0.1", originator_id="10.255.0.2", received_at=5.0)
    assert keys(folded(again, thief, reliant, arrivals=arrivals, now=5.0)) == [hash_of("second")]
    # When the owner has gone, the next takes over.
    assert keys(folded(thief, reliant, arrivals=arrivals, now=6.0)) == [hash_of("thief")]


def test_an_endpoint_is_looked_for_once_however_many_routes_ask() -> None:
    asked: list[object] = []
    spoken = of_endpoint(tunnels())
    encapsulations = Encapsulations([spoken], asked.append)
    assert [encapsulations.find(ip_address(E)) for _ in range(3)] == [spoken] * 3
    assert encapsulations.find(ip_address(OURS)) is None
    assert asked == [ip_address(E)]


def test_who_owns_an_endpoint_by_its_routes_owns_it_in_the_safi_too() -> None:
    arrivals = Arrivals(0.0)
    own = route(value=attribute(key="owner"), originator_id="10.255.0.2", received_at=1.0)
    thief = of_endpoint(tunnels("thief"), originator_id="10.255.0.3", received_at=2.0)
    reliant = route("10.3.0.0/24", originator_id="10.255.0.2", received_at=3.0)
    desired = folded(own, thief, reliant, arrivals=arrivals, now=3.0)
    assert keys(desired) == [hash_of("owner")]
    assert refused(desired, thief) is Rule.OWNER
    assert refused(desired, reliant) is Rule.OWNER


def test_an_announcement_of_no_use_owns_nothing() -> None:
    arrivals = Arrivals(0.0)
    broken = of_endpoint(tunnels()[:-1], path_id="0.0.0.1", originator_id="10.255.0.2", received_at=1.0)
    sound = of_endpoint(tunnels("sound"), path_id="0.0.0.2", originator_id="10.255.0.3", received_at=2.0)
    assert keys(folded(broken, sound, route(), arrivals=arrivals, now=3.0)) == [hash_of("sound")]


def test_of_one_announcer_the_best_path_counts() -> None:
    """Heard from two reflectors, or twice by ADD-PATH."""
    stale = of_endpoint(tunnels("old"), path_id="0.0.0.1", originator_id="10.255.0.2", stale_since=50.0)
    fresh = of_endpoint(tunnels("new"), path_id="0.0.0.2", originator_id="10.255.0.2", received_at=60.0)
    assert keys(folded(stale, fresh, route(), now=60.0)) == [hash_of("new")]


def test_a_softwire_outlives_a_lost_session_for_as_long_as_any() -> None:
    arrivals = Arrivals(0.0)
    lost = (of_endpoint(tunnels(), stale_since=50.0), route(stale_since=50.0))
    times = StaleTimes(100.0)
    assert len(folded(*lost, arrivals=arrivals, now=100.0, stale_times=times).softwires) == 1
    assert not folded(*lost, arrivals=arrivals, now=150.0, stale_times=times).softwires


def test_a_peer_that_only_transmits_needs_to_announce_nothing_else() -> None:
    """RFC 5566 §4.1; where it transmits into a tunnel whose selectors are its endpoints."""
    spoken = of_endpoint(tunnels(kind=TunnelType.TRANSMIT_TUNNEL_ENDPOINT))
    desired = folded(spoken, announced=((TunnelType.IP_IN_IP_IPSEC_TRANSPORT, None),))
    (softwire,) = desired.softwires.values()
    assert not softwire.may_initiate
    assert not softwire.prefixes
