"""Log lines: one event a line, and what they never show."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from softmesh.config.values import LogFormat, LogLevel
from softmesh.log import configure

SECRET = "correct-horse-battery-staple"


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def told(form: LogFormat, capsys: pytest.CaptureFixture[str]) -> str:
    """What is logged of a failure in a function that holds a secret."""
    configure(LogLevel.DEBUG, form)
    password = SECRET
    try:
        len(password) / 0
    except ZeroDivisionError:
        structlog.get_logger("softmesh.test").exception("failed", subject="a line\nor two")
    return capsys.readouterr().err


def test_a_traceback_on_a_terminal_shows_no_values(tmp_path: Path) -> None:
    # Where the package rich is installed structlog would have it print the local variables; this one does so too.
    rich = tmp_path / "rich"
    rich.mkdir()
    (rich / "__init__.py").touch()
    (rich / "console.py").write_text(
        "class Console:\n"
        " def __init__(self, *, file, **_): self.file = file\n"
        " def print(self, what): print(what, file=self.file)\n"
    )
    (rich / "traceback.py").write_text(
        "from traceback import walk_tb\n"
        "class Traceback:\n"
        " @staticmethod\n"
        " def from_exception(kind, error, trace, **_):\n"
        "  return f'{kind} {[frame.f_locals for frame, _ in walk_tb(trace)]}'\n"
    )
    script = (
        "import structlog, sys\n"
        "from softmesh.config.values import LogFormat, LogLevel\n"
        "from softmesh.log import configure\n"
        "assert structlog.dev.rich\n"
        "if sys.argv[1] == 'ours': configure(LogLevel.DEBUG, LogFormat.CONSOLE)\n"
        "def fail():\n"
        f" password = '{SECRET[:7]}' + '{SECRET[7:]}'\n"
        " len(password) / 0\n"
        "try: fail()\n"
        "except ZeroDivisionError: structlog.get_logger().exception('failed')\n"
    )
    said = {
        whose: subprocess.run(
            [sys.executable, "-c", script, whose], capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONPATH": f"{tmp_path}:bridge"},
        )
        for whose in ("ours", "structlog's own")
    }  # fmt: skip
    assert "ZeroDivisionError" in said["ours"].stderr
    assert SECRET not in said["ours"].stderr + said["ours"].stdout
    assert SECRET in said["structlog's own"].stdout, "or this test shows nothing"


def test_json_is_one_line_that_shows_no_values(capsys: pytest.CaptureFixture[str]) -> None:
    text = told(LogFormat.JSON, capsys)
    assert text.count("\n") == 1
    line = json.loads(text)
    assert (line["event"], line["level"], line["subject"]) == ("failed", "error", "a line\nor two")
    assert SECRET not in text


def test_levels(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogLevel.WARNING, LogFormat.JSON)
    log = structlog.get_logger("softmesh.test")
    log.info("not this")
    log.warning("but this")
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["but this"]
