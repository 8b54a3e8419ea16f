"""A directory of public keys and certificates, looked up by authenticator and watched for changes.

The directory needs no trust beyond its mode: a key from it is used only for an authenticator that it hashes
to.
"""

from __future__ import annotations

import os
import shlex
import stat
import time
from dataclasses import dataclass
from pathlib import Path

from softmesh.mesh.credential import PinnedKey
from softmesh.mesh.public_key import KeyFileError, MisplacedPrivateKeyError, authenticator, find_keys

MAX_OCTETS = 65536
"""Octets of one file."""
MAX_FILES = 16384
"""Files of a directory, the first by name."""
SETTLING_NS = 2_000_000_000
"""For so long after its last change a file may change again without its time stamp showing it."""


@dataclass(frozen=True, slots=True)
class _Stamp:
    """What tells that a file has changed."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    mode: int


@dataclass(frozen=True, slots=True)
class _KeyFile:
    """One file as it was last read."""

    stamp: _Stamp
    settled: bool
    """False if it may have changed again within the grain of its time stamp; it is then read again."""
    keys: tuple[PinnedKey, ...] = ()
    problem: str | None = None


class KeyDirectory:
    """The keys of a directory; ``scan`` brings them up to date.

    Of a key that lies there both bare and in certificates, the certificate of the first file by name counts.
    Hidden files and subdirectories are passed over; symbolic links are followed. Files that are not keys are
    reported in ``problems`` and otherwise ignored.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: tuple[str, ...] = ()
        """One line a file that is of no use, and why; as of the last scan."""
        self.usable = False
        """Whether the directory itself could be read at the last scan."""
        self._files: dict[str, _KeyFile] = {}
        self._keys: dict[bytes, PinnedKey] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, authenticator: bytes) -> PinnedKey | None:
        """Look up a key by the SHA-1 over its SubjectPublicKeyInfo."""
        return self._keys.get(authenticator)

    def scan(self) -> bool:
        """Look at the directory again, reading what changed. Returns whether keys or problems changed."""
        before = (self._keys, self.problems)
        self.usable = False
        try:
            names = self._names()
        except FileNotFoundError:
            self._files = {}
            self.problems = (f"{self.path}: no such directory; create it or remove it from trust.keys",)
        except KeyFileError as error:
            self._files = {}
            self.problems = (str(error),)
        except OSError as error:
            # Not to see is not to know: keys already read stay until the directory can be read again.
            self.problems = (f"{self.path}: cannot be read ({error.strerror}); correct its owner or mode",)
            return before[1] != self.problems
        else:
            self.usable = True
            too_many = (f"{self.path}: more than {MAX_FILES} files; the rest is ignored",)
            problems = too_many if len(names) > MAX_FILES else ()
            found = {name: self._look(name) for name in names[:MAX_FILES]}
            self._files = {name: file for name, file in found.items() if file is not None}
            self.problems = problems + tuple(file.problem for file in self._files.values() if file.problem is not None)
        self._keys = {}
        for file in self._files.values():
            for key in file.keys:
                held = self._keys.get(key.authenticator)
                # A certificate says more than the bare key, which trust by authorities has no use for.
                if held is None or (held.certificate is None and key.certificate is not None):
                    self._keys[key.authenticator] = key
        return before != (self._keys, self.problems)

    def _names(self) -> list[str]:
        status = self.path.stat()
        if not stat.S_ISDIR(status.st_mode):
            raise KeyFileError(str(self.path), "not a directory", "name one in trust.keys")
        if status.st_mode & stat.S_IWOTH:
            raise KeyFileError(
                str(self.path),
                "anybody may write to it, so none of its keys is used",
                f"chmod o-w {shlex.quote(str(self.path))}",
            )
        return sorted(name for name in os.listdir(self.path) if not name.startswith("."))  # noqa: PTH208

    def _look(self, name: str) -> _KeyFile | None:
        """Read one file unless it is as it was; None for what is not a file, or has just gone."""
        path = self.path / name
        try:
            status = path.stat()
            if stat.S_ISDIR(status.st_mode):
                return None
            known = self._files.get(name)
            if known is not None and known.settled and known.stamp == _stamp(status):
                return known
            return self._read(path, known)
        except FileNotFoundError:
            return None
        except OSError as error:
            problem = f"{path}: cannot be read ({error.strerror}); correct its owner or mode"
            return _KeyFile(_Stamp(0, 0, 0, 0, 0, 0), settled=False, problem=problem)

    @staticmethod
    def _read(path: Path, known: _KeyFile | None) -> _KeyFile:
        # Not blocking: a FIFO in place of a file must not hang us.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            stamp = _stamp(status)
            if not stat.S_ISREG(status.st_mode):
                return _KeyFile(stamp, settled=True, problem=f"{path}: not a regular file; remove it")
            if status.st_mode & stat.S_IWOTH:
                return _KeyFile(
                    stamp,
                    settled=True,
                    problem=f"{path}: anybody may write to it; chmod o-w {shlex.quote(str(path))}",
                )
            data = file.read(MAX_OCTETS + 1)
        age = time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns)
        settled = abs(age) > SETTLING_NS
        if len(data) > MAX_OCTETS:
            return _KeyFile(
                stamp, settled, problem=f"{path}: more than {MAX_OCTETS} octets, which is no key; remove it"
            )
        try:
            found = find_keys(data, str(path))
        except MisplacedPrivateKeyError as error:
            return _KeyFile(stamp, settled, problem=str(error))
        except KeyFileError as error:
            # Seen half written, perhaps: what it held a moment ago counts until it has settled.
            keys = () if settled or known is None else known.keys
            return _KeyFile(stamp, settled, keys, str(error))
        keys = tuple(PinnedKey(authenticator(key.spki), key.spki, str(path), key.certificate) for key in found)
        return _KeyFile(stamp, settled, keys)


def _stamp(status: os.stat_result) -> _Stamp:
    return _Stamp(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_mode)
