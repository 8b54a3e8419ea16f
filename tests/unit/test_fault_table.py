"""docs/faults.md has a figure for every fault that tests/faults makes, and no other."""

from __future__ import annotations

from itertools import product

from lab.fault import Part, Way
from lab.fault_table import TABLE, Moment
from tests.faults.matrix import AWAY, CELLS, HANG, WITHIN, chosen


def test_every_cell_has_its_figures() -> None:
    shown = {(row["part"], way.value, row["when"]) for row in TABLE.held() for way in Way if " of " in row[way.value]}
    assert shown == {tuple(value.value for value in cell) for cell in CELLS}


def test_the_bounds_are_those_of_the_tests() -> None:
    bounds = {part.value: f"{seconds:g} s" for part, seconds in WITHIN.items()}
    assert all(row["bound"] == bounds[row["part"]] for row in TABLE.held())
    page = " ".join(TABLE.page.read_text().split())
    assert f"is away for {AWAY:g} s, what hangs does so for {HANG:g} s" in page


def test_the_tests_make_every_fault() -> None:
    assert chosen(set(Moment), short=False) == list(CELLS)
    for moment in (Moment.REST, Moment.NEWCOMER):
        assert [cell[:2] for cell in CELLS if cell[2] is moment] == list(product(Part, Way))
