"""What /metrics says, read as Prometheus reads it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from softmesh.charon.failure import Cause
from softmesh.control.histogram import Histogram
from softmesh.control.measurements import Measurements
from softmesh.control.progress import State
from softmesh.control.view import View
from softmesh.mesh.refusal import Rule
from softmesh.web import metric_catalogue
from softmesh.web.metric_catalogue import CATALOGUE, Kind
from softmesh.web.metrics import CONTENT_TYPE, Exposition
from tests.unit.mesh.routes import REFLECTOR
from tests.unit.web.status import desired, exposition, measured, told, view

SECOND = "2001:db8:f::3/ipsec-tunnel-mode"


def samples(seen: View | dict[str, Any], measurements: Measurements | None = None) -> list[Sample]:
    """All samples of an exposition."""
    if isinstance(seen, View):
        measurements = measurements or measured(seen)
        seen = told(seen)
    exposed = exposition(measurements or Measurements(0.0), seen)
    return [sample for family in text_string_to_metric_families(exposed) for sample in family.samples]


def values(found: list[Sample], name: str) -> dict[tuple[str, ...], float]:
    """The samples of one name, by their label values in the order of the catalogue."""
    (order,) = (described.labels for described in CATALOGUE if described.name == name)
    return {tuple(each.labels[label] for label in order): each.value for each in found if each.name == name}


def test_a_down_softwire_has_its_series_and_its_cause() -> None:
    found = samples(view(desired(2)))
    states = values(found, "softmesh_softwire_state")
    assert {state.value: states[SECOND, state.value] for state in State if states[SECOND, state.value]} == {
        "connecting": 1.0
    }
    assert values(found, "softmesh_softwire_cause") == {(SECOND, "silent"): 1.0}
    counts = values(found, "softmesh_softwires")
    assert {key: count for key, count in counts.items() if count} == {("up", ""): 1.0, ("connecting", "silent"): 1.0}
    assert counts["refused", ""] == 0.0, "a state that no softwire is in says so"
    assert values(found, "softmesh_softwires_desired") == {(): 2.0}
    assert values(found, "softmesh_softwire_child_sas")[(SECOND,)] == 0.0
    assert values(found, "softmesh_softwire_child_sas_wanted")[(SECOND,)] == 1.0


def test_a_softwire_without_key_has_series_and_a_route_without_softwire_has_none() -> None:
    found = samples(view(desired(1, keyless=1, plain=3)))
    assert values(found, "softmesh_softwire_state")[SECOND, "pending-key"] == 1.0
    assert values(found, "softmesh_softwire_cause")[SECOND, "key"] == 1.0
    assert {key[0] for key in values(found, "softmesh_softwire_state")} == {
        "2001:db8:f::2/ipsec-tunnel-mode",
        SECOND,
    }
    assert values(found, "softmesh_refused_routes") == {("key",): 1.0, ("no-tunnel",): 3.0}


def test_of_what_anybody_can_make_up_only_so_much_has_series(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metric_catalogue, "MAX_PENDING", 3)
    found = samples(view(desired(2, keyless=5)))
    assert len({key[0] for key in values(found, "softmesh_softwire_state")}) == 2 + 3
    assert values(found, "softmesh_softwires_without_series") == {(): 2.0}
    assert values(found, "softmesh_softwires")["pending-key", "key"] == 5.0


def test_no_series_comes_twice() -> None:
    found = samples(view(desired(3, keyless=2, plain=2)))
    series = Counter((each.name, tuple(sorted(each.labels.items()))) for each in found)
    assert max(series.values()) == 1


def test_what_others_wrote_is_no_label() -> None:
    marker = 'a"b\\c\nd{e="f"} 1'
    status = told(view(desired(2, keyless=1), charon=marker, problems=(marker,)))
    for row in status["softwires"]:
        row["reason"] = marker
    for row in status["neighbors"]:
        row["reason"] = row["carriage"]["reason"] = row["protection"]["reason"] = marker
    assert not [each for each in samples(status) if any(marker in value for value in each.labels.values())]


def test_a_label_with_odd_characters_is_escaped() -> None:
    odd = 'a"b\\c\nd'
    found = samples(view(desired(1), problem_subjects={odd: 1}))
    assert values(found, "softmesh_problems") == {(odd,): 1.0}


def test_sessions() -> None:
    found = samples(view(desired(1)))
    assert values(found, "softmesh_bgp_session_state") == {
        (REFLECTOR, "unknown"): 0.0,
        (REFLECTOR, "up"): 1.0,
        (REFLECTOR, "down"): 0.0,
    }
    assert values(found, "softmesh_bgp_session_state_age_seconds") == {(REFLECTOR,): 60.0}
    assert values(found, "softmesh_bgp_session_protection")[REFLECTOR, "md5"] == 1.0
    assert values(found, "softmesh_bgp_session_satisfied") == {(REFLECTOR,): 1.0}
    assert values(found, "softmesh_bgp_routes") == {(REFLECTOR, "ipv4 unicast"): 2.0}


def test_histograms_are_cumulative() -> None:
    measurements = Measurements(0.0)
    for seconds in (0.002, 0.0025, 0.003, 99.0):
        measurements.vici_answered("list-sas", seconds, "")
    found = samples(told(view(desired(1))), measurements)
    buckets = {
        each.labels["le"]: each.value
        for each in found
        if each.name == "softmesh_vici_command_duration_seconds_bucket" and each.labels["command"] == "list-sas"
    }
    assert (buckets["0.001"], buckets["0.0025"], buckets["0.005"], buckets["10.0"], buckets["+Inf"]) == (0, 2, 3, 3, 4)
    (total,) = (each.value for each in found if each.name == "softmesh_vici_command_duration_seconds_count")
    assert total == 4


def test_a_duration_on_a_bound_lies_within_it() -> None:
    histogram = Histogram((1.0, 2.0))
    for seconds in (1.0, 1.5, 2.0, 2.1):
        histogram.observe(seconds)
    assert (histogram.counts, histogram.sum) == ([1, 2, 1], 6.6)


def test_every_family_is_there_before_there_is_anything_to_count() -> None:
    status = told(replace(view(desired(1)), neighbors={}, sessions={}))
    exposed = exposition(Measurements(0.0), status)
    for described in CATALOGUE:
        assert f"# TYPE {described.name} {described.kind.value}\n" in exposed


def test_names_tell_what_they_are() -> None:
    names = [described.name for described in CATALOGUE]
    assert len(set(names)) == len(names)
    for described in CATALOGUE:
        assert described.name.startswith("softmesh_")
        assert described.name.endswith("_total") is (described.kind is Kind.COUNTER)
        assert described.help.endswith("."), described.name


def test_causes_and_rules_share_a_label_without_meaning_two_things() -> None:
    both = {cause.value for cause in Cause} & {rule.value for rule in Rule}
    assert both <= {"certificate", "data-plane", "selectors"}, "the same word must say the same"


def test_nothing_of_ours_is_in_the_registry_of_the_process() -> None:
    samples(view(desired(1)))
    assert not [family.name for family in REGISTRY.collect() if family.name.startswith("softmesh")]


async def test_the_text_is_made_beside_the_loop() -> None:
    seen = view(desired(1))
    exposed = await Exposition(measured(seen))(told(seen))
    assert b'softmesh_softwires{cause="",state="connecting"} 0.0' in exposed
    assert CONTENT_TYPE.startswith("text/plain; version=0.0.4")


def test_the_process_is_told_of() -> None:
    names = {each.name for each in samples(view(desired(1)))}
    assert {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"} <= names
