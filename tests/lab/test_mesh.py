"""The whole: route reflector, ExaBGP, hook, bridge and charon, and what must hold when parts of it change or die."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from lab.capture import ESP, PLAINTEXT, Capture
from lab.eventually import eventually, holds
from lab.fault import hook_pid
from lab.mesh import MIXED, Afbr, Direction, Mesh, meshed
from lab.namespace import LAB
from lab.proof import Pinger

UP = 20.0
"""Seconds within which a mesh of two must stand."""


def converge(mesh: Mesh) -> None:
    eventually(lambda: meshed(mesh.afbrs.values()), within=UP, what="every softwire is up")


def spis(mesh: Mesh) -> dict[int, dict[str, tuple[str, str]]]:
    return {number: afbr.spis() for number, afbr in mesh.afbrs.items()}


def selectors(afbr: Afbr) -> set[tuple[str, str]]:
    """What charon itself has installed, by the bridge's account of list-sas."""
    return {(child["local_ts"], child["remote_ts"]) for wire in afbr.up().values() for child in wire["children"]}


@pytest.mark.parametrize("direction", MIXED, ids=lambda direction: direction.value)
def test_traffic_crosses_as_esp_and_nothing_else(direction: Direction) -> None:
    with Mesh(direction, 2) as mesh:
        capture = Capture(mesh.core, "br0", "core")
        mesh.start()
        converge(mesh)
        plan = mesh.plan
        assert mesh.afbrs[1].island.ping(plan.host(2, 10), count=5)
        assert mesh.afbrs[2].island.ping(plan.host(1, 10), count=5)
        eventually(lambda: capture.count(ESP) >= 20, within=5, what="20 ESP packets are captured")
        assert capture.count(PLAINTEXT) == 0
        # The filter must be able to find what it did not find.
        assert mesh.afbrs[1].namespace.ping(plan.endpoint(2))
        eventually(lambda: capture.count(PLAINTEXT) >= 2, within=5, what="a ping in the clear is captured")
        for afbr in mesh.afbrs.values():
            (wire,) = afbr.up().values()
            assert wire["mode"] == "tunnel"
            assert wire["children"][0]["packets_out"] >= 10


def test_prefix_comes_and_goes_without_a_lost_packet_on_the_others(pair: Mesh) -> None:
    converge(pair)
    left, right = pair.afbrs[1], pair.afbrs[2]
    plan = pair.plan
    first = {(plan.island(1), plan.island(2))}
    second = first | {(plan.island(1), plan.island(2, site=1))}
    before = spis(pair)
    right.add_site(1)
    left.island.ping(plan.host(2, 10), count=2)
    flow = Pinger(pair, left, right, interval=0.01)
    for prefixes, expected in (
        ([plan.island(2), plan.island(2, site=1)], second),
        ([plan.island(2)], first),
        ([plan.island(2), plan.island(2, site=1)], second),
    ):
        right.settings["announce"]["prefixes"] = prefixes
        right.write_configuration()
        assert right.bridge is not None
        right.bridge.signal(signal.SIGHUP)
        mirrored = {(remote, local) for local, remote in expected}
        eventually(
            lambda expected=expected, mirrored=mirrored: selectors(left) == expected and selectors(right) == mirrored,  # type: ignore[misc]
            within=10, what=f"both ends have exactly {expected}",
        )  # fmt: skip
        flow.goes_on()
    assert left.island.ping(plan.host(2, 10, site=1), count=3), "the new prefix carries traffic"
    flow.goes_on()
    flow.stop()
    assert flow.unanswered == []
    after = spis(pair)
    for number, held in before.items():
        assert held.items() <= after[number].items(), "the untouched CHILD SA kept its SPIs"


