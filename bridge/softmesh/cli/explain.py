"""The chain of decisions for one prefix or endpoint."""

from __future__ import annotations

import argparse
import json
from typing import Any

from softmesh.cli.arguments import add_bridge_arguments, answered


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    parser.add_argument("target", metavar="PREFIX|ENDPOINT", help="a prefix, an address in one, or a peer's endpoint")
    add_bridge_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print every route that matches with what became of it; 1 where no route does."""
    with answered(args, "explain", target=args.target) as answer:
        print(json.dumps(answer, indent=2) if args.json else "\n".join(lines(answer)))
        return 0 if answer["routes"] else 1


def lines(answer: dict[str, Any]) -> list[str]:
    """The answer as a person reads it."""
    if not answer["routes"]:
        target = answer["target"]
        return [f"no route: no BGP neighbour has announced {target}, so nothing is sent there through a softwire"]
    shown = []
    for route in answer["routes"]:
        shown.append(f"{route['prefix']} from {route['neighbor']}: {route['result']}")
        for step in route["steps"]:
            rule = f" [{step['rule']}]" if "rule" in step else ""
            shown.append(f"  {step['step']:<9}{step['text']}{rule}")
    return shown
