"""Ways to damage an input: as octets, as lines, as a JSON document."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

_ODD_OCTETS = (0, 1, 4, 6, 10, 20, 22, 127, 128, 255)
_ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 32, 129, 2**31, 2**32, 2**63, 2**64 - 1, 2**64, 2**200, 1.5, -0.0, 1e308,
    "", "0x", "0x0", "0xzz", "null", "no-nexthop", "::", "::1", "::/0", "0.0.0.0/0", "fe80::1%eth0", "10.0.0.1/33",
    "10.2.0.1/24", "\x00", "\n", "\x1b[31m", "\u2028", "é", "a" * 300, "ipv4 unicast", "softmesh-",
    [], {}, [[]], [{}], {"": ""}, ["10.2.0.0/24"], {"nlri": "10.2.0.0/24"},
)  # fmt: skip


def octets(data: bytes, chance: Random) -> bytes:
    """A copy with octets changed, removed, repeated, inserted, or its end cut off."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        place = chance.randrange(len(changed) + 1)
        match chance.randrange(7):
            case 0 if place < len(changed):
                changed[place] = chance.randrange(256)
            case 1 if place < len(changed):
                changed[place] ^= 1 << chance.randrange(8)
            case 2:
                del changed[place : place + chance.randrange(1, 9)]
            case 3:
                changed[place:place] = chance.randbytes(chance.randrange(1, 9))
            case 4:
                changed[place:place] = changed[place : place + chance.randrange(1, 40)]
            case 5 if place < len(changed):
                changed[place] = chance.choice(_ODD_OCTETS)
            case 6 if chance.random() < 0.3:
                del changed[place:]
            case _:
                pass
    return bytes(changed)


def document(data: bytes, chance: Random) -> bytes:
    """A copy of a JSON document with values replaced, taken out, repeated or nested; of no JSON, ``octets``."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return octets(data, chance)
    for _ in range(chance.choice((1, 1, 2, 4))):
        value = _changed(value, chance)
    text = json.dumps(value, ensure_ascii=chance.random() < 0.5)
    if chance.random() < 0.02:
        depth = chance.randrange(1, 3000)
        text = text.replace(" ", f" {'[' * depth}{']' * depth if chance.random() < 0.5 else ''} ", 1)
    return text.encode("utf-8", "surrogatepass")


def _changed(value: Any, chance: Random) -> Any:
    inside = isinstance(value, dict | list) and value and chance.random() < 0.85
    if isinstance(value, dict) and inside:
        key = chance.choice(list(value))
        match chance.randrange(12):
            case 0:
                return {name: item for name, item in value.items() if name != key}
            case 1:
                return {**value, chance.choice((key.upper(), key + "x", "type", "")): value[key]}
            case _:
                return {**value, key: _changed(value[key], chance)}
    if isinstance(value, list) and inside:
        place = chance.randrange(len(value))
        match chance.randrange(8):
            case 0:
                return value[:place] + value[place + 1 :]
            case 1:
                return value[:place] + [value[place]] * chance.choice((2, 2, 30)) + value[place + 1 :]
            case _:
                return [*value[:place], _changed(value[place], chance), *value[place + 1 :]]
    if isinstance(value, str) and chance.random() < 0.5:
        return octets(value.encode("utf-8", "surrogatepass"), chance).decode("latin-1")
    if isinstance(value, int) and chance.random() < 0.3:
        return value + chance.choice((-1, 1, 2**32, -(2**64)))
    return chance.choice(_ODD_VALUES)


def lines(data: bytes, chance: Random, one: Callable[[bytes, Random], bytes], more: Sequence[bytes] = ()) -> bytes:
    """A copy with whole lines removed, repeated, exchanged, put in from ``more``, or damaged by ``one``."""
    found = data.split(b"\n")
    for _ in range(chance.choice((1, 1, 2, 3, 6))):
        place = chance.randrange(len(found) + 1)
        match chance.randrange(8):
            case 0:
                del found[place : place + chance.choice((1, 1, 3))]
            case 1:
                found[place:place] = found[place : place + 1] * chance.choice((1, 1, 5))
            case 2 if place < len(found):
                other = chance.randrange(len(found))
                found[place], found[other] = found[other], found[place]
            case 3 | 4 if more:
                found.insert(place, chance.choice(more))
            case _ if place < len(found):
                found[place] = one(found[place], chance)
            case _:
                pass
    return b"\n".join(found)
