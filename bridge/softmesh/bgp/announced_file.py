"""The file of what ExaBGP may be announcing for us, which a hook leaves to its successor."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from softmesh.bgp.announcement import Announcement


class AnnouncedFile:
    """The announcements in a file at ``path``, mode 0600.

    A file that cannot be read or written costs a withdrawal at worst: ``log`` is told, nothing is raised.
    """

    def __init__(self, path: Path, log: Callable[[str], None]) -> None:
        self._path = path
        self._log = log
        self._written: list[Announcement] | None = None

    def read(self) -> list[Announcement]:
        """Return what the last hook wrote; nothing where there is no file or it cannot be read."""
        try:
            announcements = msgspec.json.decode(self._path.read_bytes(), type=list[Announcement])
        except (FileNotFoundError, NotADirectoryError):
            return []
        except (OSError, msgspec.MsgspecError) as error:
            self._log(f"{self._path}: cannot be read, so earlier announcements are not withdrawn: {error}")
            return []
        self._written = announcements
        return announcements

    def write(self, announcements: list[Announcement]) -> None:
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
            self._log(f"{self._path}: cannot be written, so a later hook may not withdraw: {error.strerror}")
        self._written = announcements
