"""Log lines: JSON where a program reads them, a human form on a terminal. One event, one line, stable keys."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from softmesh.config.values import LogFormat, LogLevel
from softmesh.errors import printable
from softmesh.log_events import EVENTS, SEVERITY

Publish: TypeAlias = Callable[[Mapping[str, Any]], None]


def configure(level: LogLevel, form: LogFormat, publish: Publish | None = None) -> None:
    """Set up logging to standard error: ours, and what libraries have to say.

    ``publish`` is handed each event of ours of level info or more, whatever the ``level`` of the lines.
    """
    human = sys.stderr.isatty() if form is LogFormat.AUTO else form is LogFormat.CONSOLE
    last: list[Processor] = [_escape, _console()] if human else [structlog.processors.JSONRenderer()]
    if not human and _is_journal(os.environ):
        last.append(_prefix)
    least = max(SEVERITY[level], SEVERITY[LogLevel.INFO]) if publish is not None else SEVERITY[level]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _order,
            *([] if publish is None else [_publisher(publish)]),
            _threshold(SEVERITY[level]),
            *last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[least]),
        logger_factory=_StandardError,
    )
    logging.basicConfig(handlers=[_Libraries()], level=logging.WARNING, force=True)
    logging.captureWarnings(capture=True)


_LEVELS = {SEVERITY[level]: logging.getLevelNamesMapping()[level.value.upper()] for level in LogLevel}


def _console() -> Processor:
    # The renderer's own choice, where the package rich is installed, prints local variables: keys and passwords.
    plain = structlog.dev.plain_traceback
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)


def _order(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    first = ("timestamp", "level", "event")
    return {**{key: event[key] for key in first}, **event}


def _publisher(publish: Publish) -> Processor:
    def hand_over(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        if (known := EVENTS.get(event["event"])) is not None and known.streamed:
            publish(dict(event))
        return event

    return hand_over


def _threshold(severity: int) -> Processor:
    def drop(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        if SEVERITY[LogLevel(event["level"])] > severity:
            raise structlog.DropEvent
        return event

    return drop


def _escape(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Not all that is told of was written by us, and a terminal obeys what it is sent."""
    return {key: printable(value) if isinstance(value, str) else value for key, value in event.items()}


def _is_journal(environment: Mapping[str, str]) -> bool:
    """Whether standard error is journald's socket (systemd.exec(5))."""
    with contextlib.suppress(OSError, ValueError):
        found = os.fstat(sys.stderr.fileno())
        return environment.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"
    return False


def _prefix(_logger: WrappedLogger, _method: str, line: Any) -> str:
    """The level as journald takes it (sd-daemon(3)), which it keeps as the priority and not in the message."""
    return f"<{SEVERITY[LogLevel(_method)]}>{line}"


class _StandardError(structlog.PrintLogger):
    """A line that cannot be written, on a full disk say, is lost; the bridge goes on."""

    def __init__(self, *_: object) -> None:
        super().__init__(sys.stderr)

    def msg(self, message: str) -> None:
        with contextlib.suppress(OSError):
            super().msg(message)

    log = debug = info = warn = warning = error = critical = exception = failure = fatal = msg


class _Libraries(logging.Handler):
    """Makes an event of what libraries log: asyncio of a task that failed, above all."""

    def emit(self, record: logging.LogRecord) -> None:
        trace = "" if record.exc_info is None else logging.Formatter().formatException(record.exc_info)
        structlog.get_logger("softmesh.library").warning(
            "library", logger=record.name, message=record.getMessage(), traceback=trace
        )
