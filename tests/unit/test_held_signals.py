"""Signals in the first moments of ``softmesh run`` and ``softmesh hook``, before their handlers stand."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import pytest

from tests.unit.config.conftest import site
from tests.unit.config.site import GOOD, Site

__all__ = ["site"]

SIGNALLED = """
import importlib.abc, os, sys
from softmesh.cli import main

class AtImport(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            for number in {numbers!r}:
                os.kill(os.getpid(), number)

sys.meta_path.insert(0, AtImport())
sys.exit(main(sys.argv[1:]))
"""
"""``softmesh``, which gets signals when it imports a module."""


def signalled(
    module: str, numbers: Collection[signal.Signals], *arguments: str, stdin: int | None = None
) -> subprocess.CompletedProcess[str]:
    program = SIGNALLED.format(module=module, numbers=[int(number) for number in numbers])
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True, text=True, check=False, timeout=60, stdin=stdin,
    )  # fmt: skip


@pytest.mark.parametrize("numbers", [(signal.SIGTERM,), (signal.SIGINT,), (signal.SIGHUP, signal.SIGTERM)])
def test_run(site: Site, numbers: Collection[signal.Signals]) -> None:
    """It starts, does what it was asked meanwhile, and ends in order."""
    site.file.write_text(
        GOOD.replace("managed: true", "managed: false")
        + f"sockets: {{directory: {site.directory / 'run'}}}\n"
        + f"charon: {{vici: {site.directory / 'charon.vici'}}}\n"
    )
    done = signalled("softmesh.control.bridge", numbers, "run", "-c", str(site.file))
    assert done.returncode == 0, done.stderr
    assert "stopped" in done.stderr
    assert ("configuration taken over" in done.stderr) == (signal.SIGHUP in numbers)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_hook(tmp_path: Path, number: signal.Signals) -> None:
    reading, writing = os.pipe()
    try:
        path = tmp_path / "hook.sock"
        done = signalled("softmesh.bgp.hook", [number], "hook", "--socket", str(path), stdin=reading)
    finally:
        os.close(reading)
        os.close(writing)
    assert done.returncode == 0, done.stderr
    assert not path.exists()


def test_a_start_that_fails(site: Site) -> None:
    """What came meanwhile ends it as it would have, after the reason."""
    done = signalled("softmesh.control.bridge", [signal.SIGTERM], "run", "-c", str(site.directory / "absent.yaml"))
    assert done.returncode == -signal.SIGTERM
    assert "absent.yaml" in done.stderr
