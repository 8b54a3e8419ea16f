"""Route reflectors that go, come back with less, disagree, or say several things: what stands keeps its SPIs."""

from __future__ import annotations

import re
import time
from functools import partial
from typing import Any

import pytest

from lab.bird import Bird
from lab.eventually import PATIENCE, eventually, holds
from lab.fault import Fault, Part, Way, exabgp_pid, hook_pid
from lab.mesh import Afbr, Direction, Mesh, meshed
from lab.reflector import Reflector
from softmesh.bgp.route_refresh import QUIET
from softmesh.control.client import ask


def made(size: int, *, stale_time: int = 300, bgp: dict[str, Any] | None = None, **options: Any) -> Mesh:
    """A mesh with all its softwires up, ``stale_time`` in seconds; ``bgp`` goes into every mesh.yaml."""
    settings = {"bgp": {"stale_time": stale_time, **(bgp or {})}, **options.pop("settings", {})}
    mesh = Mesh(Direction.FOUR_OVER_SIX, size, settings=settings, **options)
    mesh.start()
    return mesh


def converge(mesh: Mesh) -> None:
    afbrs = mesh.afbrs.values()
    eventually(lambda: meshed(afbrs), within=30, what="every softwire is up")
    eventually(
        lambda: not any(afbr.status()["removal_awaits"] for afbr in afbrs), within=30, what="all End-of-RIBs are heard"
    )
    eventually(lambda: agreed(mesh), within=20, what="both ends show the same SAs")


def spis(mesh: Mesh, *, but: int = 0) -> dict[str, tuple[str, str]]:
    """The SPIs of all, except those from and to one router."""
    left_out = mesh.plan.endpoint(but)
    return {
        f"{number} {pair}": held
        for number, afbr in mesh.afbrs.items()
        for pair, held in afbr.spis().items()
        if number != but and pair.split()[0] != left_out
    }


def agreed(mesh: Mesh) -> bool:
    """Whether each SA that one end shows is shown by the other too: what was replaced has gone at both."""
    held = spis(mesh).values()
    return bool(held) and sorted(held) == sorted((outbound, inbound) for inbound, outbound in held)


def settle(mesh: Mesh) -> None:
    """Wait until every softwire is up and no bridge has anything to do."""
    afbrs = mesh.afbrs.values()
    eventually(
        lambda: meshed(afbrs) and not any(ask(afbr.home / "run" / "control.sock", "plan")["actions"] for afbr in afbrs),
        within=20, what="no bridge has anything to do",
    )  # fmt: skip
    eventually(lambda: agreed(mesh), within=20, what="both ends show the same SAs")


def kept(afbr: Afbr) -> dict[str, float]:
    """For how many seconds more the softwires of lost sessions are kept, by endpoint."""
    return {remote: wire["kept_for"] for remote, wire in afbr.wires().items() if wire["stale"]}


def sessions(afbr: Afbr) -> dict[str, str]:
    """The state of each session, by neighbour."""
    return {row["address"]: row["state"] for row in afbr.status().get("neighbors", ())}


def all_hear(mesh: Mesh, reflector: Reflector) -> None:
    eventually(
        lambda: all(sessions(afbr).get(reflector.address) == "up" for afbr in mesh.afbrs.values()),
        within=60, what=f"all have their session with {reflector.namespace.name}",
    )  # fmt: skip


def session(mesh: Mesh, number: int) -> str:
    """Since when BIRD has its session with a router, once that has said all its routes anew; empty before.

    A session that ends earlier ends the routes of the one before it too (RFC 4724 §4.2).
    """
    shown = mesh.bird.birdc("show", "protocols", "all", f"client{number}")
    found = re.search(r" up +(\S+) +Established", shown)
    return "" if found is None or "graceful restart active" in shown else found[1]


def exporting(reflector: Reflector, what: str) -> None:
    """Write a reflector's configuration so that it sends IPv4 routes only by this filter."""
    assert isinstance(reflector, Bird)
    reflector.configure()
    path = reflector.home / "bird.conf"
    text, count = re.subn(r"( ipv4 \{ .*?; export )where [^;]+;", rf"\1{what};", path.read_text())
    assert count == 1
    path.write_text(text)


def reconfigured(reflector: Reflector, what: str) -> None:
    """Have a reflector that runs send IPv4 routes only by this filter."""
    exporting(reflector, what)
    assert isinstance(reflector, Bird)
    assert "Reconfigur" in reflector.birdc("configure")


