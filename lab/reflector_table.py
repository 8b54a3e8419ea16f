"""The table of docs/reflectors.md from the log of ``make test-releases``: what reflectors do to attribute 23.

python -m lab.reflector_table LOG
"""

from __future__ import annotations

import sys
from pathlib import Path

from lab.table import DOCS, Table

TABLE = Table(
    DOCS / "reflectors.md",
    ("reflector", "Debian"),
    (
        "TCP-MD5",
        "attribute 23: ours",
        "attribute 23: malformed",
        "attribute 23: unknown",
        "IPv4 over IPv6",
        "IPv6 over IPv4",
    ),
)


def main() -> int:
    """Write the page anew."""
    log = Path(sys.argv[1]).read_text().splitlines()
    TABLE.page.write_text(TABLE.inserted(TABLE.page.read_text(), log))
    return 0


if __name__ == "__main__":
    sys.exit(main())
