"""From the file on disk to a configuration, or to everything that is wrong with it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from softmesh.config.contradictions import contradictions
from softmesh.config.credentials import missing_or_unsafe
from softmesh.config.document import Node, Scalar, place_of, read_document
from softmesh.config.finding import Finding
from softmesh.config.problems import ConfigurationError, KeyPath, Place, Problem, Severity, spell
from softmesh.config.reading import Reader
from softmesh.config.values import Config

DEFAULT_PATH = Path("/etc/softmesh/mesh.yaml")
MAX_OCTETS = 1 << 20


@dataclass(frozen=True, slots=True)
class Examination:
    """What came of reading a configuration file."""

    config: Config | None
    """None where there are errors."""
    problems: tuple[Problem, ...]
    """Errors and warnings, in the file's order."""

    @property
    def errors(self) -> tuple[Problem, ...]:
        """What keeps the file from being used."""
        return tuple(problem for problem in self.problems if problem.severity is Severity.ERROR)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What is allowed, but most likely not meant."""
        return tuple(problem for problem in self.problems if problem.severity is Severity.WARNING)


def load(path: Path = DEFAULT_PATH, *, files: bool = True) -> Config:
    """Read a configuration file.

    ``files`` also has the keys, passwords and directories it names looked at. Paths in the value are
    absolute: those in the file start from its own directory. Raises ConfigurationError, which has every
    problem found; warnings alone raise nothing (see :func:`examine`).
    """
    examination = examine(path, files=files)
    if examination.config is None:
        raise ConfigurationError(examination.problems)
    return examination.config


def examine(path: Path, *, files: bool = True) -> Examination:
    """Read a configuration file and tell what is wrong with it; raises nothing for what is in it."""
    findings = _Findings(str(path))
    octets = _octets(path, findings)
    if octets is None:
        return findings.examination(None)
    try:
        text = octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = octets[: error.start]
        column = len(before) - (before.rfind(b"\n") + 1) + 1
        place = Place(before.count(b"\n") + 1, column)
        findings.report(place, (), f"octet 0x{octets[error.start]:02x} is not UTF-8", "save the file as UTF-8")
        return findings.examination(None)
    return _judge(text, path, findings, files=files)


def _judge(text: str, path: Path, findings: _Findings, *, files: bool) -> Examination:
    document = read_document(text, findings.report)
    if document is None or (isinstance(document, Scalar) and document.value is None):
        if not findings.problems:
            findings.report(Place(1, 1), (), "nothing in the file", "begin with docs/examples/minimal.yaml")
        return findings.examination(None)
    directory = Path(os.path.abspath(path)).parent  # noqa: PTH100 - resolve() would follow a symbolic link away
    reader = Reader(directory, findings.report)
    config = reader.read(document)
    if config is not None:
        findings.doubt(reader.misspelled)
        findings.add(document, contradictions(config))
        if files:
            findings.add(document, missing_or_unsafe(config))
    return findings.examination(config)


def _octets(path: Path, findings: _Findings) -> bytes | None:
    start = Place(1, 1)
    try:
        # Not blocking: a FIFO in place of the file must not hang us.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                findings.report(start, (), "not a regular file", "name a YAML file")
                return None
            octets = file.read(MAX_OCTETS + 1)
    except FileNotFoundError:
        findings.report(start, (), "no such file", "create it, beginning with docs/examples/minimal.yaml")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        findings.report(start, (), f"cannot be read ({reason})", "correct its path, owner or mode")
    else:
        if len(octets) <= MAX_OCTETS:
            return octets
        findings.report(start, (), f"more than {MAX_OCTETS} octets", "name a configuration file")
    return None


class _Findings:
    """Collects problems; what only follows from a value already found wrong is left out."""

    def __init__(self, file: str) -> None:
        self._file = file
        self.problems: list[Problem] = []
        self._wrong: set[KeyPath] = set()

    def report(self, place: Place, path: KeyPath, message: str, remedy: str) -> None:
        """Take an error."""
        self.doubt([path])
        self.problems.append(Problem(Severity.ERROR, self._file, place, spell(path), message, remedy))

    def doubt(self, paths: Iterable[KeyPath]) -> None:
        """Let nothing be said that rests on the defaults of these keys."""
        # An item left out moves those behind it, so nothing more can be said of its list.
        self._wrong.update(tuple(takewhile(lambda step: isinstance(step, str), path)) for path in paths)

    def add(self, document: Node, findings: Iterable[Finding]) -> None:
        """Take findings about a value, unless they rest on a default that stands in for something wrong."""
        wrong = frozenset(self._wrong)
        for finding in findings:
            if any(_related(path, bad) for path in (finding.path, *finding.others) for bad in wrong):
                continue
            place = place_of(document, finding.path)
            self.problems.append(
                Problem(finding.severity, self._file, place, spell(finding.path), finding.message, finding.remedy)
            )

    def examination(self, config: Config | None) -> Examination:
        """Close: no configuration comes out if there was an error."""
        ordered = tuple(sorted(self.problems, key=lambda problem: (problem.place.line, problem.place.column)))
        failed = any(problem.severity is Severity.ERROR for problem in ordered)
        return Examination(None if failed else config, ordered)


def _related(one: KeyPath, other: KeyPath) -> bool:
    """Whether one key path is the other or lies within it."""
    length = min(len(one), len(other))
    return one[:length] == other[:length]
