"""Tests on a kernel with XFRM interfaces, L2TPv3 and nftables, inside the guest of lab/machine. It is slow: share."""

from __future__ import annotations

import os

import pytest

from tests.vm.conftest import pytest_runtest_makereport, pytest_terminal_summary

__all__ = ["pytest_runtest_makereport", "pytest_terminal_summary"]


def pytest_sessionstart() -> None:
    """Refuse any other kernel: what it lacks would look like faults of ours, and what it has would prove nothing."""
    if os.environ.get("SOFTMESH_MACHINE") != "1":
        pytest.exit(
            "these tests need a kernel of their own: sudo make test-vm, or "
            "sudo lab/machine PYTHON -m pytest -p no:cacheprovider -p no:hypothesispytest tests/machine",
            1,
        )
