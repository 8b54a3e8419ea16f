"""Write docs/reference/metrics.md from the catalogue of metrics; run it with PYTHONPATH=bridge."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from softmesh.bgp.route import Family, SessionState
from softmesh.charon.failure import Cause
from softmesh.control.histogram import DURATIONS
from softmesh.control.lives import CONVERGENCE
from softmesh.control.progress import State
from softmesh.control.sessions import SessionGuard
from softmesh.web.metric_catalogue import CATALOGUE, MAX_PENDING, Described

TARGET = Path(__file__).parent / "reference" / "metrics.md"

INTRODUCTION = """\
# Metrics

What `/metrics` says, in Prometheus' text format, once `http.port` is set ([configuration.md](../configuration.md)).
Counters begin anew with the bridge, as Prometheus expects; those of softwires go on through rekeying and through
softwires that come back. The alerts made of them are in [alerts.md](../alerts.md).

This page is generated from `bridge/softmesh/web/metric_catalogue.py` by `docs/generate_metrics.py`.

"""

PER_SOFTWIRE = 17
"""Series of a softwire that is wanted and up; one that is not has one more, its cause."""

MEASURED = """\
milliseconds, best of 5; in the loop: while nothing else of the bridge runs; beside it: in a thread
softwires   series    KiB   status  in the loop  beside it  json.dumps  JSON KiB
       10      277     28      0.2          0.4        0.9         0.1         9
      100     1807    168      1.9          3.3        8.8         0.5        80
      500     8607    791     20.4         37.6       44.1         3.3       400
     2000    34107   3139     99.3        132.6      228.3        14.4      1601
"""


def page() -> str:
    """Give the whole page."""
    return INTRODUCTION + "\n".join(
        [
            *_table(("metric", "type", "labels", "meaning"), map(_metric, CATALOGUE)),
            "",
            "Besides, those of the process: `process_cpu_seconds_total`, `process_resident_memory_bytes`,",
            "`process_virtual_memory_bytes`, `process_start_time_seconds`, `process_open_fds`, `process_max_fds`.",
            "",
            "## Labels",
            "",
            *_table(("label", "values"), _labels()),
            "",
            "No label holds what peers or daemons wrote: reasons in their words are in `softmesh status` only.",
            "",
            "## Causes",
            "",
            "The kind of failure of the last attempt. Of a softwire that is not let in `cause` is the rule instead,",
            "[states.md](states.md).",
            "",
            *_table(("cause", "meaning"), _causes()),
            "",
            "## Buckets",
            "",
            f"Upper bounds in seconds: of `softmesh_softwire_convergence_seconds` {_bounds(CONVERGENCE)}; of the other "
            f"histograms {_bounds(DURATIONS)}.",
            "",
            "## How many series",
            "",
            f"{PER_SOFTWIRE} for each softwire that is wanted; of those without a key or refused, which anybody who "
            f"may announce can make up, only the {MAX_PENDING:,} oldest have any "
            "(`softmesh_softwires_without_series` counts the others). The rest depends on the numbers of BGP "
            "neighbours and of VICI commands. What a scrape costs is measured by `python -m bench.scrape`:",
            "",
            *(f"    {line}" for line in MEASURED.splitlines()),
            "",
            "The part in the loop is what the bridge does nothing else meanwhile; the text is written in a thread.",
            "",
        ]
    )


def _metric(described: Described) -> tuple[str, ...]:
    labels = ", ".join(f"`{label}`" for label in described.labels)
    meaning = described.help.removesuffix(".")
    return f"`{described.name}`", described.kind.value, labels, meaning[0].upper() + meaning[1:]


def _causes() -> Iterable[tuple[str, str]]:
    """Each with what is written below it."""
    documented = ast.walk(ast.parse(inspect.getsource(Cause)))
    body = next(node.body for node in documented if isinstance(node, ast.ClassDef))
    for member, meaning in pairwise(body):
        match member, meaning:
            case ast.Assign(value=ast.Constant(value)), ast.Expr(ast.Constant(text)):
                yield f"`{value}`", str(text).removesuffix(".")


def _labels() -> Iterable[tuple[str, str]]:
    labels = {
        "softwire": "as `id` of `softmesh status --json`: endpoint of the peer, tunnel type, colour if it has one",
        "state": f"of a softwire: {_values(State)}; of a session: {_values(SessionState)}",
        "cause": "below",
        "remote": "the peer's endpoint",
        "type": "the tunnel type by its IANA name",
        "color": "a number, or empty",
        "mode": "`tunnel`, `transport`, or empty where the softwire is not wanted",
        "level": "`encrypt`, `integrity`, `ah`, or empty",
        "interface": "the name of its interface, or empty",
        "direction": "`in`, `out`",
        "sa": "`ike`, `child`",
        "command": "a VICI command",
        "error": "`refused`, `unknown`, `unanswered`, `malformed`",
        "neighbor": "the BGP neighbour's address",
        "protection": _values(SessionGuard),
        "family": _values(Family),
        "seen": "`intact`, `stripped`, `rewritten`",
        "rule": "of routes: [states.md](states.md); of packets: [failure.md](../failure.md#the-nftables-table)",
        "subject": "what a problem is about, without the address or path: `keys`, `charon`, `BGP session` and so on",
        "holder": "`own`, `authority`, `peer`",
        "name": "which of the holder's",
        "version": "of Softmesh",
        "python_version": "of Python",
    }
    used = dict.fromkeys(label for described in CATALOGUE for label in described.labels)
    return ((f"`{label}`", labels[label]) for label in used)


def _values(values: Iterable[State] | Iterable[SessionState] | Iterable[SessionGuard] | Iterable[Family]) -> str:
    return ", ".join(f"`{value.value}`" for value in values)


def _bounds(bounds: Iterable[float]) -> str:
    return ", ".join(f"{bound:g}" for bound in bounds)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterable[str]:
    for cells in (head, ("---",) * len(head), *rows):
        yield f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    TARGET.write_text(page())