def carries(afbr: Afbr, prefix: str) -> set[str]:
    """The endpoints whose softwires have CHILD SAs for a prefix."""
    return {
        remote for remote, wire in afbr.up().items() if any(child["remote_ts"] == prefix for child in wire["children"])
    }


def connections(afbr: Afbr) -> int:
    return len(re.findall(r"^softmesh-\S*:", afbr.charon.swanctl("--list-conns"), re.MULTILINE))


def installed(afbr: Afbr) -> int:
    return afbr.charon.swanctl("--list-sas").count("INSTALLED")


def test_a_reflector_that_comes_back_with_fewer_routes() -> None:
    """What it no longer says goes when the stale timer says so, and not at its End-of-RIB."""
    # Long enough for a reflector and three ExaBGPs to be back before it has passed.
    stale_time = int(12 * PATIENCE)
    with made(3, stale_time=stale_time) as mesh:
        converge(mesh)
        first, gone = mesh.afbrs[1], mesh.plan.endpoint(3)
        before = spis(mesh)
        lost = time.monotonic()
        mesh.reflector.kill()
        left = eventually(
            lambda: now if (now := kept(first)).keys() == {mesh.plan.endpoint(2), gone} else {},
            within=10, what="both are stale",
        )  # fmt: skip
        assert all(0 < seconds <= stale_time for seconds in left.values())
        exporting(mesh.reflector, f"where source = RTS_BGP && net != {mesh.plan.island(3)}")
        mesh.reflector.start()
        eventually(lambda: set(kept(first)) == {gone}, within=10, what="the other is announced anew")
        shown = first.softmesh("status", "-c", str(first.configuration))
        assert re.search(r"stale; kept for \d+ s more", shown)
        told = first.softmesh("explain", gone, "-c", str(first.configuration))
        assert re.search(r"session was lost.*; kept for \d+ s more", told)
        eventually(
            lambda: ["ipv4 unicast" in row["end_of_rib"] for row in first.status().get("neighbors", ())] == [True],
            within=5, what="it has said End-of-RIB, without that route",
        )  # fmt: skip
        assert gone in kept(first)
        assert spis(mesh) == before
        eventually(lambda: gone not in first.wires(), within=20, what="the stale timer has run out")
        assert time.monotonic() - lost >= stale_time
        eventually(lambda: connections(first) == 1, within=20, what="its connection is unloaded")
        assert (
            spis(mesh, but=3).items()
            == {pair: held for pair, held in before.items() if gone not in pair and not pair.startswith("3")}.items()
        )
        # The hook has a timer of its own.
        host = mesh.plan.host(3, 10)
        eventually(
            lambda: first.softmesh("explain", host, "-c", str(first.configuration), check=False).startswith("no route"),
            within=10, what="and the hook has forgotten the route as well",
        )  # fmt: skip


def test_groups_of_peers_are_kept_for_different_times_and_a_reload_changes_them() -> None:
    group = {"name": "far", "endpoints": ["2001:db8:f::1/128", "2001:db8:f::3/128"], "stale_time": 600}
    # Long enough to be seen before it has passed.
    stale_time = int(8 * PATIENCE)
    with made(3, stale_time=stale_time, settings={"groups": [group]}) as mesh:
        converge(mesh)
        first, near, far = mesh.afbrs[1], mesh.plan.endpoint(2), mesh.plan.endpoint(3)
        (held,) = [value for pair, value in first.spis().items() if pair.startswith(far)]
        mesh.reflector.kill()
        left = eventually(
            lambda: now if (now := kept(first)).keys() == {near, far} else {},
            within=10,
            what="both are stale",
            every=0.02,
        )
        assert 600 - stale_time < left[far] <= 600
        assert left[near] <= stale_time
        eventually(lambda: near not in first.wires(), within=15, what="one is forgotten")
        holds(lambda: held in first.spis().values(), during=1, what="the other stands")
        told = first.softmesh("explain", mesh.plan.host(2, 10), "-c", str(first.configuration))
        assert f"more than {stale_time} s ago" in told
        group["stale_time"] = 10
        first.reload()
        eventually(
            lambda: far not in first.wires(), within=15, what="the shorter time counts for what is stale already"
        )
        # Longer than the hook was told to keep routes: the operator learns of it.
        group["stale_time"] = 900
        first.reload()
        eventually(
            lambda: any("keeps routes of lost sessions for 600 s" in text for text in first.status()["problems"]),
            within=10, what="status says that the hook will have forgotten sooner",
        )  # fmt: skip


