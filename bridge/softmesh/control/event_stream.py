"""What happens, as it happens: the events of the log, kept for a while and handed to whoever follows them.

A subscriber holds nothing but a place in one bounded ring. Who is slow loses what the ring has lost, and is told so;
nobody waits for it.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, TypeAlias

from softmesh.errors import OperatorError

Event: TypeAlias = Mapping[str, Any]
"""Flat: ``seq``, ``timestamp`` (UTC), ``event``, ``level`` and what belongs to the event (see log_events)."""

KEPT_EVENTS = 1024
GAP = "gap"


class EventStream:
    """The events of one bridge's life; all calls are made by one event loop's thread.

    Sequence numbers count on from the wall clock's microseconds at the start, so that those of an earlier life are
    smaller.
    """

    def __init__(self, *, kept: int = KEPT_EVENTS, clock: Callable[[], float] = time.time) -> None:
        self._ring: deque[Event] = deque(maxlen=kept)
        self._clock = clock
        self._before = self._last = int(clock() * 1e6)
        self._waiting: set[asyncio.Event] = set()
        self._ended = False

    def publish(self, event: Event) -> None:
        """Number an event, keep it, and wake whoever follows; never waits."""
        self._last += 1
        self._ring.append({"seq": self._last, **event})
        self._wake()

    def end(self) -> None:
        """Let subscriptions end once all is told."""
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        for news in self._waiting:
            news.set()

    def after(self, since: int) -> list[Event]:
        """Give what is kept of the events after number ``since``, oldest first.

        An event ``gap`` stands for what is lost. Its ``missed`` is how many, or None where ``since`` is of another life
        of the bridge, and its ``seq`` the last of them.
        """
        lost = self._last - len(self._ring)
        if lost <= since <= self._last:
            return [event for event in self._ring if event["seq"] > since]
        missed = lost - since if self._before <= since <= self._last else None
        now = datetime.fromtimestamp(self._clock(), UTC).isoformat()
        gap = {"seq": lost, "event": GAP, "missed": missed, "level": "warning", "timestamp": now}
        return [gap, *self._ring]

    def answer_events(self, request: Mapping[str, Any]) -> AsyncGenerator[Event, None]:
        """``softmesh events``: what is kept, or came after ``since``, or the ``last`` so many of that; then what comes.

        ``softwire``: only what concerns the one of that key, and gaps. ``follow`` false: nothing of what comes. Raises
        OperatorError for what is none of these.
        """
        since, last = _number(request, "since"), _number(request, "last")
        softwire = request.get("softwire")

        def meant(event: Event) -> bool:
            return softwire is None or event.get("softwire") == softwire or event["event"] == GAP

        kept = self._ring if since is None else self.after(since)
        first = [event for event in kept if meant(event)]
        if last is not None:
            first = first[max(0, len(first) - last) :]
        coming = self.subscribe() if request.get("follow", True) else None

        async def answer() -> AsyncGenerator[Event, None]:
            for event in first:
                yield event
            if coming is not None:
                async with aclosing(coming):
                    async for event in coming:
                        if meant(event):
                            yield event

        return answer()

    def subscribe(self, since: int | None = None) -> AsyncGenerator[Event, None]:
        """Yield what is kept after number ``since``, and then what comes; with None, what comes from now on."""
        return self._follow(self._last if since is None else since)

    async def _follow(self, seen: int) -> AsyncGenerator[Event, None]:
        news = asyncio.Event()
        self._waiting.add(news)
        try:
            while True:
                for event in self.after(seen):
                    yield event
                    seen = event["seq"]
                if seen == self._last:
                    if self._ended:
                        return
                    news.clear()
                    await news.wait()
        finally:
            self._waiting.discard(news)


def _number(request: Mapping[str, Any], name: str) -> int | None:
    value = request.get(name)
    if value is not None and not (isinstance(value, int) and value >= 0):
        raise OperatorError(f"{name}: {value!r} is not a whole number of 0 or more")
    return value
