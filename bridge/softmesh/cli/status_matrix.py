"""``softmesh status --matrix``: routers by routers, each row as that router sees it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address
from typing import Any, TypeAlias

from rich.text import Text

from softmesh.cli.status_table import STATES
from softmesh.errors import OperatorError

Cells: TypeAlias = dict[tuple[str, str], str]
"""What a router (first) has with another: a softwire's state, or what announcements let expect."""

_TOLD = ("degraded", "connecting", "wanted", "up", "pending-key", "refused")
"""Which of several a cell tells: what is wrong with a softwire before what is well, a route without softwire last."""
_STYLES = {**STATES, "possible": "dim", "impossible": "red", "unjudged": "dim"}
_LETTERS = {
    "up": "U", "degraded": "D", "connecting": "C", "wanted": "W", "pending-key": "K", "refused": "R",
    "possible": "+", "impossible": "x", "unjudged": "?",
}  # fmt: skip
_NOTHING = "-"
_ITSELF = "·"


def measured(status: Mapping[str, Any]) -> Cells:
    """The row of the bridge whose status it is."""
    row: Cells = {}
    for wire in status["softwires"]:
        pair = status["endpoint"], str(wire["remote"])
        row[pair] = min((wire["state"], row.get(pair, wire["state"])), key=_TOLD.index)
    return row


def judged(document: Mapping[str, Any]) -> Cells:
    """What the announcements let expect of other routers' pairs, out of a mesh document."""
    cells: Cells = {}
    for wire in document["softwires"]:
        if not wire["measured"]:
            one, other = wire["ends"]
            cells[one, other] = cells[other, one] = wire["state"]
    return cells


def matrix(cells: Mapping[tuple[str, str], str], silent: Iterable[str] = (), width: int = 80) -> list[Text]:
    """Lines of at most ``width`` characters; ``silent``: routers whose bridges do not answer.

    Where words do not fit there are letters. Raises OperatorError where these do not fit either.
    """
    mute = set(silent)
    routers = sorted({end for pair in cells for end in pair} | mute, key=_place)
    numbers = [str(number) for number in range(1, len(routers) + 1)]
    heads = [f"{number:>{len(numbers[-1])}}  {router}" for number, router in zip(numbers, routers, strict=True)]
    left = max(map(len, heads), default=0)

    def said(row: str, column: str) -> str:
        if row == column:
            return _ITSELF
        return cells.get((row, column), "?" if row in mute else _NOTHING)

    shown = {said(row, column) for row in routers for column in routers}
    cell = max(map(len, (*shown, numbers[-1])), default=1)
    letters = left + len(routers) * (cell + 2) > width
    if letters:
        cell = len(numbers[-1])
        needed = left + 1 + len(routers) * (cell + 1)
        if needed > width:
            raise OperatorError(
                f"a matrix of {len(routers)} routers is {needed} characters wide, and the terminal {width}: "
                "use status --table, or widen it"
            )
    gap = 1 if letters else 2
    lines = [Text(" " * left + "".join(f"{' ' * gap}{number:>{cell}}" for number in numbers), style="bold")]
    for head, row in zip(heads, routers, strict=True):
        line = Text(head.ljust(left))
        for column in routers:
            word = said(row, column)
            text = _LETTERS.get(word, word) if letters else word
            line.append(f"{' ' * gap}{text:>{cell}}", style=_STYLES.get(word, "dim"))
        lines.append(line)
    return [*lines, *_legend(shown, letters=letters)]


def _legend(shown: set[str], *, letters: bool) -> list[Text]:
    said = [f"{_LETTERS[word]} {word}" for word in _LETTERS if word in shown] if letters else []
    if shown & {"possible", "impossible"}:
        said.append("possible and impossible: by the announcements, nobody was asked")
    if "?" in shown:
        said.append("?: does not answer")
    return [Text(), Text("; ".join(said), style="dim")] if said else []


def _place(router: str) -> tuple[int, int, str]:
    """By number; what is no address last."""
    try:
        address = ip_address(router)
    except ValueError:
        return 0, 0, router
    return address.version, int(address), ""


def wanting(cells: Mapping[tuple[str, str], str], asked: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of bridges that were asked, of which one end says it is up and the other does not."""
    pairs = ((one, other) for number, one in enumerate(asked) for other in asked[number + 1 :])
    return [
        (one, other) for one, other in pairs if (cells.get((one, other)) == "up") != (cells.get((other, one)) == "up")
    ]
