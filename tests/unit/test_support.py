"""docs/support.md has what tests/releases shows: a row for each case, no cell left open, and no other."""

from __future__ import annotations

import pytest

from lab.support_table import EXABGP, STRONGSWAN, TABLES
from lab.table import Table
from tests.releases.test_exabgp import COMMANDS
from tests.releases.test_strongswan import CASES, DEBIAN


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.keys[0])
def test_no_cell_is_left_open(table: Table) -> None:
    rows = table.held()
    assert rows
    for row in rows:
        assert tuple(row) == (*table.keys, *table.columns)
        assert not {"-", ""} & set(row.values()), row


def test_every_case_has_its_row() -> None:
    shown = sorted(row["Debian"] for row in STRONGSWAN.held())
    assert shown == sorted(" with ".join(dict.fromkeys(DEBIAN[name] for name in case)) for case in CASES)
    assert sorted(".".join(row["ExaBGP"].split(".")[:2]) for row in EXABGP.held()) == sorted(COMMANDS)


LINES = (
    'ExaBGP: [["5.0"], {"hook killed": "all routes again"}]',
    'something else: [["5.0"], {"hook killed": "no"}]',
    'ExaBGP: [["4.2"], {"announce, withdraw": "both"}]',
    'ExaBGP: [["5.0"], {"announce, withdraw": "both"}]',
)


def test_a_row_joins_all_that_was_shown() -> None:
    page = EXABGP.inserted("before\n\n| ExaBGP | old |\n| --- | --- |\n| 1 | 2 |\n\nafter\n", LINES)
    assert page == (
        "before\n\n"
        "| ExaBGP | announce, withdraw | hook killed | ExaBGP killed | bridge restarts |\n"
        "| --- | --- | --- | --- | --- |\n"
        "| 4.2 | both | - | - | - |\n"
        "| 5.0 | both | all routes again | - | - |\n"
        "\nafter\n"
    )
    with pytest.raises(ValueError, match="0 tables"):
        STRONGSWAN.inserted(page, LINES)
    with pytest.raises(ValueError, match="no such row or column"):
        EXABGP.shown(("5.0",), {"weather": "fine"})
