"""What was found of a machine: values only."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Verdict(enum.StrEnum):
    """How well a thing is."""

    OK = "ok"
    WARN = "warn"
    """Softwires come up, or may, but not all is as it ought to be."""
    FAIL = "fail"
    """With this no softwire comes up, or none of a configured type, or it carries nothing."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line."""

    verdict: Verdict
    what: str
    why: str
    remedy: str = ""
    """A command for a shell, or a sentence where there is none; empty where there is nothing to mend."""

    def __str__(self) -> str:
        return f"{self.verdict.value:4} {self.what}: {self.why}" + (f"; {self.remedy}" if self.remedy else "")


def ok(what: str, why: str) -> Finding:
    """All is well."""
    return Finding(Verdict.OK, what, why)


def warn(what: str, why: str, remedy: str) -> Finding:
    """Not all is well."""
    return Finding(Verdict.WARN, what, why, remedy)


def fail(what: str, why: str, remedy: str) -> Finding:
    """It does not work so."""
    return Finding(Verdict.FAIL, what, why, remedy)
