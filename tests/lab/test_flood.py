"""A router that announces a thousand endpoints at once: what stands is not touched, and who comes is not delayed."""

from __future__ import annotations

import re
import threading
import time
from typing import Self

from lab.charon import Charon
from lab.eventually import PATIENCE, eventually
from lab.flooder import Flooder, offer
from lab.mesh import Afbr, Direction, Mesh, meshed

BOGUS = 1000
BOUND = 15.0
"""Seconds in which an AFBR that joins in the midst of it has all its softwires."""


class Watch:
    """Looks at a charon all the time, and keeps the worst it saw."""

    def __init__(self, charon: Charon) -> None:
        self.half_open = 0
        self.connections = 0
        self._charon = charon
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(0.25):
            self.half_open = max(self.half_open, len(re.findall(r"CONNECTING", self._charon.swanctl("--list-sas"))))
            connections = re.findall(r"^softmesh-\S*:", self._charon.swanctl("--list-conns"), re.MULTILINE)
            self.connections = max(self.connections, len(connections))


def waiting(afbr: Afbr) -> int:
    """How many routes wait because of the rate of arrivals."""
    return sum(len(row["routes"]) for row in afbr.status()["softwires"] if row.get("rule") == "arrivals")


def heard(afbr: Afbr) -> set[str]:
    """The prefixes it has been told of, whatever becomes of them."""
    return {route["prefix"] for row in afbr.status()["softwires"] for route in row["routes"]}


def test_a_thousand_bogus_endpoints() -> None:
    with Mesh(Direction.FOUR_OVER_SIX, 3, spare=2) as mesh:
        mesh.start()
        standing = dict(mesh.afbrs)
        eventually(lambda: meshed(standing.values()), within=30, what="every softwire is up")
        before = {number: afbr.spis() for number, afbr in standing.items()}
        # Distinct endpoints, each with a key and a hash of its own: all that is wrong is that nobody is there.
        flood = [
            (f"10.{100 + (number >> 8)}.{number & 255}.0/24", offer(f"2001:db8:f::bad:{number:x}"))
            for number in range(1, BOGUS + 1)
        ]
        newcomer, flooder = mesh.add(4), Flooder(mesh, 5)
        with Watch(standing[1].charon) as watch:
            began = time.monotonic()
            flooding = flooder.begin(flood)
            eventually(lambda: waiting(standing[1]) > 0, within=30, what="the flood has begun")
            started = time.monotonic()
            newcomer.start()
            everybody = mesh.afbrs.values()
            eventually(
                lambda: meshed(everybody), within=BOUND, what="the newcomer has its softwires in the midst of it"
            )
            joined = time.monotonic() - started
            flooding.join()
            eventually(
                lambda: heard(standing[1]) >= {prefix for prefix, _ in flood},
                within=30,
                what="all of the flood has arrived",
            )
            flooded = time.monotonic() - began
        for number, afbr in standing.items():
            eventually(
                lambda afbr=afbr, number=number: before[number].items() <= afbr.spis().items(),  # type: ignore[misc]
                within=5, what=f"router {number}: what stood still stands, with the same SPIs",
            )  # fmt: skip
        rows = standing[1].status()["softwires"]
        elapsed = time.monotonic() - began
        taken = [row for row in rows if "bad" in row["remote"] and row["state"] != "refused"]
        print(
            f"{BOGUS} bogus endpoints in {flooded:.1f} s: {len(taken)} attempted, {waiting(standing[1])} wait; "
            f"newcomer's softwires after {joined:.1f} s; "
            f"half-open IKE_SAs at most {watch.half_open}, connections {watch.connections}"
        )
        assert flooded < 60 * PATIENCE, "within one minute"
        # admission.max_arrivals: so many at once, and so many a minute from then on.
        ceiling = 30 + elapsed * 30 / 60 + 5
        assert 0 < len(taken) <= ceiling
        assert 0 < watch.half_open <= ceiling + len(mesh.afbrs)
        assert watch.connections <= ceiling + len(mesh.afbrs)
        flooder.close()