def test_the_bridge_is_started_again_while_the_reflector_is_away() -> None:
    with made(2, stale_time=300, bgp={"graceful_restart": 90}) as mesh:
        converge(mesh)
        afbr, remote = mesh.afbrs[1], mesh.plan.endpoint(2)
        before = spis(mesh)
        routes, prefix = afbr.home / "run" / "routes", mesh.plan.island(2).encode()
        eventually(lambda: routes.exists() and prefix in routes.read_bytes(), within=10, what="the routes are kept")
        mesh.reflector.kill()
        eventually(lambda: kept(afbr), within=10, what="its softwire is stale")
        lost = time.monotonic()
        for end in ("stop", "kill"):
            assert afbr.bridge is not None
            getattr(afbr.bridge, end)()
            afbr.start()
            eventually(
                lambda: set(kept(afbr)) == {remote} and spis(mesh) == before, within=20, what="it is shown as before"
            )
            passed = time.monotonic() - lost
            assert kept(afbr)[remote] <= 300 - passed + 1, "its time goes on"
        # And mended: the routes are all it takes.
        afbr.charon.kill()
        afbr.charon.restart()
        eventually(
            lambda: (now := spis(mesh)).keys() == before.keys() and not before.items() & now.items() and agreed(mesh),
            within=20,
            what="a new SA stands at both ends",
        )
        assert kept(afbr)
        mended = spis(mesh)
        mesh.reflector.start()
        all_hear(mesh, mesh.reflector)
        # At both: of a session that ends before, the reflector would keep nothing.
        eventually(
            lambda: not any(map(kept, mesh.afbrs.values())) and meshed(mesh.afbrs.values()),
            within=30, what="all is announced anew",
        )  # fmt: skip
        assert spis(mesh) == mended
        # A file that is none costs one line of the log.
        assert afbr.bridge is not None
        afbr.bridge.stop()
        (afbr.home / "run" / "routes").write_bytes(b"\xff" * 1000)
        afbr.start()
        converge(mesh)
        assert spis(mesh) == mended
        assert afbr.bridge is not None
        said = [line for line in afbr.bridge.log.read_text().splitlines() if "/routes: is not used" in line]
        assert len(said) == 1


def test_removal_waits_for_the_end_of_rib_of_every_family_and_says_for_which() -> None:
    with Mesh(Direction.FOUR_OVER_SIX, 2, settings={"bgp": {"stale_time": 600, "graceful_restart": 5}}) as mesh:
        # A reflector without the other family: no End-of-RIB of it will come.
        configuration = mesh.reflector.home / "bird.conf"
        configuration.write_text(re.sub(r"  ipv6 \{.*\};\n", "", configuration.read_text()))
        mesh.bird.birdc("configure")
        mesh.start()
        eventually(lambda: meshed(mesh.afbrs.values()), within=30, what="every softwire is up")
        afbr = mesh.afbrs[1]
        awaited = f"{mesh.reflector.address} (ipv6 unicast)"
        eventually(lambda: afbr.status()["removal_awaits"] == [awaited], within=10, what="it waits, and says for what")
        held = afbr.spis()
        mesh.afbrs[2].softmesh("withdraw", "-c", str(mesh.afbrs[2].configuration))
        eventually(lambda: not afbr.wires(), within=20, what="nothing asks for the softwire any more")
        # The peer takes it down; what is ours, its connection, stays until all that may ask for it has been heard.
        holds(lambda: connections(afbr) == 1, during=1, what="nothing is removed on ignorance")
        # Counted from the start of the bridge, so that it has passed by now, or soon has.
        afbr.settings["bgp"]["stale_time"] = 10
        afbr.reload()
        eventually(lambda: connections(afbr) == 0, within=20, what="it waits no longer than stale_time")
        assert held


