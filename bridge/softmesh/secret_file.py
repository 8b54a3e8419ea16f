"""Reading files that only their owner may be able to read: private keys and passwords."""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path

from softmesh.file_error import FileError


class SecretFileError(FileError):
    """A file with a secret cannot be read, or others can read it too."""


def read_secret(path: Path, limit: int, what: str) -> bytes:
    """Read a regular file of at most ``limit`` octets that neither group nor others have any right to.

    ``what`` names the content in errors, such as "private key". Raises SecretFileError; its text never has
    any of the content.
    """
    try:
        # Not blocking: a FIFO in place of the file must not hang us.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise SecretFileError(str(path), f"no such {what} file", "create it or correct the path") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        raise SecretFileError(str(path), f"cannot read the {what} ({reason})", "correct its owner or mode") from None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise SecretFileError(str(path), f"the {what} must be a regular file", "correct the path")
        if status.st_mode & 0o077:
            raise SecretFileError(
                str(path),
                f"the {what} is open to group or others (mode {stat.S_IMODE(status.st_mode):04o})",
                f"chmod 600 {shlex.quote(str(path))}",
            )
        content = file.read(limit + 1)
    if len(content) > limit:
        raise SecretFileError(str(path), f"more than {limit} octets, which is no {what}", "correct the path")
    return content
