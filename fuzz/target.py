"""What a fuzz target is: valid inputs, a way to damage them, and what must hold of whatever comes of that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Target:
    """One reader of input that others wrote. Inputs are octets whatever it reads: so they can be printed and cut."""

    corpus: Sequence[bytes]
    """Inputs made by the real encoders."""
    mutate: Callable[[bytes, Random], bytes]
    """Gives a damaged copy of an input, nearly right most of the time."""
    check: Callable[[bytes], str]
    """Feeds an input to the reader; returns in a few words what came of it, raises anything where that must not be."""
    seconds: float = 0.05
    """Processor time that an input of less than 64 KiB may take."""


def demand(holds: object, what: str) -> None:
    """Raise AssertionError, naming ``what``, unless it holds."""
    if not holds:
        raise AssertionError(f"does not hold: {what}")
