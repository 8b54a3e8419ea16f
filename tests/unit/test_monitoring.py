"""The rules, their tests, the dashboard and the example configuration in monitoring/, held against the metrics."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from softmesh.control.measurements import Measurements
from softmesh.web.metric_catalogue import CATALOGUE, Kind
from tests.unit.queries import DASHBOARD, MONITORING, RULES, queries, selected
from tests.unit.web.status import desired, exposition, measured, told, view

TOP = Path(__file__).resolve().parents[2]
ALERTS = TOP / "docs" / "alerts.md"

_PROMETHEUS = {
    "up",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
}
"""What Prometheus and its client add."""


def promtool(*arguments: str, given: str | None = None) -> None:
    """Run it; fail with what it says."""
    path = shutil.which("promtool")
    assert path is not None, "promtool is missing: apt-get install prometheus"
    done = subprocess.run([path, *arguments], input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr, done.stderr


def alerts() -> list[dict[str, Any]]:
    """The alert rules."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def exposed() -> set[str]:
    """The names of all samples that there can be, as Prometheus stores them."""
    names = set(_PROMETHEUS)
    for described in CATALOGUE:
        parts = ("_bucket", "_count", "_sum") if described.kind is Kind.HISTOGRAM else ("",)
        names |= {f"{described.name}{part}" for part in parts}
    return names


def test_rules_are_valid() -> None:
    promtool("check", "rules", str(RULES))


@pytest.mark.parametrize("path", sorted((MONITORING / "tests").glob("*.yml")), ids=lambda path: path.stem)
def test_rules_fire_when_they_should_and_not_before(path: Path) -> None:
    promtool("test", "rules", str(path))


def test_every_alert_is_shown_firing_and_not_firing() -> None:
    shown: dict[str, set[bool]] = {}
    for path in (MONITORING / "tests").glob("*.yml"):
        for test in yaml.safe_load(path.read_text())["tests"]:
            for asked in test["promql_expr_test"]:
                assert asked["expr"] == f'ALERTS{{alertname="{test["name"]}", alertstate="firing"}}'
                shown.setdefault(test["name"], set()).add(bool(asked["exp_samples"]))
    assert shown == {alert["alert"]: {True, False} for alert in alerts()}


def test_every_alert_says_what_to_do_and_has_its_section() -> None:
    sections = re.findall(r"^## (\S+)$", ALERTS.read_text(), re.MULTILINE)
    assert sections == [alert["alert"] for alert in alerts()], "docs/alerts.md has one section an alert, in order"
    for alert in alerts():
        notes = alert["annotations"]
        assert set(notes) == {"summary", "description", "runbook"}
        assert notes["runbook"] == f"docs/alerts.md#{alert['alert'].lower()}"
        assert alert["labels"]["severity"] in {"critical", "warning"}


def test_every_query_asks_for_what_there_is() -> None:
    for query in queries(json.loads(DASHBOARD.read_text()), RULES.read_text()):
        assert selected(query), query
        assert selected(query) <= exposed(), query


def test_every_query_selects_by_labels_that_there_are() -> None:
    labels = {each.name: {*each.labels, "job", "instance"} for each in CATALOGUE}
    for query in queries(json.loads(DASHBOARD.read_text()), RULES.read_text()):
        for name, matchers in re.findall(r"(softmesh_[a-z_]+)\{([^}]*)\}", query):
            asked = set(re.findall(r"([a-z_]+)\s*[=!]", matchers))
            bare = name.removesuffix("_bucket")
            assert asked <= labels.get(name, labels.get(bare, set())), query


def test_every_query_of_the_dashboard_parses(tmp_path: Path) -> None:
    every = list(queries(json.loads(DASHBOARD.read_text()), "groups: []"))
    recorded = [{"record": f"dashboard:query:{number}", "expr": query} for number, query in enumerate(every)]
    path = tmp_path / "dashboard.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": recorded}]}))
    promtool("check", "rules", str(path))
    assert len(every) > 30


def test_the_dashboard_can_be_provisioned() -> None:
    board = json.loads(DASHBOARD.read_text())
    source = {"type": "prometheus", "uid": "${datasource}"}
    for panel in board["panels"]:
        if panel["type"] != "row":
            assert panel["datasource"] == source
            assert all(target["datasource"] == source for target in panel["targets"])
    assert {variable["name"]: variable["type"] for variable in board["templating"]["list"]} == {
        "datasource": "datasource",
        "instance": "query",
    }
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    assert "id" not in board, "that is Grafana's to give"


def test_the_example_configuration_is_valid() -> None:
    promtool("check", "config", str(MONITORING / "prometheus.yml"))
    (job,) = yaml.safe_load((MONITORING / "prometheus.yml").read_text())["scrape_configs"]
    assert job["job_name"] == "softmesh", "the rules ask for it by that name"


def test_promtool_finds_nothing_amiss_with_the_exposition() -> None:
    seen = view(desired(3, keyless=1, plain=1))
    promtool("check", "metrics", given=exposition(measured(seen), told(seen)))
    promtool("check", "metrics", given=exposition(Measurements(0.0), told(seen)))


def test_a_softwire_has_as_many_series_as_the_reference_says() -> None:
    generator = runpy.run_path(str(TOP / "docs" / "generate_metrics.py"))

    def series(softwires: int) -> int:
        seen = view(desired(softwires))
        lines = exposition(measured(seen), told(seen)).splitlines()
        return sum(not line.startswith("#") for line in lines)

    assert series(9) - series(5) == 4 * generator["PER_SOFTWIRE"]
