"""What ``softmesh status --watch`` shows: a status, and the last events, on a screen of a size. Pure."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from softmesh.cli.figures import age
from softmesh.cli.status_table import STATES, Row, figures, kind, state, urgent_first
from softmesh.control.progress import State

_SOUGHT = ("up", "degraded", "connecting", "wanted")
"""States of softwires that ought to be up."""
_EVENTS = 6
_NEIGHBORS = 3
_PROBLEMS = 3
_BAR = 40
_CONVERGES = 30.0
"""Seconds in one state after which what is not up is not on its way up any more."""
_REASON = 2
"""Lines of a reason."""
_INDENT = "    "


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a bridge at a moment."""

    status: Mapping[str, Any]
    """Its last answer."""
    since: float = 0.0
    """Seconds since it gave that."""
    lost: str = ""
    """Why it does not answer any more; empty while it does."""
    events: Sequence[Mapping[str, Any]] = ()
    """The last ones, oldest first."""


def screen(
    seen: Seen, width: int, height: int, *, clock: str = "", only: Container[str] = frozenset(State)
) -> RenderableType:
    """At most ``height`` lines of ``width`` characters.

    ``clock``: the time of day, as it is to be shown; ``only``: softwires in these states.
    """
    wires = seen.status["softwires"]
    above = [*_head(seen, wires, clock, width), *_surroundings(seen.status)]
    below = [_event(event) for event in seen.events[-min(_EVENTS, max(0, (height - len(above)) // 4)) :]]
    if below:
        below = [Text(), *below]
    room = max(0, height - len(above) - len(below) - 1)
    shown = urgent_first([wire for wire in wires if wire["state"] in only])
    lines = [*above, Text(), *_rows(shown, width, room, 0.0 if seen.lost else seen.since), *below]
    return Group(*lines[:height])


def _head(seen: Seen, wires: Sequence[Row], clock: str, width: int) -> Iterator[RenderableType]:
    counts = Counter(str(wire["state"]) for wire in wires)
    up, sought = counts["up"], sum(counts[name] for name in _SOUGHT)
    title = _line(("softmesh ", "bold"), (seen.status["endpoint"], "bold"), f"  {up} of {sought} up  ")
    title.append(clock.rjust(max(0, width - len(title))), style="dim")
    yield title
    if seen.lost:
        yield _line((f"not connected since {age(seen.since)}: {seen.lost}", "bold red"))
    elif waiting := [wire["for"] for wire in wires if wire["state"] in _SOUGHT and wire["state"] != "up"]:
        if min(waiting) < _CONVERGES:
            yield _progress(up, sought, min(_BAR, width - len("converging  100 %")))
        else:
            yield _line((f"{len(waiting)} not up, the longest for {age(max(waiting) + seen.since)}", "yellow"))
    else:
        yield _line(("all that ought to be up is up", "green") if sought else ("no softwire is wanted", "dim"))
    told = _line()
    for name in STATES:
        if counts[name]:
            told.append(f"{counts[name]} {name}  ", style=STATES[name])
    if stale := sum(wire["stale"] for wire in wires):
        told.append(f"{stale} stale", style="yellow")
    yield told


def _progress(up: int, sought: int, width: int) -> RenderableType:
    percent = f"{100 * up // sought} %"
    if width < 1:
        return _line(f"converging {percent}")
    bar = Table.grid(padding=(0, 1))
    bar.add_row("converging", ProgressBar(sought, up, width=width, complete_style="green", style="dim"), percent)
    return bar


def _surroundings(status: Mapping[str, Any]) -> Iterator[Text]:
    if not status["charon"]["connected"]:
        yield _line(("charon     ", "dim"), (status["charon"]["reason"], "red"))
    if not status["hook"]["connected"]:
        yield _line(("hook       ", "dim"), ("not connected: nothing is heard of BGP", "red"))
    if status["withdrawn"]:
        yield _line(("announcing ", "dim"), ("withdrawn: softmesh announce returns to the mesh", "yellow"))
    neighbors = sorted(status["neighbors"], key=lambda neighbor: neighbor["state"] == "up")
    for neighbor in neighbors[:_NEIGHBORS]:
        why = f" ({neighbor['reason']})" if neighbor["reason"] else ""
        style = "green" if neighbor["state"] == "up" else "red"
        yield _line(
            ("neighbour  ", "dim"),
            f"{neighbor['address']} ",
            (neighbor["state"], style),
            f" for {age(neighbor['for'])}{why}",
        )
    yield from _more(len(neighbors) - _NEIGHBORS)
    if status["removal_awaits"]:
        yield _line(("removal    ", "dim"), f"waits until all is heard from {', '.join(status['removal_awaits'])}")
    for problem in status["problems"][:_PROBLEMS]:
        yield _line(("problem    ", "dim"), (problem, "red"))
    yield from _more(len(status["problems"]) - _PROBLEMS)


def _more(count: int) -> Iterator[Text]:
    if count > 0:
        yield _line((f"           and {count} more", "dim"))


def _rows(wires: Sequence[Row], width: int, room: int, aged: float) -> Iterator[Text]:
    """A line a softwire, and the reason of each that has one below it; in ``room`` lines."""
    if not wires or room < 2:
        return
    # The first is the heading, and the last says what does not fit, if something does not.
    reasons = [_reason(wire, width) for wire in wires[:room]]
    lines = sum(1 + len(reason) for reason in reasons)
    left = room - 1 if lines <= room - 1 and len(wires) <= room else room - 2
    shown: list[Row] = []
    for wire, reason in zip(wires, reasons, strict=False):
        left -= 1 + len(reason)
        if left < 0:
            break
        shown.append(wire)
    states = [state(wire) for wire in shown]
    cells = [(str(wire["remote"]), kind(wire), text.plain) for wire, text in zip(shown, states, strict=True)]
    remote, tunnel, how = (max(map(len, column)) for column in zip(("remote", "type", "state"), *cells, strict=True))
    yield _line((f"{'remote':<{remote}}  {'type':<{tunnel}}  {'state':<{how}}   since     in    out", "bold"))
    for wire, text, reason in zip(shown, states, reasons, strict=False):
        since, received, sent = figures({**wire, "for": wire["for"] + aged})
        line = _line(f"{wire['remote']:<{remote}}  {kind(wire):<{tunnel}}  ")
        line.append_text(text)
        line.append(f"{' ' * (how - len(text))}  {since:>6}  {received:>5}  {sent:>5}")
        yield line
        yield from (_line((f"{_INDENT}{part}", STATES[wire["state"]])) for part in reason)
    yield from _more(len(wires) - len(shown))


def _reason(wire: Row, width: int) -> list[str]:
    return textwrap.wrap(wire["reason"], max(1, width - len(_INDENT)), max_lines=_REASON, placeholder="…")


def _event(event: Mapping[str, Any]) -> Text:
    line = _line((f"{str(event['timestamp'])[11:19]} ", "dim"))
    style = "yellow" if event["level"] == "warning" else ""
    if event["event"] == "softwire":
        was = f"{event['was']} → " if event["was"] else ""
        line.append(f"{event['softwire']} {was}")
        line.append(event["state"], style=STATES.get(event["state"], ""))
        line.append(f": {event['reason']}" if event["reason"] else "")
        return line
    further = {name: value for name, value in event.items() if name not in {"seq", "timestamp", "level", "event"}}
    line.append(event["event"], style=style)
    line.append("".join(f" {name}={_value(value)}" for name, value in further.items()))
    return line


def _value(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _line(*parts: str | tuple[str, str]) -> Text:
    """One line, cut off where the screen ends."""
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")
