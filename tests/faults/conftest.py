"""Faults are made in namespaces, on real daemons, inside lab/sandbox; a table sums up what became of each."""

from __future__ import annotations

import os
import random

import pytest

from lab.fault_table import TABLE
from tests.faults.matrix import SHORT

SEED = os.environ.get("FAULTS_SEED") or str(random.SystemRandom().randrange(10**6))

collect_ignore = ["test_long_hangs.py"] if SHORT else []


def pytest_sessionstart() -> None:
    """Refuse to litter the host: outside the sandbox nothing would clean up after a crash."""
    if os.environ.get("SOFTMESH_SANDBOX") != "1":
        pytest.exit("these tests need their sandbox: sudo make test-faults, or sudo lab/sandbox PYTHON -m pytest …", 1)


def pytest_report_header() -> str:
    """Say how to have the same moments again."""
    return f"FAULTS_SEED={SEED}{' FAULTS=short' if SHORT else ''}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table, for people, and a line for each of its cells, for lab.fault_table."""
    printed = TABLE.printed()
    terminalreporter.section(f"after each fault (FAULTS_SEED={SEED})")
    terminalreporter.write(TABLE.rows(printed))
    for line in printed:
        terminalreporter.write_line(line)


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Of a test's own, so that each has the same moment whichever others run."""
    return random.Random(f"{SEED} {request.node.name}")
