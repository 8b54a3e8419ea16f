"""ExaBGP's child: keep the Adj-RIB-In and serve it to the bridge."""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys

from softmesh import held_signals
from softmesh.bgp.hook import DEFAULT_SOCKET, DEFAULT_STALE_TIME, Hook
from softmesh.errors import OperatorError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--socket", default=DEFAULT_SOCKET, help=f"unix socket to serve on [{DEFAULT_SOCKET}]")
    parser.add_argument(
        "--stale-time",
        type=float,
        default=DEFAULT_STALE_TIME,
        metavar="SECONDS",
        help=f"how long routes of a lost session are kept [{DEFAULT_STALE_TIME:g}]",
    )
    parser.add_argument(
        "--encapsulation",
        action="store_true",
        help="ExaBGP has the families of SAFI 7, through softmesh.bgp.exabgp_encapsulation",
    )


def run(args: argparse.Namespace) -> int:
    """Serve until ExaBGP ends. Returns 0; raises OperatorError when it cannot start."""
    if os.isatty(sys.stdin.fileno()):
        raise OperatorError(
            "hook: standard input is a terminal; ExaBGP starts this command: "
            "put it in a process stanza, as exabgp/softmesh.conf does"
        )
    if not args.stale_time >= 0:
        raise OperatorError(f"hook: --stale-time {args.stale_time:g} must be 0 seconds or more")
    # Routes are made by the hundred thousand and hold no cycles: looking for some after every 700 costs a tenth.
    gc.set_threshold(50_000, 20, 100)
    hook = Hook(
        sys.stdin.fileno(),
        sys.stdout.fileno(),
        args.socket,
        stale_time=args.stale_time,
        encapsulation=args.encapsulation,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: hook.stop())
    held_signals.release()
    return hook.run()
