"""What it costs to look at a whole mesh, by its size: ``python -m bench.observe``.

``observe`` judges pairs by groups of equal offers. The baseline judges every pair for itself; for the larger meshes as
many of them as take a second, of which the whole is reckoned. In a mixed mesh every tenth router has another tunnel
type, and every tenth another fault of its own.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import combinations
from typing import TypeVar

from softmesh.bgp.route import PathAttributes, Route
from softmesh.config.values import ACCEPTED_TUNNEL_TYPES
from softmesh.control.mesh_document import mesh_document
from softmesh.mesh.hearing import hear
from softmesh.mesh.observation import Observation, observe
from softmesh.mesh.pairing import PresumedKeys, judge, router_of
from softmesh.mesh.trust import AnnouncedKeys
from tests.unit.mesh.routes import attribute, route

T = TypeVar("T")

SIZES = (10, 100, 1_000)
ROUTES = 10
"""Of each router."""
ACCEPTED = tuple(ACCEPTED_TUNNEL_TYPES.values())
SOURCES = (AnnouncedKeys(), PresumedKeys())


def main() -> int:
    """Print the table."""
    print(f"milliseconds; {ROUTES} routes a router; best of 3")
    print(f"{'mesh':>6} {'routers':>8} {'pairs':>8} {'observe':>9} {'document':>9} {'KB':>6}", end=" ")
    print(f"{'every pair':>11} {'ratio':>7}")
    for mixed in (False, True):
        for size in SIZES:
            print(_row(size, mixed=mixed))
    print(
        "\nWhat observe takes goes into sorting routes by endpoint and looking for what is wrong with each;\n"
        "groups of pairs take some milliseconds however large they are."
    )
    return 0


def _row(size: int, *, mixed: bool) -> str:
    routes = _routes(size, mixed=mixed)
    looked, observation = _timed(lambda: observe(routes, accepted=ACCEPTED))
    told, document = _timed(lambda: json.dumps(mesh_document(observation, datetime.now(UTC), 0.0)))
    each = _every_pair(routes, observation)
    pairs = math.comb(size, 2)
    return (
        f"{'mixed' if mixed else 'equal':>6} {size:>8} {pairs:>8} {looked:>9.1f} {told:>9.1f} "
        f"{len(document) / 1e3:>6.0f} {each:>11.0f} {each / looked:>7.0f}"
    )


def _every_pair(routes: list[Route], observation: Observation) -> float:
    """Milliseconds to judge every pair for itself."""
    heard, _ = hear(routes)
    routers = [router_of(afbr.endpoint, heard[afbr.endpoint], ACCEPTED, SOURCES) for afbr in observation.afbrs]
    began = time.perf_counter()
    judged = 0
    for one, other in combinations(routers, 2):
        judge(one, other, SOURCES)
        judged += 1
        if time.perf_counter() - began > 1.0:
            break
    return (time.perf_counter() - began) * 1e3 * math.comb(len(routers), 2) / judged


def _routes(size: int, *, mixed: bool) -> list[Route]:
    routes = []
    for number in range(1, size + 1):
        endpoint = f"2001:db8:f::{number:x}"
        value = attribute(
            kind=5 if mixed and number % 10 == 1 else 4,
            endpoint=endpoint,
            key=None if mixed and number % 20 == 2 else f"key{number}",
        )
        if mixed and number % 20 == 12:
            value = value[:-1]
        # As the hook's client has them: routes of equal attributes share one object.
        shared: PathAttributes | None = None
        for count in range(ROUTES):
            made = route(
                f"10.{number >> 4}.{(number & 15) << 4 | count}.0/24", value, next_hop=endpoint,
                originator_id=f"10.255.{number >> 8}.{number & 255}",
            )  # fmt: skip
            shared = shared or made.attributes
            routes.append(Route(made.key, made.next_hop, shared, made.received_at))
    return routes


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    best, result = math.inf, None
    for _ in range(3):
        began = time.perf_counter()
        result = work()
        best = min(best, (time.perf_counter() - began) * 1e3)
    assert result is not None
    return best, result


if __name__ == "__main__":
    sys.exit(main())
