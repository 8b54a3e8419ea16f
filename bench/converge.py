"""Seconds from the first UPDATE to the last CHILD SA, beside a bare script that makes the same calls.

    lab/sandbox python -m bench.converge [--softwires 1,10,50] [--rounds 7] [--json]

Two real charons. Ours: BIRD, ExaBGP and ``softmesh run``; all UPDATEs come in one burst after everything has settled,
and the clock starts when the hook has the first. Bare: ``bench.bare``, whose clock starts before its first call. Both
on charons just started, by turns; both load the very same connections (their names carry a digest) and both end when
an independent VICI listener has heard of the last CHILD SA.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from operator import attrgetter
from pathlib import Path
from statistics import median
from typing import TypeAlias

import vici

from bench.bare import write_calls
from bench.two_charons import TwoCharons
from lab.charon import Charon
from lab.mesh import SOFTMESH
from lab.namespace import LAB
from softmesh.bgp.adj_rib_in import RouteChanged
from softmesh.bgp.hook_protocol import MAX_MESSAGE, LineBuffer, LineTooLong, SnapshotComplete, decode_from_hook

TARGET = 1.1
PATIENCE = 60.0
"""Seconds after which a run that has not come to its end has failed."""

Instant: TypeAlias = "Callable[[Run], float]"
_all_up: Instant = attrgetter("all_up")
_first_initiate: Instant = attrgetter("first_initiate")
_last_initiate: Instant = attrgetter("last_initiate")
_last_update: Instant = attrgetter("last_update")

_INITIATED = re.compile(r"^(?P<seconds>\d+\.\d+) .*initiating IKE_SA ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Run:
    """One convergence: instants in seconds after its beginning, and seconds of CPU time by daemon."""

    all_up: float
    first_initiate: float
    """As charon's log has it."""
    last_initiate: float
    last_update: float = 0.0
    """When the hook had the last UPDATE; the first came at 0."""
    cpu: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Result:
    """What was measured at one size."""

    softwires: int
    ours: list[Run]
    bare: list[Run]

    @property
    def ratio(self) -> float:
        """Median of ours by median of bare."""
        return middle(self.ours, _all_up) / middle(self.bare, _all_up)


class Listener:
    """Hears of CHILD SAs over a VICI connection of its own, in a thread of its own."""

    def __init__(self, charon: Charon, expected: int) -> None:
        self._expected = expected
        self._up: dict[str, float] = {}
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(str(charon.vici))
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        assert self._listening.wait(10), "charon does not confirm a listener"

    def _listen(self) -> None:
        deadline = time.monotonic() + PATIENCE
        # The first turn comes after a tenth of a second without events: registered, nothing has happened yet.
        for name, event in vici.Session(self._connection).listen(["child-updown"], timeout=0.1):
            now = time.monotonic()
            if name is not None and event.get("up") == b"yes":
                for connection in event.keys() - {"up"}:
                    self._up.setdefault(connection, now)
            self._listening.set()
            if len(self._up) >= self._expected or now > deadline:
                return

    def last(self) -> float:
        """Wait for the last softwire; returns when it came up, by CLOCK_MONOTONIC."""
        self._thread.join()
        self._connection.close()
        assert len(self._up) >= self._expected, f"{len(self._up)} of {self._expected} softwires up in {PATIENCE:g} s"
        return max(self._up.values())


def run_ours(ground: TwoCharons, command: Sequence[str]) -> Run:
    """One convergence by Softmesh."""
    ground.restart_charons()
    bridge = ground.start_softmesh(command)
    daemons = {**_charons(ground), "bridge": [bridge.pid], **_children(bridge.pid)}
    listener = Listener(ground.near, ground.size)
    log = ground.near.process.log.stat().st_size
    before = _cpu(daemons)
    ground.release()
    up = listener.last()
    cpu = _spent(before, _cpu(daemons))
    prefixes = {peer.prefix for peer in ground.peers}
    updates = sorted(_arrivals(ground.home / "run" / "hook.sock", prefixes))
    assert len(updates) == ground.size, f"the hook has {len(updates)} of {ground.size} routes"
    initiated = list(_initiated(ground.near, log))
    loaded = set(_loaded(ground.near))
    expected = {connection.name for connection in ground.initiating()}
    assert loaded == expected, f"softmesh loads other connections than bare: {sorted(loaded ^ expected)}"
    ground.stop_softmesh()
    ground.hold_back()
    began = updates[0]
    return Run(up - began, initiated[0] - began, initiated[-1] - began, updates[-1] - began, cpu)


