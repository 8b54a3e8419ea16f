"""The mesh document as a person reads it: a row for each router, what is wrong, and who could build with whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from softmesh.cli.figures import age
from softmesh.cli.status_matrix import judged, matrix
from softmesh.errors import printable


def shown(document: Mapping[str, Any], width: int, *, with_matrix: bool = False) -> Iterator[RenderableType]:
    """The document for a terminal of so many characters; ``with_matrix``: who with whom as well.

    Raises OperatorError where the matrix does not fit.
    """
    yield from (Text(printable(line)) for line in _head(document))
    if document["afbrs"]:
        yield Text()
        yield _table(document["afbrs"])
    mismatches = [f"{afbr['endpoint']}: {problem}" for afbr in document["afbrs"] for problem in afbr["problems"]]
    yield from _listed("mismatches", mismatches)
    failing = [wire for wire in document["softwires"] if wire["state"] == "impossible"]
    reasons = [f"{' - '.join(wire['ends'])}: {wire['reason']}" for wire in failing]
    if more := document["summary"]["impossible"] - len(failing):
        reasons.append(f"and {more} more pairs")
    yield from _listed("impossible", reasons)
    if with_matrix:
        yield Text()
        if document["summary"]["complete"]:
            yield from matrix(judged(document), width=width)
        else:
            yield Text("no matrix: it is drawn where the document lists every pair; --json has the groups of pairs")


def _head(document: Mapping[str, Any]) -> Iterator[str]:
    if not document["hook"]["connected"]:
        yield "hook       not connected: this is what was seen before"
    yield from (f"neighbour  {_neighbor(neighbor)}" for neighbor in document["neighbors"])
    if not document["neighbors"]:
        yield "neighbour  none heard of: has ExaBGP a session to the route reflector?"
    summary = document["summary"]
    others = f"; {summary['without_tunnel']} other next hops announce none" if summary["without_tunnel"] else ""
    yield f"routers    {summary['afbrs']} announce tunnels, {summary['mismatched']} of them with a mismatch{others}"
    unjudged = f", {summary['unjudged']} not judged" if summary["unjudged"] else ""
    yield (
        f"pairs      {summary['pairs']}: {summary['possible']} could build a softwire, {summary['impossible']} could "
        f"not{unjudged}"
    )


def _neighbor(neighbor: Mapping[str, Any]) -> str:
    why = f" ({neighbor['reason']})" if neighbor["reason"] else ""
    missing = "; it has not told all it has" if neighbor["state"] == "up" and not neighbor["end_of_rib"] else ""
    return f"{neighbor['address']} {neighbor['state']} for {age(neighbor['for'])}{why}{missing}"


def _table(afbrs: Sequence[Mapping[str, Any]]) -> Table:
    made = Table("", "endpoint", "prefixes", "tunnels", "authenticators", "key", "heard from", "", box=None)
    made.pad_edge = False
    made.header_style = "bold"
    for number, afbr in enumerate(afbrs, 1):
        prefixes = afbr["prefixes"]
        more = f" and {afbr['prefix_count'] - 1} more" if afbr["prefix_count"] > 1 else ""
        digests = dict.fromkeys(digest for tunnel in afbr["tunnels"] for digest in tunnel["authenticators"])
        wrong = [f"{len(afbr['problems'])} wrong"] if afbr["problems"] else []
        cells = (
            str(number),
            afbr["endpoint"],
            f"{prefixes[0]}{more}" if prefixes else "none",
            ", ".join(dict.fromkeys(map(_tunnel, afbr["tunnels"]))) or "none",
            ", ".join(f"{digest[:8]}…" for digest in digests) or "none",
            ", ".join(dict.fromkeys(tunnel["key"] for tunnel in afbr["tunnels"])),
            ", ".join(afbr["neighbors"]),
            ", ".join([*(["stale"] if afbr["stale"] else []), *wrong]),
        )
        made.add_row(*(Text(printable(cell)) for cell in cells))
    return made


def _tunnel(tunnel: Mapping[str, Any]) -> str:
    color = "" if tunnel["color"] is None else f" colour {tunnel['color']}"
    return f"{tunnel['type'] or 'malformed'}{color}{'' if tunnel['usable'] else ' (unusable)'}"


def _listed(title: str, items: Sequence[str]) -> Iterator[Text]:
    if items:
        yield Text(f"\n{title}", style="bold")
        yield from (Text(f"  {printable(item)}") for item in items)
