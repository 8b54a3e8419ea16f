"""The table of docs/faults.md from the log of ``make test-faults``: what became of a mesh after each fault.

python -m lab.fault_table LOG
"""

from __future__ import annotations

import enum
import sys
from pathlib import Path

from lab.fault import Way
from lab.table import DOCS, Table


class Moment(enum.Enum):
    """When a fault strikes."""

    REST = "at rest"
    NEWCOMER = "converging, at the newcomer"
    OTHER = "converging, at another"


TABLE = Table(DOCS / "faults.md", ("part", "when"), (*(way.value for way in Way), "bound"))


def main() -> int:
    """Write the page anew."""
    log = Path(sys.argv[1]).read_text().splitlines()
    TABLE.page.write_text(TABLE.inserted(TABLE.page.read_text(), log))
    return 0


if __name__ == "__main__":
    sys.exit(main())
