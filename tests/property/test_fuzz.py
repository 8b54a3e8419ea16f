"""Every target of ``make fuzz``, for a moment; and that a fault is found, cut down and told."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz import __main__ as fuzz
from fuzz import mutation
from fuzz.finding import Finding, judge, minimised
from fuzz.target import Target
from softmesh.bgp.tunnel_encapsulation import AttributeVerdict
from softmesh.errors import PeerError

COSTLY = {"configuration": 40, "routes": 60, "control_server": 100, "control_client": 30}
"""How many inputs those get that take more than a millisecond each."""


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_no_finding(name: str) -> None:
    """The same inputs each time: what is found is a fault of what was changed."""
    outcomes, found = fuzz.run(fuzz.load(name), Random(f"1 {name}"), inputs=COSTLY.get(name, 400))
    assert found is None, found[1].told
    assert len(outcomes) > 1, "it comes to different things"


def test_damaged_attributes_get_every_verdict() -> None:
    """Were one of them missing, the mutations would test less than they seem to."""
    outcomes, _ = fuzz.run(fuzz.load("attribute"), Random(9012), inputs=2000)
    assert all(outcomes[verdict] > 20 for verdict in AttributeVerdict), outcomes


def planted(data: bytes) -> str:
    """A reader with faults of every kind."""
    if b"leak" in data:
        return "leaked" if "x" * 2**25 else ""
    if b"hang" in data:
        return str(sum(range(10**7)))
    if data[:1] == b"x":
        raise PeerError("as it should be")
    if b"\xff\xff" in data:
        return dict[str, str]()["no such key"]
    return "fine"


def harmless(data: bytes) -> str:
    try:
        return planted(data)
    except PeerError:
        return "refused"


TARGET = Target((b"x" + bytes(60), b"abc" * 20), mutation.octets, harmless)


def test_a_planted_fault_is_found_and_cut_down() -> None:
    outcomes, found = fuzz.run(TARGET, Random(1), inputs=200_000)
    assert found is not None, outcomes
    data, finding = found
    assert finding.kind == "KeyError test_fuzz.py:planted"
    assert "no such key" in finding.told
    assert minimised(TARGET, data, finding.kind) == b"\xff\xff"
    again = fuzz.run(TARGET, Random(1), inputs=200_000)
    assert again == (outcomes, found), "a seed says it all"


@pytest.mark.parametrize(("data", "memory", "kind"), [(b"a hang", False, "slow"), (b"a leak", True, "memory")])
def test_time_and_memory_are_watched(data: bytes, memory: bool, kind: str) -> None:
    found = judge(TARGET, data, memory=memory)
    assert isinstance(found, Finding)
    assert found.kind == kind
    assert minimised(TARGET, data, kind) == data[2:]


def test_a_finding_ends_the_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(fuzz, "load", lambda _name: TARGET)
    assert fuzz.main(["1", "attribute", "--seed", "7"]) == 1
    told = capsys.readouterr().out
    assert "seed 7" in told
    assert "no such key" in told
    assert told.splitlines()[-1] == "python -m fuzz 0 attribute --input ffff"
    assert fuzz.main(["0", "attribute", "--input", "ffff"]) == 1
    assert fuzz.main(["0", "attribute", "--input", "00"]) == 0


@settings(derandomize=True, deadline=None)
@given(st.binary(max_size=80), st.integers(0, 2**32))
def test_mutations_are_of_a_seed(data: bytes, seed: int) -> None:
    for damage in (mutation.octets, mutation.document):
        assert damage(data, Random(seed)) == damage(data, Random(seed))
