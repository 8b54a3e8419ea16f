"""How status shows what protects a BGP session."""

from __future__ import annotations

from dataclasses import replace

import pytest

from softmesh.cli.status import lines
from softmesh.control.sessions import SessionGuard, Verdict
from softmesh.control.view import status
from tests.unit.control.test_view import view
from tests.unit.mesh.routes import REFLECTOR

RED = "\033[31m"


def shown(verdict: Verdict, *, red: bool) -> str:
    answer = status(replace(view(), sessions={REFLECTOR: verdict}))
    (line,) = [line.strip() for line in lines(answer, red=red) if line.startswith("    protection ")]
    return line


@pytest.mark.parametrize(
    ("verdict", "text", "alarming"),
    [
        (Verdict(SessionGuard.MD5, satisfied=True, reason="a key"), "md5 (a key)", False),
        (Verdict(SessionGuard.IPSEC, satisfied=True, reason="SAs", gtsm=True), "ipsec, GTSM (SAs)", False),
        (Verdict(SessionGuard.NONE, satisfied=True, reason="so be it"), "none (so be it)", True),
        (
            Verdict(SessionGuard.MD5, satisfied=False, reason="ipsec"), "md5, its routes do not count (ipsec)", True,
        ),
        (
            Verdict(SessionGuard.UNKNOWN, satisfied=False, reason="?"), "unknown, its routes do not count (?)", True,
        ),
    ],
)  # fmt: skip
def test_what_must_not_be_overlooked_is_red(verdict: Verdict, text: str, alarming: bool) -> None:
    assert shown(verdict, red=False) == f"protection {text}"
    assert shown(verdict, red=True) == (f"protection {RED}{text}\033[0m" if alarming else f"protection {text}")


def test_the_same_as_data() -> None:
    verdict = Verdict(SessionGuard.IPSEC, satisfied=True, reason="SAs", gtsm=True, since=3.0)
    (row,) = status(replace(view(), sessions={REFLECTOR: verdict}))["neighbors"]
    assert row["protection"] == {"kind": "ipsec", "satisfied": True, "reason": "SAs", "gtsm": True}
    (unknown,) = status(view())["neighbors"]
    assert unknown["protection"] is None
