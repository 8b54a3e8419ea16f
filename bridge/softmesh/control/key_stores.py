"""The key stores of the configuration, each with a client that runs while the store is configured."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from softmesh.config.values import KeySource
from softmesh.control.kept_keys import KeptKeys
from softmesh.mesh.key_store import StoreKeys

if TYPE_CHECKING:
    from softmesh.control.store_client import StoreClient


class KeyStores:
    """All stores, by their URL.

    ``directory`` is where found keys are kept. ``on_found`` is called when offers should be held against the keys anew;
    ``report`` with a subject and what is the matter with it, empty for nothing.
    """

    def __init__(
        self,
        directory: Path,
        *,
        on_found: Callable[[], None],
        report: Callable[[str, str], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._on_found = on_found
        self._report = report
        self._monotonic = monotonic
        self._clients: dict[str, StoreClient] = {}
        self._changed = asyncio.Event()

    def configure(self, sources: Iterable[KeySource]) -> Mapping[str, StoreKeys]:
        """Take over ``trust.keys``; returns the keys of each store in it. A store that stays keeps what it found."""
        before, self._clients = self._clients, {}
        for source in sources:
            if source.url is not None:
                client = before.get(source.url) or self._client(source.url)
                client.configure(source.timeout, source.ca_file)
                self._clients[source.url] = client
        for url in before.keys() - self._clients.keys():
            self._report(f"keys {url}", "")
        self._changed.set()
        return {url: client.keys for url, client in self._clients.items()}

    def _client(self, url: str) -> StoreClient:
        # httpx takes as long to import as most else together, and a mesh without stores has no use for it.
        from softmesh.control.store_client import StoreClient  # noqa: PLC0415

        keys = StoreKeys(url, monotonic=self._monotonic)
        return StoreClient(
            keys,
            KeptKeys(self._directory, keys),
            on_found=self._on_found,
            report=lambda problem: self._report(f"keys {url}", problem),
            monotonic=self._monotonic,
        )

    async def run(self) -> None:
        """Run the clients of the stores that are configured, until cancelled."""
        running: dict[StoreClient, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._changed.clear()
                wanted = set(self._clients.values())
                for client in running.keys() - wanted:
                    running.pop(client).cancel()
                for client in wanted - running.keys():
                    running[client] = tasks.create_task(client.run(), name=f"keys {client.keys.url}")
                await self._changed.wait()
