"""Reading files that anybody may read but not just anybody write: certificates and revocation lists."""

from __future__ import annotations

import os
import shlex
import stat
from dataclasses import dataclass
from pathlib import Path

from softmesh.file_error import FileError

MAX_OCTETS = 1 << 24
"""Large authorities have revocation lists of some megabytes."""


class PublicFileError(FileError):
    """A file cannot be read, or anybody may write to it."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells that a file has changed."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    mode: int


def stamp_of(path: Path) -> Stamp:
    """Look at a file without reading it; raises OSError."""
    return _stamp(path.stat())


def read_public(path: Path, what: str) -> tuple[bytes, Stamp]:
    """Read a regular file; ``what`` names the content in errors. Raises PublicFileError."""
    try:
        # Not blocking: a FIFO in place of the file must not hang us.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise PublicFileError(str(path), "no such file", f"put the {what} there or correct the path") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        raise PublicFileError(str(path), f"cannot be read ({reason})", "correct its owner or mode") from None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise PublicFileError(str(path), "not a regular file", f"put the {what} there or correct the path")
        if status.st_mode & stat.S_IWOTH:
            raise PublicFileError(str(path), "anybody may write to it", f"chmod o-w {shlex.quote(str(path))}")
        data = file.read(MAX_OCTETS + 1)
    if len(data) > MAX_OCTETS:
        raise PublicFileError(str(path), f"more than {MAX_OCTETS} octets, which is no {what}", "correct the path")
    return data, _stamp(status)


def _stamp(status: os.stat_result) -> Stamp:
    return Stamp(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_mode)
