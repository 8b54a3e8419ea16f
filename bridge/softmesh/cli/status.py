"""Each softwire: state, reason, since when, SPIs, bytes, from which route."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from softmesh.cli.arguments import add_bridge_arguments, answered


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    add_bridge_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print the bridge's status; 0 whatever it says."""
    with answered(args, "status") as answer:
        # https://no-color.org
        red = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        print(json.dumps(answer, indent=2) if args.json else "\n".join(lines(answer, red=red)))
    return 0


def lines(answer: dict[str, Any], *, red: bool = False) -> list[str]:
    """The answer as a person reads it; ``red``: with what must not be overlooked in red, for a terminal."""
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


def age(seconds: float) -> str:
    """A duration as people write it: ``4.2s``, ``3m07s``, ``2h05m``, ``9d04h``."""
    if seconds < 60:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    for unit, smaller, size, step in (("m", "s", 60, 1), ("h", "m", 3600, 60), ("d", "h", 86400, 3600)):
        if unit == "d" or whole < size * (60 if unit == "m" else 24):
            return f"{whole // size}{unit}{whole % size // step:02d}{smaller}"
    raise AssertionError("days have no upper bound")
