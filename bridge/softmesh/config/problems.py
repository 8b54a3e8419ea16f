"""What is wrong with a configuration file: where, what, and the remedy."""

from __future__ import annotations

import difflib
import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from softmesh.errors import OperatorError

KeyPath: TypeAlias = tuple[str | int, ...]
"""Keys and list indices from the top of the file to a value."""


MAX_SHOWN = 60
"""Characters of a value from the file that a message shows."""


def spell(path: KeyPath) -> str:
    """Write a key path as operators do: ``bgp.neighbors[0].address``; the top itself is an empty string."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{clip(step)}" if text else clip(step)
    return text


def clip(text: str) -> str:
    """Make any text from the file fit for one line of a message."""
    if "PRIVATE KEY" in text:
        # Put there in place of a path: messages are logged.
        return "(a private key)"
    text = "".join(character if character.isprintable() else "?" for character in text)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"


def near(word: str, choices: Iterable[str]) -> str | None:
    """Find the one of the choices that a word is a misspelling of."""
    matches = difflib.get_close_matches(word[:MAX_SHOWN].lower(), list(choices), n=1)
    return matches[0] if matches else None


class Severity(enum.StrEnum):
    """Whether the file can be used in spite of a problem."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the file; lines and columns count from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong at one place of the file."""

    severity: Severity
    file: str
    place: Place
    key: str
    """Key path, or an empty string where the file as a whole is meant."""
    message: str
    remedy: str

    def __str__(self) -> str:
        """One line: place, key, what is wrong and the remedy."""
        severity = "warning: " if self.severity is Severity.WARNING else ""
        key = f"{self.key}: " if self.key else ""
        return f"{self.file}:{self.place.line}:{self.place.column}: {severity}{key}{self.message}; {self.remedy}"


class ConfigurationError(OperatorError):
    """A configuration file that cannot be used; ``problems`` has everything found, warnings included."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        errors = [problem for problem in self.problems if problem.severity is Severity.ERROR]
        more = f" (and {len(errors) - 1} more: softmesh check {errors[0].file})" if len(errors) > 1 else ""
        super().__init__(f"{errors[0]}{more}")
