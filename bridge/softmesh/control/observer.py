"""Looks at a whole mesh from beside its route reflector, through a hook: announces nothing and touches no charon."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.hook_client import HookClient
from softmesh.bgp.route import SessionState
from softmesh.control.mesh_document import mesh_document
from softmesh.errors import OperatorError, Unreachable
from softmesh.mesh.key_directory import KeyDirectory
from softmesh.mesh.observation import Observation, observe
from softmesh.mesh.trust import DirectoryKeys

_KEY_SCAN = 1.0
"""Seconds between looks at the key directories."""
_PATIENCE = 10.0
"""Seconds a hook that accepts a connection may take to tell what it holds."""


class Observer:
    """What a hook tells of a mesh, as long as ``run`` runs.

    ``accepted``: tunnel types that lead to an SA, best first. ``directories``: where the keys of announced hashes are;
    none: keys that are not announced are presumed to be known.
    """

    def __init__(
        self,
        hook: Path,
        *,
        accepted: Collection[TunnelType],
        directories: Collection[Path] = (),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises OperatorError for a directory that cannot be used."""
        self.alive = False
        """Whether ``run`` runs."""
        self._path = hook
        self._accepted = tuple(accepted)
        self._monotonic = monotonic
        self._changed = asyncio.Event()
        self._hook = HookClient(str(hook), on_change=self._changed.set, monotonic=monotonic)
        self._directories = [KeyDirectory(path) for path in directories]
        for directory in self._directories:
            directory.scan()
            if not directory.usable:
                raise OperatorError(f"--keys: {directory.problems[0]}")
        self._keys_changed = 0
        self._observed: tuple[object, Observation] = (None, observe((), accepted=()))

    async def run(self) -> None:
        """Follow the hook until cancelled; one that goes away is waited for."""
        self.alive = True
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._hook.run(), name="hook client")
                tasks.create_task(self._watch_keys(), name="keys")
        finally:
            self.alive = False

    async def ready(self) -> None:
        """Wait until the hook has told what it holds. Raises Unreachable where none does, or we may not ask it."""
        _look_for(self._path)
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                while not self._hook.synced and not self._hook.errors:
                    await self.changed()
        if not self._hook.synced:
            why = self._hook.errors[-1].text if self._hook.errors else f"no snapshot within {_PATIENCE:g} s"
            raise Unreachable(f"hook socket {self._path}: {why}")

    async def changed(self) -> None:
        """Wait until something has changed since this was last waited for."""
        await self._changed.wait()
        self._changed.clear()

    async def document(self) -> Mapping[str, Any]:
        """The mesh document of this moment."""
        basis = (self._hook.generation, self._keys_changed)
        if basis != self._observed[0]:
            # Of a large mesh it takes a good part of a second, in which the hook is to be read, and requests answered.
            observed = await asyncio.to_thread(
                observe,
                tuple(self._hook.routes.values()),
                accepted=self._accepted,
                neighbors=dict(self._hook.neighbors),
                keys=tuple(map(DirectoryKeys, self._directories)),
            )
            self._observed = (basis, observed)
        return mesh_document(
            self._observed[1],
            datetime.now(UTC),
            self._monotonic(),
            neighbors=self._hook.neighbors.values(),
            connected=self._hook.connected,
        )

    async def awaited(self) -> tuple[str, ...]:
        """What keeps the picture from being whole: the hook, or BGP neighbours that have not told all they have."""
        if not self._hook.synced:
            return (f"hook socket {self._path}",)
        neighbors = self._hook.neighbors.values()
        return tuple(
            f"BGP neighbour {neighbor.address}"
            for neighbor in neighbors
            if neighbor.state is not SessionState.UP or not neighbor.end_of_rib
        ) or (() if neighbors else ("a BGP neighbour",))

    async def _watch_keys(self) -> None:
        while True:
            await asyncio.sleep(_KEY_SCAN)
            changed = [directory.scan() for directory in self._directories]
            if any(changed):
                self._keys_changed += 1
                self._changed.set()


def _look_for(path: Path) -> None:
    """Raise Unreachable where nobody listens at a socket, or not for us, with the reason."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
    except PermissionError as error:
        raise OperatorError(
            f"hook socket {path}: {error.strerror}; look as root, or as the user that ExaBGP runs as"
        ) from error
    except OSError as error:
        raise Unreachable(
            f"hook socket {path}: {error.strerror}; is ExaBGP running, with softmesh hook --socket {path}?"
        ) from error
