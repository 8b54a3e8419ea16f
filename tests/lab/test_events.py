"""A softwire's life in the log and in ``softmesh events``: by one key, from the first line to the last."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab.eventually import PATIENCE, eventually
from lab.firewall import load, nft
from lab.mesh import SOFTMESH, Afbr, Direction, Mesh, meshed
from lab.namespace import LAB, Process
from softmesh.log_events import EVENTS

MUTE = (
    "table inet mute {\n chain out {\n  type filter hook output priority 0;\n  udp dport { 500, 4500 } drop\n }\n"
    " chain in {\n  type filter hook input priority 0;\n  udp dport { 500, 4500 } drop\n }\n}\n"
)
"""No IKE, while BGP goes on."""


def follow(afbr: Afbr, *arguments: str) -> Process:
    return afbr.namespace.start(
        *SOFTMESH, "events", "-c", str(afbr.configuration), *arguments, log=f"events{len(list(LAB.glob('events*')))}"
    )


def told(process: Process) -> list[dict[str, Any]]:
    return [json.loads(line) for line in whole(process.log) if line.startswith("{")]


def logged(afbr: Afbr) -> list[dict[str, Any]]:
    return [json.loads(line) for line in whole(afbr.home / "softmesh.log")]


def whole(log: Path) -> list[str]:
    """The lines of a file; the last may be half written."""
    return log.read_text().rpartition("\n")[0].splitlines()


def actions(afbr: Afbr) -> set[str]:
    """The kinds of actions that were taken for a softwire."""
    return {line["action"].split()[0] for line in logged(afbr) if line["event"] == "action" and line["softwire"]}


def states(events: Sequence[dict[str, Any]]) -> list[str]:
    return [event["state"] for event in events if event["event"] == "softwire"]


def carried(events: Sequence[dict[str, Any]]) -> set[str]:
    """The inbound SPIs that were told last."""
    return set([event for event in events if "spi_in" in event][-1]["spi_in"])


def test_the_whole_life_of_a_softwire_by_one_key() -> None:
    # What is mute is not given up before the test has had its look, on a machine that stands still for a while too.
    patient = "retransmit_tries = 6"
    with Mesh(Direction.FOUR_OVER_SIX, 2, settings={"log": {"level": "debug"}}, charon=patient) as mesh:
        left, right = mesh.afbrs.values()
        key = f"{left.endpoint}/ipsec-tunnel-mode"
        load(right.namespace, MUTE)
        mesh.start()
        eventually(lambda: right.status().get("endpoint"), within=20, what="the bridge answers")
        stream = follow(right, "--softwire", key, "--last", "1000")

        def last(state: str) -> bool:
            return states(told(stream))[-1:] == [state]

        eventually(lambda: "connecting" in states(told(stream)), within=20, what="it takes over, in vain")
        nft(right.namespace, "delete", "table", "inet", "mute")
        eventually(lambda: last("up"), within=30, what="it comes up")
        load(right.namespace, MUTE)
        right.add_site(1)
        right.settings["announce"]["prefixes"].append(mesh.plan.island(2, site=1))
        right.reload()
        eventually(lambda: last("degraded"), within=20, what="the second prefix has no CHILD SA")
        nft(right.namespace, "delete", "table", "inet", "mute")
        eventually(lambda: last("up"), within=30, what="it has")
        up = [event for event in told(stream) if event["event"] == "softwire"][-1]
        assert (up["was"], len(up["spi_in"]), len(up["spi_out"])) == ("degraded", 2, 2)
        eventually(
            lambda: carried(told(stream)) == {child["spi_in"] for child in right.up()[left.endpoint]["children"]},
            within=20, what="the SPIs it tells are those that status shows",
        )  # fmt: skip
        left.softmesh("withdraw", "-c", str(left.configuration))
        eventually(lambda: last("gone"), within=30, what="it goes")

        def logged_too() -> list[dict[str, Any]]:
            # The same as `journalctl -o cat | jq 'select(.softwire == …)'` finds.
            seen, lines = told(stream), logged(right)
            lines = [line for line in lines if line.get("softwire") == key and line["level"] != "debug"]
            said = [{name: value for name, value in event.items() if name != "seq"} for event in seen]
            return seen if said == lines else []

        eventually(lambda: "unload" in actions(right), within=20, what="its connection is unloaded")
        seen = eventually(logged_too, within=20, what="the log tells the same")
        assert states(seen) == ["wanted", "connecting", "up", "degraded", "up", "gone"]
        assert [event["was"] for event in seen if event["event"] == "softwire"] == [None, *states(seen)[:-1]]
        assert all(event["softwire"] == key for event in seen)
        for line in logged(right):
            assert line.keys() - {"timestamp", "level", "event"} == EVENTS[line["event"]].keys.keys(), line
        assert {"load", "initiate", "unload"} <= actions(right)
        assert stream.stop() == 130 or stream.returncode == -signal.SIGTERM


def test_the_stream_outlives_the_bridge_and_says_so(pair: Mesh) -> None:
    _, right = pair.afbrs.values()
    eventually(lambda: meshed(pair.afbrs.values()), within=20, what="the softwire is up")
    stream = follow(right, "--last", "1")
    eventually(lambda: told(stream), within=20, what="it answers")
    assert right.bridge is not None
    right.bridge.stop()
    eventually(lambda: "waiting for it to come back" in stream.tail(), within=20, what="it says that it is alone")
    assert told(stream)[-1]["event"] == "stopped"
    lasting = len(told(stream))
    right.start()
    eventually(
        lambda: "softwire" in [event["event"] for event in told(stream)[lasting:]],
        within=20, what="the next life is told of",
    )  # fmt: skip
    events = told(stream)
    gap = next(event for event in events if event["event"] == "gap")
    assert gap["missed"] is None
    assert events[events.index(gap) + 1]["event"] == "started"
    assert [event["seq"] for event in events] == sorted(event["seq"] for event in events)


def test_it_ends_when_nobody_reads_any_more(pair: Mesh) -> None:
    left = pair.afbrs[1]
    eventually(lambda: meshed(pair.afbrs.values()), within=20, what="the softwire is up")
    command = left.namespace.argv(*SOFTMESH, "events", "-c", str(left.configuration), "--last", "1")
    ours, theirs = os.pipe()
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.PIPE) as process:
        os.close(theirs)
        assert os.read(ours, 65536).startswith(b'{"seq"')
        os.close(ours)
        assert process.wait(timeout=30 * PATIENCE) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""
    ended = subprocess.run(
        [*command, "--no-follow"], capture_output=True, text=True, check=True, timeout=30 * PATIENCE
    )  # fmt: skip
    assert len(ended.stdout.splitlines()) == 1
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30 * PATIENCE) == 130
        assert process.stderr is not None
        assert process.stderr.read() == b""
