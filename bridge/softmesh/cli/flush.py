"""Remove all that is ours from charon and the kernel, the guards last."""

from __future__ import annotations

import argparse
import asyncio

from softmesh.cli.arguments import add_config_argument
from softmesh.config import Config, load
from softmesh.control.client import ask
from softmesh.control.flush import flush
from softmesh.errors import OperatorError, Unreachable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    add_config_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Print what was removed; 1 where something could not be, charon not answering above all."""
    config = load(args.config, files=False)
    _refuse_while_running(config)
    flushed = asyncio.run(flush(config))
    print("\n".join(flushed.done) or "nothing of ours was there")
    if flushed.left:
        raise OperatorError("; ".join(flushed.left))
    return 0


def _refuse_while_running(config: Config) -> None:
    try:
        ask(config.sockets.control, "status")
    except Unreachable:
        return
    raise OperatorError(
        f"the bridge is running and would make it all anew: stop it first (it listens on {config.sockets.control})"
    )
