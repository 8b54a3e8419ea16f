"""A requirement, and what was found of it: values only.

A requirement that only its owner can judge, or that nothing can be shown of just now, never counts as met.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from softmesh.control.audit.node import Node


class Strength(enum.StrEnum):
    """How strongly a thing is required (RFC 2119).

    Where an RFC says without a key word how a thing is, or that it is necessary, it is a MUST here.
    """

    MUST = "MUST"
    SHOULD = "SHOULD"
    MAY = "MAY"
    INFO = "info"
    """A statement: nothing to do, something to know."""
    OPERATOR = "operator"
    """A matter of organisation, or of machines that are not this one."""


class Verdict(enum.StrEnum):
    """What was found."""

    FAIL = "fail"
    """A MUST that is not met."""
    UNKNOWN = "unknown"
    """It cannot be shown just now, because a part that would show it does not answer; counts as not met."""
    WARN = "warn"
    """Less than a MUST that is not met, or a MUST that is met in a weaker way than it could be."""
    OPERATOR = "operator's"
    """Only the operator can tell."""
    PASS = "pass"  # noqa: S105
    NOT_APPLICABLE = "not-applicable"
    """There is nothing that it would apply to."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """What is required, and where."""

    id: str
    text: str
    """One sentence."""
    source: str
    """RFC and section."""
    strength: Strength


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of a requirement."""

    verdict: Verdict
    evidence: tuple[str, ...]
    """What it rests on, a phrase each; the ones that decide come first."""
    remedy: str = ""
    """One sentence that names a key of the configuration or a command; empty where there is nothing to mend."""


_AWAKEN = "start charon (systemctl start strongswan), and let charon.vici name its socket; then ask again"

Check: TypeAlias = "Callable[[Node], Finding]"
"""Judges one requirement."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the audit."""

    requirement: Requirement
    finding: Finding

    @property
    def unmet(self) -> bool:
        """Whether it is a MUST that is not met, or cannot be shown to be."""
        return self._is_a_must and self.finding.verdict in {Verdict.FAIL, Verdict.UNKNOWN}

    @property
    def partly(self) -> bool:
        """Whether it is a MUST that is met in another way than the RFC says, or in a weaker one."""
        return self._is_a_must and self.finding.verdict is Verdict.WARN

    @property
    def _is_a_must(self) -> bool:
        return self.requirement.strength is Strength.MUST


def conclude(
    evidence: Sequence[str],
    *,
    remedy: str = "",
    fails: Collection[str] = (),
    unknown: Collection[str] = (),
    silence: str = "",
    warns: Collection[str] = (),
) -> Finding:
    """Judge by the worst that was found; nothing bad is a pass. What decides goes before the other evidence.

    ``silence``: why charon, on which it rests, cannot be asked; empty where it was.
    """
    unknown = [*([silence] if silence else []), *unknown]
    worse = (*fails, *unknown, *warns, *evidence)
    if fails:
        return Finding(Verdict.FAIL, worse, remedy)
    if unknown:
        return Finding(Verdict.UNKNOWN, worse, _AWAKEN if silence else remedy)
    return Finding(Verdict.WARN, worse, remedy) if warns else Finding(Verdict.PASS, tuple(evidence))


def not_applicable(*evidence: str) -> Finding:
    """There is nothing that a requirement would apply to."""
    return Finding(Verdict.NOT_APPLICABLE, evidence)


def counted(part: int, whole: int, noun: str, plural: str = "") -> str:
    """``2 of 3 softwires``."""
    return f"{part} of {whole} {noun if whole == 1 else plural or noun + 's'}"


def listed(items: Collection[object], *, most: int = 8) -> str:
    """Some things after another, and how many more there are."""
    words = [str(item) for item in items]
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return (", ".join(words[:most]) or "none") + more
