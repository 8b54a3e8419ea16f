"""What tables are printed on."""

from __future__ import annotations

import sys

from rich.console import Console

_UNBOUNDED = 1 << 16
"""Characters of a line that goes to no terminal."""


def console() -> Console:
    """Standard output: text of others is never markup, and nothing is coloured but what we say is."""
    return Console(markup=False, highlight=False, emoji=False, width=None if sys.stdout.isatty() else _UNBOUNDED)
