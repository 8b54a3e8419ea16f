"""``softmesh status --table``: one line a softwire."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from rich.table import Table
from rich.text import Text

from softmesh.cli.figures import age, octets

Row: TypeAlias = Mapping[str, Any]

STATES = {
    "degraded": "bold yellow",
    "connecting": "cyan",
    "wanted": "blue",
    "pending-key": "magenta",
    "refused": "red",
    "up": "green",
}
"""Every state with its style, what wants attention first."""

_RANK = {state: rank for rank, state in enumerate(STATES)}


def urgent_first(rows: Iterable[Row]) -> list[Row]:
    """What fails before what is well, each in the order of the peers."""
    return sorted(rows, key=lambda row: (_RANK[row["state"]], not row["stale"], *_place(row)))


def by_peer(rows: Iterable[Row]) -> list[Row]:
    """In the order of the peers."""
    return sorted(rows, key=_place)


def _place(row: Row) -> tuple[str, str]:
    return str(row["remote"]), str(row["id"])


def kind(row: Row) -> str:
    """Tunnel type and colour, as the softwire's key has them; empty for a route that got no tunnel."""
    return "" if row["type"] is None else str(row["id"]).partition("/")[2]


def state(row: Row) -> Text:
    """The state in its style."""
    return Text(f"{row['state']} (stale)" if row["stale"] else row["state"], style=STATES[row["state"]])


def figures(row: Row) -> tuple[str, str, str]:
    """How long it has been in its state, and octets in and out; these empty for what can carry none."""
    carried = [octets(row[key]) if key in row else "" for key in ("bytes_in", "bytes_out")]
    return age(row["for"]), carried[0], carried[1]


def table(rows: Iterable[Row], width: int) -> Table:
    """The softwires of a status on lines of at most ``width`` characters."""
    cells = [
        (Text(str(row["remote"])), Text(kind(row)), state(row), *figures(row), Text(row["reason"])) for row in rows
    ]
    made = Table(box=None, pad_edge=False, header_style="bold")
    for name, fit in zip(_COLUMNS, _widths(cells, width), strict=True):
        right = name in {"since", "in", "out"}
        made.add_column(name, width=fit, no_wrap=True, overflow="ellipsis", justify="right" if right else "left")
    for row in cells:
        made.add_row(*row)
    return made


_COLUMNS = ("remote", "type", "state", "since", "in", "out", "reason")
_GAP = 2
_REASON = 24
"""Characters of a reason for which others are cut off, no further than to these: peer and tunnel type."""
_LEAST = (15, 8)


def _widths(rows: Sequence[Sequence[Text | str]], width: int) -> list[int]:
    fit = [max(map(len, column)) for column in zip(_COLUMNS, *rows, strict=True)]
    room = width - _GAP * (len(fit) - 1) - sum(fit[:-1])
    for column in (1, 0):
        shorter = max(0, min(fit[column] - _LEAST[column], _REASON - room))
        fit[column] -= shorter
        room += shorter
    fit[-1] = max(1, min(fit[-1], room))
    return fit
