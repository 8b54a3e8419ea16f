"""Each line of the log is of a registered event, with its level and all of its keys; and the documents tell of all."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import softmesh
from softmesh.config.values import LogLevel
from softmesh.log_events import EVENTS, STREAM_ONLY

SOURCE = Path(softmesh.__file__).parent
DOCS = SOURCE.parent.parent / "docs"
LEVELS = {level.value for level in LogLevel} | {"exception", "critical", "warn", "fatal", "log", "msg"}


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    """Calls of a method of something that is called a log: ``log.info``, ``self._log.info``, ``get_logger().info``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS:
            owner = ast.unparse(node.func.value)
            if re.search(r"(^|\W|_)log$|get_logger\(.*\)$", owner):
                yield node


def problems(source: str) -> list[str]:
    """What is wrong with the log calls in a module."""
    found = []
    for call in calls(ast.parse(source)):
        assert isinstance(call.func, ast.Attribute)
        said = [arg.value for arg in call.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        keys = {keyword.arg for keyword in call.keywords}
        if len(said) != 1 or len(call.args) != 1 or (event := EVENTS.get(said[0])) is None:
            found.append(f"line {call.lineno}: {said} is not registered")
        elif call.func.attr != event.level.value:
            found.append(f"line {call.lineno}: {said[0]} is of level {event.level}")
        elif keys != event.keys.keys():
            found.append(f"line {call.lineno}: {said[0]} has keys {sorted(event.keys)}")
    return found


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("self._log.info('announcing')", False),
        ("log.warning('problem', subject=1, problem=2)", False),
        ("structlog.get_logger('x').warning('problem', subject=1, problem=2)", False),
        ("log.warning('problem', subject=1)", True),
        ("log.warning('problem', subject=1, problem=2, more=3)", True),
        ("log.warning('problem', **what)", True),
        ("log.info('problem', subject=1, problem=2)", True),
        ("self._log.info('news')", True),
        ("_log.info(what)", True),
        ("_log.exception('problem', subject=1, problem=2)", True),
    ],
)
def test_the_search_finds_what_is_wrong(line: str, wrong: bool) -> None:
    assert bool(problems(line)) is wrong
    assert len(list(calls(ast.parse(line)))) == 1


def modules() -> list[Path]:
    # The hook's own log is text, and ExaBGP's.
    return [path for path in sorted(SOURCE.rglob("*.py")) if path.relative_to(SOURCE).parts[0] != "bgp"]


def test_every_call_is_of_a_registered_event_with_its_keys() -> None:
    wrong = {str(path.relative_to(SOURCE)): problems(path.read_text()) for path in modules()}
    assert {path: said for path, said in wrong.items() if said} == {}


def test_every_registered_event_is_told_by_somebody() -> None:
    told = {
        call.args[0].value
        for path in modules()
        for call in calls(ast.parse(path.read_text()))
        if call.args and isinstance(call.args[0], ast.Constant)
    }
    assert EVENTS.keys() - told == set()


def test_nothing_logs_by_another_way() -> None:
    """Neither with bound values, which the search would not see, nor with the standard library's logging."""
    for path in modules():
        if path.name == "log.py":
            continue
        source = path.read_text()
        assert "logging.getLogger" not in source, path
        assert ".bind(" not in source or "structlog" not in source, path


def test_keys_of_one_name_are_said_alike() -> None:
    for name, event in {**EVENTS, **STREAM_ONLY}.items():
        assert not event.keys.keys() & {"event", "level", "timestamp", "seq"}, name
        assert all(re.fullmatch("[a-z][a-z0-9_]*", key) and sentence for key, sentence in event.keys.items()), name


def test_examples_in_the_documents_are_whole() -> None:
    text = (DOCS / "reference" / "log-events.md").read_text(encoding="utf-8")
    examples = [json.loads(line) for line in text.splitlines() if line.strip().startswith('{"')]
    assert examples
    for line in examples:
        assert line.keys() - {"seq", "event", "level", "timestamp"} == EVENTS[line["event"]].keys.keys()
        assert line["level"] == EVENTS[line["event"]].level