def test_two_reflectors_that_disagree() -> None:
    with made(2, reflectors=(Bird, Bird)) as mesh:
        converge(mesh)
        one, other = mesh.reflectors
        prefix, everything = mesh.plan.island(2), "where source = RTS_BGP"
        without = f"{everything} && net != {prefix}"
        afbr = mesh.afbrs[1]
        before = spis(mesh)

        def sources() -> set[str]:
            rows = afbr.softmesh("explain", prefix, "-c", str(afbr.configuration), check=False)
            return set(re.findall(r"from neighbour (\S+),", rows))

        def told_by(*expected: Reflector) -> None:
            eventually(lambda: sources() == {each.address for each in expected}, within=10, what="BGP has it so")
            holds(lambda: spis(mesh) == before, during=0.5, what="no SPI changes")

        told_by(one, other)
        # One withdraws first, then the other does: the best path moves between them.
        for changing, staying in ((one, other), (other, one)):
            reconfigured(changing, without)
            told_by(staying)
            reconfigured(changing, everything)
            told_by(one, other)
        # They agree neither on what it is worth nor on the next hop: the endpoint is the tunnel's all the same.
        for changing, worth in ((one, 200), (other, 300), (one, 50)):
            reconfigured(
                changing, f"filter {{ bgp_local_pref = {worth}; bgp_next_hop = {mesh.plan.endpoint(99)}; accept; }}"
            )
            told_by(one, other)
        for changing in (one, other):
            reconfigured(changing, everything)
        # One is lost: nothing is stale that the other has.
        one.kill()
        eventually(lambda: sessions(afbr)[one.address] == "down", within=10, what="one session is lost")
        told_by(one, other)
        assert not kept(afbr)
        # And the other withdraws: that is believed, for the lost one will never say so.
        reconfigured(other, without)
        eventually(lambda: not afbr.up() and not sources(), within=10, what="the softwire is gone")
        one.start()
        all_hear(mesh, one)
        eventually(lambda: meshed(mesh.afbrs.values()), within=20, what="it is announced anew")
        assert sources() == {one.address}
        # Neither has it: it is gone, whatever may be the peers' view.
        reconfigured(one, without)
        eventually(lambda: not afbr.up(), within=10, what="the softwire is gone")


def test_graceful_restart_of_exabgp_and_of_the_reflector() -> None:
    with made(2) as mesh:
        converge(mesh)
        before = spis(mesh)
        afbr = mesh.afbrs[1]
        pid, since = exabgp_pid(afbr), eventually(lambda: session(mesh, 1), within=10, what="the reflector's session")
        Fault(mesh, Part.EXABGP, Way.KILL).inject()
        # Status says for a moment that all is well still: it counts what the reflector has with the new one.
        eventually(lambda: exabgp_pid(afbr) not in {0, pid}, within=30, what="another ExaBGP runs")
        eventually(lambda: session(mesh, 1) not in {"", since}, within=30, what="the reflector has a new session")
        eventually(
            lambda: afbr.status()["hook"]["connected"] and sessions(afbr) == {mesh.reflector.address: "up"},
            within=30, what="ExaBGP is back", every=0.2,
        )  # fmt: skip
        converge(mesh)
        assert spis(mesh) == before
        assert not kept(mesh.afbrs[2]), "the reflector has kept our routes"
        mesh.reflector.kill()
        eventually(lambda: all(kept(each) for each in mesh.afbrs.values()), within=10, what="both ends know it is away")
        mesh.reflector.start()
        all_hear(mesh, mesh.reflector)
        eventually(lambda: not any(kept(each) for each in mesh.afbrs.values()), within=20, what="all is heard anew")
        assert spis(mesh) == before


def test_several_paths_to_one_prefix() -> None:
    """RFC 7911: the reflector sends both paths, and the withdrawal of one leaves the other."""
    shared = "10.9.0.0/24"
    with made(3, bgp={"add_path": True}, reflectors=(partial(Bird, add_paths=True),)) as mesh:
        converge(mesh)
        afbr = mesh.afbrs[1]
        for number in (2, 3):
            mesh.afbrs[number].namespace.address("island0", "10.9.0.1/24")
            mesh.afbrs[number].settings["announce"]["prefixes"].append(shared)
            mesh.afbrs[number].reload()

        def paths() -> set[str]:
            told = afbr.softmesh("explain", shared, "-c", str(afbr.configuration), check=False)
            return set(re.findall(r"path (\S+),", told))

        eventually(lambda: len(paths()) == 2, within=10, what="both paths are there, by different identifiers")
        both = {mesh.plan.endpoint(2), mesh.plan.endpoint(3)}

        def carried() -> set[str]:
            # The path that comes first may carry it until the better one's softwire does; that is degraded so long.
            found = carries(afbr, shared)
            done = both <= afbr.up().keys() and not ask(afbr.home / "run" / "control.sock", "plan")["actions"]
            return found if done and len(found) == 1 else set()

        (best,) = eventually(carried, within=20, what="one of them carries it")
        shown = afbr.softmesh("status", "-c", str(afbr.configuration))
        assert re.search(rf"{shared} from \S+ \(path \d", shown)
        number = int(best.rpartition(":")[2])
        left = mesh.plan.endpoint(5 - number)
        before = spis(mesh, but=number)
        mesh.afbrs[number].settings["announce"]["prefixes"].remove(shared)
        mesh.afbrs[number].reload()
        eventually(lambda: carries(afbr, shared) == {left}, within=10, what="the other path carries it")
        eventually(lambda: len(paths()) == 1, within=10, what="one path is left")
        assert before.items() <= spis(mesh, but=number).items()
        # BIRD numbers its clients in the order they come back.
        settle(mesh)
        before = spis(mesh)
        mesh.reflector.kill()
        eventually(lambda: kept(afbr), within=10, what="the session is lost")
        mesh.reflector.start()
        all_hear(mesh, mesh.reflector)
        eventually(lambda: not kept(afbr), within=20, what="all is announced anew")
        holds(lambda: spis(mesh) == before, during=1, what="no SPI changes with the identifiers")


