"""Log lines: JSON where a program reads them, a human form on a terminal. One event, one line, stable keys."""

from __future__ import annotations

import logging
import sys

import structlog
from structlog.typing import Processor

from softmesh.config.values import LogFormat, LogLevel


def configure(level: LogLevel, form: LogFormat) -> None:
    """Set up structlog to write to standard error."""
    human = sys.stderr.isatty() if form is LogFormat.AUTO else form is LogFormat.CONSOLE
    # The renderer's own choice, where the package rich is installed, prints local variables: keys and passwords.
    plain = structlog.dev.plain_traceback
    console = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)
    last: Processor = console if human else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.value.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