def run_bare(ground: TwoCharons) -> Run:
    """One convergence by the bare script."""
    ground.restart_charons()
    ground.load_near_key()
    connections = ground.initiating()
    calls = LAB / "calls"
    write_calls(
        calls,
        [
            *(("load-conn", connection.to_vici()) for connection in connections),
            *(
                ("initiate", {"ike": connection.name, "child": connection.children[0].name, "timeout": -1})
                for connection in connections
            ),
        ],
    )
    script = subprocess.Popen(
        [sys.executable, "-m", "bench.bare", str(ground.near.vici), str(calls)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert script.stdin is not None
    assert script.stdout is not None
    assert script.stdout.readline() == "ready\n", "bench.bare did not start"
    daemons = _charons(ground)
    listener = Listener(ground.near, ground.size)
    log = ground.near.process.log.stat().st_size
    before = _cpu(daemons)
    script.stdin.write("\n")
    script.stdin.flush()
    up = listener.last()
    cpu = _spent(before, _cpu(daemons))
    began = float(script.communicate(timeout=10)[0].split()[0])
    initiated = list(_initiated(ground.near, log))
    return Run(up - began, initiated[0] - began, initiated[-1] - began, cpu=cpu)


def _arrivals(path: Path, prefixes: Collection[str]) -> Iterator[float]:
    """When the hook had each route, from a snapshot taken after all is over."""
    lines = LineBuffer(MAX_MESSAGE)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(path))
        while data := connection.recv(1 << 18):
            for line in lines.feed(data):
                assert not isinstance(line, LineTooLong)
                message = decode_from_hook(line)
                if isinstance(message, RouteChanged) and message.route.key.prefix in prefixes:
                    yield message.route.received_at
                if isinstance(message, SnapshotComplete):
                    return


def _initiated(charon: Charon, offset: int) -> Iterator[float]:
    """When charon initiated IKE_SAs, by CLOCK_MONOTONIC, from its log after ``offset``."""
    wall = time.time() - time.monotonic()
    with charon.process.log.open("rb") as log:
        log.seek(offset)
        for found in _INITIATED.finditer(log.read().decode(errors="replace")):
            yield float(found["seconds"]) - wall


def _loaded(charon: Charon) -> Iterator[str]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(charon.vici))
        for listed in vici.Session(connection).list_conns():
            yield from listed


def _charons(ground: TwoCharons) -> dict[str, list[int]]:
    return {"near charon": [ground.near.process.pid], "far charon": [ground.far.process.pid]}


def _children(bridge: int) -> dict[str, list[int]]:
    """ExaBGP and the hook, which the bridge started."""
    found: dict[str, list[int]] = {"exabgp": [], "hook": []}
    pending = [bridge]
    while pending:
        for children in Path(f"/proc/{pending.pop()}/task").glob("*/children"):
            for child in map(int, children.read_text().split()):
                command = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
                found["hook" if b"hook" in command else "exabgp"].append(child)
                pending.append(child)
    return found


def _cpu(daemons: dict[str, list[int]]) -> dict[str, float]:
    """CPU seconds by daemon, all threads; in nanoseconds' precision, where /proc/PID/stat has ten milliseconds."""
    # The clock of another process: clock_getcpuclockid(3).
    return {name: sum(time.clock_gettime((~pid << 3) | 2) for pid in pids) for name, pids in daemons.items()}


