"""The hook: ExaBGP's child process, between ExaBGP's pipes and the readers on a unix socket.

One thread and no blocking call: ExaBGP's write to us blocks its whole reactor, keepalives included, so its
pipe is always read first and every other piece of work in a turn of the loop is bounded.

What ExaBGP was told to announce is remembered in a file beside the socket, written before the commands are: a
hook that is started again withdraws what its predecessor announced and the bridge no longer wants. So is, in others,
which neighbours refuse attribute 23, and which have not negotiated RFC 8950.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import selectors
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from softmesh.bgp.announcement import Announcement
from softmesh.bgp.exabgp_dialogue import ExaBgpDialogue
from softmesh.bgp.extended_next_hop import Lacking
from softmesh.bgp.hook_protocol import (
    VERSION,
    AttributeRefused,
    ExtendedNextHopLacking,
    FromHook,
    Hello,
    LinesLost,
    ToHook,
    TryAttribute,
    encode,
)
from softmesh.bgp.hook_reader import HookReader, snapshot
from softmesh.bgp.left_file import LeftFile
from softmesh.errors import PeerError
from softmesh.listening_socket import ListeningSocket, SocketBusy

DEFAULT_SOCKET = "/run/softmesh/hook.sock"
DEFAULT_STALE_TIME = 300.0
LOG_PREFIX = "softmesh hook: "
"""What lines on standard error begin with, which is ExaBGP's."""

_READ = 256 * 1024
_PIPE = 1024 * 1024
_QUEUE = 16 * 1024 * 1024
"""Octets of changes kept for a reader that does not read."""
_READERS = 32
_FAREWELL = 10.0
"""Seconds a dropped reader has to read why."""
_BUSY = 3.5
"""Seconds a predecessor on the socket is given to go away: on a reload ExaBGP starts the new hook first."""


class Hook:
    """Reads ExaBGP on ``stdin``, commands it on ``stdout`` (file descriptors), serves readers at ``path``.

    ``encapsulation``: whether ExaBGP has the families of SAFI 7 (see exabgp_encapsulation).
    """

    def __init__(
        self,
        stdin: int,
        stdout: int,
        path: str,
        *,
        stale_time: float = DEFAULT_STALE_TIME,
        encapsulation: bool = False,
        queue: int = _QUEUE,
        monotonic: Callable[[], float] = time.monotonic,
        log: Callable[[str], None] | None = None,
    ) -> None:
        self._stdin = stdin
        self._stdout = stdout
        self._socket = ListeningSocket(
            Path(path),
            busy="another hook is listening; stop it, or give this one another --socket",
            setting="--socket",
        )
        self._log = log or _to_stderr
        self._announced = LeftFile(
            Path(f"{path}.announced"),
            list[Announcement],
            [],
            "earlier announcements may not be withdrawn",
            self._log,
        )
        self._refused = LeftFile(
            Path(f"{path}.refused"),
            dict[str, str],
            {},
            "it is found out anew who refuses attribute 23",
            self._log,
        )
        self._lacking = LeftFile(
            Path(f"{path}.lacking"),
            dict[str, Lacking],
            {},
            "a session may be reset at an IPv4 prefix with an IPv6 next hop",
            self._log,
        )
        self._stale_time = stale_time
        self._encapsulation = encapsulation
        self._queue = queue
        self._monotonic = monotonic
        self._instance = secrets.token_hex(8)
        self._readers: dict[int, HookReader] = {}
        self._output: deque[bytes] = deque()
        self._selector = selectors.PollSelector()
        self._stopping = False
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
        self._exabgp = ExaBgpDialogue(
            self._announced.read(),
            self._stale_time,
            self._refused.read(),
            self._lacking.read(),
            encapsulation=self._encapsulation,
        )
        self._started = self._monotonic()
        self._selector.register(self._stdin, selectors.EVENT_READ)
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        try:
            self._listen()
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
        self._publish(self._exabgp.feed(data, now))
        if self._exabgp.ended:
            self._stopping = True

    def _command(self, now: float) -> None:
        for command in self._exabgp.commands(now):
            self._output.append(command.encode("ascii") + b"\n")
        if self._exabgp.settled:
            self._announced.write(self._exabgp.possibly_announced())

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
        first = (
            hello,
            AttributeRefused(self._exabgp.refused),
            ExtendedNextHopLacking(self._exabgp.lacking),
            LinesLost(self._exabgp.lost_lines),
        )
        reader = HookReader(connection, self._queue, snapshot(first, self._exabgp.rib))
        self._readers[reader.fileno] = reader
        self._selector.register(reader.fileno, selectors.EVENT_READ | selectors.EVENT_WRITE)

    def _hear(self, reader: HookReader, now: float) -> None:
        data = reader.receive()
        if data is None:
            return
        if not data:
            self._forget(reader)
            return
        try:
            for request in reader.requests(data):
                self._obey(request, now)
        except PeerError as error:
            self._log(f"{error}; closed its connection")
            reader.dismiss(str(error), now + _FAREWELL)

    def _obey(self, request: ToHook, now: float) -> None:
        if isinstance(request, TryAttribute):
            messages = self._exabgp.try_attribute(request.neighbor, now)
        else:
            messages = self._exabgp.want(request.announcements, now, request.attribute)
        self._announced.write(self._exabgp.possibly_announced())
        self._publish(messages)
        self._command(now)

    def _publish(self, messages: Sequence[FromHook]) -> None:
        """Tell the readers, and the log what there is to remark on; remember what a later hook has to know."""
        for remark in self._exabgp.remarks():
            self._log(remark)
        self._refused.write(self._exabgp.refused)
        self._lacking.write(self._exabgp.lacking)
        if not messages or not self._readers:
            return
        data = b"".join(map(encode, messages))
        for reader in self._readers.values():
            if not reader.offer(data):
                self._log("a reader is too slow: it must connect again for a new snapshot")
                reader.dismiss("too slow: changes were dropped", self._monotonic() + _FAREWELL)

    def _forget(self, reader: HookReader) -> None:
        self._selector.unregister(reader.fileno)
        del self._readers[reader.fileno]
        reader.close()

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
        longest = 0.25 if self._socket.fileno == -1 else 1.0
        deadline = self._exabgp.deadline()
        return longest if deadline is None else min(longest, max(0.0, deadline - self._monotonic()))

    def _timers(self, now: float) -> None:
        if self._socket.fileno == -1:
            self._listen()
        self._publish(self._exabgp.elapse(now))
        for reader in list(self._readers.values()):
            if reader.leaves_at is not None and (now >= reader.leaves_at or not reader.has_more):
                self._forget(reader)

    def _listen(self) -> None:
        try:
            self._socket.open()
        except SocketBusy:
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


def _to_stderr(text: str) -> None:
    print(f"{LOG_PREFIX}{text}", file=sys.stderr, flush=True)
