"""The mesh document: what is listed, what is counted, and whose word counts where a bridge speaks of its own."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from softmesh.bgp.announcement import Announcement
from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.route import Family, Neighbor, Route, SessionState
from softmesh.control.mesh_document import LISTED, MOST, mesh_document, with_our_own
from softmesh.control.view import status
from softmesh.mesh.hearing import HERE
from softmesh.mesh.observation import observe
from tests.unit.control.test_view import view
from tests.unit.mesh.routes import OURS, REFLECTOR, attribute
from tests.unit.mesh.test_observation import ACCEPTED, SECOND, end, sent

AT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def document(routes: Sequence[Route], **further: Any) -> dict[str, Any]:
    made = mesh_document(observe(routes, accepted=ACCEPTED), AT, 100.0, **further)
    read: dict[str, Any] = json.loads(json.dumps(made))
    assert read == made, "all of it is plain JSON"
    return made


def by_ends(made: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(wire["ends"][0], wire["ends"][1]): wire for wire in made["softwires"]}


def test_a_mesh_from_beside_its_reflector() -> None:
    down = Neighbor(SECOND, 65000, SessionState.DOWN, 90.0, "hold timer expired")
    made = document([sent(1), sent(2)], neighbors=[Neighbor(REFLECTOR, 65000, SessionState.UP, 40.0), down])
    assert (made["vantage"], made["at"], made["hook"]) == (None, "2026-11-21T12:00:00+00:00", {"connected": True})
    assert made["neighbors"] == [
        {"address": REFLECTOR, "state": "up", "for": 60.0, "reason": "", "end_of_rib": []},
        {"address": SECOND, "state": "down", "for": 10.0, "reason": "hold timer expired", "end_of_rib": []},
    ]
    first, _ = made["afbrs"]
    assert first["endpoint"] == end(1)
    assert first["self"] is False
    assert first["tunnels"][0]["type"] == "IPsec in Tunnel-mode"
    assert (first["tunnels"][0]["key"], first["tunnels"][0]["usable"]) == ("announced", True)
    (wire,) = made["softwires"]
    assert wire == {
        "id": f"{end(1)}/{end(2)}/ipsec-tunnel-mode", "ends": [end(1), end(2)], "type": "IPsec in Tunnel-mode",
        "color": None, "state": "possible", "reason": "", "measured": False, "for": None, "stale": False,
        "bytes_in": None, "bytes_out": None, "rule": None,
    }  # fmt: skip
    assert made["summary"] == {
        "afbrs": 2, "mismatched": 0, "pairs": 1, "possible": 1, "impossible": 0, "unjudged": 0, "complete": True,
        "without_tunnel": 0,
    }  # fmt: skip


def test_a_softwire_is_stale_where_an_end_of_it_is() -> None:
    made = document([sent(1), sent(2, stale_since=5.0), sent(3)])
    assert {ends: wire["stale"] for ends, wire in by_ends(made).items()} == {
        (end(1), end(2)): True, (end(1), end(3)): False, (end(2), end(3)): True,
    }  # fmt: skip


def test_a_bridge_speaks_for_its_own_softwires() -> None:
    routes = [sent(2, next_hop=end(2)), sent(3, attribute(kind=TunnelType.IP_IN_IP, endpoint=end(3)))]
    told = status(view(*routes))
    made = document(routes, status=told)
    assert made["vantage"] == OURS
    wires = by_ends(made)
    assert (wires[OURS, end(2)]["state"], wires[OURS, end(2)]["measured"]) == ("up", True)
    assert (wires[OURS, end(2)]["bytes_in"], wires[OURS, end(2)]["for"]) == (10, 10.0)
    assert wires[OURS, end(2)]["id"] == f"{end(2)}/ipsec-tunnel-mode"
    assert (wires[OURS, end(3)]["state"], wires[OURS, end(3)]["rule"]) == ("refused", "tunnel")
    assert (wires[end(2), end(3)]["state"], wires[end(2), end(3)]["measured"]) == ("impossible", False)
    assert len(made["softwires"]) == 3
    ours = next(afbr for afbr in made["afbrs"] if afbr["self"])
    assert (ours["endpoint"], ours["prefixes"]) == (OURS, ["10.1.0.0/24"])
    assert {end for wire in made["softwires"] for end in wire["ends"]} <= {afbr["endpoint"] for afbr in made["afbrs"]}


def test_what_we_announce_is_seen_as_others_see_it_and_not_twice() -> None:
    value = attribute(endpoint=end(1), key="ours")
    announcement = Announcement("10.1.0.0/24", end(1), value)
    reflected = sent(1, value, originator_id="10.255.0.9")
    claimed = sent(
        1, attribute(endpoint=end(1), key="theirs"), "10.66.0.0/24", originator_id="10.255.0.66", received_at=3.0
    )
    routes = with_our_own([reflected, claimed, sent(2)], [announcement], "10.255.0.9")
    assert [(route.key.neighbor, route.key.prefix) for route in routes] == [
        (HERE, "10.1.0.0/24"), (REFLECTOR, "10.66.0.0/24"), (REFLECTOR, "10.2.0.0/24"),
    ]  # fmt: skip
    (first, _) = document(routes)["afbrs"]
    assert first["routers"] == ["10.255.0.9", "10.255.0.66"], "an impostor shows, our own come back does not"
    assert len(with_our_own([reflected], [announcement], None)) == 1
    host = Announcement(f"{end(1)}/128", end(1), value, encapsulation=True)
    assert with_our_own([], [host], None)[0].key.family is Family.IPV6_ENCAPSULATION


def test_a_large_mesh_is_told_in_groups() -> None:
    odd = [
        sent(1000 + n, attribute(kind=5, endpoint=end(1000 + n)), f"10.250.{n}.0/24", originator_id=None)
        for n in (1, 2)
    ]
    many = [sent(n, prefix=f"10.{n >> 8}.{n & 255}.0/24", originator_id=None) for n in range(1, 301)]
    made = document([*many, *odd])
    assert made["summary"] == {
        "afbrs": 302, "mismatched": 0, "pairs": math.comb(302, 2), "possible": math.comb(300, 2) + 1,
        "impossible": 600, "unjudged": 0, "complete": False, "without_tunnel": 0,
    }  # fmt: skip
    assert {wire["state"] for wire in made["softwires"]} == {"impossible"}
    assert len(made["softwires"]) == MOST
    assert [(group["state"], group["pairs"], group["types"]) for group in made["groups"]] == [
        ("possible", math.comb(300, 2), ["IPsec in Tunnel-mode"]),
        ("impossible", 600, []),
        ("possible", 1, ["IP in IP Tunnel with IPsec Transport Mode"]),
    ]
    assert "no tunnel type in common" in made["groups"][1]["reason"]
    assert len(json.dumps(made)) < 400_000


def test_a_mesh_of_as_many_as_are_listed_is_whole() -> None:
    routes = [sent(n, originator_id=None) for n in range(1, LISTED + 1)]
    made = document(routes)
    assert made["summary"]["complete"]
    assert len(made["softwires"]) == math.comb(LISTED, 2)


def test_prefixes_by_the_thousand_are_counted() -> None:
    made = document([sent(1, prefix=f"10.{n >> 8}.{n & 255}.0/24") for n in range(1000)])
    (only,) = made["afbrs"]
    assert (len(only["prefixes"]), only["prefix_count"]) == (64, 1000)
