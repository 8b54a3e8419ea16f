"""Each softwire: state, reason, since when, SPIs, bytes, from which route."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

from softmesh.cli import watch
from softmesh.cli.arguments import understood
from softmesh.cli.figures import age
from softmesh.cli.status_matrix import judged, matrix, measured
from softmesh.cli.status_table import by_peer, table
from softmesh.cli.terminal import console
from softmesh.config import DEFAULT_PATH, load
from softmesh.control.client import ask
from softmesh.control.progress import State
from softmesh.errors import OperatorError, Unreachable

_INTERVAL = 2.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "-c",
        "--config",
        type=Path,
        action="append",
        metavar="FILE",
        help=f"configuration [{DEFAULT_PATH}]; with --matrix one for each bridge",
    )
    where.add_argument(
        "--socket",
        type=Path,
        action="append",
        metavar="PATH",
        help="control socket of the bridge, instead of a FILE; with --matrix one for each bridge",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the answer as JSON")
    form.add_argument("--table", action="store_true", help="one line a softwire")
    form.add_argument(
        "--matrix", action="store_true", help="routers by routers; with several bridges, as each of them sees it"
    )
    form.add_argument(
        "--watch",
        type=_seconds,
        nargs="?",
        const=_INTERVAL,
        metavar="SECONDS",
        help=f"a live view, asking every so many seconds [{_INTERVAL:g}]; Ctrl-C ends it",
    )
    parser.add_argument(
        "--state",
        action="append",
        choices=[state.value for state in State],
        metavar="STATE",
        help=f"only softwires in this state, which may be repeated: {', '.join(state.value for state in State)}",
    )


def run(args: argparse.Namespace) -> int:
    """Print the bridge's status; 0 whatever it says."""
    paths = _sockets(args)
    if args.matrix:
        return _matrix(args, paths)
    if len(paths) > 1:
        raise OperatorError("several bridges are for --matrix; name one")
    (path,) = paths
    if args.watch is not None:
        return watch.run(path, args.watch, args.state or frozenset(State))
    answer = ask(path, "status")
    with understood(path, "status"):
        only = args.state or frozenset(State)
        wires = [wire for wire in answer["softwires"] if wire["state"] in only]
        if args.json:
            print(json.dumps({**answer, "softwires": wires}, indent=2))
        elif args.table:
            to = console()
            to.print(table(by_peer(wires), to.width))
        else:
            # https://no-color.org
            red = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
            print("\n".join(lines(answer, red=red, only=only)))
    return 0


def _sockets(args: argparse.Namespace) -> list[Path]:
    """The control sockets an operator means. Raises ConfigurationError."""
    if args.socket:
        return [Path(path) for path in args.socket]
    return [load(path, files=False).sockets.control for path in args.config or [DEFAULT_PATH]]


def _matrix(args: argparse.Namespace, paths: list[Path]) -> int:
    """Draw it; 3 where some of several bridges do not answer. Raises Unreachable where none does."""
    if args.state:
        raise OperatorError("--state picks softwires of a list; a matrix shows all")
    told: list[Mapping[str, Any]] = []
    silent: dict[str, Unreachable] = {}
    for path in paths:
        try:
            told.append(ask(path, "status"))
        except Unreachable as error:
            silent[str(path)] = error
    if not told:
        raise next(iter(silent.values()))
    with understood(paths[0], "status"):
        # Where one is asked, announcements are all that is known of the others' softwires.
        cells = judged(ask(paths[0], "mesh")) if len(paths) == 1 else {}
        for status in told:
            cells.update(measured(status))
        to = console()
        for line in matrix(cells, silent, to.width):
            to.print(line)
    for why in silent.values():
        print(f"softmesh: {why}", file=sys.stderr)
    return 3 if silent else 0


def _seconds(text: str) -> float:
    value = float(text)
    if not 0.2 <= value <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is not from 0.2 to 3600 seconds")
    return value


