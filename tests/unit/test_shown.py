"""docs/shown.md has what the tests in the guests show: no row more and none less."""

from __future__ import annotations

import json

from lab.evidence import PAGE, page
from lab.proof import MARK, Case
from tests.machine.test_softwires import CASES as IN_THE_MACHINE
from tests.vm.test_softwires import CASES as IN_THE_GUEST

KEY = ("tunnel", "core", "plane", "level")
BY_VTI = tuple(Case("ipsec-tunnel-mode", core, "route, VTI", "encrypt", faults=True) for core in ("IPv4", "IPv6"))


def line(what: str, kernel: str = "Linux 6.1", **figures: object) -> str:
    case = {"tunnel": "gre", "core": "IPv6", "plane": "protect", "level": "ah", "kernel": kernel}
    return f"12:00 {MARK}{json.dumps({**case, 'what': what, **figures})}"


def test_every_case_of_the_tests_has_its_row() -> None:
    rows = [
        tuple(cell.strip() for cell in row.split("|")[1:-1])
        for row in PAGE.read_text().splitlines()
        if "| Linux" in row
    ]
    shown = sorted((*row[:4], "qemu" in row[4], row[6] != "-", row[9]) for row in rows)
    wanted = sorted(
        (case.tunnel, case.core, case.plane, case.level, machine, case.faults, "0")
        for cases, machine in ((IN_THE_MACHINE, True), (IN_THE_GUEST, False), (BY_VTI, False))
        for case in cases
    )
    assert shown == wanted


def test_a_row_joins_all_that_was_shown_of_a_case() -> None:
    said = page(
        [
            "something else",
            line("traffic", packets=40, plaintext=0),
            line("rekey child", times=3, pings=1068, lost=0),
            line("rekey ike", times=3, pings=900, lost=1),
            line("faults", pings=1500, plaintext=0, protected=900),
            line("traffic", kernel="Linux 6.12", packets=20, plaintext=2),
        ]
    )
    assert said.splitlines()[-2:] == [
        "| gre | IPv6 | protect | ah | Linux 6.1 | 40 | 1,500 pings sent | 0 of 1,068 lost over 3 "
        "| 1 of 900 lost over 3 | 0 |",
        "| gre | IPv6 | protect | ah | Linux 6.12 | 20 | - | - | - | 2 |",
    ]
