"""The hook between pipes, as ExaBGP would hold them, and its unix socket."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from softmesh.bgp.adj_rib_in import NeighborChanged, NeighborStale, RouteChanged, RouteWithdrawn
from softmesh.bgp.announcement import Announcement, announce_command, withdraw_command, without_attribute
from softmesh.bgp.extended_next_hop import Lacking
from softmesh.bgp.hook import Hook
from softmesh.bgp.hook_client import HookClient
from softmesh.bgp.hook_protocol import (
    CommandFailed,
    FromHook,
    Hello,
    Resynchronise,
    SnapshotComplete,
    decode_from_hook,
)
from softmesh.bgp.route import UNICAST, Family, SessionState
from softmesh.errors import OperatorError
from tests.unit.bgp.exabgp_lines import PEER, announce, end_of_rib, open_read, refresh, state, withdraw

START = ["show neighbor summary", "announce route-refresh ipv4 unicast", "announce route-refresh ipv6 unicast"]
DEADLINE = 5.0


class ExaBgp:
    """ExaBGP's side of a hook that runs in a thread of this process."""

    def __init__(self, path: Path, **options: float) -> None:
        self.path = path
        self.logged: list[str] = []
        self._to_hook, self._from_hook = os.pipe(), os.pipe()
        self._partial = b""
        self.error: OperatorError | None = None
        self.hook = Hook(
            self._to_hook[0],
            self._from_hook[1],
            str(path),
            log=self.logged.append,
            **options,  # type: ignore[arg-type]
        )
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.hook.run()
        except OperatorError as error:
            self.error = error

    def write(self, *lines: bytes) -> None:
        """Print lines to the hook; fails rather than block."""
        data = b"".join(line + b"\n" for line in lines)
        while data:
            assert select.select([], [self._to_hook[1]], [], DEADLINE)[1], "the hook does not read its pipe"
            data = data[os.write(self._to_hook[1], data[:4096]) :]

    def command(self) -> str:
        """The next command the hook gives."""
        while b"\n" not in self._partial:
            assert select.select([self._from_hook[0]], [], [], DEADLINE)[0], "no command came"
            self._partial += os.read(self._from_hook[0], 65536)
        line, _, self._partial = self._partial.partition(b"\n")
        return line.decode()

    async def commanded(self) -> str:
        """``command`` for a test whose event loop has other work."""
        return await asyncio.to_thread(self.command)

    def no_command(self) -> bool:
        """Whether nothing more is commanded for a moment."""
        return not self._partial and not select.select([self._from_hook[0]], [], [], 0.2)[0]

    def answer_start(self) -> None:
        """Take the questions every hook begins with; no session stands yet."""
        for question in START:
            assert self.command() == question
            self.write(b"done" if question.startswith("show") else b"error")

    def close(self) -> None:
        """End as ExaBGP does."""
        if self._to_hook[1] >= 0:
            os.close(self._to_hook[1])
            self._to_hook = (self._to_hook[0], -1)
        self.thread.join(DEADLINE)
        assert not self.thread.is_alive(), "the hook does not end"


@pytest.fixture
def exabgp(tmp_path: Path) -> Iterator[ExaBgp]:
    made = ExaBgp(tmp_path / "run" / "hook.sock")
    try:
        yield made
    finally:
        made.close()