def test_restart_of_the_bridge_alone_changes_no_spi(pair: Mesh) -> None:
    converge(pair)
    before = spis(pair)
    for end in ("stop", "kill"):
        afbr = pair.afbrs[1]
        assert afbr.bridge is not None
        getattr(afbr.bridge, end)()
        assert not afbr.up(), "the bridge is gone"
        assert pair.afbrs[1].island.ping(pair.plan.host(2, 10), count=3), "traffic flows without the bridge"
        afbr.start()
        converge(pair)
        # Its ExaBGP went with it: wait until BGP is whole again, both ways, and see that even then nothing moved.
        eventually(
            lambda afbr=afbr: not afbr.status()["removal_awaits"] and not pair.bird.restarting(),  # type: ignore[misc]
            within=30, what="end-of-RIB was heard",
        )  # fmt: skip
        holds(lambda: spis(pair) == before, during=2, what="no SPI changes")


def test_kill_of_the_hook_changes_no_spi_and_loses_no_route(pair: Mesh) -> None:
    converge(pair)
    before = spis(pair)
    afbr = pair.afbrs[1]
    pid = eventually(lambda: hook_pid(afbr), within=5, what="the hook runs")
    os.kill(pid, signal.SIGKILL)
    eventually(
        lambda: afbr.status()["hook"]["connected"] and hook_pid(afbr) not in {0, pid},
        within=20,
        what="a new hook serves",
    )
    holds(lambda: spis(pair) == before, during=3, what="no SPI changes")
    # The new hook knows what the old one knew: a withdraw still gets through.
    pair.afbrs[2].softmesh("withdraw", "-c", str(pair.afbrs[2].configuration))
    eventually(
        lambda: not afbr.up() and not afbr.wires(),
        within=20,
        what="the withdraw arrives through the new hook",
    )


def test_restart_of_charon_brings_the_softwires_back(pair: Mesh) -> None:
    converge(pair)
    before = spis(pair)
    pair.afbrs[1].charon.kill()
    eventually(
        lambda: not pair.afbrs[1].status()["charon"]["connected"],
        within=10,
        what="the loss is noticed and shown",
    )
    pair.afbrs[1].charon.restart()
    eventually(
        lambda: meshed(pair.afbrs.values()) and not before[1].items() & spis(pair)[1].items(), within=30,
        what="new SAs stand at both ends",
    )  # fmt: skip
    eventually(lambda: pair.afbrs[1].island.ping(pair.plan.host(2, 10)), within=30, what="traffic flows again")


def test_hung_charon_is_shown_and_recovers(pair: Mesh) -> None:
    converge(pair)
    before = spis(pair)
    afbr = pair.afbrs[1]
    afbr.charon.freeze()
    reason = eventually(
        lambda: afbr.status()["charon"]["reason"], within=20, what="status says that charon does not answer"
    )
    assert "not answer" in reason or "no answer" in reason
    afbr.charon.thaw()
    eventually(lambda: not afbr.status()["charon"]["reason"], within=20, what="charon answers again")
    assert spis(pair) == before


def test_lost_reflector_keeps_softwires_and_says_so(pair: Mesh) -> None:
    converge(pair)
    before = spis(pair)
    pair.reflector.kill()
    eventually(
        lambda: all(wire["stale"] for afbr in pair.afbrs.values() for wire in afbr.up().values()), within=20,
        what="the softwires are shown as stale",
    )  # fmt: skip
    holds(lambda: spis(pair) == before, during=2, what="no SPI changes")
    pair.reflector.restart()
    eventually(
        lambda: not any(wire["stale"] for afbr in pair.afbrs.values() for wire in afbr.up().values()), within=60,
        what="nothing is stale any more",
    )  # fmt: skip
    assert spis(pair) == before


