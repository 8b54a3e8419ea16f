"""What one peer can make of BGP stays within bounds, whatever it announces, and costs others nothing."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from softmesh.bgp.sub_tlv import Authenticator, EgressEndpoint, PublicKey, SubTlv
from softmesh.bgp.tunnel_encapsulation import Tunnel, encode
from softmesh.charon.render import merge, render
from softmesh.mesh.arrivals import Arrivals
from softmesh.mesh.desired import Desired, fold
from softmesh.mesh.refusal import Rule
from softmesh.mesh.softwire import SoftwireId
from softmesh.mesh.trust import AnnouncedKeys
from tests.unit.control.world import OWN
from tests.unit.mesh.routes import attribute, hash_of, policy, route, spki

KEYS = [AnnouncedKeys()]
PEER, OTHER = "2001:db8:f::2", "2001:db8:f::3"


def offering(*hashes: str, keys: tuple[str, ...]) -> bytes:
    """Attribute 23 with the authenticators and the keys of these names."""
    subs: list[SubTlv] = [EgressEndpoint(ip_address(PEER))]
    subs += [Authenticator(hash_of(name)) for name in hashes]
    subs += [PublicKey(spki(name)) for name in keys]
    return encode([Tunnel(4, tuple(subs))])


def colored(colors: int, prefixes: int) -> Desired:
    """What one peer gets that announces so many colours with so many prefixes each."""
    routes = [
        route(f"10.{color + 16}.{site}.0/24", attribute(colors=(color,)), received_at=float(color))
        for color in range(colors)
        for site in range(prefixes)
    ]
    return fold(routes, policy(), KEYS)


def test_announcements_that_share_an_authenticator_nobody_has_the_key_of_build_nothing() -> None:
    """Each has a key of its own, so no route lacks one; a softwire of none would be one that cannot be rendered."""
    one = route("10.2.0.0/24", offering("a", "common", keys=("a",)))
    other = route("10.3.0.0/24", offering("common", "b", keys=("b",)))
    desired = fold([one, other], policy(), KEYS)
    assert desired.softwires == {}
    (pending,) = desired.pending.values()
    assert pending.refusal.rule is Rule.KEY
    assert hash_of("common").hex() in pending.refusal.detail


def test_routes_that_others_lead_into_a_softwire_push_none_of_its_own_out() -> None:
    """RFC 9012 §8: whoever announces a next hop within a peer's prefix gets the peer's tunnel, as far as there is room.

    10.100… comes before 10.2… in the order of prefixes, which was all that counted once.
    """
    own = route("10.2.0.0/24", offering("peer", keys=("peer",)))
    led_in = [route(f"10.100.{n}.0/24", None, next_hop="10.2.0.5", originator_id="10.9.9.9") for n in range(256)]
    desired = fold([*led_in, own], policy(max_selectors=256), KEYS)
    (wire,) = desired.softwires.values()
    assert len(wire.selectors) == 256
    assert "10.2.0.0/24" in {str(pair.remote) for pair in wire.selectors}


@pytest.mark.parametrize(("number", "built"), [(8, 1), (9, 0)])
def test_authenticators_of_a_tunnel(number: int, built: int) -> None:
    """Each would be a connection of its own."""
    names = tuple(f"key {n}" for n in range(number))
    item = route("10.2.0.0/24", offering(*names, keys=names))
    desired = fold([item], policy(), KEYS)
    assert len(desired.softwires) == built
    if not built:
        assert desired.decisions[item.key].refusals[0].rule is Rule.AUTHENTICATOR


def test_colours_of_an_endpoint() -> None:
    """New endpoints are counted by the minute, and one endpoint may have colours without end."""
    desired = colored(100, 1)
    assert len(desired.softwires) == 16
    assert {pending.refusal.rule for pending in desired.pending.values()} == {Rule.MAX_SOFTWIRES}
    later = route("10.9.0.0/24", attribute(endpoint=OTHER, key="other"), received_at=1000.0)
    again = fold([*(d.route for d in desired.decisions.values()), later], policy(), KEYS)
    assert ip_address(OTHER) in {wire.remote for wire in again.softwires}


def test_prefix_pairs_of_an_endpoint() -> None:
    """Its softwires share a connection, which is one VICI message; with too many children it could not be sent."""
    desired = colored(5, 256)
    (connection,) = merge(c for wire in desired.softwires.values() for c in render(wire, (OWN.own_key,)))
    assert len(connection.children) == 500
    refusals = [*desired.dropped.values(), *(pending.refusal for pending in desired.pending.values())]
    assert [refusal.rule for refusal in refusals] == [Rule.MAX_SELECTORS] * 4


def chain(hops: int) -> Desired:
    """A route without a tunnel, and the chain of next hops to one that has it."""
    links = [
        route(f"2001:db8:1{n:03x}::/48", next_hop=f"2001:db8:1{n + 1:03x}::1", received_at=1.0) for n in range(hops)
    ]
    end = route(f"2001:db8:1{hops:03x}::/48", attribute(), received_at=1.0)
    return fold([*links, end], policy(), KEYS)


@pytest.mark.parametrize(("hops", "found"), [(8, True), (9, False)])
def test_next_hops_from_route_to_route(hops: int, found: bool) -> None:
    """RFC 9012 §8: every route may begin a chain, and a chain of all of them costs the square of their number."""
    desired = chain(hops)
    first = next(d for d in desired.decisions.values() if d.route.key.prefix == "2001:db8:1000::/48")
    assert (first.offer is not None) is found
    if not found:
        assert first.refusals[0].rule is Rule.NO_TUNNEL


def test_an_update_keeps_its_place() -> None:
    """A route that changes is a new one; whoever renews a key must not lose its softwire to those who wait."""
    arrivals, allowed = Arrivals(0.0), policy(max_softwires=1)
    first = route("10.2.0.0/24", attribute(), originator_id="10.255.0.2", received_at=1.0)
    later = route("10.3.0.0/24", attribute(endpoint=OTHER), originator_id="10.255.0.3", received_at=2.0)

    def served(*routes: object, complete: bool = True) -> list[str]:
        desired = fold(routes, allowed, KEYS, arrivals=arrivals, now=9.0, complete=complete)  # type: ignore[arg-type]
        return [str(wire.remote) for wire in desired.softwires]

    assert served(first, later) == [PEER]
    renewed = route(
        "10.2.0.0/24", offering("peer", "next", keys=("peer", "next")), originator_id="10.255.0.2", received_at=4.0
    )
    assert served(renewed, later) == [PEER]
    # Whoever goes gives his place up, but not while all may not have been heard.
    assert served(later, complete=False) == [OTHER]
    assert served(later, renewed) == [PEER]
    assert served(later) == [OTHER]
    assert served(later, renewed) == [OTHER]


def test_places_are_of_softwires_not_of_endpoints() -> None:
    """Else whoever came first could put more and more before everybody else."""
    arrivals = Arrivals(0.0)
    wires = [SoftwireId(ip_address("2001:db8:f::1"), ip_address(PEER), policy().tunnel_types[0], n) for n in (1, 2)]
    assert arrivals.since({wires[0]: 5.0}) == {wires[0]: 5.0}
    assert arrivals.since({wires[0]: 9.0, wires[1]: 7.0}) == {wires[0]: 5.0, wires[1]: 7.0}
