"""Read a configuration file and say what is wrong with it: each problem with its line and the remedy.

Exit code 0 if the file can be used (warnings are printed), 1 if not.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from softmesh.config import DEFAULT_PATH, Config, Examination, examine
from softmesh.config.values import TUNNEL_TYPE_NAMES
from softmesh.mesh.identity import Identity, load_identity


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("file", type=Path, nargs="?", default=DEFAULT_PATH, help=f"configuration file [{DEFAULT_PATH}]")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of lines")


def run(args: argparse.Namespace) -> int:
    """Check one file."""
    examination = examine(args.file)
    identity = _identity(examination)
    if args.json:
        print(_as_json(args.file, examination, identity))
    else:
        for problem in examination.problems:
            print(problem)
        if examination.config is not None and identity is not None:
            print(_summary(args.file, examination, examination.config))
            print(f"our authenticator is {identity.authenticator.hex()} ({identity.kind})")
    return 0 if examination.config is not None else 1


def _identity(examination: Examination) -> Identity | None:
    if examination.config is None:
        return None
    return load_identity(examination.config.identity.private_key)


def _as_json(file: Path, examination: Examination, identity: Identity | None) -> str:
    return json.dumps(
        {
            "file": str(file),
            "usable": examination.config is not None,
            "authenticator": None if identity is None else identity.authenticator.hex(),
            "problems": [
                {
                    "severity": problem.severity.value,
                    "line": problem.place.line,
                    "column": problem.place.column,
                    "key": problem.key,
                    "message": problem.message,
                    "remedy": problem.remedy,
                }
                for problem in examination.problems
            ],
        },
        indent=2,
    )


def _summary(file: Path, examination: Examination, config: Config) -> str:
    verdict = "fine"
    if examination.warnings:
        verdict = f"usable, with {_count(len(examination.warnings), 'warning')}"
    tunnels = ", ".join(
        TUNNEL_TYPE_NAMES[tunnel.type] + ("" if tunnel.color is None else f" colour {tunnel.color}")
        for tunnel in config.announce.tunnels
    )
    prefixes = _count(len(config.announce.prefixes), "prefix")
    neighbors = _count(len(config.bgp.neighbors), "BGP neighbour")
    return (
        f"{file}: {verdict}\n"
        f"{config.endpoint} in AS {config.bgp.asn} announces {prefixes} with {tunnels} to {neighbors}"
    )


def _count(number: int, what: str) -> str:
    plural = f"{what}es" if what.endswith("x") else f"{what}s"
    return f"{number} {what if number == 1 else plural}"
