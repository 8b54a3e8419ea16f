"""Announce our prefixes again after a withdraw."""

from __future__ import annotations

import argparse
import json

from softmesh.cli.arguments import add_bridge_arguments, control_socket
from softmesh.control.client import ask


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    add_bridge_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Tell the bridge; print which prefixes it is about."""
    answer = ask(control_socket(args), "announce")
    print(
        json.dumps(answer, indent=2) if args.json else f"announcing: {', '.join(answer['announcing']) or 'no prefix'}"
    )
    return 0
