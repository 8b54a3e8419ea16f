"""The hook: ExaBGP's child process, between ExaBGP's pipes and the readers on a unix socket.

One thread and no blocking call: ExaBGP's write to us blocks its whole reactor, keepalives included, so its
pipe is always read first and every other piece of work in a turn of the loop is bounded.

What ExaBGP was told to announce is remembered in a file beside the socket, written before the commands are: a
hook that is started again withdraws what its predecessor announced and the bridge no longer wants.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import selectors
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from softmesh.bgp.adj_rib_in import AdjRibIn, Change, NeighborChanged, RouteChanged
from softmesh.bgp.announcement import Announcement
from softmesh.bgp.end_of_rib import EndOfRibDebt
from softmesh.bgp.exabgp_commands import Answered, ExaBgpCommands
from softmesh.bgp.exabgp_json import (
    MAX_LINE,
    Acknowledgement,
    EndOfRib,
    Malformed,
    NeighborEvent,
    NeighborListed,
    RefreshMarked,
    SessionChanged,
    Shutdown,
    UpdateReceived,
    excerpt,
    parse_line,
)
from softmesh.bgp.hook_protocol import (
    MAX_MESSAGE,
    VERSION,
    CommandFailed,
    FromHook,
    Hello,
    LineBuffer,
    LineTooLong,
    Resynchronise,
    SnapshotComplete,
    decode_to_hook,
    encode,
)
from softmesh.bgp.route import Family, Route, SessionState
from softmesh.bgp.route_refresh import RouteRefresh
from softmesh.errors import OperatorError, PeerError

DEFAULT_SOCKET = "/run/softmesh/hook.sock"
DEFAULT_STALE_TIME = 300.0

_READ = 256 * 1024
_PIPE = 1024 * 1024
_SNAPSHOT_ROUTES = 256
_TURN = 256 * 1024
"""Octets sent to one reader in one turn."""
_QUEUE = 16 * 1024 * 1024
"""Octets of changes kept for a reader that does not read."""
_READERS = 32
_FAREWELL = 10.0
"""Seconds a dropped reader has to read why."""
_BUSY = 3.5
"""Seconds a predecessor on the socket is given to go away: on a reload ExaBGP starts the new hook first."""
_SILENCE_AFTER_MALFORMED = 10.0


class Hook:
    """Reads ExaBGP on ``stdin``, commands it on ``stdout`` (file descriptors), serves readers at ``path``."""

    def __init__(
        self,
        stdin: int,
        stdout: int,
        path: str,
        *,
        stale_time: float = DEFAULT_STALE_TIME,
        queue: int = _QUEUE,
        monotonic: Callable[[], float] = time.monotonic,
        log: Callable[[str], None] | None = None,
    ) -> None:
        self._stdin = stdin
        self._stdout = stdout
        self._socket = _ServerSocket(path)
        self._memory = _Memory(f"{path}.announced")
        self._stale_time = stale_time
        self._queue = queue
        self._monotonic = monotonic
        self._log = log or _to_stderr
        self._instance = secrets.token_hex(8)
        self._rib = AdjRibIn()
        self._refresh = RouteRefresh()
        self._debt = EndOfRibDebt()
        self._lines = LineBuffer(MAX_LINE)
        self._readers: dict[int, _Reader] = {}
        self._output: deque[bytes] = deque()
        self._selector = selectors.PollSelector()
        self._stopping = False
        self._malformed = 0
        self._malformed_since: float | None = None
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)

    def stop(self) -> None:
        """End ``run`` soon; may be called from a signal handler or another thread."""
        self._stopping = True
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"\0")

    def run(self) -> int:
        """Serve until ExaBGP closes its pipe, says shutdown, or ``stop`` is called; returns 0.

        Raises OperatorError when the socket cannot be had.
        """
        with contextlib.suppress(OSError):
            # More room between ExaBGP and us, where the kernel allows it.
            fcntl.fcntl(self._stdin, fcntl.F_SETPIPE_SZ, _PIPE)
        self._commands = ExaBgpCommands(self._memory.read(self._log))
        self._started = self._monotonic()
        self._selector.register(self._stdin, selectors.EVENT_READ)
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        try:
            self._listen()
            self._ask_everything()
            self._command(self._started)
            while not self._stopping:
                self._turn()
        finally:
            self._close()
        return 0

    def _turn(self) -> None:
        self._watch_writers()
        ready = {key.fd: events for key, events in self._selector.select(self._timeout())}
        now = self._monotonic()
        if self._wake_read in ready:
            os.read(self._wake_read, 4096)
        if self._stdin in ready:
            self._read_exabgp(now)
        if self._socket.fileno in ready:
            self._accept()
        for reader in list(self._readers.values()):
            events = ready.get(reader.fileno, 0)
            if events & selectors.EVENT_READ:
                self._hear(reader, now)
            if events & selectors.EVENT_WRITE and reader.fileno in self._readers and not reader.send():
                self._forget(reader)
        if self._stdout in ready:
            self._write_exabgp()
        self._timers(now)
        self._command(now)

    # --- ExaBGP

    def _read_exabgp(self, now: float) -> None:
        try:
            data = os.read(self._stdin, _READ)
        except (BlockingIOError, InterruptedError):
            return
        if not data:
            self._stopping = True
            return
        changes: list[Change] = []
        for line in self._lines.feed(data):
            changes += self._line(line, now)
        self._publish(changes)

    def _line(self, line: bytes | LineTooLong, now: float) -> list[Change]:
        if isinstance(line, LineTooLong):
            self._complain(Malformed(excerpt(line.start), f"longer than {MAX_LINE} octets"), now)
            return []
        event = parse_line(line)
        if isinstance(event, Acknowledgement):
            answered = self._commands.answered(event.done)
            if answered is not None:
                self._answered(answered, now)
        elif isinstance(event, Malformed):
            self._complain(event, now)
        elif isinstance(event, Shutdown):
            self._stopping = True
        elif event.neighbor is not None:
            return self._about_neighbor(event.neighbor, event, now)
        return []

    def _about_neighbor(self, neighbor: str, event: NeighborEvent | NeighborListed, now: float) -> list[Change]:
        known = neighbor in self._rib.neighbors
        changes = self._rib.apply(event, now)
        self._refresh.heard(neighbor, now)
        if not isinstance(event, NeighborListed) and event.counter is not None:
            self._refresh.counted(neighbor, event.counter, now)
        for family in _families(event):
            self._debt.family_used(neighbor, family)
        if isinstance(event, SessionChanged):
            self._debt.session_changed(neighbor)
            for family in Family:
                self._refresh.ended(neighbor, family)
        elif isinstance(event, RefreshMarked) and event.begins and event.family is not None:
            self._refresh.begun(neighbor, event.family, now, sent=True)
        elif isinstance(event, EndOfRib | RefreshMarked):
            if event.family is not None:
                self._refresh.ended(neighbor, event.family)
        elif not known and self._is_established(neighbor):
            # A session older than this process: the request made at the start brings what it announced.
            changes += self._await_refresh(neighbor, now)
        return changes

    def _is_established(self, neighbor: str) -> bool:
        known = self._rib.neighbors.get(neighbor)
        return known is not None and known.state is SessionState.UP

    def _await_refresh(self, neighbor: str, now: float) -> list[Change]:
        changes: list[Change] = []
        for family in Family:
            changes += self._rib.begin_refresh(neighbor, family)
            self._refresh.begun(neighbor, family, now, sent=False)
        return changes

    def _complain(self, malformed: Malformed, now: float) -> None:
        self._malformed += 1
        if self._malformed_since is None:
            self._malformed_since = now
            self._log(f"ExaBGP sent a line that cannot be read: {malformed.reason}: {malformed.excerpt}")

    def _ask_everything(self) -> None:
        self._commands.ask("show neighbor summary")
        for family in Family:
            self._commands.ask(_refresh_command(None, family))

    def _answered(self, answered: Answered, now: float) -> None:
        requested = _refresh_requested(answered.command)
        if requested is not None:
            neighbor, family = requested
            if answered.done:
                self._refresh.sent(neighbor, family, now)
            # An error means that no such session stands: all its routes come with the next one.
            return
        if not answered.done and answered.about_route:
            self._fail(answered.command, "ExaBGP answered: error; its log says why")

    def _fail(self, command: str, reason: str) -> None:
        self._log(f"{command[:200]}: {reason}")
        self._tell(CommandFailed(command[:1000], reason, self._monotonic()))

    def _command(self, now: float) -> None:
        if self._commands.settled and self._commands.wanted_known:
            for payment in self._debt.pay():
                self._commands.ask(payment)
        while (command := self._commands.following(now)) is not None:
            self._output.append(command.encode("ascii") + b"\n")
        if self._commands.settled:
            self._memory.write(self._commands.possibly_announced(), self._log)

    def _write_exabgp(self) -> None:
        # A pipe that polls as writable takes this much without blocking (PIPE_BUF).
        data = self._output.popleft()
        try:
            written = os.write(self._stdout, data[:4096])
        except (BlockingIOError, InterruptedError):
            written = 0
        except BrokenPipeError:
            self._stopping = True
            return
        if written < len(data):
            self._output.appendleft(data[written:])

    # --- readers

    def _accept(self) -> None:
        connection = self._socket.accept()
        if connection is None:
            return
        if len(self._readers) >= _READERS:
            self._log(f"{_READERS} readers are connected: refused one more")
            connection.close()
            return
        hello = Hello(VERSION, self._instance, os.getpid(), self._stale_time)
        reader = _Reader(connection, self._queue, self._snapshot(hello))
        self._readers[reader.fileno] = reader
        self._selector.register(reader.fileno, selectors.EVENT_READ | selectors.EVENT_WRITE)

    def _snapshot(self, hello: Hello) -> Iterator[bytes]:
        neighbors = [NeighborChanged(neighbor) for neighbor in self._rib.neighbors.values()]
        routes = list(self._rib.routes.values())
        return _snapshot(hello, neighbors, routes)

    def _hear(self, reader: _Reader, now: float) -> None:
        try:
            data = reader.connection.recv(_READ)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._forget(reader)
            return
        for line in reader.lines.feed(data):
            try:
                announcements = _wanted(line)
            except PeerError as error:
                self._log(f"{error}; closed its connection")
                reader.dismiss(str(error), now + _FAREWELL)
                return
            self._want(announcements, now)

    def _want(self, announcements: list[Announcement], now: float) -> None:
        failures = self._commands.want(announcements)
        self._memory.write(self._commands.possibly_announced(), self._log)
        for failure in failures:
            self._fail(failure.command, failure.reason)
        self._command(now)

    def _publish(self, changes: Iterable[Change]) -> None:
        if changes and self._readers:
            self._tell_all(b"".join(map(encode, changes)))

    def _tell(self, message: FromHook) -> None:
        self._tell_all(encode(message))

    def _tell_all(self, data: bytes) -> None:
        for reader in self._readers.values():
            if not reader.offer(data):
                self._log("a reader is too slow: it must connect again for a new snapshot")
                reader.dismiss("too slow: changes were dropped", self._monotonic() + _FAREWELL)

    def _forget(self, reader: _Reader) -> None:
        self._selector.unregister(reader.fileno)
        del self._readers[reader.fileno]
        reader.connection.close()

    # --- the loop's bookkeeping

    def _watch_writers(self) -> None:
        for reader in self._readers.values():
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if reader.has_more else 0)
            if self._selector.get_key(reader.fileno).events != wanted:
                self._selector.modify(reader.fileno, wanted)
        watched = self._stdout in self._selector.get_map()
        if self._output and not watched:
            self._selector.register(self._stdout, selectors.EVENT_WRITE)
        elif watched and not self._output:
            self._selector.unregister(self._stdout)

    def _timeout(self) -> float:
        deadlines = [self._refresh.deadline(), self._commands.deadline()]
        left = [max(0.0, deadline - self._monotonic()) for deadline in deadlines if deadline is not None]
        return min([*left, 0.25 if self._socket.fileno == -1 else 1.0])

    def _timers(self, now: float) -> None:
        if self._socket.fileno == -1:
            self._listen()
        for answered in self._commands.overdue(now):
            self._log(f"ExaBGP did not answer: {answered.command[:80]}; is exabgp.api.ack false?")
            self._answered(answered, now)
        for neighbor, missing in self._refresh.due(now):
            self._log(
                f"{missing} lines about {neighbor} were lost: asking it for its routes again "
                "(a second process on this neighbour, or debug logging, in ExaBGP has the same effect)"
            )
            self._publish(self._await_refresh(neighbor, now))
            for family in Family:
                self._commands.ask(_refresh_command(neighbor, family))
        for neighbor, family in self._refresh.silent(now):
            self._publish(self._rib.complete(neighbor, family, now, exact=False))
        self._publish(self._rib.expire(now, self._stale_time))
        for reader in list(self._readers.values()):
            if reader.leaves_at is not None and (now >= reader.leaves_at or not reader.has_more):
                self._forget(reader)
        if self._malformed_since is not None and now - self._malformed_since >= _SILENCE_AFTER_MALFORMED:
            if self._malformed > 1:
                self._log(f"{self._malformed - 1} more lines could not be read")
            self._malformed, self._malformed_since = 0, None

    def _listen(self) -> None:
        try:
            self._socket.open()
        except _BusyError:
            if self._monotonic() - self._started >= _BUSY:
                raise
            return
        self._selector.register(self._socket.fileno, selectors.EVENT_READ)

    def _close(self) -> None:
        for reader in list(self._readers.values()):
            self._forget(reader)
        self._socket.close()
        self._selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)


class _Reader:
    """A connection with a snapshot still to be sent and a bounded queue of changes after it."""

    def __init__(self, connection: socket.socket, limit: int, snapshot: Iterator[bytes]) -> None:
        self.connection = connection
        self.fileno = connection.fileno()
        self.lines = LineBuffer(MAX_MESSAGE)
        self.leaves_at: float | None = None
        self._limit = limit
        self._snapshot: Iterator[bytes] | None = snapshot
        self._changes: deque[bytes] = deque()
        self._size = 0
        self._sending = b""
        self._sent = 0

    @property
    def has_more(self) -> bool:
        """Whether something is left to be sent."""
        return bool(self._sent < len(self._sending) or self._snapshot is not None or self._changes)

    def offer(self, data: bytes) -> bool:
        """Queue whole lines; False when the queue is full and they were not taken."""
        if self.leaves_at is not None:
            return True
        if self._size + len(data) > self._limit:
            return False
        self._changes.append(data)
        self._size += len(data)
        return True

    def dismiss(self, reason: str, at: float) -> None:
        """Drop all that is queued, say why, and be closed once that is read, or at ``at``."""
        if self._sent and self._sending[self._sent - 1 : self._sent] != b"\n":
            end = self._sending.find(b"\n", self._sent) + 1
            self._sending = self._sending[:end]
        else:
            self._sending, self._sent = b"", 0
        self._snapshot = None
        self._changes = deque([encode(Resynchronise(reason))])
        self._size = 0
        self.leaves_at = at

    def send(self) -> bool:
        """Send what the reader takes now, up to a turn's share; False when it is gone."""
        share = _TURN
        while share > 0 and self.has_more:
            if self._sent >= len(self._sending):
                self._sending, self._sent = self._next(), 0
                continue
            try:
                sent = self.connection.send(memoryview(self._sending)[self._sent : self._sent + share])
            except (BlockingIOError, InterruptedError):
                return True
            except OSError:
                return False
            self._sent += sent
            share -= sent
        return True

    def _next(self) -> bytes:
        if self._snapshot is not None:
            part = next(self._snapshot, None)
            if part is not None:
                return part
            self._snapshot = None
        if not self._changes:
            return b""
        data = self._changes.popleft()
        self._size -= len(data)
        return data