def test_what_is_not_ours_is_left_alone(pair: Mesh) -> None:
    afbr = pair.afbrs[1]
    (afbr.home / "swanctl.conf").write_text(
        "connections {\n  operators-own {\n    remote_addrs = 192.0.2.77\n"
        "    children {\n      net {\n      }\n    }\n  }\n}\n"
    )
    afbr.charon.swanctl("--load-conns", "--file", str(afbr.home / "swanctl.conf"))
    # swanctl unloads every connection it does not find in its file, ours included: they must come back.
    eventually(
        lambda: "operators-own" in afbr.charon.swanctl("--list-conns"),
        within=5,
        what="the operator's is loaded",
    )
    converge(pair)
    eventually(lambda: "softmesh-" in afbr.charon.swanctl("--list-conns"), within=30, what="ours are loaded again")
    afbr.softmesh("withdraw", "-c", str(afbr.configuration))
    eventually(lambda: "softmesh-" not in afbr.charon.swanctl("--list-conns"), within=20, what="ours are unloaded")
    assert "operators-own" in afbr.charon.swanctl("--list-conns")


def test_plan_and_explain_tell_what_is_and_why(pair: Mesh) -> None:
    converge(pair)
    afbr = pair.afbrs[1]
    where = ("-c", str(afbr.configuration))
    assert "nothing to do" in afbr.softmesh("plan", *where)
    told = afbr.softmesh("explain", pair.plan.host(2, 10), *where)
    for part in ("IPsec in Tunnel-mode", "sub-TLV 126", "is up"):
        assert part in told
    assert afbr.softmesh("explain", "192.0.2.1", *where, check=False).startswith("no route")


def run_softmesh(afbr: Afbr, *arguments: str) -> tuple[int, list[str]]:
    """Exit code and standard error of a command."""
    done = afbr.namespace.run(sys.executable, "-m", "softmesh", *arguments, check=False)
    return done.returncode, done.stderr.splitlines()


def test_errors_are_one_line_that_names_place_and_remedy() -> None:
    with Mesh(Direction.FOUR_OVER_SIX, 1) as mesh:
        afbr = mesh.afbrs[1]
        where = str(afbr.configuration)
        code, errors = run_softmesh(afbr, "status", "-c", where)
        assert (code, len(errors)) == (3, 1), errors
        assert "control.sock" in errors[0]
        assert "is softmesh run running" in errors[0]

        afbr.start()
        eventually(lambda: "endpoint" in afbr.status(), within=10, what="the bridge answers")
        code, errors = run_softmesh(afbr, "run", "-c", where)
        busy = [line for line in errors if "another softmesh run" in line]
        assert code == 1, errors
        assert len(busy) == 1, errors

        afbr.charon.kill()
        eventually(
            lambda: (
                f"{afbr.charon.vici}: Connection refused; is strongSwan running" in afbr.status()["charon"]["reason"]
            ),
            within=10, what="status names the socket and the remedy",
        )  # fmt: skip

        good = (afbr.home / "identity.key").read_bytes()
        (afbr.home / "identity.key").write_text("not a key\n")
        code, errors = run_softmesh(afbr, "check", where)
        assert code == 1
        code, errors = run_softmesh(afbr, "run", "-c", where)
        assert (code, len(errors)) == (1, 1), errors
        assert "identity.key" in errors[0]
        (afbr.home / "identity.key").write_bytes(good)

        settings: dict[str, Any] = afbr.settings
        settings["bgpp"] = settings.pop("bgp")
        afbr.write_configuration()
        code, errors = run_softmesh(afbr, "run", "-c", where)
        assert (code, len(errors)) == (1, 1), errors
        assert "did you mean" in errors[0]
        assert "mesh.yaml:" in errors[0]


def test_secrets_reach_no_log_and_no_process_list(pair: Mesh) -> None:
    converge(pair)
    key = (pair.afbrs[1].home / "identity.key").read_text().splitlines()[1]
    secrets = [pair.password, key]
    seen = [afbr.softmesh("status", "-c", str(afbr.configuration), "--json") for afbr in pair.afbrs.values()]
    seen += [log.read_text(errors="replace") for log in LAB.glob("*/*.log")]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            for name in ("cmdline", "environ"):
                try:
                    seen.append((entry / name).read_bytes().decode(errors="replace"))
                except OSError:
                    continue
    assert len(seen) > 10
    assert not [secret for secret in secrets for text in seen if secret in text]
