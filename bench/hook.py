"""Lines a second the hook absorbs, beside what ExaBGP delivers on the same input in the same run; memory a route.

    lab/sandbox python -m bench.hook [--lines N] [--routes N] [--json]

A small BGP speaker sends UPDATEs with distinct attributes to a real ExaBGP. Its lines go first to a process that only
keeps them, then through a hook to a reader; the kept lines are then written into a hook's pipe as fast as it takes
them. Targets: ten times what ExaBGP delivers, and less than 1 KB of memory a route at 100,000 routes.
"""

from __future__ import annotations

import argparse
import array
import contextlib
import fcntl
import importlib.metadata
import json
import os
import platform
import re
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from bench.decode import typical
from softmesh.bgp.exabgp_process import ExaBgpNeighbor, ExaBgpSettings, ManagedExaBgp, render
from softmesh.bgp.route import Family

SPEAKER, ROUTER = "127.0.0.1", "127.0.0.2"
ROUNDS = 5
DEADLINE = 30.0
RATIO, BYTES = 10.0, 1024

RECORDER = """
import os, sys, time
wanted, path = int(sys.argv[1]), sys.argv[2]
lines, first = 0, 0.0
with open(path, "wb") as kept:
    while data := os.read(0, 1 << 16):
        now = time.monotonic()
        first = first if lines > 2 else now
        lines += data.count(b"\\n")
        kept.write(data)
        if lines >= wanted:
            kept.flush()
            with open(path + ".times", "w") as times:
                print(first, now, file=times)
            wanted = 1 << 60
"""


@dataclass(frozen=True, slots=True)
class Result:
    """What one run found."""

    exabgp: str
    lines: int
    line_octets: int
    exabgp_lines_a_second: float
    through_hook_routes_a_second: float
    absorbed_lines_a_second: float
    absorbed_with_reader_lines_a_second: float
    routes: int
    octets_a_route: float
    snapshot_seconds: float

    @property
    def ratio(self) -> float:
        """How many times faster the hook is than what it listens to."""
        return self.absorbed_lines_a_second / self.exabgp_lines_a_second


def update(number: int) -> bytes:
    """An UPDATE (RFC 4271 §4.3) as a route reflector sends it, for one /32, with attributes of its own."""
    tunnel = typical(number)
    attributes = (
        b"\x40\x01\x01\x00"
        b"\x40\x02\x00"
        b"\x40\x03\x04" + socket.inet_aton(SPEAKER) + b"\x40\x05\x04" + (100).to_bytes(4)
        + b"\x80\x09\x04" + socket.inet_aton("10.255.0.9")
        + b"\x80\x0a\x04" + socket.inet_aton("10.255.255.254")
        + b"\xc0\x10\x08" + bytes.fromhex("030c000000000004")
        + b"\xc0\x17" + bytes([len(tunnel)]) + tunnel
    )  # fmt: skip
    prefix = b"\x20" + (0x0B000000 + number).to_bytes(4)
    return _message(2, b"\0\0" + struct.pack("!H", len(attributes)) + attributes + prefix)


def _message(kind: int, body: bytes) -> bytes:
    return b"\xff" * 16 + struct.pack("!HB", 19 + len(body), kind) + body


def _open() -> bytes:
    capabilities = bytes.fromhex("0104 00010001") + b"\x41\x04" + (65000).to_bytes(4) + b"\x02\x00"
    parameters = b"\x02" + bytes([len(capabilities)]) + capabilities
    fixed = struct.pack("!BHH4s", 4, 65000, 0, socket.inet_aton("10.255.255.254"))
    return _message(1, fixed + bytes([len(parameters)]) + parameters)


@contextlib.contextmanager
def speaker(updates: bytes) -> Iterator[None]:
    """Accept one session and send all the UPDATEs at once."""
    listening = socket.create_server((SPEAKER, 179))

    def serve() -> None:
        with contextlib.suppress(OSError):
            session, _ = listening.accept()
            with session:
                session.sendall(_open() + _message(4, b"") + updates)
                while session.recv(65536):
                    pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(5)


