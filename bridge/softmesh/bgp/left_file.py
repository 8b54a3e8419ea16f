"""A file that a hook leaves to its successor."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from softmesh.errors import printable
from softmesh.whole_file import replace_file

T = TypeVar("T")

_LONGEST = 64 * 1024 * 1024
"""Octets that are read."""


class LeftFile(Generic[T]):
    """A value as JSON in a file at ``path``, mode 0600.

    ``kind`` is its type, ``empty`` what it is where there is no file. A file that cannot be read or written has
    ``cost``; ``log`` is told, nothing is raised.
    """

    def __init__(self, path: Path, kind: type[T], empty: T, cost: str, log: Callable[[str], None]) -> None:
        self._path = path
        self._decoder = msgspec.json.Decoder(kind)
        self._empty = empty
        self._cost = cost
        self._log = log
        self._written: T | None = empty
        """None where the file holds what cannot be read."""

    def read(self) -> T:
        """Return what the last hook wrote; the empty value where there is no file or it cannot be read."""
        try:
            status = self._path.stat()
            if not stat.S_ISREG(status.st_mode):
                # To open a FIFO would hang us.
                raise msgspec.ValidationError("not a regular file")
            if status.st_size > _LONGEST:
                raise msgspec.ValidationError(f"longer than {_LONGEST} octets")
            value = self._decoder.decode(self._path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return self._empty
        except (OSError, msgspec.MsgspecError, ValueError, RecursionError) as error:
            self._log(printable(f"{self._path}: cannot be read, so {self._cost}: {error}"))
            self._written = None
            return self._empty
        self._written = value
        return value

    def write(self, value: T) -> None:
        """Replace the file, if it would change."""
        if value == self._written:
            return
        try:
            replace_file(self._path, msgspec.json.encode(value))
        except OSError as error:
            self._log(f"{self._path}: cannot be written, so for a later hook {self._cost}: {error.strerror}")
        self._written = value
