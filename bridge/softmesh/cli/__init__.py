"""The command ``softmesh``: one module a command, imported only when it is asked for.

A command's module has ``add_arguments(parser)`` and ``run(args) -> int``; the first line of its docstring is its help.
The hook is one of the commands and must start fast, hence the table of names instead of imports.

Exit codes: 0 done; 1 the answer is no, or something failed (the reason is on standard error, in one line);
2 the command line is wrong; 3 the bridge does not answer on its control socket.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import sys
from collections.abc import Container, Sequence

from softmesh import __version__, held_signals
from softmesh.errors import SoftmeshError, Unreachable

COMMANDS = {
    "run": "the bridge: keep charon's softwires as BGP says",
    "hook": "ExaBGP's child: keep the Adj-RIB-In and serve it to the bridge",
    "status": "each softwire: state, reason, since when, SPIs, bytes, from which route",
    "events": "what happens, as it happens: events as JSON, one a line",
    "plan": "what the bridge would change now, without changing it",
    "explain": "the chain of decisions for one prefix or endpoint",
    "audit": "what the RFCs require of a mesh, and whether this node meets it now",
    "observe": "the whole mesh as it is announced, from beside a route reflector",
    "announce": "announce our prefixes again after a withdraw",
    "withdraw": "withdraw all that we announce: leave the mesh, keep running",
    "reload": "have the bridge read its configuration again, and say whether it did",
    "flush": "remove all that is ours from charon and the kernel, the guards last",
    "decode": "path attributes in hex as a tree with verdicts",
    "check": "read a configuration file and say what is wrong with it",
    "keygen": "make a key pair and certificate, print the authenticator",
}
_HANDLING = {"run", "hook"}
"""Commands that have handlers for signals, and release these once they stand."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; ``argv`` as ``sys.argv[1:]``. Returns the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character gets it escaped, not a traceback.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    asked = next((word for word in argv if not word.startswith("-")), None)
    try:
        with held_signals.held() if asked in _HANDLING else contextlib.nullcontext():
            return _run(asked, argv)
    except KeyboardInterrupt:
        return 130


def _run(asked: str | None, argv: Sequence[str]) -> int:
    args = command_line({asked}).parse_args(argv)
    try:
        return int(args.run(args))
    except Unreachable as error:
        print(f"softmesh: {error}", file=sys.stderr)
        return 3
    except SoftmeshError as error:
        print(f"softmesh: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader of our output (head, less) has left: not an error; keep the interpreter from flushing into it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def command_line(described: Container[str | None] = COMMANDS) -> argparse.ArgumentParser:
    """The parser of the command line, with the arguments of the commands in ``described``: of all, unless told.

    Each command that is described is imported.
    """
    parser = argparse.ArgumentParser(
        prog="softmesh",
        description="The bridge between BGP and IPsec.",
        epilog="Exit codes: 0 done; 1 no, or failed; 2 wrong command line; 3 the bridge does not answer.",
    )
    parser.add_argument("--version", action="version", version=f"softmesh {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        sub = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if name in described:
            module = importlib.import_module(f"softmesh.cli.{name}")
            module.add_arguments(sub)
            sub.set_defaults(run=module.run)
    return parser
