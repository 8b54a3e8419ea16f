"""mesh.yaml: whatever is in it, a configuration or errors of one line."""

from __future__ import annotations

import atexit
import json
import tempfile
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import yaml

from fuzz import mutation
from fuzz.target import Target, demand
from softmesh.config import Config, ConfigurationError, Severity, examine, load
from tests.unit.config.site import EXAMPLES, GOOD, Site

FULL = (EXAMPLES / "full.yaml").read_text()
CORPUS = (GOOD.encode(), FULL.encode())
_ODD = (b":", b"- ", b"[", b"]", b"{", b"}", b"#", b"&a ", b"*a", b"!!python/object:os.system ", b"|", b">", b"'", b'"',
        b"%", b"@", b"`", b"\n", b"\t", b"\r", b"~", b"\x00", b"\xc3", b"<<: ", b"? ", b"---\n", b"  ")  # fmt: skip


def mutate(content: bytes, chance: Random) -> bytes:
    """Lines in another order, odd characters, or other values in place of some."""
    match chance.randrange(3):
        case 0:
            return mutation.lines(content, chance, mutation.octets, (b"<<: *a", b"a: &a [*a]", b"- " * 40))
        case 1:
            place = chance.randrange(len(content) + 1)
            return content[:place] + chance.choice(_ODD) * chance.choice((1, 1, 1, 3, 200)) + content[place:]
        case _:
            try:
                value: Any = yaml.safe_load(content)
            except (yaml.YAMLError, ValueError, RecursionError):
                return mutation.octets(content, chance)

            try:
                return mutation.document(json.dumps(value, default=str).encode(), chance)
            except (TypeError, ValueError, RecursionError):
                return mutation.octets(content, chance)


@cache
def site() -> Site:
    """A directory with all the files that are named, for as long as the program runs."""
    directory = tempfile.TemporaryDirectory()
    atexit.register(directory.cleanup)
    return Site(Path(directory.name))


def outcome(where: Site, content: bytes) -> Config | None:
    """Load it; the only exception allowed is ConfigurationError, and all it says is well formed."""
    where.file.write_bytes(content)
    examination = examine(where.file)
    lines = content.count(b"\n") + content.count(b"\r") + 2
    for problem in examination.problems:
        demand(1 <= problem.place.line <= lines * 3, "a problem has its line")
        demand(problem.place.column >= 1, "and its column")
        demand(str(problem).isprintable(), f"and is one line: {str(problem)!r}")
        demand(problem.message and problem.remedy, "with a remedy")
    if examination.config is not None:
        demand(load(where.file) == examination.config, "what is examined is what is loaded")
        return examination.config
    try:
        load(where.file)
    except ConfigurationError as error:
        demand(any(problem.severity is Severity.ERROR for problem in error.problems), "an error is one")
        demand(error.problems == examination.problems, "the same problems")
        demand(str(error).isprintable(), "on one line")
    else:
        raise AssertionError("what does not pass examination is loaded")
    return None


def check(content: bytes) -> str:
    """Whether it was taken, and how many problems there were."""
    config = outcome(site(), content)
    return "refused" if config is None else "taken"


# PyYAML is written in Python, and reads it twice: 1 ms for ten lines.
TARGET = Target(CORPUS, mutate, check, seconds=3.0)
