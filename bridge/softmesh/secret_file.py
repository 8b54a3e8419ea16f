"""Reading files that only their owner may be able to read: private keys, passwords, group keys.

A secret that somebody else could read is none, and one that somebody else could replace is theirs. Hence the file's
mode and owner count, and those of every directory on the way to it, as they do to sshd.
"""

from __future__ import annotations

import errno
import os
import pwd
import resource
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from softmesh.file_error import FileError

_ROOT = 0
_MAX_LINKS = 40
"""Of symbolic links on one way, as Linux has it."""


class SecretFileError(FileError):
    """A file with a secret cannot be read, or others can read or replace it too."""


def read_secret(path: Path, limit: int, what: str) -> bytes:
    """Read a regular file of at most ``limit`` octets that neither group nor others have any right to.

    It must be ours or root's, and no directory on the way to it, through symbolic links as well, may be anybody else's,
    or open to their writing unless it is sticky, as /tmp is.

    ``what`` names the content in errors, such as "private key". Raises SecretFileError; its text never has any of the
    content.
    """
    try:
        # Not blocking: a FIFO in place of the file must not hang us.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise SecretFileError(str(path), f"no such {what} file", "create it or correct the path") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        raise SecretFileError(str(path), f"cannot read the {what} ({reason})", "correct its owner or mode") from None
    try:
        _refuse_unsafe(path, os.fstat(descriptor), what)
        content = _read(descriptor, limit + 1)
    finally:
        os.close(descriptor)
    if len(content) > limit:
        raise SecretFileError(str(path), f"more than {limit} octets, which is no {what}", "correct the path")
    return content


def leave_no_core() -> None:
    """See that neither we nor what we start leaves a core dump, which would have every secret in it."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def user_name(uid: int) -> str:
    """A user as an operator knows it, for errors."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _read(descriptor: int, most: int) -> bytes:
    content = b""
    while len(content) < most and (more := os.read(descriptor, most - len(content))):
        content += more
    return content


def _refuse_unsafe(path: Path, status: os.stat_result, what: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SecretFileError(str(path), f"the {what} must be a regular file", "correct the path")
    if status.st_mode & 0o077:
        raise SecretFileError(
            str(path),
            f"the {what} is open to group or others (mode {stat.S_IMODE(status.st_mode):04o})",
            f"chmod 600 {shlex.quote(str(path))}",
        )
    _refuse_foreign(path, status, f"the {what} belongs to", str(path))
    _refuse_replaceable(path, what)


def _refuse_foreign(path: Path, status: os.stat_result, complaint: str, what: str) -> None:
    ours = os.geteuid()
    if status.st_uid not in {_ROOT, ours}:
        raise SecretFileError(
            str(path),
            f"{complaint} {user_name(status.st_uid)}, and we are {user_name(ours)}",
            f"chown {ours} {shlex.quote(what)}, or run this as its owner",
        )


def _refuse_replaceable(path: Path, what: str) -> None:
    """Refuse a way to the file on which others could put another in its place."""
    try:
        for directory in dict.fromkeys(_passed(path)):
            status = directory.stat()
            _refuse_foreign(path, status, f"the directory {directory} of the {what} belongs to", str(directory))
            if status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX:
                raise SecretFileError(
                    str(path),
                    f"others may write to the directory {directory} of the {what} "
                    f"(mode {stat.S_IMODE(status.st_mode):04o})",
                    f"chmod go-w {shlex.quote(str(directory))}",
                )
    except OSError as error:
        raise SecretFileError(
            str(path), f"cannot look at the directories of the {what} ({error.strerror})", "correct the path"
        ) from None


def _passed(path: Path) -> Iterator[Path]:
    """Every directory that is looked into on the way to a file, as path_resolution(7) has it. Raises OSError."""
    here, links = Path("/"), 0
    parts = [*reversed(path.absolute().parts)]
    while parts:
        part = parts.pop()
        if part == "/":
            here = Path("/")
        elif part == "..":
            here = here.parent
        else:
            yield here
            if (here / part).is_symlink():
                links += 1
                if links > _MAX_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                parts += reversed(Path(os.readlink(here / part)).parts)  # noqa: PTH115
            else:
                here /= part
