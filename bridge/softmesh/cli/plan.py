"""What the bridge would change now, without changing it."""

from __future__ import annotations

import argparse
import json
from typing import Any

from softmesh.cli.arguments import add_bridge_arguments, answered


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    add_bridge_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print the actions the next pass would apply; nothing to do is said, too."""
    with answered(args, "plan") as answer:
        print(json.dumps(answer, indent=2) if args.json else "\n".join(lines(answer)))
        return 0


def lines(answer: dict[str, Any]) -> list[str]:
    """The answer as a person reads it."""
    if answer["charon"]:
        return [f"nothing can be planned: {answer['charon']}"]
    shown = []
    if answer["removal_awaits"]:
        shown.append(f"nothing is removed until all is heard from {', '.join(answer['removal_awaits'])}")
    return shown + (answer["actions"] or ["nothing to do: charon and the kernel hold what they should"])
