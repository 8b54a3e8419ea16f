"""What the RFCs require of a softwire mesh, and whether this node meets it now."""

from __future__ import annotations

import argparse
import json
import textwrap
from typing import Any

from softmesh.cli.arguments import add_bridge_arguments, answered

_ORDER = ("fail", "unknown", "warn", "operator's", "pass", "not-applicable")
"""Of verdicts: what there is to do comes first."""
_WIDTH = 118


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    add_bridge_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print every requirement with verdict and evidence; 1 where a MUST is not met, or cannot be shown to be."""
    with answered(args, "audit") as answer:
        print(json.dumps(answer, indent=2) if args.json else "\n".join(lines(answer)))
        return 1 if answer["unmet"] else 0


def lines(answer: dict[str, Any]) -> list[str]:
    """The answer as a person reads it."""
    shown = [summary(answer), ""]
    for row in sorted(answer["rows"], key=lambda row: _ORDER.index(row["verdict"])):
        shown.append(f"{row['verdict']:<15}{row['id']:<9}{row['level']:<9}{row['source']}")
        shown += _wrapped(row["requirement"], "")
        for phrase in row["evidence"]:
            shown += _wrapped(phrase, "- ")
        if row["remedy"]:
            shown += _wrapped(row["remedy"], "remedy: ")
        shown.append("")
    return shown[:-1]


def summary(answer: dict[str, Any]) -> str:
    """One line: what it comes to."""
    counts = ", ".join(f"{answer['verdicts'][verdict]} {verdict}" for verdict in _ORDER if answer["verdicts"][verdict])
    musts = f"{answer['musts']} MUST requirements"
    if answer["unmet"]:
        musts += f", not met: {', '.join(answer['unmet'])}"
    else:
        musts += ", none unmet"
    if answer["partly"]:
        musts += f"; met otherwise or in part: {', '.join(answer['partly'])}"
    return f"softmesh audit of {answer['endpoint']}: {musts} ({counts})"


def _wrapped(text: str, mark: str) -> list[str]:
    first = " " * 15 + mark
    return textwrap.wrap(text, _WIDTH, initial_indent=first, subsequent_indent=" " * len(first), break_on_hyphens=False)
