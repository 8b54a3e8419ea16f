"""YAML text to nodes that know their place in the file.

The safe part of YAML only: mappings, lists and scalars. Anchors, aliases and tags are refused, which leaves
nothing to execute and nothing to expand; depth and size are bounded. Plain scalars are read as YAML 1.2 does:
``2001:10:20:30:40:50:1:2`` is text, not a number in base 60. ``yes``, ``no``, ``on`` and ``off`` are booleans
all the same, since people write them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml

from softmesh.config.problems import KeyPath, Place

MAX_DEPTH = 16

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""YAML 1.2.2 §5.1: what is not c-printable."""
_UNQUOTED = re.compile(r"[\[{,]\s*::|::\s*([\]},#]|$)")
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"})
_FALSE = frozenset({"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"})
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,30})")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]{1,30}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]{1,30}|(0|[1-9][0-9]{0,30})(\.[0-9]{0,30})?)([eE][-+]?[0-9]{1,3})?")


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value: None, bool, int, float or str."""

    place: Place
    value: bool | int | float | str | None
    text: str
    """As written, without quotes."""


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    place: Place
    items: list[Node]


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping, in the file's order."""

    place: Place
    entries: dict[str, Entry]


@dataclass(frozen=True, slots=True)
class Entry:
    """A key and its value."""

    place: Place
    """Of the key."""
    value: Node


Node: TypeAlias = Scalar | Sequence | Mapping
Report: TypeAlias = Callable[[Place, KeyPath, str, str], None]
"""Takes the place, the key path, what is wrong and the remedy."""


def read_document(text: str, report: Report) -> Node | None:
    """Read one YAML document; everything wrong goes to ``report``.

    Returns the top node, or None where the text has none or is not YAML. A second use of a key is reported
    and dropped.
    """
    forbidden = _FORBIDDEN.search(text)
    if forbidden is not None:
        character = f"U+{ord(forbidden[0]):04X}"
        report(
            _place_of(text, forbidden.start()),
            (),
            f"character {character} is not allowed in YAML",
            "remove it",
        )
        return None
    try:
        return _Composer(text, report).document()
    except _UnreadableError:
        return None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = _place(mark) if mark is not None else Place(1, 1)
        remedy = "correct it at or above this place"
        if any(_UNQUOTED.search(line) for line in text.split("\n")[max(0, place.line - 2) : place.line]):
            remedy = "quote an IPv6 value that begins or ends with ::"
        report(place, (), f"not YAML: {_one_line(error.problem or error.context)}", remedy)
    return None


def interpret(text: str) -> bool | int | float | str | None:
    """Give the value of a plain (unquoted) scalar."""
    if text in _NULL:
        return None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    if _INTEGER.fullmatch(text):
        return int(text)
    if _HEXADECIMAL.fullmatch(text):
        return int(text, 16)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


class _UnreadableError(Exception):
    """What is wrong has been reported and there is no going on."""


class _Composer:
    """Events to nodes. PyYAML's own composer bounds no depth and recurses in C."""

    def __init__(self, text: str, report: Report) -> None:
        self._events = yaml.parse(text, Loader=_LOADER)
        self._report = report

    def document(self) -> Node | None:
        self._next()  # stream start
        if isinstance(self._next(), yaml.StreamEndEvent):
            return None
        node = self._node(self._next(), (), 1)
        self._next()  # document end
        more = self._next()
        if not isinstance(more, yaml.StreamEndEvent):
            self._fail(more, (), "a second document begins", "keep one document: remove the line ---")
        return node

    def _next(self) -> Any:
        return next(self._events)

    def _fail(self, event: Any, path: KeyPath, message: str, remedy: str) -> None:
        self._report(_place(event.start_mark), path, message, remedy)
        raise _UnreadableError

    def _node(self, event: Any, path: KeyPath, depth: int) -> Node:
        place = _place(event.start_mark)
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            self._fail(
                event,
                path,
                "YAML anchors and aliases (& and *) are not supported",
                "write the value out, or quote it",
            )
        if event.tag is not None and not (isinstance(event, yaml.ScalarEvent) and event.tag == "!"):
            self._fail(event, path, "YAML tags (!) are not supported", "remove the tag, or quote the value")
        if depth > MAX_DEPTH:
            self._fail(
                event,
                (),
                f"nested more than {MAX_DEPTH} deep",
                "see docs/configuration.md for the keys there are",
            )
        if isinstance(event, yaml.ScalarEvent):
            plain = event.implicit[0] and event.style in (None, "")
            return Scalar(place, interpret(event.value) if plain else event.value, event.value)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Node] = []
            while not isinstance(event := self._next(), yaml.SequenceEndEvent):
                items.append(self._node(event, (*path, len(items)), depth + 1))
            return Sequence(place, items)
        entries: dict[str, Entry] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                self._fail(
                    event,
                    path,
                    "a key must be a plain word",
                    "write the key as a word, or quote the value in braces",
                )
            key = event.value
            key_place = _place(event.start_mark)
            value = self._node(self._next(), (*path, key), depth + 1)
            if key in entries:
                first = entries[key].place.line
                self._report(key_place, (*path, key), f"key given twice, first in line {first}", "keep one of them")
            else:
                entries[key] = Entry(key_place, value)
        return Mapping(place, entries)


def place_of(node: Node, path: KeyPath) -> Place:
    """Find where a key path stands in a document: its key, or the nearest key above it that is there."""
    place = node.place
    for step in path:
        if isinstance(node, Mapping) and isinstance(step, str) and step in node.entries:
            place, node = node.entries[step].place, node.entries[step].value
        elif isinstance(node, Sequence) and isinstance(step, int) and step < len(node.items):
            node = node.items[step]
            place = node.place
        else:
            break
    return place


def _place(mark: Any) -> Place:
    return Place(mark.line + 1, mark.column + 1)


def _place_of(text: str, position: int) -> Place:
    before = text[:position]
    return Place(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)


def _one_line(text: str | None) -> str:
    return " ".join((text or "cannot be read").split())
