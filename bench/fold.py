"""What a change of one route costs, by the size of the Adj-RIB-In: ``python -m bench.fold``.

The fold derives every softwire from all routes. Beside the first fold, in the same run: a fold after one route has
changed, with the memory of the one before and, as the baseline, without.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace

from softmesh.bgp.route import Route, RouteKey
from softmesh.mesh.arrivals import Arrivals
from softmesh.mesh.desired import Desired, Memory, fold
from softmesh.mesh.trust import AnnouncedKeys
from tests.unit.mesh.routes import attribute, policy, route

SIZES = (1_000, 10_000, 100_000)
PEERS = 200


def main() -> int:
    """Print the table."""
    print(f"milliseconds a fold; {PEERS} peers, each route in its own prefix; best of 5")
    print(f"{'routes':>8} {'first':>9} {'one changed':>12} {'without memory':>15} {'ratio':>6} {'softwires':>10}")
    for size in SIZES:
        print(_row(size))
    print(
        "\nThe first fold is limited by judging each route (parsing its prefix, admission, choosing a tunnel);\n"
        "a later one by going over all of them once, and by sorting what each softwire carries."
    )
    return 0


def _row(size: int) -> str:
    routes = _routes(size)
    ours = policy()
    sources = [AnnouncedKeys()]
    memory, arrivals = Memory(), Arrivals(0.0)
    first, desired = _timed(lambda: fold(routes.values(), ours, sources, memory, arrivals, time.monotonic()))
    key = next(iter(routes))

    def changed(remembered: Memory | None) -> Callable[[], Desired]:
        def run() -> Desired:
            routes[key] = replace(routes[key], received_at=time.monotonic())
            return fold(routes.values(), ours, sources, remembered, arrivals, time.monotonic())

        return run

    later = min(_timed(changed(memory))[0] for _ in range(5))
    bare = min(_timed(changed(None))[0] for _ in range(5))
    softwires = len(desired.softwires)
    return f"{size:>8} {first:>9.1f} {later:>12.1f} {bare:>15.1f} {bare / later:>6.1f} {softwires:>10}"


def _routes(size: int) -> dict[RouteKey, Route]:
    attributes = [attribute(endpoint=f"2001:db8:f::{peer + 16:x}", key=f"peer{peer}") for peer in range(PEERS)]
    routes = [
        route(
            f"10.{2 + (n >> 16)}.{n >> 8 & 255}.{n & 255}/32",
            attributes[n % PEERS],
            received_at=float(n),
            originator_id=f"10.255.{n % PEERS >> 8}.{n % PEERS & 255}",
        )
        for n in range(size)
    ]
    return {entry.key: entry for entry in routes}


def _timed(work: Callable[[], Desired]) -> tuple[float, Desired]:
    began = time.perf_counter()
    result = work()
    return (time.perf_counter() - began) * 1e3, result


if __name__ == "__main__":
    sys.exit(main())
