"""Awaiting a condition with a deadline: the only way anything here waits."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = float(os.environ.get("LAB_PATIENCE", "1"))
"""By how much longer everything may take: a machine that is computed by another is slow."""


class NotReached(AssertionError):
    """The condition did not come true in time."""


def eventually(condition: Callable[[], T], *, within: float, what: str, every: float = 0.05) -> T:
    """Return the first true value of ``condition()``, asked every ``every`` seconds.

    Raises NotReached after ``within`` seconds, naming ``what`` was awaited and the last value seen.
    """
    deadline = time.monotonic() + within * PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise NotReached(f"not within {within:g} s: {what}; last seen: {value!r}")
        time.sleep(every)


async def until(condition: Callable[[], Awaitable[T | None]], *, within: float, what: str, every: float = 0.02) -> T:
    """As ``eventually``, for a condition that is itself awaited."""
    deadline = time.monotonic() + within * PATIENCE
    while True:
        value = await condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise NotReached(f"not within {within:g} s: {what}; last seen: {value!r}")
        await asyncio.sleep(every)


def holds(condition: Callable[[], object], *, during: float, what: str, every: float = 0.1) -> None:
    """Assert that ``condition()`` stays true for ``during`` seconds."""
    deadline = time.monotonic() + during
    while time.monotonic() < deadline:
        value = condition()
        assert value, f"did not hold for {during:g} s: {what}; seen: {value!r}"
        time.sleep(every)