def lines(answer: dict[str, Any], *, red: bool = False, only: Container[str] = frozenset(State)) -> list[str]:
    """The answer as a person reads it; ``only``: softwires in these states.

    ``red``: with what must not be overlooked in red, for a terminal.
    """
    announced = "withdrawn" if answer["withdrawn"] else ", ".join(answer["announcing"]) or "nothing"
    shown = [
        f"endpoint       {answer['endpoint']}",
        f"authenticator  {answer['authenticator']}",
        f"announcing     {announced}",
        f"charon         {'connected' if answer['charon']['connected'] else answer['charon']['reason']}",
        f"hook           {'connected' if answer['hook']['connected'] else 'not connected'}",
    ]
    plane = answer["data_plane"]
    shown.append(f"data plane     {plane['tunnels'] or 'not chosen before charon answers'}")
    dropped = ", ".join(f"{rule} {packets}" for rule, packets in plane["dropped"].items() if packets)
    shown.append(f"guards         {plane['guards']}{f'; packets dropped: {dropped}' if dropped else ''}")
    for neighbor in answer["neighbors"]:
        why = f" ({neighbor['reason']})" if neighbor["reason"] else ""
        shown.append(f"neighbour      {neighbor['address']} {neighbor['state']} for {age(neighbor['for'])}{why}")
        if (protection := neighbor["protection"]) is not None:
            shown.append(f"    protection {_protection(protection, red=red)}")
        if (carriage := neighbor["carriage"])["reason"]:
            shown.append(f"    attribute  {_carriage(carriage)}")
        if (withheld := neighbor["withheld"]) is not None:
            shown.append(f"    withheld   {_withheld(withheld)}")
    if answer["removal_awaits"]:
        shown.append(f"removal        waits until all is heard from {', '.join(answer['removal_awaits'])}")
    shown += [f"problem        {problem}" for problem in answer["problems"]]
    shown.append("")
    wires = answer["softwires"]
    up = sum(wire["state"] == "up" for wire in wires)
    shown.append(f"{up} of {len(wires)} softwires up")
    wires = [wire for wire in wires if wire["state"] in only]
    for wire in sorted(wires, key=lambda wire: (str(wire["remote"]), str(wire["type"]))):
        kind = f"  {wire['type']}" if wire["type"] else ""
        kind += f"  level {wire['level']}" if wire.get("level") else ""
        color = "" if wire["color"] is None else f"  colour {wire['color']}"
        stale = f"  (stale{_kept(wire['kept_for'])})" if wire["stale"] else ""
        shown.append(f"\n{wire['remote']}  {wire['state']} for {age(wire['for'])}{kind}{color}{stale}")
        if wire["reason"]:
            shown.append(f"    reason   {wire['reason']}")
        for child in wire["children"]:
            shown.append(
                f"    {child['local_ts']} - {child['remote_ts']}  {child['mode']} {child['cipher']}  "
                f"SPI in {child['spi_in']} out {child['spi_out']}  "
                f"octets in {child['bytes_in']} out {child['bytes_out']}"
            )
        if interface := wire.get("interface"):
            mtu = f"MTU {interface['mtu']}" if interface["mtu"] else "not there"
            into = ", ".join(interface["routes"]) or "nothing"
            shown.append(f"    device   {interface['name']} ({interface['kind']}), {mtu}, routes into it: {into}")
        routes = ", ".join(map(_route, wire["routes"]))
        shown.append(f"    routes   {routes}")
    return shown


def _kept(seconds: float | None) -> str:
    return "" if seconds is None else f"; kept for {max(0.0, seconds):.0f} s more"


def _route(route: dict[str, Any]) -> str:
    path = "" if route["path_id"] is None else f" (path {route['path_id']})"
    return f"{route['prefix']} from {route['neighbor']}{path}"


def _carriage(carriage: dict[str, Any]) -> str:
    how = "left out" if carriage["attribute"] == "left-out" else carriage["seen"]
    remedy = f"; {carriage['remedy']}" if carriage["remedy"] else ""
    return f"{how}: {carriage['reason']}{remedy}"


def _withheld(withheld: dict[str, Any]) -> str:
    prefixes = withheld["prefixes"]
    what = prefixes[0] if len(prefixes) == 1 else f"{len(prefixes)} prefixes, such as {prefixes[0]}"
    return f"{what}: {withheld['reason']}; {withheld['remedy']}"


def _protection(protection: dict[str, Any], *, red: bool) -> str:
    gtsm = ", GTSM" if protection["gtsm"] else ""
    refused = "" if protection["satisfied"] else ", its routes do not count"
    text = f"{protection['kind']}{gtsm}{refused} ({protection['reason']})"
    alarming = protection["kind"] == "none" or not protection["satisfied"]
    return f"\033[31m{text}\033[0m" if red and alarming else text
