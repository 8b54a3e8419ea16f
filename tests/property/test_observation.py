"""The whole mesh as announced: pairs judged in groups come to what the bridges of each would come to."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_network
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.extended_communities import ColorCommunity, EncapsulationCommunity
from softmesh.bgp.route import Family, Route
from softmesh.config.values import ACCEPTED_TUNNEL_TYPES
from softmesh.control.mesh_document import mesh_document
from softmesh.mesh.desired import fold
from softmesh.mesh.hearing import Heard, hear
from softmesh.mesh.observation import Observation, observe
from softmesh.mesh.pairing import PairState, PresumedKeys, router_of
from softmesh.mesh.softwire import Address
from softmesh.mesh.trust import AnnouncedKeys
from softmesh.mesh.trust_policy import TrustMode, TrustPolicy
from tests.unit.mesh.routes import REFLECTOR, attribute, policy, route

ACCEPTED = tuple(ACCEPTED_TUNNEL_TYPES.values())
SOURCES = (AnnouncedKeys(), PresumedKeys())
ENDPOINTS = [f"2001:db8:f::{number}" for number in range(1, 5)] + ["192.0.2.1", "192.0.2.2"]
PREFIXES = [
    "10.1.0.0/24", "10.1.0.0/25", "10.2.0.0/24", "10.3.0.0/24", "10.4.0.0/24", "10.0.0.0/8", "2001:db8:1000::/64",
    "2001:db8:1000:1::/64", "2001:db8:f::/64", "192.0.2.0/24", "2001:db8:f::1/128", "2001:db8:f::2/128",
]  # fmt: skip
COLORS = [(), (int(ColorCommunity(1)),), (int(ColorCommunity(2)),)]


@st.composite
def values(draw: st.DrawFn, at: str) -> tuple[bytes | None, tuple[int, ...]]:
    """Attribute 23 and extended communities of a route whose next hop is ``at``."""
    colors = draw(st.sampled_from(COLORS))
    form = draw(st.sampled_from(["sound", "sound", "sound", "community", "silent", "octets", "two"]))
    if form == "community":
        return None, (int(EncapsulationCommunity(draw(st.sampled_from([3, 4, 5, 7])))), *colors)
    if form == "silent":
        return None, colors
    if form == "octets":
        return draw(st.binary(max_size=12)), colors

    def tunnel() -> bytes:
        return attribute(
            kind=draw(st.sampled_from([3, 4, 4, 4, 5, 6, 7, 999])),
            endpoint=draw(st.sampled_from([None, at, at, at, *ENDPOINTS])),
            key=draw(st.sampled_from([None, at, at, "another"])),
            announced=draw(st.booleans()),
            colors=draw(st.sampled_from([(), (), (1,), (2,)])),
        )

    return (tunnel() if form == "sound" else tunnel() + tunnel()), colors


@st.composite
def meshes(draw: st.DrawFn) -> list[Route]:
    """Any routes, beside routers that are alike but for something here and there: what groups are made of."""
    made = [
        _sent(number, at, f"10.{number + 1}.0.0/24", attribute(endpoint=at, key=at))
        for number, at in enumerate(draw(st.lists(st.sampled_from(ENDPOINTS), unique=True, max_size=5)))
    ]
    for number in range(draw(st.integers(0, 5))):
        at = draw(st.sampled_from(ENDPOINTS))
        value, communities = draw(values(at))
        sent = _sent(number, draw(st.sampled_from([at, at, at, *ENDPOINTS])), draw(st.sampled_from(PREFIXES)), value)
        key = replace(sent.key, neighbor=draw(st.sampled_from([REFLECTOR, "2001:db8:f::fd"])))
        attributes = replace(
            sent.attributes,
            extended_communities=communities,
            originator_id=draw(st.sampled_from([None, "10.255.0.1", "10.255.0.2"])),
        )
        stale_since = draw(st.sampled_from([None, None, None, 5.0]))
        made.append(replace(sent, key=key, attributes=attributes, stale_since=stale_since))
    return list({each.key: each for each in made}.values())


def _sent(number: int, at: str, prefix: str, value: bytes | None) -> Route:
    return route(prefix, value, next_hop=at, received_at=float(number), originator_id=f"10.255.1.{number}")


def verdicts(observation: Observation) -> dict[tuple[Address, Address], PairState]:
    return {pair: verdict.state for pair, verdict in observation.pairs(*PairState)}


def contended(heard: Heard) -> bool:
    """Whether there are two routes to one prefix: a bridge takes the better one, and this is not judged."""
    return len({each.key.prefix for each in heard.routes}) < len(heard.routes)


def builds(viewer: Address, target: Address, routes: list[Route]) -> set[int]:
    """Types of the softwires that a bridge at ``viewer`` has to ``target``, of the routes that lead there alone."""
    heard, _ = hear(routes)
    us, them = (router_of(end, heard[end], ACCEPTED, SOURCES) for end in (viewer, target))
    of_target = {each.key: replace(each, stale_since=None) for each in (*heard[target].routes, *them.carriers)}
    ours = policy(
        endpoint=viewer,
        router_id=None,
        local_prefixes=us.prefixes,
        neighbors=frozenset(each.neighbor for each in of_target),
        families=frozenset(Family),
        endpoints=(ip_network("::/0"), ip_network("0.0.0.0/0")),
        prefixes=(ip_network("::/0"), ip_network("0.0.0.0/0")),
        tunnel_types=us.accepted,
        outside=frozenset({viewer}),
        announced=tuple((kind, color) for kind, color in us.announced if isinstance(kind, TunnelType)),
        trust=TrustPolicy(TrustMode.PINNED if us.authenticates else TrustMode.PKI),
    )
    return {int(wire.type) for wire in fold(of_target.values(), ours, SOURCES).softwires if wire.remote == target}


@settings(max_examples=400, deadline=None)
@given(meshes())
def test_a_pair_is_possible_where_its_bridges_would_build_and_only_there(routes: list[Route]) -> None:
    observation = observe(routes, accepted=ACCEPTED)
    heard, _ = hear(routes)
    for (one, other), verdict in observation.pairs(*PairState):
        if any(contended(heard[end]) for end in (one, other)):
            continue
        there, here = builds(one, other, routes), builds(other, one, routes)
        assert (verdict.state is PairState.POSSIBLE) == bool(there & here), (one, other, verdict, there, here)
        assert bool(verdict.reason) == (verdict.state is not PairState.POSSIBLE)
        assert {int(kind) for kind, _ in verdict.tunnels} == there & here


@settings(deadline=None)
@given(meshes(), st.randoms(use_true_random=False))
def test_every_pair_is_counted_and_told_once_whatever_the_order_of_routes(routes: list[Route], chance: object) -> None:
    observation = observe(routes, accepted=ACCEPTED)
    ends = [afbr.endpoint for afbr in observation.afbrs]
    told = [pair for pair, _ in observation.pairs(*PairState)]
    assert sorted(map(str, told)) == sorted(map(str, combinations(ends, 2)))
    assert observation.counts == dict.fromkeys(PairState, 0) | Counter(verdicts(observation).values())
    chance.shuffle(routes)  # type: ignore[attr-defined]
    again = observe(routes, accepted=ACCEPTED)
    assert verdicts(again) == verdicts(observation)
    assert [afbr.endpoint for afbr in again.afbrs] == ends


@settings(deadline=None)
@given(meshes())
def test_the_document_is_json_and_names_each_router_and_softwire_once(routes: list[Route]) -> None:
    observation = observe(routes, accepted=ACCEPTED)
    document = json.loads(json.dumps(mesh_document(observation, datetime.now(UTC), 0.0)))
    endpoints = [afbr["endpoint"] for afbr in document["afbrs"]]
    assert len(set(endpoints)) == len(endpoints)
    ids = [wire["id"] for wire in document["softwires"]]
    assert len(set(ids)) == len(ids)
    assert {end for wire in document["softwires"] for end in wire["ends"]} <= set(endpoints)
    summary = document["summary"]
    assert summary["possible"] + summary["impossible"] + summary["unjudged"] == summary["pairs"]


@settings(deadline=None)
@given(st.lists(st.tuples(st.binary(max_size=80), st.sampled_from(ENDPOINTS)), max_size=6))
def test_no_octets_upset_it(attributes: list[tuple[bytes, str]]) -> None:
    routes = [route(f"10.{n}.0.0/24", value, next_hop=at) for n, (value, at) in enumerate(attributes)]
    observation = observe(routes, accepted=ACCEPTED)
    mesh_document(observation, datetime.now(UTC), 0.0)
    # A route that cannot be read is its next hop's.
    assert bool(observation.afbrs) == bool(attributes)
