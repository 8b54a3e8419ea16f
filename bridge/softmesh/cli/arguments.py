"""Arguments several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path

from softmesh.config import DEFAULT_PATH, load


def add_config_argument(parser: argparse._ActionsContainer) -> None:
    """``-c FILE``."""
    parser.add_argument(
        "-c",
        "--config",
        type=Path,
        default=DEFAULT_PATH,
        metavar="FILE",
        help=f"configuration [{DEFAULT_PATH}]",
    )


def add_bridge_arguments(parser: argparse.ArgumentParser) -> None:
    """How to find the running bridge, and the form of the answer."""
    where = parser.add_mutually_exclusive_group()
    add_config_argument(where)
    where.add_argument("--socket", type=Path, metavar="PATH", help="control socket of the bridge, instead of a FILE")
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")


def control_socket(args: argparse.Namespace) -> Path:
    """The control socket an operator means: named, or the configuration's. Raises ConfigurationError."""
    if args.socket is not None:
        return Path(args.socket)
    return load(args.config, files=False).sockets.control
