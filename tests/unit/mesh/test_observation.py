"""What is seen of a mesh in its announcements: routers, what is wrong with them, and who could build with whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.extended_communities import ColorCommunity, EncapsulationCommunity, attribute_digest
from softmesh.bgp.route import UNICAST, Family, Neighbor, Route, SessionState
from softmesh.bgp.sub_tlv import PublicKey
from softmesh.config.values import ACCEPTED_TUNNEL_TYPES
from softmesh.mesh.key_directory import KeyDirectory
from softmesh.mesh.mismatch import Key
from softmesh.mesh.observation import Afbr, Observation, observe
from softmesh.mesh.pairing import PairState, Verdict
from softmesh.mesh.trust import DirectoryKeys
from tests.unit.mesh.routes import REFLECTOR, attribute, hash_of, route, spki

ACCEPTED = tuple(ACCEPTED_TUNNEL_TYPES.values())
SECOND = "2001:db8:f::fd"
POSSIBLE, IMPOSSIBLE, UNJUDGED = PairState.POSSIBLE, PairState.IMPOSSIBLE, PairState.UNJUDGED
TYPE_4, TYPE_5 = TunnelType.IPSEC_TUNNEL, TunnelType.IP_IN_IP_IPSEC_TRANSPORT


def end(number: int) -> str:
    return f"2001:db8:f::{number:x}"


def sent(number: int, value: bytes | None = None, prefix: str | None = None, **further: object) -> Route:
    """A route of router ``number``; a sound one unless told."""
    settings: dict[str, object] = {"next_hop": end(number), "originator_id": f"10.255.0.{number}"}
    whole = attribute(endpoint=end(number), key=f"key{number}") if value is None else value
    return route(prefix or f"10.{number}.0.0/24", whole or None, **settings | further)  # type: ignore[arg-type]


def seen(*routes: Route) -> Observation:
    return observe(routes, accepted=ACCEPTED)


def the(observation: Observation, number: int) -> Afbr:
    return next(afbr for afbr in observation.afbrs if afbr.endpoint == ip_address(end(number)))


def problems(observation: Observation, number: int) -> str:
    return "; ".join(the(observation, number).problems)


def verdict(observation: Observation, one: int, other: int) -> Verdict:
    found = {tuple(map(str, pair)): verdict for pair, verdict in observation.pairs(*PairState)}
    return found[end(one), end(other)]


def test_a_sound_mesh() -> None:
    observation = seen(sent(1), sent(2), sent(3), sent(3, prefix="2001:db8:1000::/64"))
    assert [str(afbr.endpoint) for afbr in observation.afbrs] == [end(1), end(2), end(3)]
    assert observation.counts == {POSSIBLE: 3, IMPOSSIBLE: 0, UNJUDGED: 0}
    third = the(observation, 3)
    assert list(map(str, third.prefixes)) == ["10.3.0.0/24", "2001:db8:1000::/64"]
    (tunnel,) = third.tunnels
    assert (tunnel.type, tunnel.color, tunnel.usable, tunnel.key) == (TYPE_4, None, True, Key.ANNOUNCED)
    assert tunnel.authenticators == (hash_of("key3"),)
    assert (third.neighbors, third.routers, third.problems, third.stale) == ((REFLECTOR,), ("10.255.0.3",), (), False)
    assert verdict(observation, 1, 2) == Verdict(POSSIBLE, ((TYPE_4, None),))


def test_nothing_is_seen_in_nothing_and_plain_routes_are_no_routers() -> None:
    assert seen().afbrs == ()
    plain = seen(sent(1), sent(9, b""), sent(8, b""))
    assert [str(afbr.endpoint) for afbr in plain.afbrs] == [end(1)]
    assert plain.without_tunnel == 2


def test_no_type_in_common() -> None:
    observation = seen(sent(1), sent(2), sent(3, attribute(kind=TYPE_5, endpoint=end(3), key="key3")))
    assert observation.counts == {POSSIBLE: 1, IMPOSSIBLE: 2, UNJUDGED: 0}
    found = verdict(observation, 2, 3)
    assert found.state is IMPOSSIBLE
    assert found.reason == (
        f"no tunnel type in common: {end(2)} announces IPsec in Tunnel-mode, {end(3)} IP in IP Tunnel with IPsec "
        "Transport Mode; announce one type at both"
    )


def test_reasons_name_the_very_pair_in_whatever_group_it_is_judged() -> None:
    observation = seen(*(sent(number) for number in range(1, 5)), sent(9, b"\0\4\0"))
    for number in range(1, 5):
        reason = verdict(observation, number, 9).reason
        assert reason.startswith(f'{end(number)} would say of {end(9)}: "attribute 23: tunnel 1 does not fit')
        assert "(RFC 9012 §13)" in reason


def test_a_tunnel_without_authenticator_among_pinned_ones() -> None:
    observation = seen(sent(1), sent(2, attribute(endpoint=end(2), key=None)))
    assert "announced without an authenticator" in problems(observation, 2)
    assert the(observation, 2).tunnels[0].key is Key.NONE
    assert "without an authenticator" in verdict(observation, 1, 2).reason


def test_a_mesh_without_authenticators_trusts_otherwise() -> None:
    observation = seen(*(sent(n, attribute(endpoint=end(n), key=None)) for n in (1, 2)))
    assert observation.counts[POSSIBLE] == 1
    assert problems(observation, 1) == ""


def test_the_community_alone() -> None:
    alone = (int(EncapsulationCommunity(TYPE_4)),)
    observation = seen(sent(1), sent(2, b"", communities=alone))
    assert "by community 0x030c alone" in problems(observation, 2)
    assert verdict(observation, 1, 2).state is IMPOSSIBLE
    assert seen(*(sent(n, b"", communities=alone) for n in (1, 2))).counts[POSSIBLE] == 1


def test_a_key_of_another_hash() -> None:
    wrong = attribute(endpoint=end(2), key="key2", announced=False, extra=(PublicKey(spki("another")),))
    observation = seen(sent(1), sent(2, wrong))
    (tunnel,) = the(observation, 2).tunnels
    assert (tunnel.usable, tunnel.key) == (False, Key.MISMATCH)
    assert "has another hash" in problems(observation, 2)
    assert "no key found for authenticator" in verdict(observation, 1, 2).reason


def test_a_hash_without_key_is_presumed_to_be_known_unless_it_is_said_where_keys_are(tmp_path: Path) -> None:
    bare = [sent(n, attribute(endpoint=end(n), key=f"key{n}", announced=False)) for n in (1, 2, 3)]
    presumed = seen(*bare)
    assert presumed.counts[POSSIBLE] == 3
    assert the(presumed, 1).tunnels[0].key is Key.UNSEEN
    for number in (1, 2):
        (tmp_path / f"{number}.der").write_bytes(spki(f"key{number}"))
    directory = KeyDirectory(tmp_path)
    directory.scan()
    looked = observe(bare, accepted=ACCEPTED, keys=[DirectoryKeys(directory)])
    assert [afbr.tunnels[0].key for afbr in looked.afbrs] == [Key.KNOWN, Key.KNOWN, Key.MISSING]
    assert looked.counts == {POSSIBLE: 1, IMPOSSIBLE: 2, UNJUDGED: 0}
    assert "no key is known" in problems(looked, 3)


def test_families_that_do_not_meet() -> None:
    observation = seen(sent(1), sent(2, prefix="2001:db8:1000::/64"), sent(3, attribute(endpoint="192.0.2.3", key="3")))
    assert "no prefix of the same family" in verdict(observation, 1, 2).reason
    ends = {tuple(map(str, pair)): verdict for pair, verdict in observation.pairs(IMPOSSIBLE)}
    assert "not of the core's family" in ends["192.0.2.3", end(1)].reason


def test_one_endpoint_of_two_routers() -> None:
    observation = seen(sent(1), sent(2), sent(2, prefix="10.9.0.0/24", originator_id="10.255.0.9", received_at=3.0))
    assert the(observation, 2).routers == ("10.255.0.2", "10.255.0.9")
    assert "announced by 2 routers: 10.255.0.2, which peers take for the owner, and 10.255.0.9" in problems(
        observation, 2
    )


def test_two_reflectors_that_disagree() -> None:
    other = attribute(endpoint=end(2), key="another")
    observation = seen(sent(1), sent(2), sent(2, other, neighbor=SECOND))
    assert f"{SECOND}, {REFLECTOR} hand on different announcements of 10.2.0.0/24" in problems(observation, 2)
    agreeing = seen(sent(1), sent(2), sent(2, neighbor=SECOND))
    assert problems(agreeing, 2) == ""


def test_two_reflectors_one_of_which_is_silent() -> None:
    neighbors = {
        name: Neighbor(name, 65000, SessionState.UP, 0.0, end_of_rib=frozenset(UNICAST)) for name in (REFLECTOR, SECOND)
    }
    routes = [sent(1), sent(1, neighbor=SECOND), sent(2)]
    observation = observe(routes, accepted=ACCEPTED, neighbors=neighbors)
    assert problems(observation, 2) == f"not heard from {SECOND}, only from {REFLECTOR}"
    assert problems(observation, 1) == ""
    neighbors[SECOND] = replace(neighbors[SECOND], state=SessionState.DOWN)
    assert problems(observe(routes, accepted=ACCEPTED, neighbors=neighbors), 2) == ""


def test_different_tunnels_on_different_routes() -> None:
    another = attribute(kind=TYPE_5, endpoint=end(2), key="key2")
    observation = seen(sent(1), sent(2), sent(2, another, "10.22.0.0/24"))
    assert "different tunnels or authenticators on different routes" in problems(observation, 2)
    colored = (attribute(endpoint=end(2), key="key2", colors=(n,)) for n in (1, 2))
    shown = seen(sent(1), *(sent(2, value, f"10.2.{n}.0/24") for n, value in enumerate(colored)))
    assert problems(shown, 2) == "", "colours are there to differ"
    assert verdict(shown, 1, 2).tunnels == ((TYPE_4, None),)


def test_an_attribute_that_was_stripped_or_rewritten_on_the_way() -> None:
    value = attribute(endpoint=end(2), key="key2")
    digest = (int(attribute_digest(value)),)
    stripped = seen(sent(1), sent(2, b"", communities=digest))
    assert f"attribute 23 of 10.2.0.0/24 was stripped off on the way by {REFLECTOR}" in problems(stripped, 2)
    assert "stripped it" in verdict(stripped, 1, 2).reason
    rewritten = seen(sent(1), sent(2, attribute(endpoint=end(2), key="key2", colors=(1,)), communities=digest))
    assert "was rewritten on the way" in problems(rewritten, 2)


def test_prefixes_of_two_routers() -> None:
    both = "10.7.0.0/24"
    observation = seen(sent(1, prefix=both), sent(2, prefix=both), sent(3))
    assert "10.7.0.0/24 overlaps what another router announces" in problems(observation, 1)
    assert "which we announce ourselves" in verdict(observation, 1, 2).reason
    assert verdict(observation, 1, 3).state is POSSIBLE
    besides = seen(sent(1, prefix=both), sent(1), sent(2, prefix=both), sent(2))
    assert verdict(besides, 1, 2).state is POSSIBLE, "they have others to reach each other by"


def test_a_prefix_that_holds_endpoints() -> None:
    observation = seen(sent(1, prefix="2001:db8:1000::/64"), sent(2, prefix="2001:db8:f::/64"))
    assert "holds the endpoint" in problems(observation, 2)
    assert verdict(observation, 1, 2).state is IMPOSSIBLE


def test_what_only_lost_sessions_told() -> None:
    observation = seen(sent(1, stale_since=5.0), sent(2))
    assert (the(observation, 1).stale, the(observation, 2).stale) == (True, False)
    assert problems(observation, 1) == f"stale: the sessions to {REFLECTOR}, which told of it, are lost"
    assert observation.counts[POSSIBLE] == 1


def test_tunnels_by_way_of_the_next_hop() -> None:
    host = sent(2, prefix=f"{end(2)}/128")
    plain = [sent(2, b"", f"10.2.{n}.0/24") for n in range(3)]
    observation = seen(sent(1), host, *plain)
    assert len(the(observation, 2).prefixes) == 4
    assert verdict(observation, 1, 2).state is POSSIBLE
    colored = [
        replace(r, attributes=replace(r.attributes, extended_communities=(int(ColorCommunity(7)),))) for r in plain
    ]
    only_red = replace(host, attributes=replace(host.attributes, tunnel_encapsulation=attribute(
        endpoint=end(2), key="key2", colors=(8,)
    )))  # fmt: skip
    missed = seen(sent(1), only_red, *colored)
    assert "has colour 8, the route has 7 (RFC 9012 §8)" in problems(missed, 2)
    assert verdict(missed, 1, 2).state is IMPOSSIBLE


def test_the_encapsulation_safi() -> None:
    host = sent(2, attribute(endpoint=None, key="key2"), f"{end(2)}/128", family=Family.IPV6_ENCAPSULATION)
    observation = seen(sent(1), host, sent(2, b""))
    assert list(map(str, the(observation, 2).prefixes)) == ["10.2.0.0/24"]
    assert verdict(observation, 1, 2).state is POSSIBLE


def test_a_router_that_only_transmits() -> None:
    transmitting = attribute(kind=TunnelType.TRANSMIT_TUNNEL_ENDPOINT, endpoint=end(2), key="key2")
    observation = seen(sent(1), sent(2, transmitting))
    assert verdict(observation, 1, 2) == Verdict(POSSIBLE, ((TYPE_4, None),))
    assert problems(observation, 2) == ""


def test_tunnels_that_are_not_ours_to_build() -> None:
    observation = seen(sent(1), sent(2, attribute(kind=TunnelType.VXLAN, endpoint=end(2), key=None)))
    (tunnel,) = the(observation, 2).tunnels
    assert not tunnel.usable
    assert tunnel.reason == "VXLAN Encapsulation leads to no IPsec softwire (RFC 5566 §3)"
    assert "VXLAN Encapsulation" in problems(observation, 2)
    assert verdict(observation, 1, 2).state is IMPOSSIBLE


def kinds(count: int) -> Sequence[Route]:
    return [sent(n, attribute(endpoint=end(n), key=f"key{n}", colors=(n,))) for n in range(1, count + 1)]


def test_routers_of_too_many_kinds_are_not_judged_and_that_is_said() -> None:
    observation = seen(*kinds(100), *(sent(n) for n in range(200, 210)))
    assert observation.counts[IMPOSSIBLE] == 0
    assert observation.counts[UNJUDGED] == 110 * 109 // 2 - observation.counts[POSSIBLE] > 0
    assert verdict(observation, 200, 201).state is POSSIBLE, "the most frequent kind is judged whatever the others are"
    (unjudged, *_) = (v for _, v in observation.pairs(UNJUDGED))
    assert "too many different things" in unjudged.reason


def test_a_router_of_too_many_offers_is_not_judged() -> None:
    many = [sent(2, attribute(endpoint=end(2), key="key2", colors=(n,)), f"10.2.{n}.0/24") for n in range(20)]
    observation = seen(sent(1), *many, sent(3))
    assert verdict(observation, 1, 2).state is UNJUDGED
    assert verdict(observation, 1, 3).state is POSSIBLE


def test_a_flood_of_problems_is_cut() -> None:
    many = [sent(2, bytes([0, 9, 0, n]), f"10.2.{n}.0/24") for n in range(1, 60)]
    told = the(seen(sent(1), *many), 2)
    assert len(told.tunnels) <= 32
    assert told.problems[-1].startswith("and ")
    assert len(told.problems) == 17
