"""The ring of events, and what its subscribers are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from softmesh.control.event_stream import Event, EventStream

START = 5_000_000


def stream(kept: int = 4) -> EventStream:
    return EventStream(kept=kept, clock=lambda: 5.0)


def tell(into: EventStream, *names: str) -> None:
    for name in names:
        into.publish({"event": name})


async def next_of(events: AsyncIterator[Event], count: int) -> list[Any]:
    told = [await anext(events) for _ in range(count)]
    return [(event["seq"] - START, event["event"], event.get("missed")) for event in told]


async def test_subscribers_get_what_comes_in_order() -> None:
    made = stream()
    tell(made, "before")
    new, kept = made.subscribe(), made.subscribe(START)
    tell(made, "a", "b")
    assert await next_of(new, 2) == [(2, "a", None), (3, "b", None)]
    assert await next_of(kept, 3) == [(1, "before", None), (2, "a", None), (3, "b", None)]
    waiting = asyncio.create_task(next_of(new, 1))
    await asyncio.sleep(0)
    assert not waiting.done()
    tell(made, "c")
    assert await waiting == [(4, "c", None)]
    assert await next_of(kept, 1) == [(4, "c", None)]


async def test_who_is_slow_is_told_how_much_it_missed() -> None:
    made = stream()
    slow = made.subscribe()
    tell(made, "0")
    assert await next_of(slow, 1) == [(1, "0", None)]
    tell(made, *"123456789")
    assert await next_of(slow, 5) == [
        (6, "gap", 5), (7, "6", None), (8, "7", None), (9, "8", None), (10, "9", None)
    ]  # fmt: skip


async def test_what_is_lost_while_a_batch_is_read_is_told_too() -> None:
    made = stream()
    slow = made.subscribe()
    tell(made, *"0123")
    assert await next_of(slow, 1) == [(1, "0", None)]
    tell(made, *"456789abc")
    assert await next_of(slow, 5) == [
        (2, "1", None), (3, "2", None), (4, "3", None), (9, "gap", 5), (10, "9", None)
    ]  # fmt: skip


async def test_a_number_of_another_life_is_a_gap_of_unknown_size() -> None:
    made = stream()
    tell(made, "a")
    for since in (0, START + 100):
        assert await next_of(made.subscribe(since), 2) == [(0, "gap", None), (1, "a", None)]
    assert await next_of(stream().subscribe(0), 1) == [(0, "gap", None)]


async def test_a_subscriber_that_left_is_forgotten() -> None:
    made = stream()
    events = made.subscribe()
    waiting = asyncio.create_task(next_of(events, 1))
    await asyncio.sleep(0)
    assert len(made._waiting) == 1
    waiting.cancel()
    await asyncio.wait([waiting])
    assert not made._waiting
