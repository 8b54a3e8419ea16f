"""Whether an input is a finding, and the smallest one that still is the same."""

from __future__ import annotations

import signal
import time
import traceback
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from fuzz.target import Target

LARGE = 64 * 1024
"""Octets from which an input may take its time."""
_HANGS = 5.0
"""Seconds of processor time after which a check is broken off."""
_OCTETS = 16 * 2**20
_OCTETS_EACH = 1024
"""How much an input may cost in memory: so much at all, and so much for each of its octets."""
_TRIES = 2000
_PATIENCE = 30.0


class _Hang(BaseException):
    """A check took far too long; no ``except Exception`` on its way keeps it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Why an input must not come to what it came to."""

    kind: str
    """The same for inputs that fail in the same way."""
    told: str
    """Of this one."""


def judge(target: Target, data: bytes, *, memory: bool = False) -> Finding | str:
    """What came of an input, in the target's words, or why that is a finding. ``memory``: watch that, too."""
    finding = _tried(target, data, memory=memory)
    if isinstance(finding, Finding) and finding.kind == "slow":
        # The first time pays for what is made once: tables, compiled patterns, caches.
        return _tried(target, data, memory=False)
    return finding


def _tried(target: Target, data: bytes, *, memory: bool) -> Finding | str:
    if memory:
        tracemalloc.start()
    began = time.thread_time()
    try:
        with _limited():
            outcome = target.check(data)
    except _Hang:
        return Finding("slow", f"not done after {_HANGS:g} s")
    except Exception as error:  # noqa: BLE001
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(where.filename).name}:{where.name}"
        return Finding(f"{type(error).__name__} {place}", "".join(traceback.format_exception(error)).rstrip())
    finally:
        took = time.thread_time() - began
        peak = tracemalloc.get_traced_memory()[1] if memory else 0
        tracemalloc.stop()
    if peak > _OCTETS + _OCTETS_EACH * len(data):
        return Finding("memory", f"{peak} octets for an input of {len(data)}")
    if not memory and len(data) < LARGE and took > target.seconds:
        return Finding("slow", f"{took * 1000:.0f} ms for an input of {len(data)} octets")
    return outcome


@contextmanager
def _limited() -> Iterator[None]:
    def over(_number: int, _frame: FrameType | None) -> None:
        raise _Hang

    before = signal.signal(signal.SIGVTALRM, over)
    signal.setitimer(signal.ITIMER_VIRTUAL, _HANGS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def minimised(target: Target, data: bytes, kind: str) -> bytes:
    """The input with all left out that is not needed to fail in the same way, so far as that is found soon."""

    def fails(smaller: bytes) -> bool:
        found = judge(target, smaller, memory=kind == "memory")
        return isinstance(found, Finding) and found.kind == kind

    return reduced(data, fails)


def reduced(data: bytes, fails: Callable[[bytes], bool]) -> bytes:
    """Delta debugging: leave out pieces, half of it first and single octets last, as long as it still fails."""
    deadline, tries = time.monotonic() + _PATIENCE, 0
    size = len(data) // 2
    while size:
        place = 0
        while place < len(data):
            if (tries := tries + 1) > _TRIES or time.monotonic() > deadline:
                return data
            smaller = data[:place] + data[place + size :]
            if fails(smaller):
                data = smaller
            else:
                place += size
        size //= 2
    return data
