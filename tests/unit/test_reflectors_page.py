"""docs/reflectors.md has a row for each reflector that the tests run, with what they hold it to."""

from __future__ import annotations

from lab.reflector_table import TABLE
from tests.releases.test_reflectors import CASES, HABITS, HEADINGS, PASSING, WITHOUT_EXTENDED_NEXT_HOP

OUTCOMES = {
    case: "no RFC 8950"
    if case == WITHOUT_EXTENDED_NEXT_HOP
    else "pinned"
    if case in PASSING
    else "pki, by the community"
    for case in CASES
}


def test_every_reflector_of_the_tests_has_its_row() -> None:
    wanted = []
    for (kind, debian), habits in HABITS.items():
        cases = {case.column: case for case in CASES if (case.kind, case.release) == (kind, debian)}
        signed = "yes" if all(case.signed for case in cases.values()) else "no"
        outcomes = [OUTCOMES[cases[column]] for column in TABLE.columns if column in cases]
        wanted.append([HEADINGS[kind], debian, signed, habits.ours, habits.malformed, habits.unknown, *outcomes])
    shown = [[*row.values()] for row in TABLE.held()]
    assert sorted([reflector.split()[0], *cells] for reflector, *cells in shown) == sorted(wanted)
