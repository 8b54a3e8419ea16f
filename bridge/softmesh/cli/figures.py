"""Figures as people write them."""

from __future__ import annotations


def age(seconds: float) -> str:
    """A duration: ``4.2s``, ``3m07s``, ``2h05m``, ``9d04h``."""
    if seconds < 60:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    for unit, smaller, size, step in (("m", "s", 60, 1), ("h", "m", 3600, 60), ("d", "h", 86400, 3600)):
        if unit == "d" or whole < size * (60 if unit == "m" else 24):
            return f"{whole // size}{unit}{whole % size // step:02d}{smaller}"
    raise AssertionError("days have no upper bound")


def octets(count: int) -> str:
    """A number of octets in at most five characters: ``999``, ``1.2k``, ``34M``."""
    if count < 1000:
        return str(count)
    value = float(count)
    for unit in "kMGTPE":
        value /= 1000
        if value < 9.95:
            return f"{value:.1f}{unit}"
        if value < 999.5:
            return f"{value:.0f}{unit}"
    return f"{value:.0f}E"
