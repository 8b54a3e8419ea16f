"""The PromQL expressions of monitoring/, and what they ask for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

MONITORING = Path(__file__).resolve().parents[2] / "monitoring"
RULES = MONITORING / "softmesh.rules.yml"
DASHBOARD = MONITORING / "grafana.json"


def queries(dashboard: dict[str, Any], rules: str) -> Iterator[str]:
    """Every PromQL expression of the dashboard and of the rules, with what Grafana puts in for its variables."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"].replace("$__rate_interval", "5m").replace("$instance", ".*")
    for group in yaml.safe_load(rules)["groups"]:
        yield from (rule["expr"] for rule in group["rules"])


def selected(query: str) -> set[str]:
    """The metrics that an expression selects."""
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\b(by|on)\s*\([^)]*\)|\"[^\"]*\"", "", query)
    return {name for name in re.findall(r"[a-z_]{2,}\b(?!\s*\()", bare) if "_" in name or name == "up"}