@contextlib.contextmanager
def exabgp(home: Path, hook: Sequence[str]) -> Iterator[None]:
    """A real ExaBGP whose child is ``hook``."""
    settings = ExaBgpSettings(
        router_id="10.255.0.1",
        local_address=ROUTER,
        local_as=65000,
        neighbors=(ExaBgpNeighbor(SPEAKER, 65000),),
        hook_command=tuple(hook),
        families=(Family.IPV4_UNICAST,),
        graceful_restart=0,
    )
    managed = ManagedExaBgp(settings, home, on_log=print, on_end=print, log_level="ERROR")
    (home / "exabgp.conf").write_text(render(settings))
    with (home / "exabgp.log").open("wb") as log:
        process = subprocess.Popen(
            managed.argv(), env=managed.environment(os.environ), stdout=log, stderr=subprocess.STDOUT
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@dataclass(slots=True)
class FedHook:
    """A hook whose ExaBGP is this program."""

    process: subprocess.Popen[bytes]
    path: Path

    def feed(self, data: bytes) -> None:
        """Write to its pipe, blocking as ExaBGP would, until it has read everything."""
        self._pipe.write(data)
        self._pipe.flush()
        _await(lambda: self._unread() == 0, "the hook reads its pipe", every=0.0005)

    @property
    def _pipe(self) -> IO[bytes]:
        if self.process.stdin is None:
            raise RuntimeError("the hook was started without a pipe")
        return self.process.stdin

    def _unread(self) -> int:
        count = array.array("i", [0])
        fcntl.ioctl(self._pipe.fileno(), termios.FIONREAD, count)
        return count[0]

    def resident(self) -> int:
        """Octets of memory it holds."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def snapshot(self) -> tuple[float, float, int]:
        """Connect; seconds until hello (all that was read before is folded by then), until the end, and lines."""
        with socket.socket(socket.AF_UNIX) as reader:
            reader.settimeout(DEADLINE)
            started = time.monotonic()
            reader.connect(str(self.path))
            greeted, lines, tail = 0.0, 0, b""
            while b'"snapshot-complete"' not in tail:
                data = reader.recv(1 << 20)
                greeted = greeted or time.monotonic()
                lines += data.count(b"\n")
                tail = tail[-64:] + data
            return greeted - started, time.monotonic() - started, lines


@contextlib.contextmanager
def fed_hook(home: Path) -> Iterator[FedHook]:
    """Start a hook and feed it ourselves."""
    path = home / "fed.sock"
    process = subprocess.Popen(
        [sys.executable, "-m", "softmesh", "hook", "--socket", str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    _await(path.exists, "the hook's socket")
    try:
        yield FedHook(process, path)
    finally:
        with contextlib.suppress(BrokenPipeError):
            process.communicate()


def _await(condition: Callable[[], object], what: str, *, every: float = 0.005) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"bench/hook: not within {DEADLINE:g} s: {what}")
        time.sleep(every)


def delivered(home: Path, updates: bytes, count: int) -> tuple[float, bytes]:
    """ExaBGP's lines a second into a process that only keeps them, and the lines of UPDATEs."""
    kept = home / "lines"
    recorder = home / "recorder.py"
    recorder.write_text(RECORDER)
    times = Path(f"{kept}.times")
    with speaker(updates), exabgp(home, [sys.executable, str(recorder), str(count + 2), str(kept)]):
        _await(lambda: times.exists() and times.stat().st_size, "ExaBGP's lines")
    first, last = map(float, times.read_text().split())
    lines = [line for line in kept.read_bytes().splitlines(keepends=True) if b'"announce"' in line]
    if len(lines) != count:
        sys.exit(f"bench/hook: ExaBGP printed {len(lines)} announcements of {count}")
    return count / (last - first), b"".join(lines)


def through_hook(home: Path, updates: bytes, count: int) -> float:
    """Routes a second from ExaBGP through a hook to a reader."""
    path = home / "hook.sock"
    with speaker(updates), exabgp(home, [sys.executable, "-m", "softmesh", "hook", "--socket", str(path)]):
        _await(path.exists, "the hook's socket")
        with socket.socket(socket.AF_UNIX) as reader:
            reader.settimeout(DEADLINE)
            reader.connect(str(path))
            seen, first, last, carried = 0, 0.0, 0.0, b""
            while seen < count:
                data = carried + reader.recv(1 << 20)
                last = time.monotonic()
                complete, _, carried = data.rpartition(b"\n")
                found = complete.count(b'{"type":"route",')
                first = last if not seen and found else first
                seen += found
    return count / (last - first)


def absorbed(home: Path, lines: bytes, count: int, *, reader: bool) -> float:
    """Lines a second that a hook takes from its pipe and folds, with or without one reader of the stream."""
    with fed_hook(home) as hook, contextlib.ExitStack() as stack:
        if reader:
            drain = subprocess.Popen(
                [sys.executable, "-c", "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n"
                 "print(flush=True)\nwhile s.recv(1<<20): pass", str(hook.path)],
                stdout=subprocess.PIPE,
            )  # fmt: skip
            if drain.stdout is not None:
                drain.stdout.readline()
            stack.callback(drain.communicate)
        started = time.monotonic()
        hook.feed(lines)
        greeted = time.monotonic()
        until_hello, _, _ = hook.snapshot()
        took = greeted - started + until_hello
        stack.callback(hook.process.terminate)
    return count / took


def memory(home: Path, lines: bytes, routes: int) -> tuple[float, float]:
    """Octets a route that a hook grows by for ``routes`` distinct ones, and seconds for their snapshot."""
    recorded = lines.splitlines(keepends=True)
    many = []
    for number in range(routes):
        # As recorded, with a prefix and a tunnel of its own.
        line = re.sub(rb'"0x[0-9a-f]+"', f'"0x{typical(number).hex()}"'.encode(), recorded[number % len(recorded)])
        prefix = socket.inet_ntoa((0x0B000000 + number).to_bytes(4)).encode()
        many.append(re.sub(rb'"nlri": "[^/]+/', b'"nlri": "' + prefix + b"/", line))
    with fed_hook(home) as hook:
        hook.feed(many[0])
        hook.snapshot()
        before = hook.resident()
        hook.feed(b"".join(many[1:]))
        _, _, held = hook.snapshot()
        after = hook.resident()
        _, seconds, _ = hook.snapshot()
        if held < routes:
            sys.exit(f"bench/hook: the hook holds {held} routes of {routes}")
        hook.process.terminate()
    return (after - before) / (routes - 1), seconds


def measure(lines: int, routes: int) -> Result:
    """Run everything once, the absorbing several times."""
    updates = b"".join(map(update, range(lines)))
    with tempfile.TemporaryDirectory(prefix="bench-hook-") as directory:
        home = Path(directory)
        rate, kept = delivered(home, updates, lines)
        through = through_hook(home, updates, lines)
        alone = statistics.median(absorbed(home, kept, lines, reader=False) for _ in range(ROUNDS))
        read = statistics.median(absorbed(home, kept, lines, reader=True) for _ in range(ROUNDS))
        octets, seconds = memory(home, kept, routes)
    return Result(
        exabgp=importlib.metadata.version("exabgp"),
        lines=lines,
        line_octets=len(kept) // lines,
        exabgp_lines_a_second=rate,
        through_hook_routes_a_second=through,
        absorbed_lines_a_second=alone,
        absorbed_with_reader_lines_a_second=read,
        routes=routes,
        octets_a_route=octets,
        snapshot_seconds=seconds,
    )


def report(result: Result) -> str:
    """The table."""
    rows = [
        ("ExaBGP delivers, into a process that only keeps", f"{result.exabgp_lines_a_second:,.0f} lines/s", ""),
        ("ExaBGP through the hook to a reader", f"{result.through_hook_routes_a_second:,.0f} routes/s", ""),
        (
            "the hook absorbs the same lines",
            f"{result.absorbed_lines_a_second:,.0f} lines/s",
            f"{result.ratio:.1f} times ExaBGP (target {RATIO:g})",
        ),
        (
            "the same with a reader of the stream",
            f"{result.absorbed_with_reader_lines_a_second:,.0f} lines/s",
            f"{result.absorbed_with_reader_lines_a_second / result.exabgp_lines_a_second:.1f} times ExaBGP",
        ),
        (
            f"memory of the hook at {result.routes:,} routes, all distinct",
            f"{result.octets_a_route:,.0f} octets/route",
            f"target {BYTES}",
        ),
        (f"snapshot of {result.routes:,} routes to a reader", f"{result.snapshot_seconds:.2f} s", ""),
    ]
    width = max(len(name) for name, _, _ in rows)
    table = "\n".join(f"{name:<{width}}  {value:>20}  {note}".rstrip() for name, value, note in rows)
    return (
        f"hook: {result.lines:,} UPDATEs with distinct attributes, lines of {result.line_octets} octets, "
        f"ExaBGP {result.exabgp}, Python {platform.python_version()}, {os.cpu_count()} cores\n{table}\n"
        "What limits: ExaBGP's own core, which parses and prints. Of the hook's time a line JSON (msgspec) is a\n"
        "seventh; the rest builds the frozen values of a route. Memory is those values: attribute octets, prefix,\n"
        "key, route, attributes, and two dictionary entries."
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table, or JSON; 0 when both targets are met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=20_000, help="UPDATEs that ExaBGP is sent [20000]")
    parser.add_argument("--routes", type=int, default=100_000, help="routes whose memory is measured [100000]")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args(argv)
    result = measure(args.lines, args.routes)
    print(json.dumps({**asdict(result), "ratio": result.ratio}) if args.json else report(result))
    return 0 if result.ratio >= RATIO and result.octets_a_route < BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
