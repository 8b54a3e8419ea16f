"""What the log is told of softwires, sessions and actions."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from dataclasses import replace
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from softmesh.bgp.route import Neighbor, Route, SessionState
from softmesh.charon.actions import Initiate, LoadKey, TerminateChild, TerminateIke, UnloadConnection
from softmesh.charon.observed import ChildSa, IkeSa, Observed
from softmesh.control.chronicle import Chronicle
from softmesh.control.plan import Plan
from softmesh.control.progress import Progress, State
from softmesh.mesh.desired import Desired, fold
from softmesh.mesh.softwire import SoftwireId
from softmesh.mesh.trust import AnnouncedKeys
from tests.unit.mesh.routes import REFLECTOR, attribute, policy, route

KEY = "2001:db8:f::2/ipsec-tunnel-mode"
Lines = list[MutableMapping[str, Any]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    structlog.reset_defaults()
    with capture_logs() as told:
        yield told


def desired(*routes: Route) -> Desired:
    return fold(routes or [route(value=attribute())], policy(), [AnnouncedKeys()])


def sa(spi: str) -> ChildSa:
    return ChildSa(
        "c", "7", "INSTALLED", "tunnel", "ESP", frozenset(), frozenset(), spi_in=spi, spi_out=f"{spi}0"
    )  # fmt: skip


def planned(wanted: Desired, state: State, *spis: str, failure: str = "", reason: str = "") -> Plan:
    progress = dict.fromkeys(wanted.softwires, Progress(state, 1.0, reason, failure, attempts=3))
    return Plan(progress=progress, installed={wire: tuple(map(sa, spis)) for wire in wanted.softwires})


def test_a_life(lines: Lines) -> None:
    chronicle, wanted = Chronicle(), desired()
    chronicle.softwires(wanted, planned(wanted, State.WANTED, reason="the peer initiates"), 0.0)
    chronicle.softwires(wanted, planned(wanted, State.WANTED, reason="other words"), 0.0)
    chronicle.softwires(wanted, planned(wanted, State.UP, "1"), 0.0)
    chronicle.softwires(wanted, planned(wanted, State.UP, "1"), 0.0)
    chronicle.softwires(Desired(), Plan(), 0.0)
    chronicle.softwires(Desired(), Plan(), 0.0)
    assert [(line["was"], line["state"], line["reason"], line["spi_in"], line["spi_out"]) for line in lines] == [
        (None, "wanted", "the peer initiates", [], []),
        ("wanted", "up", "", ["1"], ["10"]),
        ("up", "gone", "", [], []),
    ]
    assert {line["softwire"] for line in lines} == {KEY}
    assert {line["event"] for line in lines} == {"softwire"}


def test_other_sas_than_before(lines: Lines) -> None:
    chronicle, wanted = Chronicle(), desired()
    for spis in ("ab", "ba", "bc"):
        chronicle.softwires(wanted, planned(wanted, State.UP, *spis), 0.0)
    assert [line["event"] for line in lines] == ["softwire", "softwire SAs"]
    assert (lines[1]["spi_in"], lines[1]["spi_out"], lines[1]["closed"]) == (["b", "c"], ["b0", "c0"], ["a"])


def test_failures_are_told_when_they_change(lines: Lines) -> None:
    chronicle, wanted = Chronicle(), desired()
    for failure in ("", "no", "no", "never", ""):
        chronicle.softwires(wanted, planned(wanted, State.CONNECTING, failure=failure), 0.0)
    assert [(line["event"], line.get("reason"), line.get("attempts")) for line in lines[1:]] == [
        ("attempt failed", "no", 3), ("attempt failed", "never", 3)
    ]  # fmt: skip


def test_a_rollover_and_a_silence(lines: Lines) -> None:
    chronicle, wanted = Chronicle(), desired()
    (wire,) = wanted.softwires
    later = desired(route(value=attribute(key="new")))
    chronicle.softwires(wanted, planned(wanted, State.UP, "1"), 0.0)
    chronicle.softwires(later, planned(later, State.UP, "1"), 0.0)
    chronicle.softwires(replace(later, stale={wire: 20.0}), planned(later, State.UP, "1"), 5.0)
    chronicle.softwires(later, planned(later, State.UP, "1"), 6.0)
    assert [line["event"] for line in lines[1:]] == ["softwire trust", "softwire stale", "softwire stale"]
    assert lines[1]["key_from"] == ["sub-TLV 126"]
    assert [(line["stale"], line["kept_for"]) for line in lines[2:]] == [(True, 15.0), (False, None)]


def test_a_peer_whose_key_goes_is_followed_on_and_a_stranger_is_not(lines: Lines) -> None:
    chronicle, wanted = Chronicle(), desired()
    keyless = desired(route(value=attribute(announced=False)))
    assert keyless.pending
    chronicle.softwires(keyless, Plan(), 0.0)
    assert lines == []
    chronicle.softwires(wanted, planned(wanted, State.UP, "1"), 0.0)
    chronicle.softwires(keyless, Plan(), 0.0)
    chronicle.softwires(keyless, Plan(), 0.0)
    chronicle.softwires(wanted, planned(wanted, State.CONNECTING), 0.0)
    assert [(line["was"], line["state"]) for line in lines] == [
        (None, "up"), ("up", "pending-key"), ("pending-key", "connecting")
    ]  # fmt: skip


def test_sessions(lines: Lines) -> None:
    chronicle = Chronicle()
    for state, reason in ((SessionState.UP, ""), (SessionState.UP, ""), (SessionState.DOWN, "hold timer")):
        chronicle.neighbors({REFLECTOR: Neighbor(REFLECTOR, 65000, state, 0.0, reason)})
    assert [(line["was"], line["state"], line["reason"]) for line in lines] == [
        (None, "up", ""), ("up", "down", "hold timer")
    ]  # fmt: skip


def test_actions_name_the_softwires_they_concern(lines: Lines) -> None:
    (wire,) = desired().softwires
    other = replace(wire, color=7)
    child = sa("1")
    ike = IkeSa("both", "3", "ESTABLISHED", True, "", "", "", "", children=(child,))
    before = Observed({"mine": frozenset(), "both": frozenset()}, (ike,), frozenset())
    actions = (
        LoadKey(b"secret"), Initiate("mine", "c"), TerminateIke("3", "both"), TerminateChild("7"), TerminateChild("8"),
    )  # fmt: skip
    serving: dict[str, tuple[SoftwireId, ...]] = {"mine": (wire,), "both": (wire, other)}
    chronicle = Chronicle()
    chronicle.actions(Plan(actions, serving=serving), before, [(actions[1], "no")])
    assert [(line["softwire"], line["action"].split()[0], line["refused"]) for line in lines] == [
        (None, "load", ""),
        (KEY, "initiate", "no"),
        *[(key, "terminate", "") for key in (KEY, f"{KEY}/7") * 2],
        (None, "terminate", ""),
    ]
    assert "secret" not in str(lines)
    # Of a connection that is not wanted any more, for as long as charon has it.
    lines.clear()
    unload = Plan((UnloadConnection("mine"),))
    chronicle.actions(unload, before, ())
    chronicle.actions(unload, Observed({}, (), frozenset()), ())
    assert [line["softwire"] for line in lines] == [KEY, None]
