"""Announce our prefixes again after a withdraw, or attribute 23 to a neighbour that refused it."""

from __future__ import annotations

import argparse
import json

from softmesh.cli.arguments import add_bridge_arguments, answered


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    add_bridge_arguments(parser)
    parser.add_argument(
        "--attribute",
        metavar="NEIGHBOR",
        help="send attribute 23 again to this BGP neighbour, which had its sessions end over it",
    )


def run(args: argparse.Namespace) -> int:
    """Tell the bridge; print which prefixes it is about."""
    again = {} if args.attribute is None else {"attribute": args.attribute}
    with answered(args, "announce", **again) as answer:
        if again:
            told = f"announcing attribute 23 to {answer['attribute']} again"
        else:
            told = f"announcing: {', '.join(answer['announcing']) or 'no prefix'}"
        print(json.dumps(answer, indent=2) if args.json else told)
        return 0
