"""The options of every command, from the parsers that read them."""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from softmesh.cli import COMMANDS, command_line

_BLOCK = "<!-- options: {name} -->\n"
_END = "<!-- end of options -->"


@dataclass(frozen=True, slots=True)
class Option:
    """One option or argument of a command."""

    names: tuple[str, ...]
    """As typed; none for an argument without a name of its own."""
    value: str
    """What stands for its value; empty where it takes none."""
    meaning: str


@dataclass(frozen=True, slots=True)
class Command:
    """One command, ``softmesh NAME``."""

    name: str
    summary: str
    usage: str
    """In one line."""
    options: tuple[Option, ...]


def commands() -> list[Command]:
    """Every command, in the order of ``softmesh --help``."""
    parsers = subparsers(command_line())
    return [
        Command(name, summary, _usage(parsers[name]), tuple(_options(parsers[name])))
        for name, summary in COMMANDS.items()
    ]


def subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parsers of the commands, by name."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _usage(parser: argparse.ArgumentParser) -> str:
    return re.sub(r"\s+", " ", parser.format_usage().removeprefix("usage: ").replace("[-h] ", "")).strip()


def _options(parser: argparse.ArgumentParser) -> Iterator[Option]:
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction) or action.help == argparse.SUPPRESS:
            continue
        yield Option(tuple(action.option_strings), _value(action), (action.help or "") % _facts(action))


def _value(action: argparse.Action) -> str:
    if action.option_strings and action.nargs == 0:
        return ""
    if isinstance(action.metavar, str):
        return action.metavar
    if action.choices is not None:
        return "{" + ",".join(map(str, action.choices)) + "}"
    return action.dest.upper() if action.option_strings else action.dest


def _facts(action: argparse.Action) -> dict[str, object]:
    """What argparse itself would put into a help text."""
    return {"default": action.default, "prog": "softmesh", "type": action.type, "choices": action.choices}


def inserted(page: str) -> str:
    """``page`` with the options of each command between marks, under its heading.

    Raises ValueError for a command that has no heading, or several places.
    """
    for command in commands():
        start = _BLOCK.format(name=command.name)
        if start not in page:
            heading = rf"^## (?:.*, )?softmesh {command.name}\b.*\n"
            page = re.sub(heading, rf"\g<0>\n{start}{_END}\n", page, flags=re.MULTILINE)
        block = "\n".join([start.rstrip(), "", *_synopsis(command), "", *_table(command), _END])
        place = f"{re.escape(start)}.*?{re.escape(_END)}"
        page, places = re.subn(place, block.replace("\\", r"\\"), page, flags=re.DOTALL)
        if places != 1:
            raise ValueError(
                f"docs/commands.md: {places} places for the options of softmesh {command.name}, one expected; "
                f"write a section with the heading ## softmesh {command.name}, then make reference"
            )
    return page


def without(page: str) -> str:
    """``page`` without what ``inserted`` puts there."""
    return re.sub(r"<!-- options: .*?" + re.escape(_END) + r"\n*", "", page, flags=re.DOTALL)


def _synopsis(command: Command) -> list[str]:
    return textwrap.wrap(command.usage, 96, initial_indent=" " * 4, subsequent_indent=" " * 8, break_on_hyphens=False)


def _table(command: Command) -> list[str]:
    if not command.options:
        return []
    rows = [f"| {_names(option)} | {_cell(option.meaning)} |" for option in command.options]
    return ["| option | meaning |", "| --- | --- |", *rows, ""]


def _names(option: Option) -> str:
    value = f" {option.value}" if option.value else ""
    names = [f"`{_cell(name + value)}`" for name in option.names] or [f"`{_cell(option.value)}`"]
    return ", ".join(names)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