def _snapshot(hello: Hello, neighbors: list[NeighborChanged], routes: list[Route]) -> Iterator[bytes]:
    yield b"".join([encode(hello), *map(encode, neighbors)])
    for start in range(0, len(routes), _SNAPSHOT_ROUTES):
        yield b"".join([encode(RouteChanged(route)) for route in routes[start : start + _SNAPSHOT_ROUTES]])
    yield encode(SnapshotComplete())


def _wanted(line: bytes | LineTooLong) -> list[Announcement]:
    if isinstance(line, LineTooLong):
        raise PeerError(f"the reader sent a line longer than {MAX_MESSAGE} octets")
    return decode_to_hook(line).announcements


class _BusyError(OperatorError):
    """Another hook is listening."""


class _ServerSocket:
    """The listening socket at a path, mode 0600, replaced atomically and removed only while it is ours."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._listening: socket.socket | None = None
        self._inode: int | None = None

    @property
    def fileno(self) -> int:
        """The file descriptor, or -1 while it is not open."""
        return -1 if self._listening is None else self._listening.fileno()

    def open(self) -> None:
        """Listen. Raises _BusyError while another process answers there, else OperatorError."""
        if self._answers():
            raise _BusyError(f"{self._path}: another hook is listening; stop it, or give this one another --socket")
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        being_made = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            being_made.unlink(missing_ok=True)
            before = os.umask(0o177)
            try:
                listening.bind(str(being_made))
            finally:
                os.umask(before)
            listening.listen(16)
            self._inode = being_made.stat().st_ino
            being_made.rename(self._path)
        except OSError as error:
            listening.close()
            reason = error.strerror or str(error)
            raise OperatorError(f"{self._path}: cannot listen: {reason}; see --socket") from error
        self._listening = listening

    def accept(self) -> socket.socket | None:
        """Return the next connection, non-blocking; None where it has gone again."""
        if self._listening is None:
            return None
        try:
            connection, _ = self._listening.accept()
        except OSError as error:
            if error.errno in {errno.EAGAIN, errno.ECONNABORTED, errno.EINTR, errno.EMFILE, errno.ENFILE}:
                return None
            raise
        connection.setblocking(False)
        return connection

    def close(self) -> None:
        """Stop listening and remove the file, unless a successor has replaced it."""
        if self._listening is None:
            return
        self._listening.close()
        self._listening = None
        with contextlib.suppress(FileNotFoundError):
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
            try:
                probe.connect(str(self._path))
            except BlockingIOError:
                return True
            except OSError:
                return False
        return True


class _Memory:
    """The file of what ExaBGP may be announcing for us."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._written: list[Announcement] | None = None

    def read(self, log: Callable[[str], None]) -> list[Announcement]:
        """Return what the last hook wrote; nothing where there is no file or it cannot be read."""
        try:
            announcements = msgspec.json.decode(self._path.read_bytes(), type=list[Announcement])
        except (FileNotFoundError, NotADirectoryError):
            return []
        except (OSError, msgspec.MsgspecError) as error:
            log(f"{self._path}: cannot be read, so earlier announcements are not withdrawn: {error}")
            return []
        self._written = announcements
        return announcements

    def write(self, announcements: list[Announcement], log: Callable[[str], None]) -> None:
        """Replace the file, if it would change."""
        if announcements == (self._written or []):
            return
        being_made = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            descriptor = os.open(being_made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(announcements))
            being_made.rename(self._path)
        except OSError as error:
            log(f"{self._path}: cannot be written, so a later hook may not withdraw: {error.strerror}")
        self._written = announcements


def _families(event: NeighborEvent | NeighborListed) -> set[Family]:
    """The families a neighbour has used in what it sent."""
    if isinstance(event, UpdateReceived):
        return {key.family for key, _ in event.announced} | {key.family for key in event.withdrawn}
    return {event.family} if isinstance(event, EndOfRib) and event.family is not None else set()


def _refresh_command(neighbor: str | None, family: Family) -> str:
    to = "" if neighbor is None else f"neighbor {neighbor} "
    return f"{to}announce route-refresh {family.value}"


def _refresh_requested(command: str) -> tuple[str | None, Family] | None:
    """Return what ``_refresh_command`` was called with."""
    before, found, family = command.partition("announce route-refresh ")
    if not found:
        return None
    return (before.split()[1] if before else None), Family(family)


def _to_stderr(text: str) -> None:
    print(f"softmesh hook: {text}", file=sys.stderr, flush=True)
