"""docs/shown.md from the log of ``make test-vm``: what was shown of each softwire type, by which kernel.

python -m lab.evidence LOG > docs/shown.md
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lab.proof import MARK

PAGE = Path(__file__).resolve().parent.parent / "docs" / "shown.md"
_HEAD = """# What was shown

Written by `make evidence` from what `make test-vm` printed; not edited by hand. Every row is a test in which a route
reflector, ExaBGP, the bridge, charon and a kernel's own ESP or AH worked together, between two AFBRs whose islands
have IPv4 and IPv6 unless said otherwise. All traffic was found as ESP or AH in a capture of the core and in the
counters of the SAs; *cleartext* counts the packets in that capture that were neither, nor IKE, BGP or neighbour
discovery.

*Faults* under traffic from both sides: charon killed with SIGKILL, charon stopped, IKE blocked while charon restarts,
the softwire withdrawn; after each it came back without a hand. *Rekeying* counts pings lost at one each 10 ms.

| tunnel | core | data plane | level | kernel | packets | faults | rekeying: CHILD SA | IKE SA | cleartext |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""


def page(log: Iterable[str]) -> str:
    """The page for what a log says was shown."""
    rows: dict[tuple[str, ...], dict[str, Any]] = {}
    for line in log:
        _, mark, shown = line.partition(MARK)
        if mark:
            seen = json.loads(shown)
            key = tuple(seen[name] for name in ("tunnel", "core", "plane", "level", "kernel"))
            rows.setdefault(key, {})[seen["what"]] = seen
    return _HEAD + "".join(f"| {' | '.join(cells)} |\n" for cells in sorted(_cells(rows)))


def _cells(rows: dict[tuple[str, ...], dict[str, Any]]) -> Iterator[list[str]]:
    for key, seen in rows.items():
        faults = seen.get("faults")
        yield [
            *key,
            str(seen["traffic"]["packets"]) if "traffic" in seen else "-",
            f"{faults['pings']:,} pings sent" if faults else "-",
            _lost(seen.get("rekey child")),
            _lost(seen.get("rekey ike")),
            str(sum(item.get("plaintext", 0) for item in seen.values())),
        ]


def _lost(rekeyed: dict[str, Any] | None) -> str:
    return "-" if rekeyed is None else f"{rekeyed['lost']} of {rekeyed['pings']:,} lost over {rekeyed['times']}"


def main() -> int:
    """Write the page for a log to standard output."""
    sys.stdout.write(page(Path(sys.argv[1]).read_text().splitlines()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
