"""Have the bridge read its configuration again, and say whether it did."""

from __future__ import annotations

import argparse
import json

from softmesh.cli.arguments import add_bridge_arguments, answered


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    add_bridge_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print what is to be known of it; where the file cannot be used the bridge refuses, and nothing has changed."""
    with answered(args, "reload") as answer:
        if args.json:
            print(json.dumps(answer, indent=2))
            return 0
        for warning in answer["warnings"]:
            print(warning)
        print("configuration taken over")
        if answer["restart_needed"]:
            print(f"restart needed: {answer['restart_needed']}")
        return 0
