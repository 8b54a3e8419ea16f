"""Withdraw all that we announce: leave the mesh, keep running."""

from __future__ import annotations

import argparse
import json

from softmesh.cli.arguments import add_bridge_arguments, answered


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    add_bridge_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Tell the bridge; print which prefixes it is about."""
    with answered(args, "withdraw") as answer:
        told = f"withdrawn: {', '.join(answer['withdrawn']) or 'no prefix'}"
        print(json.dumps(answer, indent=2) if args.json else told)
        return 0
