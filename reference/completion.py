"""Completion for shells, from the parsers."""

from __future__ import annotations

import argparse
from pathlib import Path

import shtab

from reference.options import subparsers
from softmesh.cli import command_line

TARGETS = {
    "bash": "bash-completion/completions/softmesh",
    "zsh": "zsh/vendor-completions/_softmesh",
    "fish": "fish/vendor_completions.d/softmesh.fish",
}
"""Where each shell looks, under ``share``; zsh as Debian has it."""
_PATHS = {"FILE", "PATH", "SOCKET", "DIR|PREFIX"}


def scripts() -> dict[str, str]:
    """Every script by its path under ``share``."""
    parser = command_line()
    for command in subparsers(parser).values():
        for action in command._actions:
            if action.type is Path or action.metavar in _PATHS:
                _complete_files(action)
    return {path: shtab.complete(parser, shell) for shell, path in TARGETS.items()}


def _complete_files(action: argparse.Action) -> None:
    action.complete = shtab.FILE  # type: ignore[attr-defined]