def test_a_reflector_that_is_cut_off_without_a_word() -> None:
    """Its hold time (RFC 4271 §6.5) tells, and nobody else."""
    # Not the shortest there is: any process that stands still for so long ends its session.
    with made(2, bgp={"hold_time": 10}) as mesh:
        converge(mesh)
        before = spis(mesh)
        mesh.core.ip("link", "set", mesh.rr.name, "down")
        eventually(lambda: all(kept(afbr) for afbr in mesh.afbrs.values()), within=30, what="the hold time has expired")
        reasons = {row["reason"] for afbr in mesh.afbrs.values() for row in afbr.status()["neighbors"]}
        assert reasons == {"notification sent (4,0)"}
        assert spis(mesh) == before
        mesh.core.ip("link", "set", mesh.rr.name, "up")
        all_hear(mesh, mesh.reflector)
        eventually(lambda: not any(kept(afbr) for afbr in mesh.afbrs.values()), within=20, what="all is announced anew")
        assert spis(mesh) == before


def test_a_hook_that_is_started_again_while_the_link_is_cut_takes_silence_for_no_withdrawal() -> None:
    with made(2) as mesh:
        converge(mesh)
        before = spis(mesh)
        pid = hook_pid(mesh.afbrs[1])
        cut = Fault(mesh, Part.LINK, Way.KILL)
        cut.inject()
        Fault(mesh, Part.HOOK, Way.KILL).inject()
        eventually(lambda: hook_pid(mesh.afbrs[1]) not in {0, pid}, within=10, what="another hook runs")
        # For longer than a refresh may be silent once it was answered, and less than charon or BGP give a peer.
        holds(lambda: spis(mesh) == before, during=2 * QUIET, what="no SPI changes")
        cut.mend()
        eventually(
            lambda: not any(wire["stale"] for wire in mesh.afbrs[1].up().values()), within=60, what="all is heard again"
        )
        assert spis(mesh) == before


@pytest.mark.parametrize("dampening", [True, False])
def test_a_route_that_flaps(dampening: bool) -> None:
    """Fifty changes in five seconds: in the end all is as it was, or the one that flapped is left alone for a while."""
    with made(3, settings={} if dampening else {"admission": {"dampening": None}}) as mesh:
        converge(mesh)
        before = spis(mesh, but=2)
        steady, restless = [mesh.afbrs[1], mesh.afbrs[3]], mesh.plan.endpoint(2)

        def flap() -> None:
            for command in ("withdraw", "announce"):
                ask(mesh.afbrs[2].home / "run" / "control.sock", command)
                time.sleep(0.1)

        def left_alone() -> bool:
            return all(afbr.wires().get(restless, {}).get("rule") == "dampened" for afbr in steady)

        def left_alone_by_now() -> bool:
            # A speaker that stood still has made one change of many: only what is heard counts.
            if left_alone():
                return True
            flap()
            return False

        for _ in range(25):
            flap()
        if dampening:
            eventually(left_alone_by_now, within=30, what="it is left alone, and said to be", every=2.0)
        else:
            converge(mesh)
        left = 1 if dampening else 2
        eventually(
            lambda: [(connections(afbr), installed(afbr)) for afbr in steady] == 2 * [(left, left)],
            within=20, what="there is a connection and an SA for each that stands, and no more",
        )  # fmt: skip
        assert spis(mesh, but=2) == before
