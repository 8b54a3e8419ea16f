"""Keys from a store on disk, one file a hash: so that a restart of the bridge needs no store.

The directory needs no trust: a key from it is used only for the hash that it has.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from softmesh.mesh.credential import PinnedKey
from softmesh.mesh.key_store import MAX_FOUND, MAX_OCTETS, StoreKeys, key_in
from softmesh.mesh.public_key import KeyFileError
from softmesh.whole_file import replace_file

_NAME = re.compile(r"[0-9a-f]{40}")


class KeptKeys:
    """The keys of one store in a directory of their own, below ``directory``.

    What cannot be read or written is told in ``problem`` and otherwise of no consequence.
    """

    def __init__(self, directory: Path, keys: StoreKeys) -> None:
        self.problem = ""
        self._keys = keys
        # Another store's keys are none of this one's, even though they are what they are.
        self._path = directory / hashlib.sha256(keys.url.encode()).hexdigest()[:16]

    def load(self) -> Iterator[PinnedKey]:
        """The keys there; files that hold none are removed."""
        try:
            names = sorted(os.listdir(self._path))  # noqa: PTH208
        except FileNotFoundError:
            return
        except OSError as error:
            self._failed("read", error)
            return
        for name in names[:MAX_FOUND]:
            path = self._path / name
            try:
                key = self._read(path) if _NAME.fullmatch(name) else None
                if key is None:
                    path.unlink()
                else:
                    yield key
            except OSError as error:
                self._failed("read", error)

    def _read(self, path: Path) -> PinnedKey | None:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(MAX_OCTETS + 1)
        digest = bytes.fromhex(path.name)
        try:
            return key_in(data, digest, self._keys.where(digest))
        except KeyFileError:
            return None

    def keep(self, key: PinnedKey) -> None:
        """Write a key, whole or not at all."""
        try:
            self._path.parent.mkdir(mode=0o700, exist_ok=True)
            self._path.mkdir(mode=0o700, exist_ok=True)
            replace_file(self._path / key.authenticator.hex(), key.certificate or key.spki)
        except OSError as error:
            self._failed("written", error)
        else:
            self.problem = ""

    def retain(self, digests: Iterable[bytes]) -> None:
        """Remove all but the keys of these hashes."""
        kept = {digest.hex() for digest in digests}
        try:
            for name in os.listdir(self._path):  # noqa: PTH208
                if name not in kept:
                    (self._path / name).unlink()
        except OSError as error:
            self._failed("written", error)

    def _failed(self, what: str, error: OSError) -> None:
        self.problem = f"{self._path}: keys cannot be {what} ({error.strerror}); correct its owner or mode"
