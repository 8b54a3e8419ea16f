"""The command ``softmesh``: one module a command, imported only when it is asked for.

A command's module has ``add_arguments(parser)`` and ``run(args) -> int``; the first line of its docstring is its help.
The hook is one of the commands and must start fast, hence the table of names instead of imports.

Exit codes: 0 done; 1 the answer is no, or something failed (the reason is on standard error, in one line);
2 the command line is wrong; 3 the bridge does not answer on its control socket.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Sequence

from softmesh import __version__
from softmesh.errors import SoftmeshError, Unreachable

COMMANDS = {
    "run": "the bridge: keep charon's softwires as BGP says",
    "hook": "ExaBGP's child: keep the Adj-RIB-In and serve it to the bridge",
    "status": "each softwire: state, reason, since when, SPIs, bytes, from which route",
    "plan": "what the bridge would change now, without changing it",
    "explain": "the chain of decisions for one prefix or endpoint",
    "audit": "what the RFCs require of a mesh, and whether this node meets it now",
    "announce": "announce our prefixes again after a withdraw",
    "withdraw": "withdraw all that we announce: leave the mesh, keep running",
    "flush": "remove all that is ours from charon and the kernel, the guards last",
    "decode": "path attributes in hex as a tree with verdicts",
    "check": "read a configuration file and say what is wrong with it",
    "keygen": "make a key pair and certificate, print the authenticator",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; ``argv`` as ``sys.argv[1:]``. Returns the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character gets it escaped, not a traceback.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    parser = argparse.ArgumentParser(
        prog="softmesh",
        description="The bridge between BGP and IPsec.",
        epilog="Exit codes: 0 done; 1 no, or failed; 2 wrong command line; 3 the bridge does not answer.",
    )
    parser.add_argument("--version", action="version", version=f"softmesh {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    asked = next((word for word in argv if not word.startswith("-")), None)
    for name, summary in COMMANDS.items():
        sub = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if name == asked:
            module = importlib.import_module(f"softmesh.cli.{name}")
            module.add_arguments(sub)
            sub.set_defaults(run=module.run)
    args = parser.parse_args(argv)
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
    except KeyboardInterrupt:
        return 130
