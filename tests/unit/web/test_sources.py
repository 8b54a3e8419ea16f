"""What the web side asks for, and how often; when it says that a bridge is ready."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from softmesh.errors import Unreachable
from softmesh.web.bridge_sources import awaited_by
from softmesh.web.sources import Recent


class Clock:
    """A time that is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Asked:
    """Counts how often it is asked, and answers when it is let."""

    def __init__(self) -> None:
        self.times = 0
        self.answer = asyncio.Event()
        self.answer.set()

    async def __call__(self) -> int:
        self.times += 1
        await self.answer.wait()
        return self.times


async def test_many_share_one_answer_a_second() -> None:
    clock, asked = Clock(), Asked()
    recent = Recent(asked, age=1.0, monotonic=clock)
    assert [await recent() for _ in range(100)] == [1] * 100
    clock.now = 0.99
    assert await recent() == 1
    clock.now = 1.0
    assert set(await asyncio.gather(*(recent() for _ in range(100)))) == {2}


async def test_who_gives_up_takes_nobody_along() -> None:
    asked = Asked()
    asked.answer.clear()
    recent = Recent(asked, monotonic=Clock())
    impatient, patient = asyncio.ensure_future(recent()), asyncio.ensure_future(recent())
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.wait([impatient])
    asked.answer.set()
    assert await patient == 1


async def test_a_failure_is_shared_as_an_answer_is() -> None:
    times = 0
    clock = Clock()

    async def fail() -> None:
        nonlocal times
        times += 1
        raise Unreachable("gone")

    recent = Recent(fail, monotonic=clock)
    for _ in range(10):
        with pytest.raises(Unreachable):
            await recent()
    assert times == 1
    clock.now = 1.0
    with pytest.raises(Unreachable):
        await recent()
    assert times == 2


def status(**others: Any) -> dict[str, Any]:
    ready = {"hook": {"connected": True}, "charon": {"connected": True, "reason": ""}, "removal_awaits": []}
    return ready | others


def test_ready() -> None:
    assert awaited_by(status()) == ()
    assert awaited_by(status(hook={"connected": False})) == ("the hook, which tells what BGP says, is not connected",)
    assert awaited_by(status(charon={"connected": False, "reason": "no socket"})) == ("charon: no socket",)
    assert awaited_by(status(removal_awaits=["::1 (ipv4 unicast)"])) == (
        "all is yet to be heard from ::1 (ipv4 unicast)",
    )
