"""Arguments several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from softmesh import __version__
from softmesh.config import DEFAULT_PATH, load
from softmesh.control.client import ask
from softmesh.errors import PeerError


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
    add_socket_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")


def add_socket_arguments(parser: argparse.ArgumentParser) -> None:
    """How to find the running bridge."""
    where = parser.add_mutually_exclusive_group()
    add_config_argument(where)
    where.add_argument("--socket", type=Path, metavar="PATH", help="control socket of the bridge, instead of a FILE")


@contextmanager
def answered(args: argparse.Namespace, command: str, **arguments: Any) -> Iterator[dict[str, Any]]:
    """Ask the bridge, and show its answer within; one of another shape raises PeerError. Raises as ``ask`` does too."""
    path = control_socket(args)
    answer = ask(path, command, **arguments)
    with understood(path, command):
        yield answer


@contextmanager
def understood(path: Path, command: str) -> Iterator[None]:
    """Show an answer within; one of another shape raises PeerError."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise PeerError(
            f"control socket {path}: not what this softmesh ({__version__}) calls an answer to {command}; "
            "restart softmesh run if it is of another version"
        ) from error


def control_socket(args: argparse.Namespace) -> Path:
    """The control socket an operator means: named, or the configuration's. Raises ConfigurationError."""
    if args.socket is not None:
        return Path(args.socket)
    return load(args.config, files=False).sockets.control
