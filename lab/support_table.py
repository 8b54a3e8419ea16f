"""docs/support.md from the log of ``make test-releases``: what works with which strongSwan and ExaBGP.

python -m lab.support_table LOG
"""

from __future__ import annotations

import sys
from pathlib import Path

from lab.table import DOCS, Table

PAGE = DOCS / "support.md"
STRONGSWAN = Table(
    PAGE,
    ("strongSwan", "Debian"),
    (
        "softwire",
        "prefixes",
        "bridge restarts",
        "rekeying",
        "charon killed",
        "withdrawn key",
        "revoked",
        "reasons by",
        "IKE",
    ),
)
EXABGP = Table(PAGE, ("ExaBGP",), ("announce, withdraw", "hook killed", "ExaBGP killed", "bridge restarts"))
TABLES = (STRONGSWAN, EXABGP)


def main() -> int:
    """Write the page anew."""
    log, text = Path(sys.argv[1]).read_text().splitlines(), PAGE.read_text()
    for table in TABLES:
        text = table.inserted(text, log)
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
