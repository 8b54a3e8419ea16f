"""Who is let in: owners of endpoints, addresses no tunnel may end at, sessions with other ASes, endpoints that flap."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from lab.capture import ESP, Capture
from lab.eventually import eventually, holds
from lab.flooder import Flooder, offer
from lab.mesh import Afbr, Direction, Mesh, meshed
from lab.namespace import LAB
from softmesh.bgp.announcement import Announcement, announce_command


def reload(afbr: Afbr) -> None:
    """Have the bridge read mesh.yaml again."""
    afbr.write_configuration()
    assert afbr.bridge is not None
    afbr.bridge.signal(signal.SIGHUP)


def rows(afbr: Afbr, rule: str) -> list[dict[str, Any]]:
    """What status says was refused by a rule."""
    return [row for row in afbr.status()["softwires"] if row.get("rule") == rule]


def refused(afbr: Afbr, rule: str, prefix: str) -> dict[str, Any]:
    """Wait until the route to a prefix is refused by a rule."""

    def found() -> dict[str, Any]:
        return next((row for row in rows(afbr, rule) if any(route["prefix"] == prefix for route in row["routes"])), {})

    return eventually(found, within=20, what=f"{prefix} is refused by rule {rule}")


@pytest.fixture
def standing(pair: Mesh) -> Mesh:
    """Two AFBRs with their softwire up."""
    eventually(lambda: meshed(pair.afbrs.values()), within=20, what="every softwire is up")
    return pair


@pytest.fixture
def liar(standing: Mesh) -> Iterator[Flooder]:
    """A third client of the reflector."""
    router = Flooder(standing, 3)
    yield router
    router.close()


def test_the_endpoint_of_another_is_refused_and_its_owner_notices_nothing(standing: Mesh, liar: Flooder) -> None:
    watcher, victim = standing.afbrs[1], standing.afbrs[2]
    before = {number: afbr.spis() for number, afbr in standing.afbrs.items()}
    ours = standing.plan.island(3)
    liar.announce([(ours, offer(victim.endpoint))])
    row = refused(watcher, "owner", ours)
    assert "10.255.0.2, its owner" in row["reason"]
    assert "10.255.0.3's announcement" in row["reason"]
    assert watcher.wires()[victim.endpoint]["state"] == "up"
    assert {number: afbr.spis() for number, afbr in standing.afbrs.items()} == before

    # The victim announces something else for its prefix: its route is the younger of the two from now on.
    updates = len(standing.bird.birdc("show", "route", "all", "for", victim.settings["announce"]["prefixes"][0]))
    victim.settings["announce"]["tunnels"] = [{"type": "ipsec-tunnel-mode"}, {"type": "transmit-only"}]
    reload(victim)
    eventually(
        lambda: len(standing.bird.birdc("show", "route", "all", "for", standing.plan.island(2))) != updates,
        within=10, what="the reflector has the victim's new announcement",
    )  # fmt: skip
    holds(
        lambda: rows(watcher, "owner") and {number: afbr.spis() for number, afbr in standing.afbrs.items()} == before,
        during=2, what="the impostor is refused and the softwire untouched",
    )  # fmt: skip
    # And so it stays when the impostor insists.
    liar.announce([(ours, offer(victim.endpoint))])
    liar.announce([(standing.plan.island(3, 1), offer(victim.endpoint))])
    refused(watcher, "owner", standing.plan.island(3, 1))
    assert {number: afbr.spis() for number, afbr in standing.afbrs.items()} == before


def test_the_next_takes_over_when_the_owner_has_gone() -> None:
    with Mesh(Direction.FOUR_OVER_SIX, 1, spare=4) as mesh:
        mesh.start()
        watcher, disputed = mesh.afbrs[1], mesh.plan.endpoint(9)
        first, second = Flooder(mesh, 3), Flooder(mesh, 4)
        first.announce([(mesh.plan.island(3), offer(disputed))])
        eventually(lambda: disputed in watcher.wires(), within=20, what="the first is taken at its word")
        second.announce([(mesh.plan.island(4), offer(disputed))])
        assert "router 10.255.0.3, its owner" in refused(watcher, "owner", mesh.plan.island(4))["reason"]
        first.withdraw(mesh.plan.island(3))
        eventually(
            lambda: _routes(watcher, disputed) == {mesh.plan.island(4)} and not rows(watcher, "owner"),
            within=20, what="the second has it",
        )  # fmt: skip
        first.close()
        second.close()


def _routes(afbr: Afbr, remote: str) -> set[str]:
    return {route["prefix"] for route in afbr.wires().get(remote, {}).get("routes", ())}


def test_special_purpose_endpoints_are_refused(standing: Mesh, liar: Flooder) -> None:
    watcher = standing.afbrs[1]
    for site, endpoint in enumerate(("fe80::1", "ff02::1", "::1")):
        liar.announce([(standing.plan.island(3, site), offer(endpoint))])
        # Nothing but this TLV: without it the attribute has none left (RFC 9012 §13).
        row = refused(watcher, "treat-as-withdraw", standing.plan.island(3, site))
        assert f"{endpoint} lies in a special-purpose block" in row["reason"]
    assert watcher.wires().keys() == {standing.plan.endpoint(2), liar.endpoint}, "the next hop has the refused rows"


@pytest.fixture
def watched() -> Iterator[Mesh]:
    """Two AFBRs, the first of which has a neighbour of AS 65001 too, and admits routes of some origins only."""
    with Mesh(Direction.FOUR_OVER_SIX, 0, spare=4) as mesh:
        reflector = {"address": mesh.reflector_address, "password_file": "bgp.password"}
        foreign = {"address": mesh.plan.endpoint(5), "asn": 65001, "password_file": "bgp.password"}
        admission = {"endpoints": [mesh.plan.core], "prefixes": mesh.plan.islands, "origin_as": [65000, 65001]}
        mesh.add(1, overrides={"bgp": {"neighbors": [reflector, foreign]}, "admission": admission})
        mesh.add(2)
        mesh.start()
        eventually(lambda: meshed(mesh.afbrs.values()), within=20, what="every softwire is up")
        yield mesh


def test_origin_as_and_neighbors(watched: Mesh) -> None:
    watcher, plan = watched.afbrs[1], watched.plan
    liar = Flooder(watched, 3)
    command = announce_command(Announcement(plan.island(3), liar.endpoint, offer(liar.endpoint)))
    liar.tell([f"{command} as-path [ 65009 ]"])
    assert "65009" in refused(watcher, "origin-as", plan.island(3))["reason"]
    liar.announce([(plan.island(3), offer(liar.endpoint))])
    eventually(
        lambda: watcher.wires().get(liar.endpoint, {}).get("state") in {"wanted", "connecting"},
        within=20, what="it is admitted",
    )  # fmt: skip
    # The same, from a neighbour that is spoken with and not admitted.
    watcher.settings["admission"]["neighbors"] = [plan.endpoint(5)]
    reload(watcher)
    assert "admission.neighbors" in refused(watcher, "neighbor", plan.island(3))["reason"]
    liar.close()


def test_a_session_with_another_as_is_filtered_in_both_directions_unless_told_otherwise(watched: Mesh) -> None:
    watcher, plan = watched.afbrs[1], watched.plan
    before = {number: afbr.spis() for number, afbr in watched.afbrs.items()}
    foreign = Flooder(watched, 5, asn=65001, peer=watcher.endpoint)
    foreign.announce([(plan.island(5), offer(foreign.endpoint))])
    row = refused(watcher, "ebgp", plan.island(5))
    assert "bgp.neighbors[].tunnels" in row["reason"]
    assert foreign.endpoint not in watcher.charon.swanctl("--list-conns")
    holds(lambda: not foreign.prefixes(), during=1, what="the other AS hears of none of our tunnels")
    assert plan.island(1) in watched.reflector.prefixes(), "our reflector does"

    watcher.settings["bgp"]["neighbors"][1]["tunnels"] = True
    reload(watcher)
    eventually(
        lambda: watcher.wires().get(foreign.endpoint, {}).get("state") in {"wanted", "connecting"},
        within=20, what="its tunnel counts",
    )  # fmt: skip
    eventually(lambda: foreign.prefixes() == {plan.island(1)}, within=20, what="the other AS hears of ours")

    watcher.settings["bgp"]["neighbors"][1]["tunnels"] = False
    reload(watcher)
    refused(watcher, "ebgp", plan.island(5))
    eventually(lambda: not foreign.prefixes(), within=20, what="ours is withdrawn there")
    assert plan.island(1) in watched.reflector.prefixes(), "and nowhere else"
    assert {number: afbr.spis() for number, afbr in watched.afbrs.items()} == before
    foreign.close()


def test_an_endpoint_that_flaps_is_left_alone_until_it_stays() -> None:
    calm = {"endpoints": ["2001:db8:f::/64"], "prefixes": ["10.0.0.0/8"], "dampening": {"flaps": 3, "half_life": 10.0}}
    with Mesh(Direction.FOUR_OVER_SIX, 2, settings={"admission": calm}) as mesh:
        mesh.start()
        eventually(lambda: meshed(mesh.afbrs.values()), within=20, what="every softwire is up")
        before = {number: afbr.spis() for number, afbr in mesh.afbrs.items()}
        watcher, restless = mesh.afbrs[1], Flooder(mesh, 3)
        prefix, attribute = mesh.plan.island(3), offer(restless.endpoint)

        def shown() -> dict[str, Any]:
            return watcher.wires().get(restless.endpoint, {})

        went: list[float] = []
        restless.announce([(prefix, attribute)])
        while eventually(shown, within=20, what=f"it is there for the {len(went) + 1}. time").get("rule") != "dampened":
            # On a machine so slow that the first departure hardly counts any more, three are not enough.
            assert len(went) < 3 or time.monotonic() - went[-3] > 4, "three times were not too many"
            assert len(went) < 10
            went.append(time.monotonic())
            restless.withdraw(prefix)
            eventually(lambda: not shown(), within=20, what="it is gone")
            restless.announce([(prefix, attribute)])
        assert len(went) >= 3, "it was attempted as often as it may be"
        row = refused(watcher, "dampened", prefix)
        assert "admission.dampening: 3 times" in row["reason"]
        eventually(
            lambda: restless.endpoint not in watcher.charon.swanctl("--list-conns"),
            within=10, what="charon has no connection for it",
        )  # fmt: skip
        eventually(
            lambda: shown().get("state") in {"wanted", "connecting"}, within=40, what="it has stayed long enough"
        )
        assert {number: afbr.spis() for number, afbr in mesh.afbrs.items()} == before
        restless.close()


def test_a_reflector_that_strips_the_attribute_leaves_nothing_in_the_clear(standing: Mesh) -> None:
    """What a reflector does that takes attribute 23 for unknown and optional non-transitive (RFC 4271 §5)."""
    left, right, plan = standing.afbrs[1], standing.afbrs[2], standing.plan
    there = plan.host(2, 10)
    eventually(lambda: left.island.ping(there, within=2), within=10, what="the islands reach each other")
    bird = LAB / "rr" / "bird.conf"
    untouched = bird.read_text()
    # BIRD cannot remove an attribute it does not know. So it announces the route as it would without: same prefix,
    # same next hop, nothing else.
    bird.write_text(
        untouched.replace("import all; export where source = RTS_BGP; extended next hop on;", "import none; "
        "export filter { bgp_next_hop = " + right.endpoint + "; accept; }; extended next hop on;")
        + f"protocol static stripped {{ ipv4; route {plan.island(2)} blackhole; }}\n"
    )  # fmt: skip
    assert bird.read_text() != untouched
    on_core = Capture(standing.core, "br0", "stripped")
    try:
        shown = standing.bird.birdc("configure")
        assert "Reconfigured" in shown or "in progress" in shown, shown
        row = refused(left, "no-tunnel", plan.island(2))
        assert "attribute 23" in row["reason"]
        eventually(lambda: right.endpoint not in left.up(), within=20, what="the softwire is gone")
        # What nobody asks for any more goes with the next pass.
        eventually(
            lambda: "INSTALLED" not in left.charon.swanctl("--list-sas"), within=20, what="and so is what carried it"
        )
        cleartext = f"host {there}"
        sent = left.island.pinged(there, count=5, within=0.2)
        assert " 100% packet loss" in sent or "unreachable" in sent.lower(), sent
        bird.write_text(untouched)
        standing.bird.birdc("configure")
        eventually(lambda: meshed(standing.afbrs.values()), within=30, what="with the attribute the softwire is back")
        eventually(lambda: left.island.ping(there, within=2), within=10, what="the islands reach each other again")
        # So it has captured all that came before.
        eventually(lambda: on_core.count(ESP) > 0, within=10, what="the capture saw the core", every=0.2)
    finally:
        on_core.stop()
    assert on_core.count(cleartext) == 0, "nothing went in the clear"


def test_a_forged_originator_is_undone_by_a_filter_of_the_reflector(standing: Mesh, liar: Flooder) -> None:
    """RFC 4456 §8 has a reflector keep an ORIGINATOR_ID that is there: clients must not be let bring one."""
    watcher, victim = standing.afbrs[1], standing.afbrs[2]
    before = {number: afbr.spis() for number, afbr in standing.afbrs.items()}
    bird = LAB / "rr" / "bird.conf"
    bird.write_text(bird.read_text().replace("import all;", "import filter { unset(bgp_originator_id); accept; };"))
    standing.bird.birdc("configure")
    forged = Announcement(standing.plan.island(3), liar.endpoint, offer(victim.endpoint))
    liar.tell([f"{announce_command(forged)} originator-id 10.255.0.2"])
    assert "10.255.0.3's announcement" in refused(watcher, "owner", standing.plan.island(3))["reason"]
    assert {number: afbr.spis() for number, afbr in standing.afbrs.items()} == before
