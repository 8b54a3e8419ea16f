"""What is made of the code is fresh, and every state, rule and failure has its explanation."""

from __future__ import annotations

import argparse
import re

import pytest

from reference.__main__ import ROOT, files
from reference.options import commands, inserted, subparsers
from reference.reasons import FAILURES, PHRASES, RULES, STATES
from reference.roff import rendered
from softmesh.charon.failure import REASONS
from softmesh.cli import COMMANDS, command_line
from softmesh.control.progress import State
from softmesh.mesh.refusal import Rule


def test_what_is_made_of_the_code_is_fresh() -> None:
    made = dict(files())
    stale = [path for path, text in made.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    assert [str(path.relative_to(ROOT)) for path in stale] == [], "make reference"
    shared = {path for path in (ROOT / "share").rglob("*") if path.is_file()}
    assert shared == {path for path in made if path.is_relative_to(ROOT / "share")}, "remove what no command has"


def test_every_state_rule_and_failure_is_explained() -> None:
    assert set(STATES) == set(State)
    assert set(RULES) == set(Rule)
    assert set(FAILURES) == REASONS
    for explanation in (*STATES.values(), *RULES.values(), *FAILURES.values(), *PHRASES.values()):
        assert explanation.meaning
        assert explanation.remedy


def test_the_documents_that_explanations_name_exist() -> None:
    named = re.findall(r"docs/[a-z-]+\.md", (ROOT / "reference/reasons.py").read_text())
    assert len(named) > 3
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_option_of_every_command_is_described() -> None:
    parsers = subparsers(command_line())
    assert list(parsers) == list(COMMANDS)
    for command in commands():
        shown = {name for option in command.options for name in option.names}
        typed = {name for action in parsers[command.name]._actions for name in action.option_strings}
        assert shown == typed - {"-h", "--help"}
        for option in command.options:
            assert option.meaning, f"softmesh {command.name} {option.names}: no help"


def test_only_the_command_that_is_asked_for_is_imported() -> None:
    described = subparsers(command_line({"plan"}))
    assert list(described) == list(COMMANDS)
    assert [name for name, parser in described.items() if len(parser._actions) > 1] == ["plan"]


def test_a_command_without_a_place_in_the_document_is_named() -> None:
    with pytest.raises(ValueError, match="0 places for the options of softmesh run"):
        inserted("# Commands\n")


def test_markdown_as_roff() -> None:
    text = (
        "## A\n\nSee `x-y` and **b** at\n.dot, 'c\\d'\n\n- one\n- two\n\n        code\n\n"
        "| k | d | m |\n|-|-|-|\n| `a` | 1 | s |\n"
    )
    assert rendered(text).splitlines() == [
        '.SH "A"',
        r"See \fBx\-y\fR and \fBb\fR at",
        r"\&.dot, 'c\ed'",
        r".IP \(bu 2",
        "one",
        r".IP \(bu 2",
        "two",
        ".RS 2",
        ".PP",
        ".RS 4",
        ".nf",
        "code",
        ".fi",
        ".RE",
        ".RE",
        ".TP",
        r"\fBa\fR",
        "d: 1",
        ".br",
        "s",
    ]  # fmt: skip


def test_a_parser_without_commands_has_none() -> None:
    assert subparsers(argparse.ArgumentParser()) == {}
