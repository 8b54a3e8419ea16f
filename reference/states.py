"""docs/reference/states.md: what states, rules and failures mean, from the table that stands in the code."""

from __future__ import annotations

import re
from collections.abc import Iterable

from reference.reasons import FAILURES, PHRASES, RULES, STATES, Explanation

_INTRODUCTION = """\
# States and reasons

What `softmesh status` says of a softwire, and what to do about it. Every softwire has a state and, unless all is well,
a reason; a refused one has the rule that refused it. `softmesh explain` shows the whole chain of decisions. Made of the
program's own table by `make reference`.

## States
"""
_STALE = """\

Beside its state a softwire may be **stale**: all its routes come from BGP sessions that are lost, or were not sent
again in a refresh. It is kept for as long as it says, and works meanwhile.

## Rules

What refused a route or a softwire: `rule` in `softmesh status --json`, in brackets in `softmesh explain`. They are
asked in the order of [policy.md](../policy.md#deny-by-default).
"""
_FAILURES = """\

## Failures

Why an attempt came to nothing, as far as charon tells; it stands at the beginning of the reason of a softwire that is
`connecting`, `wanted` or `degraded`. Metrics count them by kind ([metrics.md](metrics.md)).
"""
_REST = "\nReasons that begin otherwise:\n"


def page() -> str:
    """The whole page."""
    return "".join(
        [
            _INTRODUCTION,
            _table("state", STATES.items()),
            _STALE,
            _table("rule", RULES.items()),
            _FAILURES,
            _table("reason", FAILURES.items(), code=False),
            _REST,
            _table("reason", PHRASES.items(), code=False),
        ]
    )


def _table(heading: str, rows: Iterable[tuple[str, Explanation]], *, code: bool = True) -> str:
    lines = ["", f"| {heading} | what it means | what to do |", "| --- | --- | --- |"]
    for name, explanation in rows:
        first = f"`{name}`" if code else name
        lines.append(f"| {first} | {_linked(explanation.meaning)} | {_linked(explanation.remedy)} |")
    return "\n".join(lines) + "\n"


def _linked(text: str) -> str:
    """A document that is named becomes a link."""
    return re.sub(r"docs/([a-z-]+\.md)", r"[\1](../\1)", text)