class Reader:
    """A plain reader of the socket."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(DEADLINE)
        eventually(path.exists)
        self._socket.connect(str(path))
        self._lines = self._socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def message(self) -> FromHook | None:
        """The next message; None at the end of the connection."""
        line = self._lines.readline()
        return decode_from_hook(line) if line.endswith(b"\n") else None

    def until(self, kind: type[FromHook]) -> list[FromHook]:
        """Messages up to and with the first of a kind."""
        messages: list[FromHook] = []
        while not messages or not isinstance(messages[-1], kind):
            message = self.message()
            assert message is not None, f"the connection ended before {kind.__name__}: {messages}"
            messages.append(message)
        return messages

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class Mirrored:
    """A HookClient that is running."""

    def __init__(self, path: Path, wanted: frozenset[Announcement] | None = None) -> None:
        self.changes = 0
        self.delays: list[float] = []
        self.client = HookClient(str(path), on_change=self._changed, on_delay=self.delays.append)
        if wanted is not None:
            self.client.announce(wanted)

    def _changed(self) -> None:
        self.changes += 1

    async def __aenter__(self) -> Mirrored:
        self._task = asyncio.ensure_future(self.client.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def prefixes(self) -> set[str]:
        return {key.prefix for key in self.client.routes}

    def holds(self, *prefixes: str) -> bool:
        return self.client.synced and self.prefixes() == set(prefixes)

    async def until(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < deadline, f"{what}: {self.client.routes} {self.client.neighbors}"
            assert not self._task.done(), self._task
            await asyncio.sleep(0.005)


async def test_snapshot_then_stream_to_several_readers(exabgp: ExaBgp) -> None:
    exabgp.write(state("up"), announce("10.2.0.0/16", counter=2))
    async with Mirrored(exabgp.path) as first, Mirrored(exabgp.path) as second:
        for mirrored in (first, second):
            await mirrored.until(partial(mirrored.holds, "10.2.0.0/16"), "snapshot")
        exabgp.write(announce("10.3.0.0/16", counter=3), end_of_rib(counter=4), withdraw("10.2.0.0/16", counter=5))
        for mirrored in (first, second):
            await mirrored.until(partial(mirrored.holds, "10.3.0.0/16"), "stream")
            assert mirrored.client.neighbors[PEER].state is SessionState.UP
            assert mirrored.client.neighbors[PEER].end_of_rib == {Family.IPV4_UNICAST}
            assert mirrored.changes > 0


async def test_a_large_snapshot_is_the_same_as_the_stream(exabgp: ExaBgp) -> None:
    expected = {f"10.{number >> 8}.{number & 255}.0/24" for number in range(5000)}
    async with Mirrored(exabgp.path) as streamed:
        for counter, prefix in enumerate(sorted(expected), 1):
            exabgp.write(announce(prefix, counter=counter, tunnel=f"0x{counter:08x}"))
            if counter % 500 == 0:
                await asyncio.sleep(0)
        await streamed.until(lambda: streamed.prefixes() == expected, "stream")
        async with Mirrored(exabgp.path) as snapshot:
            await snapshot.until(lambda: snapshot.client.synced, "snapshot")
            assert snapshot.client.routes == streamed.client.routes


async def test_killed_hook_loses_no_route_from_the_mirror(tmp_path: Path) -> None:
    path = tmp_path / "hook.sock"
    first = ExaBgp(path)
    first.write(state("up"), announce("10.2.0.0/16", counter=2), announce("10.3.0.0/16", counter=3))
    first.write(end_of_rib(counter=4), end_of_rib("ipv6", counter=5))
    async with Mirrored(path) as mirrored:
        await mirrored.until(lambda: mirrored.client.synced and len(mirrored.prefixes()) == 2, "first hook")
        first.close()
        await mirrored.until(lambda: not mirrored.client.connected, "disconnected")
        second = ExaBgp(path)
        try:
            await mirrored.until(lambda: mirrored.client.synced, "second hook")
            assert mirrored.prefixes() == {"10.2.0.0/16", "10.3.0.0/16"}
            for question in START:
                assert await second.commanded() == question
                rows = [b"10.0.1.1  65000  0:00:04 established  1  3"] if question.startswith("show") else []
                second.write(*rows, b"done")
            second.write(refresh("begin", counter=9), announce("10.3.0.0/16", counter=10))
            await mirrored.until(lambda: any(r.received_at > 0 for r in mirrored.client.routes.values()), "update")
            assert mirrored.prefixes() == {"10.2.0.0/16", "10.3.0.0/16"}
            second.write(refresh("end", counter=11))
            await mirrored.until(lambda: mirrored.prefixes() == {"10.3.0.0/16"}, "the refresh is complete")
        finally:
            second.close()


def test_a_stalled_reader_is_told_to_resynchronise_and_delays_nobody(tmp_path: Path) -> None:
    exabgp = ExaBgp(tmp_path / "hook.sock", queue=200_000)
    try:
        stalled = Reader(exabgp.path)
        stalled.until(SnapshotComplete)
        good = Reader(exabgp.path)
        good.until(SnapshotComplete)
        for number in range(4000):
            exabgp.write(announce(f"10.{number >> 8}.{number & 255}.0/24", counter=number + 1))
            good.message()
        eventually(lambda: any("too slow" in line for line in exabgp.logged))
        messages = stalled.until(Resynchronise)
        assert len(messages) < 4000
        assert stalled.message() is None
        stalled.close()
        good.close()
        fresh = Reader(exabgp.path)
        assert sum(isinstance(message, RouteChanged) for message in fresh.until(SnapshotComplete)) == 4000
        fresh.close()
    finally:
        exabgp.close()


async def test_a_gap_in_the_count_asks_that_neighbor_for_its_routes(exabgp: ExaBgp) -> None:
    exabgp.write(state("up", counter=1), announce("10.2.0.0/16", counter=2), announce("10.3.0.0/16", counter=3))
    exabgp.write(end_of_rib(counter=4), end_of_rib("ipv6", counter=5))
    await asyncio.to_thread(exabgp.answer_start)
    async with Mirrored(exabgp.path) as mirrored:
        await mirrored.until(lambda: mirrored.client.synced, "snapshot")
        assert mirrored.client.neighbors[PEER].end_of_rib == UNICAST
        exabgp.write(announce("10.4.0.0/16", counter=7))
        assert await exabgp.commanded() == f"neighbor {PEER} announce route-refresh ipv4 unicast"
        await mirrored.until(lambda: mirrored.client.neighbors[PEER].end_of_rib == set(), "refreshing")
        assert mirrored.client.lost_lines == 1
        exabgp.write(b"done")
        assert await exabgp.commanded() == f"neighbor {PEER} announce route-refresh ipv6 unicast"
        exabgp.write(b"done", refresh("begin", counter=8), announce("10.3.0.0/16", counter=9))
        exabgp.write(announce("10.4.0.0/16", counter=10), refresh("end", counter=11))
        await mirrored.until(lambda: mirrored.prefixes() == {"10.3.0.0/16", "10.4.0.0/16"}, "refreshed")
    assert any(f"1 lines about {PEER} were lost" in line for line in exabgp.logged)
    async with Mirrored(exabgp.path) as later:
        await later.until(lambda: later.client.synced, "snapshot")
        assert later.client.lost_lines == 1, "who comes later is told as well"


async def test_it_is_told_how_long_the_hook_has_had_what_comes_after_the_snapshot(exabgp: ExaBgp) -> None:
    exabgp.write(announce("10.2.0.0/16"))
    async with Mirrored(exabgp.path) as mirrored:
        await mirrored.until(lambda: mirrored.holds("10.2.0.0/16"), "the snapshot")
        assert mirrored.delays == [], "what is in the snapshot may be of any age"
        exabgp.write(announce("10.3.0.0/16"))
        await mirrored.until(lambda: mirrored.holds("10.2.0.0/16", "10.3.0.0/16"), "the change")
        (delay,) = mirrored.delays
        assert 0 <= delay < DEADLINE
        assert mirrored.client.unread == 0
        assert mirrored.client.route_counts() == {PEER: {"ipv4 unicast": 2}}
    assert mirrored.client.unread == 0, "there is no socket any more"


async def test_malformed_lines_are_reported_once_and_hurt_nothing(exabgp: ExaBgp) -> None:
    async with Mirrored(exabgp.path) as mirrored:
        exabgp.write(b"{ broken", b"\xff\xfe", b"", b"x" * 3_000_000, announce("10.2.0.0/16"))
        await mirrored.until(lambda: mirrored.prefixes() == {"10.2.0.0/16"}, "the good line")
    complaints = [line for line in exabgp.logged if "cannot be read" in line]
    assert len(complaints) == 1
    assert "\n" not in complaints[0]


async def test_announcements_follow_the_bridge(exabgp: ExaBgp) -> None:
    one, two = Announcement("10.1.0.0/16", "10.0.0.1", b"\x01"), Announcement("10.9.0.0/16", "10.0.0.1", b"\x01")
    await asyncio.to_thread(exabgp.answer_start)
    async with Mirrored(exabgp.path, frozenset({one, two})) as mirrored:
        assert [await exabgp.commanded(), await exabgp.commanded()] == [announce_command(one), announce_command(two)]
        exabgp.write(b"done", b"error")
        await mirrored.until(lambda: mirrored.client.errors, "the refusal")
        assert "10.9.0.0/16" in mirrored.client.errors[-1].text
        mirrored.client.announce(frozenset())
        assert await exabgp.commanded() == withdraw_command(one)
        exabgp.write(b"done")
    assert exabgp.no_command()


async def test_end_of_rib_is_said_when_all_is_announced_and_not_before(exabgp: ExaBgp) -> None:
    one = Announcement("10.1.0.0/16", "10.0.0.1", b"\x01")
    await asyncio.to_thread(exabgp.answer_start)
    exabgp.write(state("up", counter=1), end_of_rib("ipv4", counter=2))
    assert exabgp.no_command(), "the bridge has not said yet what is to be announced"
    async with Mirrored(exabgp.path, frozenset({one})):
        assert await exabgp.commanded() == announce_command(one)
        assert exabgp.no_command(), "ExaBGP has not answered yet"
        exabgp.write(b"done")
        assert await exabgp.commanded() == f"neighbor {PEER} announce eor ipv4 unicast"
        exabgp.write(b"done")
        assert exabgp.no_command(), "the family the neighbour never used is not mentioned"


async def test_announcements_stay_when_the_bridge_goes(exabgp: ExaBgp) -> None:
    one = Announcement("10.1.0.0/16", "10.0.0.1", b"\x01")
    await asyncio.to_thread(exabgp.answer_start)
    async with Mirrored(exabgp.path, frozenset({one})):
        assert await exabgp.commanded() == announce_command(one)
        exabgp.write(b"done")
    assert exabgp.no_command()


async def test_a_new_hook_withdraws_what_its_predecessor_announced(tmp_path: Path) -> None:
    path = tmp_path / "hook.sock"
    one, two = Announcement("10.1.0.0/16", "10.0.0.1", b"\x01"), Announcement("10.9.0.0/16", "10.0.0.1", b"\x01")
    first = ExaBgp(path)
    await asyncio.to_thread(first.answer_start)
    async with Mirrored(path, frozenset({one, two})):
        assert {await first.commanded(), await first.commanded()} == {announce_command(one), announce_command(two)}
        # No acknowledgement is ever read: the file was written before the commands.
    first.close()
    second = ExaBgp(path)
    await asyncio.to_thread(second.answer_start)
    assert second.no_command()
    async with Mirrored(path, frozenset({two})):
        assert {await second.commanded(), await second.commanded()} == {withdraw_command(one), announce_command(two)}
        second.write(b"done", b"done")
        eventually(lambda: b"10.1.0.0" not in (tmp_path / "hook.sock.announced").read_bytes())
    second.close()


async def test_a_new_hook_knows_who_refused_attribute_23(tmp_path: Path) -> None:
    path = tmp_path / "hook.sock"
    one = Announcement("10.1.0.0/16", "10.0.0.1", b"\x01", neighbors=frozenset({PEER}), fallback_communities=(7,))
    without = announce_command(without_attribute(one))
    first = ExaBgp(path)
    await asyncio.to_thread(first.answer_start)
    async with Mirrored(path, frozenset({one})) as mirrored:
        assert await first.commanded() == announce_command(one)
        first.write(b"done")
        for counter in (1, 3):
            first.write(state("up", counter=counter))
            first.write(state("down", counter=counter + 1, reason="notification received (3,9)"))
        await mirrored.until(lambda: PEER in mirrored.client.refused, "the refusal")
        assert await first.commanded() == without
        # The answer is never read.
    first.close()
    assert stat.S_IMODE((tmp_path / "hook.sock.refused").stat().st_mode) == 0o600

    second = ExaBgp(path)
    await asyncio.to_thread(second.answer_start)
    async with Mirrored(path, frozenset({one})) as mirrored:
        assert await second.commanded() == without
        second.write(b"done")
        await mirrored.until(lambda: PEER in mirrored.client.refused, "the refusal is told to whoever connects")
        mirrored.client.try_attribute(PEER)
        assert await second.commanded() == announce_command(one)
        second.write(b"done")
        await mirrored.until(lambda: not mirrored.client.refused, "it is forgotten")
    second.close()
    assert (tmp_path / "hook.sock.refused").read_bytes() == b"{}"


async def test_a_new_hook_knows_with_whom_rfc_8950_is_not_negotiated(tmp_path: Path) -> None:
    path = tmp_path / "hook.sock"
    crossing = Announcement("10.1.0.0/16", "2001:db8::1", neighbors=frozenset({PEER}))
    plain = Announcement("2001:db8:1::/48", "2001:db8::1", neighbors=frozenset({PEER}))
    first = ExaBgp(path)
    await asyncio.to_thread(first.answer_start)
    first.write(open_read("ipv4/unicast/ipv6", sent=True), open_read(counter=2), state("up", counter=3))
    async with Mirrored(path, frozenset({crossing, plain})) as mirrored:
        assert await first.commanded() == announce_command(plain)
        await mirrored.until(lambda: mirrored.client.lacking == {PEER: Lacking.NEIGHBOR}, "what was negotiated")
    first.close()
    assert stat.S_IMODE((tmp_path / "hook.sock.lacking").stat().st_mode) == 0o600

    second = ExaBgp(path)
    await asyncio.to_thread(second.answer_start)
    async with Mirrored(path, frozenset({crossing, plain})) as mirrored:
        assert await second.commanded() == announce_command(plain)
        second.write(b"done")
        await mirrored.until(lambda: mirrored.client.lacking == {PEER: Lacking.NEIGHBOR}, "whoever connects is told")
        second.write(open_read("ipv4/unicast/ipv6", counter=9))
        await mirrored.until(lambda: not mirrored.client.lacking, "the next session")
        assert await second.commanded() == announce_command(crossing)
    second.close()


def test_garbage_closes_the_connection_it_came_on_and_no_other(exabgp: ExaBgp) -> None:
    good, bad = Reader(exabgp.path), Reader(exabgp.path)
    good.until(SnapshotComplete)
    bad.until(SnapshotComplete)
    bad.send(b"shutdown\n")
    assert isinstance(bad.message(), Resynchronise)
    assert bad.message() is None
    exabgp.write(announce("10.2.0.0/16"))
    assert good.message() is not None
    good.close()
    bad.close()


def test_a_command_hidden_in_an_announcement_is_not_given(exabgp: ExaBgp) -> None:
    exabgp.answer_start()
    reader = Reader(exabgp.path)
    reader.send(
        b'{"type":"wanted","version":4,"announcements":[{"prefix":"10.0.0.0/8","next_hop":"fe80::1%\\nshutdown"}]}\n'
    )
    assert isinstance(reader.until(CommandFailed)[-1], CommandFailed)
    assert exabgp.no_command()
    reader.close()


def test_unread_acknowledgements_are_bounded(exabgp: ExaBgp) -> None:
    exabgp.answer_start()
    reader = Reader(exabgp.path)
    announcements = b",".join(
        b'{"prefix":"10.%d.%d.0/24","next_hop":"10.0.0.1"}' % (number >> 8, number & 255) for number in range(1000)
    )
    reader.send(b'{"type":"wanted","version":4,"announcements":[' + announcements + b"]}\n")
    given = [exabgp.command() for _ in range(32)]
    assert len(set(given)) == 32
    assert exabgp.no_command()
    exabgp.write(b"done")
    assert exabgp.command() not in given
    reader.close()


def test_stale_routes_expire(tmp_path: Path) -> None:
    exabgp = ExaBgp(tmp_path / "hook.sock", stale_time=0.3)
    reader = Reader(exabgp.path)
    reader.until(SnapshotComplete)
    exabgp.write(state("up"), announce("10.2.0.0/16", counter=2), state("down", counter=3))
    kinds = [type(message) for message in reader.until(RouteWithdrawn)]
    assert kinds == [NeighborChanged, RouteChanged, NeighborChanged, NeighborStale, RouteWithdrawn]
    reader.close()
    exabgp.close()


def test_the_socket_is_private_and_goes_with_the_hook(exabgp: ExaBgp) -> None:
    Reader(exabgp.path).close()
    assert stat.S_IMODE(exabgp.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(exabgp.path.parent.stat().st_mode) == 0o700
    exabgp.close()
    assert not exabgp.path.exists()


def test_shutdown_ends_the_hook(exabgp: ExaBgp) -> None:
    exabgp.write(b'{ "exabgp": "5.0.0", "type": "notification", "notification": "shutdown" }')
    exabgp.thread.join(DEADLINE)
    assert not exabgp.thread.is_alive()
    assert not exabgp.path.exists()


def test_a_dead_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "hook.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    exabgp = ExaBgp(path)
    eventually(lambda: path.exists() and _answers(path))
    exabgp.close()


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def test_the_hook_of_a_reload_waits_for_its_predecessor_to_leave(tmp_path: Path) -> None:
    first = ExaBgp(tmp_path / "hook.sock")
    Reader(first.path).close()
    second = ExaBgp(first.path)
    second.write(announce("10.2.0.0/16"))
    second.answer_start()
    first.close()
    eventually(first.path.exists)
    reader = Reader(first.path)
    assert sum(isinstance(message, RouteChanged) for message in reader.until(SnapshotComplete)) == 1
    reader.close()
    second.close()


# --- the command


def command(*arguments: str, stdin: int = subprocess.DEVNULL) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "softmesh", "hook", *arguments],
        stdin=stdin, capture_output=True, text=True, check=False, timeout=20,
    )  # fmt: skip


def test_a_busy_socket_is_one_line(tmp_path: Path) -> None:
    exabgp = ExaBgp(tmp_path / "hook.sock")
    Reader(exabgp.path).close()
    read, write = os.pipe()
    done = command("--socket", str(exabgp.path), stdin=read)
    os.close(read)
    os.close(write)
    exabgp.close()
    assert done.returncode == 1
    assert done.stderr == (
        f"softmesh: {exabgp.path}: another hook is listening; stop it, or give this one another --socket\n"
    )


def test_a_socket_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = command("--socket", str(tmp_path / "file" / "hook.sock"))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "see --socket" in done.stderr


def test_by_hand_it_says_who_starts_it() -> None:
    leader, follower = os.openpty()
    done = command(stdin=follower)
    os.close(leader)
    os.close(follower)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "process stanza" in done.stderr


def test_sigterm_removes_the_socket(tmp_path: Path) -> None:
    path = tmp_path / "hook.sock"
    process = subprocess.Popen(
        [sys.executable, "-m", "softmesh", "hook", "--socket", str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    eventually(path.exists)
    process.terminate()
    assert process.wait(DEADLINE) == 0
    assert process.stdin is not None
    process.stdin.close()
    assert not path.exists()


def test_first_message_is_hello(exabgp: ExaBgp) -> None:
    reader = Reader(exabgp.path)
    hello = reader.message()
    assert isinstance(hello, Hello)
    assert hello.pid == os.getpid()
    reader.close()
