"""``softmesh status --watch``: the live view, from a running bridge onto a terminal."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleDimensions
from rich.live import Live

from softmesh.cli.arguments import understood
from softmesh.cli.watch_view import Seen, screen
from softmesh.control.client import ask, follow
from softmesh.errors import OperatorError, SoftmeshError

_TICK = 0.25
"""Seconds after which a change of the terminal's size is noticed."""
_CLOCK = 1.0
"""Seconds after which the screen is drawn anew though nothing has happened."""
_EVENTS = 50
_SHARE = 4
"""A bridge that takes long to answer is asked no more often than that part of its time goes into it."""


def run(path: Path, interval: float, only: Container[str]) -> int:
    """Show the bridge at ``path`` until interrupted; 0 then.

    Raises OperatorError where there is no terminal, Unreachable where the bridge does not answer at first: later it is
    waited for.
    """
    console = Console(markup=False, highlight=False, emoji=False)
    if not console.is_terminal or console.is_dumb_terminal:
        raise OperatorError(
            "status --watch draws on a terminal, and this is none: use softmesh status, or softmesh events in a pipe"
        )
    watched = _Watched(path, ask(path, "status"))
    for task in (lambda: watched.poll(interval), watched.listen):
        threading.Thread(target=task, daemon=True).start()
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGHUP, _end)
    try:
        with Live(console=console, screen=True, auto_refresh=False) as live, understood(path, "status"):
            while True:
                size = console.size
                view = screen(watched.seen, size.width, size.height, clock=time.strftime("%H:%M:%S"), only=only)
                live.update(view, refresh=True)
                _wait(watched.news, console, size)
    except KeyboardInterrupt:
        return 0


def _wait(news: threading.Event, console: Console, drawn: ConsoleDimensions) -> None:
    """Until there is news, another size than was drawn for, or the clock has gone on."""
    until = time.monotonic() + _CLOCK
    while time.monotonic() < until and not news.wait(_TICK) and console.size == drawn:
        pass
    news.clear()


def _end(number: int, _frame: object) -> None:
    # An exception, so that the terminal gets back what was on it.
    sys.exit(128 + number)


class _Watched:
    """A bridge, by what it last said; the two tasks run in threads of their own, for a bridge may hang."""

    def __init__(self, path: Path, status: Mapping[str, Any]) -> None:
        self._path = path
        self._status = status
        self._answered = time.monotonic()
        self._lost = ""
        self._events: deque[Mapping[str, Any]] = deque(maxlen=_EVENTS)
        self.news = threading.Event()

    @property
    def seen(self) -> Seen:
        """What is known now."""
        return Seen(self._status, time.monotonic() - self._answered, self._lost, tuple(self._events))

    def poll(self, interval: float) -> None:
        """Ask for the status, again and again."""
        while True:
            began = time.monotonic()
            try:
                self._status = ask(self._path, "status", age=interval / 2)
                self._answered, self._lost = time.monotonic(), ""
            except SoftmeshError as error:
                self._lost = str(error)
            self.news.set()
            time.sleep(max(interval, (_SHARE - 1) * (time.monotonic() - began)))

    def listen(self) -> None:
        """Follow the events, over and over: a bridge that comes back tells those of its new life."""
        asked: dict[str, Any] = {"last": _EVENTS}
        while True:
            try:
                for event in follow(self._path, "events", **asked):
                    asked = {"since": event["seq"]}
                    self._events.append(event)
                    self.news.set()
            except SoftmeshError:
                # That it does not answer is seen by the other task, which says so.
                pass
            time.sleep(_TICK)
