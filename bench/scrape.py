"""What a scrape of /metrics costs, by the number of softwires: ``python -m bench.scrape``.

Measured is the making of the status, which every answer of the bridge begins with, and of the exposition from it.
Beside that, in the same run and of the same status, as the baseline: ``json.dumps``, as for `softmesh status --json`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TypeVar

from softmesh.web.metrics import Exposition, text
from tests.unit.web.status import desired, measured, told, view

SIZES = (10, 100, 500, 2_000)
T = TypeVar("T")


def main() -> int:
    """Print the table."""
    print("milliseconds, best of 5; in the loop: while nothing else of the bridge runs; beside it: in a thread")
    print(
        f"{'softwires':>9} {'series':>8} {'KiB':>6} {'status':>8} {'in the loop':>12} {'beside it':>10} "
        f"{'json.dumps':>11} {'JSON KiB':>9}"
    )
    for size in SIZES:
        print(_row(size))
    return 0


def _row(size: int) -> str:
    seen = view(desired(size))
    exposition = Exposition(measured(seen))
    rendering, status = _timed(lambda: told(seen))
    gathering, families = _timed(lambda: exposition.families(status))
    writing, exposed = _timed(lambda: text(families))
    dumping, dumped = _timed(lambda: json.dumps(status))
    series = sum(not line.startswith(b"#") for line in exposed.splitlines())
    return (
        f"{size:>9} {series:>8} {len(exposed) / 1024:>6.0f} {rendering:>8.1f} {gathering:>12.1f} {writing:>10.1f} "
        f"{dumping:>11.1f} {len(dumped) / 1024:>9.0f}"
    )


def _timed(do: Callable[[], T]) -> tuple[float, T]:
    """Milliseconds, the best of five, and the result."""
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        result = do()
        best = min(best, time.perf_counter() - started)
    return best * 1000, result


if __name__ == "__main__":
    raise SystemExit(main())
