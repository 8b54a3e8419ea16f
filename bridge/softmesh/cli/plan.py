"""What the bridge would change now, without changing it."""

from __future__ import annotations

import argparse
import json

from softmesh.cli.arguments import add_bridge_arguments, control_socket
from softmesh.control.client import ask


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    add_bridge_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print the actions the next pass would apply; nothing to do is said, too."""
    answer = ask(control_socket(args), "plan")
    if args.json:
        print(json.dumps(answer, indent=2))
        return 0
    if answer["charon"]:
        print(f"nothing can be planned: {answer['charon']}")
        return 0
    if answer["removal_awaits"]:
        print(f"nothing is removed until all is heard from {', '.join(answer['removal_awaits'])}")
    print("\n".join(answer["actions"]) or "nothing to do: charon and the kernel hold what they should")
    return 0
