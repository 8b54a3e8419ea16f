"""What status and explain say."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.route import ENCAPSULATION, UNICAST, Family, Neighbor, Route, SessionState
from softmesh.charon.observed import ChildSa
from softmesh.cli.figures import age
from softmesh.cli.status import lines
from softmesh.control.progress import Progress, State
from softmesh.control.view import View, explain, status
from softmesh.dataplane.layout import Hop, Layout
from softmesh.errors import OperatorError
from softmesh.mesh.desired import fold
from softmesh.mesh.policy import Fabric
from softmesh.mesh.softwire import HostTraffic, SoftwireId, SoftwireType
from softmesh.mesh.trust import AnnouncedKeys
from tests.unit.mesh.routes import OURS, REFLECTOR, attribute, hash_of, policy, route

SA = ChildSa(
    "c", "7", "INSTALLED", "tunnel", "ESP", frozenset({"10.1.0.0/24"}), frozenset({"10.2.0.0/24"}),
    "c0ffee01", "c0ffee02", "AES_GCM_16_256", bytes_in=10, bytes_out=20,
)  # fmt: skip


def view(*routes: Route, charon: str = "", planned: bool = True, **changes: Any) -> View:
    desired = fold(routes, policy(**changes), [AnnouncedKeys()])
    return View(
        now=100.0,
        endpoint=OURS,
        authenticators=("aa" * 20,),
        announcing=True,
        prefixes=("10.1.0.0/24",),
        hook_connected=True,
        charon=charon,
        awaited=(),
        neighbors={REFLECTOR: Neighbor(REFLECTOR, 65000, SessionState.UP, 40.0)},
        desired=desired,
        progress={wire: Progress(State.UP, 90.0) for wire in desired.softwires} if planned else {},
        installed=dict.fromkeys(desired.softwires, (SA,)) if planned else {},
        pending_since=dict.fromkeys(desired.pending, 95.0),
    )


def rows(seen: View) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = status(seen)["softwires"]
    return found


def test_up_softwire_shows_spis_bytes_route_and_key() -> None:
    (row,) = rows(view(route(value=attribute())))
    assert (row["state"], row["for"], row["remote"], row["reason"]) == ("up", 10.0, "2001:db8:f::2", "")
    assert (row["bytes_in"], row["bytes_out"]) == (10, 20)
    assert row["children"][0]["spi_in"] == "c0ffee01"
    assert row["routes"] == [{"prefix": "10.2.0.0/24", "neighbor": REFLECTOR, "path_id": None}]
    assert row["key_from"] == ["sub-TLV 126"]


def test_every_route_is_accounted_for() -> None:
    seen = view(
        route("10.2.0.0/24", attribute()),
        route(
            "10.3.0.0/24",
            attribute(endpoint="2001:db8:f::3", key="x", announced=False),
            next_hop="2001:db8:f::3",
        ),
        route("10.4.0.0/24", attribute(endpoint="2001:db8:f::4", key=None), next_hop="2001:db8:f::4"),
        route("10.5.0.0/24", next_hop="2001:db8:f::5"),
        route("10.1.0.0/24", attribute(), next_hop=OURS),
    )
    states = {row["remote"]: row["state"] for row in rows(seen)}
    assert states == {
        "2001:db8:f::2": "up",
        "2001:db8:f::3": "pending-key",
        "2001:db8:f::4": "refused",
        "2001:db8:f::5": "refused",
    }
    assert all(row["reason"] for row in rows(seen) if row["state"] != "up")
    json.dumps(status(seen))


def test_every_row_has_an_id_of_its_own_that_stays() -> None:
    routes = (
        route("10.2.0.0/24", attribute()),
        route("10.3.0.0/24", attribute(endpoint="2001:db8:f::3", key="x", announced=False), next_hop="2001:db8:f::3"),
        route("10.5.0.0/24", next_hop="2001:db8:f::5"),
        route("10.6.0.0/24", attribute(endpoint="2001:db8:e::5"), next_hop="2001:db8:f::5"),
    )
    ids = [row["id"] for row in rows(view(*routes))]
    assert ids[:2] == ["2001:db8:f::2/ipsec-tunnel-mode", "2001:db8:f::3/ipsec-tunnel-mode"]
    assert [row.rpartition("/")[0] for row in ids[2:]] == [
        "2001:db8:f::5/refused-no-tunnel", "2001:db8:f::5/refused-endpoint"
    ]  # fmt: skip
    assert len(set(ids)) == 4
    assert [row["id"] for row in rows(view(*routes, route("10.7.0.0/24", next_hop="2001:db8:f::5")))] == ids


@pytest.mark.parametrize(
    ("wire", "key"),
    [
        ((TunnelType.IPSEC_TUNNEL, None), "2001:db8:f::2/ipsec-tunnel-mode"),
        ((TunnelType.L2TPV3, 0), "2001:db8:f::2/l2tpv3/0"),
        ((HostTraffic.BGP, None), "2001:db8:f::2/bgp-session"),
    ],
)
def test_the_key_of_a_softwire(wire: tuple[SoftwireType, int | None], key: str) -> None:
    assert SoftwireId(ip_address(OURS), ip_address("2001:db8:f::2"), *wire).key == key


def test_silent_charon_is_the_reason_shown() -> None:
    (row,) = rows(view(route(value=attribute()), charon="no answer", planned=False))
    assert (row["state"], row["reason"]) == ("wanted", "no answer")


def test_mapped_next_hop_is_shown_as_the_ipv4_address() -> None:
    (row,) = rows(view(route("2001:db8:1002::/64", next_hop="::ffff:172.31.0.5")))
    assert row["remote"] == "172.31.0.5"


def texts(answer: dict[str, Any]) -> str:
    return "\n".join(step["text"] for found in answer["routes"] for step in found["steps"])


def test_explain_follows_a_prefix_from_route_to_softwire() -> None:
    seen = view(route("10.2.0.0/24", attribute()))
    for target in ("10.2.0.0/24", "10.2.0.9", "2001:db8:f::2"):
        told = explain(seen, target)
        assert [found["result"] for found in told["routes"]] == ["up"]
        for part in (
            "10.2.0.0/24 from neighbour",
            "IPsec in Tunnel-mode to 2001:db8:f::2",
            hash_of("peer").hex(),
            "is up",
        ):
            assert part in texts(told)


def test_explain_tells_refusals_and_the_route_that_was_preferred() -> None:
    good = route(value=attribute(), path_id="1")
    worse = route(value=attribute(endpoint="2001:db8:f::3", key="x"), path_id="2", local_preference=50)
    alien = route("10.9.0.0/24", attribute(endpoint="2001:db8:e::9"))
    seen = view(good, worse, alien)
    assert sorted(found["result"] for found in explain(seen, "10.2.0.0/24")["routes"]) == ["not-best", "up"]
    told = explain(seen, "10.9.0.1")
    assert told["routes"][0]["result"] == "refused"
    assert "admission.endpoints" in texts(told)


def test_explain_of_an_endpoint_in_the_encapsulation_safi() -> None:
    community = 0x030C000000000003
    endpoint = Family.IPV6_ENCAPSULATION
    spoken = route("2001:db8:f::2/128", attribute(endpoint=None), family=endpoint)
    transmits = route("2001:db8:f::3/128", next_hop="2001:db8:f::3", communities=(community,), family=endpoint)
    seen = view(spoken, transmits, route(), families=UNICAST | ENCAPSULATION)
    found = {each["prefix"]: each for each in explain(seen, "2001:db8:f::2")["routes"]}
    assert {prefix: each["result"] for prefix, each in found.items()} == {
        spoken.key.prefix: "endpoint",
        "10.2.0.0/24": "up",
    }
    assert "taken by routes with next hop 2001:db8:f::2" in texts({"routes": [found[spoken.key.prefix]]})
    assert "2001:db8:f::2/128 (SAFI 7)" in texts({"routes": [found["10.2.0.0/24"]]})
    assert [row["state"] for row in rows(seen) if row["remote"] == "2001:db8:f::3"] == ["refused"]


def test_explain_takes_the_longest_prefix_for_an_address() -> None:
    seen = view(route("10.2.0.0/16", attribute()), route("10.2.3.0/24", attribute(endpoint="2001:db8:f::3", key="x")))
    assert [found["prefix"] for found in explain(seen, "10.2.3.4")["routes"]] == ["10.2.3.0/24"]


def test_explain_of_something_else_says_what_it_takes() -> None:
    with pytest.raises(OperatorError, match="neither a prefix nor an address"):
        explain(view(), "afbr2")


def test_status_text_has_a_row_and_a_reason_for_each() -> None:
    text = "\n".join(lines(status(view(route(value=attribute()), route("10.5.0.0/24", next_hop="2001:db8:f::5")))))
    assert "1 of 2 softwires up" in text
    assert "2001:db8:f::2  up for 10.0s  IPsec in Tunnel-mode" in text
    assert "SPI in c0ffee01 out c0ffee02" in text
    assert "reason   neither attribute 23" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0s"), (59.9, "59.9s"), (60, "1m00s"), (187, "3m07s"), (3599, "59m59s"), (3600, "1h00m"), (86399, "23h59m"),
     (86400, "1d00h"), (90 * 86400 + 4 * 3600, "90d04h")],
)  # fmt: skip
def test_age(seconds: float, text: str) -> None:
    assert age(seconds) == text


def test_a_route_without_its_label_is_not_the_softwires() -> None:
    seen = view(route(value=attribute(kind=6)))
    desired = fold([route(value=attribute(kind=6))], policy(fabric=Fabric(interfaces=True)), [AnnouncedKeys()])
    (softwire,) = desired.softwires.values()
    assert softwire.interface is not None
    (prefix,) = softwire.prefixes
    for explicit_null, routes in ((False, []), (True, [str(prefix)])):
        layout = Layout(routes={prefix: Hop(softwire.interface.name, explicit_null)})
        (row,) = rows(replace(seen, desired=desired, layout=layout))
        assert row["interface"]["routes"] == routes


def test_a_softwire_of_a_lost_session_says_for_how_long_it_is_kept() -> None:
    seen = view(route(value=attribute(), stale_since=70.0))
    (row,) = rows(seen)
    assert (row["stale"], row["kept_for"]) == (True, 270.0)
    assert "(stale; kept for 270 s more)" in "\n".join(lines(status(seen)))
    (told,) = explain(seen, "10.2.0.0/24")["routes"]
    (step,) = [step["text"] for step in told["steps"] if step["step"] == "stale"]
    assert step == "its session was lost, or refreshed without it, 30.0 s ago; kept for 270 s more"
    (fresh,) = rows(view(route(value=attribute())))
    assert (fresh["stale"], fresh["kept_for"]) == (False, None)


def test_paths_are_told_apart() -> None:
    seen = view(route(value=attribute(), path_id="0.0.0.5"), route(value=attribute(), path_id="0.0.0.6"))
    (row,) = [row for row in rows(seen) if row["routes"][0]["path_id"] == "0.0.0.5"]
    assert row["state"] == "up"
    assert "10.2.0.0/24 from 2001:db8:f::fe (path 0.0.0.5)" in "\n".join(lines(status(seen)))
    texts = [told["steps"][0]["text"] for told in explain(seen, "10.2.0.0/24")["routes"]]
    assert [text.split(", ")[1] for text in texts] == ["path 0.0.0.5", "path 0.0.0.6"]
