"""What the web side tells of, and where it has it from."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

Document: TypeAlias = Mapping[str, Any]
T = TypeVar("T")


class Events(Protocol):
    """A stream of events, each with its number ``seq`` (control/event_stream.py)."""

    def subscribe(self, since: int) -> AsyncIterator[Document]:
        """Give those after number ``since`` that are still kept, then each as it comes, until all is over."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Whom to ask, as often as clients do (``Recent`` bounds what costs). Each may raise SoftmeshError, which is told.

    None stands for what is not there: beside a route reflector there is no bridge whose status could be shown.
    """

    mesh: Callable[[], Awaitable[Document]]
    """The mesh document (control/mesh_document.py)."""
    alive: Callable[[], bool]
    """Whether the work is being done at all; that we answer is known by then."""
    awaited: Callable[[], Awaitable[tuple[str, ...]]]
    """What keeps us from being ready; empty when nothing does."""
    events: Events
    status: Callable[[], Awaitable[Document]] | None = None
    explain: Callable[[str], Awaitable[Document]] | None = None
    """The chain of decisions for a prefix or an address."""
    metrics: Callable[[], Awaitable[bytes]] | None = None
    """As Prometheus takes them (``metrics.CONTENT_TYPE``)."""


class Recent(Generic[T]):
    """Asks at most once in ``age`` seconds; whoever asks meanwhile shares the answer, or the wait for it."""

    def __init__(
        self, ask: Callable[[], Awaitable[T]], *, age: float = 1.0, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._age = age
        self._monotonic = monotonic
        self._asked: asyncio.Task[T] | None = None
        self._until = 0.0

    async def __call__(self) -> T:
        """Return the answer, or raise what asking raised; that is not asked for again sooner either."""
        asked = self._asked
        if asked is None or (asked.done() and self._monotonic() >= self._until):
            asked = self._asked = asyncio.create_task(self._anew())
        # Who gives up waiting does so alone.
        return await asyncio.shield(asked)

    async def _anew(self) -> T:
        try:
            return await self._ask()
        finally:
            self._until = self._monotonic() + self._age
