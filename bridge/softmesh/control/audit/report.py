"""All requirements held against a node, and the answer that ``softmesh audit --json`` prints. Pure."""

from __future__ import annotations

from collections import Counter
from typing import Any

from softmesh.control.audit import framework, mesh, tunnels, upkeep
from softmesh.control.audit.node import Node
from softmesh.control.audit.requirement import Row, Strength, Verdict

CHECKS = (*mesh.CHECKS, *framework.CHECKS, *tunnels.CHECKS, *upkeep.CHECKS)
"""In the order of the RFCs."""


def audit(node: Node) -> tuple[Row, ...]:
    """Judge every requirement."""
    return tuple(Row(requirement, check(node)) for requirement, check in CHECKS)


def answer(node: Node) -> dict[str, Any]:
    """The rows and what they come to; no secret is in them."""
    rows = audit(node)
    verdicts = Counter(row.finding.verdict for row in rows)
    return {
        "endpoint": str(node.config.endpoint),
        "musts": sum(row.requirement.strength is Strength.MUST for row in rows),
        "unmet": [row.requirement.id for row in rows if row.unmet],
        "partly": [row.requirement.id for row in rows if row.partly],
        "verdicts": {verdict.value: verdicts[verdict] for verdict in Verdict},
        "rows": [
            {
                "id": row.requirement.id,
                "requirement": row.requirement.text,
                "source": row.requirement.source,
                "level": row.requirement.strength.value,
                "verdict": row.finding.verdict.value,
                "evidence": list(row.finding.evidence),
                "remedy": row.finding.remedy if row.finding.verdict not in _SETTLED else "",
            }
            for row in rows
        ],
    }


_SETTLED = frozenset({Verdict.PASS, Verdict.NOT_APPLICABLE})
