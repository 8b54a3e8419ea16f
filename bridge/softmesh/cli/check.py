"""Read a configuration file and say what is wrong with it: each problem with its line and the remedy.

With ``--host`` also look at this machine, and say what it lacks for that file, each with the command that mends it.
Exit code 0 if the file can be used (warnings are printed) and nothing fails, 1 if not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from softmesh.config import DEFAULT_PATH, Config, Examination, examine
from softmesh.config.values import trust_mode_of
from softmesh.host.acting import acting_as, runner
from softmesh.host.finding import Verdict
from softmesh.host.gathering import gather
from softmesh.host.judgement import judge
from softmesh.mesh.identity import Identity, load_identities
from softmesh.mesh.trust_policy import TrustMode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("file", type=Path, nargs="?", default=DEFAULT_PATH, help=f"configuration file [{DEFAULT_PATH}]")
    parser.add_argument("--host", action="store_true", help="look also at this machine, and say what it lacks")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of lines")


def run(args: argparse.Namespace) -> int:
    """Check one file."""
    user = runner(args.file)
    with acting_as(user.uid):
        examination = examine(args.file)
        config = examination.config
        own = () if config is None else load_identities(config.own_keys)
    findings = () if config is None or not args.host else judge(config, asyncio.run(gather(config, user)))
    if args.json:
        answer = _as_json(args.file, examination, own)
        if args.host:
            answer["host"] = [asdict(finding) for finding in findings]
        print(json.dumps(answer, indent=2))
    else:
        for problem in examination.problems:
            print(problem)
        if config is not None:
            print(_summary(args.file, examination, config))
            print("\n".join(_trust(config, own)))
        for finding in findings:
            print(finding)
    failed = any(finding.verdict is Verdict.FAIL for finding in findings)
    return 0 if config is not None and not failed else 1


def _as_json(file: Path, examination: Examination, own: tuple[Identity, ...]) -> dict[str, Any]:
    return {
        "file": str(file),
        "usable": examination.config is not None,
        "authenticator": own[0].authenticator.hex() if own else None,
        "authenticators": [identity.authenticator.hex() for identity in own],
        "trust": None if examination.config is None else _modes(examination.config),
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
    }


def _summary(file: Path, examination: Examination, config: Config) -> str:
    verdict = "fine"
    if examination.warnings:
        verdict = f"usable, with {_count(len(examination.warnings), 'warning')}"
    tunnels = ", ".join(
        tunnel.type.keyword + ("" if tunnel.color is None else f" colour {tunnel.color}")
        for tunnel in config.announce.tunnels
    )
    prefixes = _count(len(config.announce.prefixes), "prefix")
    neighbors = _count(len(config.bgp.neighbors), "BGP neighbour")
    return (
        f"{file}: {verdict}\n"
        f"{config.endpoint} in AS {config.bgp.asn} announces {prefixes} with {tunnels} to {neighbors}"
    )


def _modes(config: Config) -> dict[str, str]:
    """Modes of trust that are in force here, by where they are written."""
    modes = {"trust": trust_mode_of(config.trust)}
    modes |= {f"group {group.name}": trust_mode_of(group.trust) for group in config.trust_groups if group.trust}
    return {where: mode.value for where, mode in modes.items()}


def _trust(config: Config, own: tuple[Identity, ...]) -> Iterator[str]:
    modes = _modes(config)
    if set(modes.values()) != {TrustMode.PINNED.value}:
        first, *groups = modes.items()
        yield f"peers are trusted by mode {first[1]}" + "".join(f", {mode} in {where}" for where, mode in groups)
    silent = "" if config.announces_authenticator else ", not announced"
    first_key, *others = own
    yield f"our authenticator is {first_key.authenticator.hex()} ({first_key.kind}{silent})"
    for identity in others:
        yield f"and {identity.authenticator.hex()} ({identity.kind}{silent}), for a change of keys"


def _count(number: int, what: str) -> str:
    plural = f"{what}es" if what.endswith("x") else f"{what}s"
    return f"{number} {what if number == 1 else plural}"