def _spent(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    return {name: after[name] - before[name] for name in before}


def middle(runs: Sequence[Run], instant: Instant) -> float:
    """Median over the rounds."""
    return median(instant(run) for run in runs)


def measure(size: int, rounds: int, command: Sequence[str]) -> Result:
    """Run both, by turns."""
    ours: list[Run] = []
    bare: list[Run] = []
    with TwoCharons(size) as ground:
        for turn in range(rounds):
            # Whoever comes second finds warmer caches: each does as often.
            if turn % 2:
                bare.append(run_bare(ground))
                ours.append(run_ours(ground, command))
            else:
                ours.append(run_ours(ground, command))
                bare.append(run_bare(ground))
    return Result(size, ours, bare)


def report(results: Sequence[Result]) -> None:
    """Print the tables."""
    print(f"milliseconds: median of {len(results[0].ours)} rounds (fastest-slowest)\n")
    print(
        f"{'softwires':>9}  {'first UPDATE to all up':>22}  {'bare script':>22}  {'ratio':>5}  target {TARGET}  "
        f"{'UPDATE to initiate':>20}"
    )
    for result in results:
        met = "met" if result.ratio <= TARGET else "missed"
        print(
            f"{result.softwires:>9}  {_spread(result.ours, _all_up):>22}  {_spread(result.bare, _all_up):>22}  "
            f"{result.ratio:>5.2f}  {met:<10}  {_spread(result.ours, _first_initiate):>20}"
        )
    print("\nwhat limits each: when, and milliseconds of CPU time\n")
    print(
        f"{'softwires':>9}        {'last UPDATE':>11} {'first initiate':>14} {'last initiate':>13} {'all up':>6} | "
        f"{'near charon':>11} {'far charon':>10} {'bridge':>6} {'exabgp':>6} {'hook':>4} | processors"
    )
    for result in results:
        print(_limits(f"{result.softwires:>9} ours", result.ours))
        print(_limits(f"{'':>9} bare", result.bare))
    print(
        "\nnear initiates, far is all peers. bare makes one call after another: the charon that answers is its limit;"
        "\nwith the last initiate answered nearly all are up. Ours waits for the same answers, on top for UPDATEs,"
        "\nfor its own passes (fold, look, plan) and for processors shared with both charons."
    )


def _limits(head: str, runs: Sequence[Run]) -> str:
    instants = (_last_update, _first_initiate, _last_initiate, _all_up)
    when = [1000 * middle(runs, instant) for instant in instants]
    cpu = {daemon: 1000 * median(run.cpu[daemon] for run in runs) for daemon in runs[0].cpu}
    shown = [f"{cpu[daemon]:.1f}" if daemon in cpu else "" for daemon in ("bridge", "exabgp", "hook")]
    busy = sum(cpu.values()) / (when[-1] * (os.cpu_count() or 1))
    return (
        f"{head:<15} {when[0]:>11.1f} {when[1]:>14.1f} {when[2]:>13.1f} {when[3]:>6.1f} | "
        f"{cpu['near charon']:>11.1f} {cpu['far charon']:>10.1f} {shown[0]:>6} {shown[1]:>6} {shown[2]:>4} | "
        f"{busy:.0%} busy"
    )


def _spread(runs: Sequence[Run], instant: Instant) -> str:
    values = [1000 * instant(run) for run in runs]
    return f"{median(values):.1f} ({min(values):.1f}-{max(values):.1f})"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--softwires", default="1,10,50", help="sizes, separated by commas (default %(default)s)")
    parser.add_argument(
        "--rounds", type=int, default=7, help="convergences of each kind and size (default %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="every run as JSON")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    results = [measure(size, options.rounds, SOFTMESH) for size in map(int, options.softwires.split(","))]
    if options.json:
        print(json.dumps([asdict(result) for result in results]))
        return 0
    print(
        f"bench.converge on {platform.machine()}, {os.cpu_count()} processors, load average {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}"
    )
    report(results)
    print(f"\n{time.monotonic() - began:.0f} s in all")
    return 0


if __name__ == "__main__":
    sys.exit(main())
