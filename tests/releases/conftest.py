"""Tests with the daemons of other Debian releases, out of .roots, inside lab/sandbox."""

from __future__ import annotations

import os

import pytest

from lab import reflector_table, support_table
from lab.release import RELEASES, ROOTS


def pytest_sessionstart() -> None:
    """Refuse to litter the host, and say at once which root is missing."""
    if os.environ.get("SOFTMESH_SANDBOX") != "1":
        pytest.exit(
            "these tests need their sandbox: sudo make test-releases, or "
            "sudo lab/sandbox PYTHON -m pytest tests/releases",
            1,
        )
    missing = [name for name in RELEASES if not (ROOTS / name / "usr").is_dir()]
    if missing:
        pytest.exit(f"no root file system of Debian {', '.join(missing)} in {ROOTS}: make roots", 1)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was seen, a line each, for lab.reflector_table and lab.support_table."""
    for table in (reflector_table.TABLE, *support_table.TABLES):
        for line in table.printed():
            terminalreporter.write_line(line)
