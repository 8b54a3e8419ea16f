"""What happens, as it happens: events as JSON, one a line."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from softmesh.cli.arguments import add_socket_arguments, control_socket, understood
from softmesh.control.client import follow
from softmesh.errors import Unreachable

_RETRY = 0.5
"""Seconds between attempts to find the bridge again."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    add_socket_arguments(parser)
    parser.add_argument(
        "--since", type=whole_number, metavar="SEQ", help="begin with what came after this sequence number"
    )
    parser.add_argument("--last", type=whole_number, metavar="N", help="begin with the last N that the bridge has kept")
    parser.add_argument("--softwire", metavar="KEY", help="only what concerns this softwire: REMOTE/TYPE[/COLOUR]")
    parser.add_argument(
        "-f",
        "--follow",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="go on with what comes, across restarts of the bridge [yes]",
    )


def run(args: argparse.Namespace) -> int:
    """Print events until interrupted, or until there is no more to print."""
    path = control_socket(args)
    # Where our reader leaves we are to notice before there is something to tell it.
    leave = sys.stdout.fileno()
    with understood(path, "events"):
        for event in _events(args, path, leave):
            print(json.dumps(event, ensure_ascii=False), flush=True)
    return 0


def _events(args: argparse.Namespace, path: Path, leave: int) -> Iterator[dict[str, Any]]:
    """Raises Unreachable where the bridge does not answer at first; later it is waited for."""
    since = args.since
    # Without --since, --last and --no-follow, none of what is kept.
    last = 0 if args.follow and since is None and args.last is None else args.last
    answered = waiting = False
    while True:
        try:
            for event in follow(
                path, "events", leave=leave,
                since=since, last=last, softwire=args.softwire, follow=args.follow,
            ):  # fmt: skip
                answered, waiting = True, False
                since = event["seq"]
                yield event
            answered = True
        except Unreachable:
            if not answered:
                raise
        if not args.follow:
            return
        if not waiting:
            print("softmesh: the bridge has ended; waiting for it to come back", file=sys.stderr)
            waiting = True
        # All of its next life is new.
        since, last = since or 0, None
        time.sleep(_RETRY)


def whole_number(text: str) -> int:
    """0 or more; raises ValueError, of which argparse makes a message with our name."""
    value = int(text)
    if value < 0:
        raise ValueError(text)
    return value
