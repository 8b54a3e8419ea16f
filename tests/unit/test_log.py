"""Log lines: one event a line, and what they never show."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import structlog

from softmesh.config.values import LogFormat, LogLevel
from softmesh.log import configure

SECRET = "correct-horse-battery-staple"


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    handlers = logging.root.handlers[:]
    yield
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    logging.root.handlers[:] = handlers


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


def test_events_are_published_whatever_the_level_of_the_lines(capsys: pytest.CaptureFixture[str]) -> None:
    events: list[Mapping[str, Any]] = []
    configure(LogLevel.WARNING, LogFormat.JSON, events.append)
    log = structlog.get_logger("softmesh.test")
    log.info("announcing")
    log.debug("exabgp", line="not an event")
    log.warning("not registered")
    log.warning("problem", subject="a", problem="b")
    assert [(event["event"], event["level"]) for event in events] == [("announcing", "info"), ("problem", "warning")]
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["not registered", "problem"]
    assert events[1] == lines[1]
    assert list(lines[1])[:3] == ["timestamp", "level", "event"]


def test_debug_lines_are_no_events(capsys: pytest.CaptureFixture[str]) -> None:
    events: list[Mapping[str, Any]] = []
    configure(LogLevel.DEBUG, LogFormat.JSON, events.append)
    structlog.get_logger("softmesh.test").debug("exabgp", line="x")
    assert json.loads(capsys.readouterr().err)["line"] == "x"
    assert events == []


def test_the_journal_gets_the_level_as_priority(tmp_path: Path) -> None:
    script = (
        "import structlog, sys\n"
        "from softmesh.config.values import LogFormat, LogLevel\n"
        "from softmesh.log import configure\n"
        "configure(LogLevel.DEBUG, LogFormat.AUTO)\n"
        "log = structlog.get_logger()\n"
        "log.debug('exabgp', line='x')\n"
        "log.info('announcing')\n"
        "log.warning('problem', subject='a', problem='b\\nc')\n"
        "log.error('worse')\n"
    )
    journal = tmp_path / "journal"
    for matches in (True, False):
        with journal.open("wb") as stderr:
            found = os.fstat(stderr.fileno())
            stream = f"{found.st_dev}:{found.st_ino + (not matches)}"
            subprocess.run(
                [sys.executable, "-c", script], stderr=stderr, check=True,
                env={**os.environ, "PYTHONPATH": "bridge", "JOURNAL_STREAM": stream},
            )  # fmt: skip
        lines = journal.read_text().splitlines()
        prefixes = [line.partition("{")[0] for line in lines]
        assert prefixes == (["<7>", "<6>", "<4>", "<3>"] if matches else [""] * 4)
        assert [json.loads(line[line.index("{") :])["event"] for line in lines] == [
            "exabgp", "announcing", "problem", "worse"
        ]  # fmt: skip


def test_a_terminal_is_not_sent_what_it_would_obey(capsys: pytest.CaptureFixture[str]) -> None:
    """A neighbour's words at the end of a session, say (RFC 9003)."""
    configure(LogLevel.INFO, LogFormat.CONSOLE)
    structlog.get_logger().info("neighbor", neighbor="x", state="down", was="up", reason="a\x1b]0;b\x07c\nd")
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "\x1b]" not in said
    assert "a\\x1b]0;b\\x07c\\nd" in said.replace("\\\\", "\\")


def test_what_libraries_say_is_an_event_without_values(capsys: pytest.CaptureFixture[str]) -> None:
    events: list[Mapping[str, Any]] = []
    configure(LogLevel.INFO, LogFormat.JSON, events.append)
    password = SECRET
    try:
        len(password) / 0
    except ZeroDivisionError:
        logging.getLogger("asyncio").exception("task of %s failed", "ours")
    logging.getLogger("asyncio").info("not this")
    text = capsys.readouterr().err
    line = json.loads(text)
    assert (line["event"], line["logger"], line["message"]) == ("library", "asyncio", "task of ours failed")
    assert "ZeroDivisionError" in line["traceback"]
    assert SECRET not in text
    assert len(events) == 1


def test_a_full_disk_stops_nobody(tmp_path: Path) -> None:
    script = (
        "import structlog\n"
        "from softmesh.config.values import LogFormat, LogLevel\n"
        "from softmesh.log import configure\n"
        "configure(LogLevel.DEBUG, LogFormat.JSON)\n"
        "for _ in range(1000): structlog.get_logger().info('announcing')\n"
        "print('alive')\n"
    )
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=full, check=False,
            env={**os.environ, "PYTHONPATH": "bridge"},
        )  # fmt: skip
    assert ended.stdout == b"alive\n"
