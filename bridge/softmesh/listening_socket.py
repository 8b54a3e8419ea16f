"""A listening unix socket at a path: for its owner only, never two at once, gone with the process that made it.

Three things keep others away: the directory's mode, the socket's, and a look at who connects (SO_PEERCRED, unix(7)).
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shlex
import socket
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from softmesh.errors import OperatorError
from softmesh.secret_file import user_name

if TYPE_CHECKING:
    # The hook starts without asyncio, which costs more than all the rest of it.
    from asyncio.trsock import TransportSocket

_BACKLOG = 16
_ROOT = 0
_UCRED = struct.Struct("iII")
"""pid_t, uid_t, gid_t."""


class SocketBusy(OperatorError):
    """Another process listens at the path."""


def own_directory(path: Path, setting: str) -> None:
    """See that a directory is there and ours alone: mode 0700, made where it is missing.

    ``setting`` is what an operator changes to have another. Raises OperatorError where it cannot be made, is somebody
    else's, or is open to others: whoever could write to it could put a socket of their own in our place.
    """
    try:
        with _umask(0o077):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.stat()
    except OSError as error:
        reason = error.strerror or str(error)
        raise OperatorError(f"{path}: cannot be made: {reason}; make it, owned by us, or see {setting}") from error
    ours = os.geteuid()
    if status.st_uid != ours:
        raise OperatorError(
            f"{path}: belongs to {user_name(status.st_uid)}, and we are {user_name(ours)}; "
            f"chown {ours} {shlex.quote(str(path))}, run this as its owner, or see {setting}"
        )
    if status.st_mode & 0o077:
        raise OperatorError(
            f"{path}: is open to group or others (mode {stat.S_IMODE(status.st_mode):04o}); "
            f"chmod 700 {shlex.quote(str(path))}, or see {setting}"
        )


def stranger(connection: socket.socket | TransportSocket) -> str:
    """Who is at the other end, where that is neither root nor ourselves; empty where it is."""
    _, uid, _ = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return "" if uid in {_ROOT, os.geteuid()} else user_name(uid)


class ListeningSocket:
    """A stream socket at ``path``, mode 0600, in a directory that is ours alone (``own_directory``).

    ``busy`` is what an error says where another process listens there, remedy included; ``setting`` is what an
    operator changes to have another path.
    """

    def __init__(self, path: Path, *, busy: str, setting: str) -> None:
        self._path = path
        self._busy = busy
        self._setting = setting
        self._listening: socket.socket | None = None
        self._made: os.stat_result | None = None

    @property
    def fileno(self) -> int:
        """The file descriptor, or -1 while it is not open."""
        return -1 if self._listening is None else self._listening.fileno()

    def open(self) -> socket.socket:
        """Listen, without blocking, and return the socket; a file that nobody listens at is replaced.

        Raises SocketBusy while another process listens there, OperatorError where that cannot be.
        """
        own_directory(self._path.parent, self._setting)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            ours = self._is_free() and self._take(listening)
        except OSError as error:
            listening.close()
            reason = error.strerror or str(error)
            raise OperatorError(f"{self._path}: cannot listen: {reason}; see {self._setting}") from error
        if not ours:
            listening.close()
            raise SocketBusy(f"{self._path}: {self._busy}")
        self._listening = listening
        return listening

    def accept(self) -> socket.socket | None:
        """Return the next connection, non-blocking; None where it has gone again, or is a stranger's."""
        if self._listening is None:
            return None
        try:
            connection, _ = self._listening.accept()
        except OSError as error:
            if error.errno in {errno.EAGAIN, errno.ECONNABORTED, errno.EINTR, errno.EMFILE, errno.ENFILE}:
                return None
            raise
        if stranger(connection):
            connection.close()
            return None
        connection.setblocking(False)
        return connection

    def remove(self) -> None:
        """Remove the file, unless a successor has replaced it; the socket goes on listening."""
        if self._made is None:
            return
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(self._path.lstat(), self._made):
                self._path.unlink()
        self._made = None

    def close(self) -> None:
        """Remove the file as ``remove`` does, then stop listening."""
        # In this order: as long as we answer nobody replaces the file between our look at it and its removal.
        self.remove()
        if self._listening is not None:
            self._listening.close()
            self._listening = None

    def _is_free(self) -> bool:
        """Whether nobody listens there; a file left by somebody who did is removed. Raises OSError."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
            code = probe.connect_ex(str(self._path))
        if code in {0, errno.EAGAIN}:
            return False
        if code == errno.ECONNREFUSED:
            self._path.unlink(missing_ok=True)
        elif code != errno.ENOENT:
            raise OSError(code, os.strerror(code))
        return True

    def _take(self, listening: socket.socket) -> bool:
        """Listen, and let the file appear when it answers; False where another was faster. Raises OSError."""
        # As long as a name ending in ".sock": the configuration allows all of the 107 octets a path may have, unix(7).
        being_made = self._path.with_suffix(f".{secrets.token_hex(2)}")
        # The mode must be right from the first instant, not from a chmod after.
        with _umask(0o177):
            listening.bind(str(being_made))
        try:
            listening.listen(_BACKLOG)
            made = being_made.lstat()
            self._path.hardlink_to(being_made)
        except FileExistsError:
            return False
        finally:
            being_made.unlink(missing_ok=True)
        self._made = made
        return True


@contextlib.contextmanager
def _umask(mask: int) -> Iterator[None]:
    """Whatever our parent's is: ExaBGP gives its children one that would make a directory nobody can enter."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)
