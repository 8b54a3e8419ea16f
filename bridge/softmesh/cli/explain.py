"""The chain of decisions for one prefix or endpoint."""

from __future__ import annotations

import argparse
import json

from softmesh.cli.arguments import add_bridge_arguments, control_socket
from softmesh.control.client import ask


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    parser.add_argument("target", metavar="PREFIX|ENDPOINT", help="a prefix, an address in one, or a peer's endpoint")
    add_bridge_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print every route that matches with what became of it; 1 where no route does."""
    answer = ask(control_socket(args), "explain", target=args.target)
    if args.json:
        print(json.dumps(answer, indent=2))
    elif not answer["routes"]:
        print(f"no route: no BGP neighbour has announced {args.target}, so nothing is sent there through a softwire")
    else:
        for route in answer["routes"]:
            print(f"{route['prefix']} from {route['neighbor']}: {route['result']}")
            for step in route["steps"]:
                rule = f" [{step['rule']}]" if "rule" in step else ""
                print(f"  {step['step']:<9}{step['text']}{rule}")
    return 0 if answer["routes"] else 1
