"""The mesh of a soak: does what events say to it, and mends it."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterable

from lab.bird import Bird
from lab.fault import Fault, Part, Way
from lab.mesh import Afbr, Direction, Mesh
from lab.rollover import make_key, use
from lab.soak.event import SITES, Event, Kind, Model

REFLECTORS = 2
_STEP = 2.5
"""Seconds between the steps of a rollover."""

_OTHERS = """connections {
  operators-own {
    remote_addrs = 192.0.2.77
    children {
      net {
      }
    }
  }
}
"""


class World:
    """A mesh with two reflectors, and on each router what belongs to somebody else; it runs once it is made."""

    def __init__(self, direction: Direction, model: Model) -> None:
        """``model``: what is to be at first."""
        self.mesh = Mesh(
            direction,
            len(model.sites),
            spare=0,
            reflectors=(Bird,) * REFLECTORS,
            # In the field attempts are up to a minute apart, and what nobody has said to be gone is kept for five;
            # a soak has less time to wait for the last of them.
            settings={"charon": {"retry_max": 8}, "bgp": {"stale_time": 60}},
        )
        self._keys = dict.fromkeys(self.mesh.afbrs, "identity.key")
        self._made = 0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        for number, afbr in self.mesh.afbrs.items():
            for site in range(1, SITES):
                afbr.add_site(site)
            self._announce(afbr, model.sites[number])
            afbr.write_configuration()
            (afbr.home / "others.conf").write_text(_OTHERS)
            self._operator(afbr)
            afbr.namespace.ip("route", "add", "blackhole", "198.51.100.0/24", "proto", "77")
            afbr.namespace.ip("rule", "add", "from", "198.51.100.0/24", "lookup", "77", "priority", "7777")
            afbr.namespace.run("nft", "add", "table", "inet", "theirs")
            if number in model.absent:
                # What ``softmesh withdraw`` leaves behind.
                (afbr.home / "run").mkdir(mode=0o700, exist_ok=True)
                (afbr.home / "run" / "withdrawn").touch(mode=0o600)
        self.mesh.start()

    def do(self, event: Event, model: Model) -> None:
        """Let it happen; what it is to last is ended by ``wait``. ``model`` is that after the event."""
        if event.kind is Kind.FAULT:
            assert event.part is not None
            assert event.way is not None
            self._fail(event)
            return
        if event.kind is Kind.PARTITION:
            for router in event.routers:
                self._fail(Event(0.0, Kind.FAULT, router, part=Part.LINK, way=Way.KILL, lasts=event.lasts))
            return
        afbr = self.mesh.afbrs[event.router]
        if event.kind in {Kind.ANNOUNCE, Kind.WITHDRAW}:
            self._announce(afbr, model.sites[event.router])
            afbr.reload()
        elif event.kind is Kind.LEAVE:
            afbr.softmesh("withdraw", "-c", str(afbr.configuration))
        elif event.kind is Kind.RETURN:
            afbr.softmesh("announce", "-c", str(afbr.configuration))
        elif event.kind is Kind.KEY:
            self._replace_key(afbr)
        elif event.kind is Kind.ROLLOVER:
            self._roll_over(afbr)
        elif event.kind is Kind.OPERATOR:
            self._operator(afbr)

    def wait(self, seconds: float) -> None:
        """Let time pass, and end what has lasted long enough."""
        until = time.monotonic() + seconds
        while self._due and self._due[0][0] <= until:
            at, _, end = heapq.heappop(self._due)
            time.sleep(max(0.0, at - time.monotonic()))
            end()
        time.sleep(max(0.0, until - time.monotonic()))

    def mend(self) -> None:
        """Let everything end that is to last, each at its time."""
        while self._due:
            self.wait(max(0.0, self._due[0][0] - time.monotonic()))

    def close(self) -> None:
        """Stop it all."""
        self.mesh.close()

    def _later(self, seconds: float, end: Callable[[], None]) -> None:
        self._made += 1
        heapq.heappush(self._due, (time.monotonic() + seconds, self._made, end))

    def _fail(self, event: Event) -> None:
        assert event.part is not None
        assert event.way is not None
        fault = Fault(self.mesh, event.part, event.way, event.router, event.reflector)
        fault.inject()
        self._later(event.lasts, lambda: self._mend(fault))

    def _mend(self, fault: Fault) -> None:
        fault.mend()
        if fault.part is Part.CHARON and fault.way is not Way.HANG:
            # It was started anew, and its operator gives it what is his.
            self._operator(self.mesh.afbrs[fault.router])

    def _announce(self, afbr: Afbr, sites: Iterable[int]) -> None:
        plan = self.mesh.plan
        afbr.settings["announce"]["prefixes"] = [plan.island(afbr.number, site) for site in sorted(sites)]

    def _next_key(self, afbr: Afbr) -> str:
        self._made += 1
        return make_key(afbr, f"key{self._made}").name

    def _replace_key(self, afbr: Afbr) -> None:
        self._keys[afbr.number] = self._next_key(afbr)
        use(afbr, self._keys[afbr.number])

    def _roll_over(self, afbr: Afbr) -> None:
        old, new = self._keys[afbr.number], self._next_key(afbr)
        self._keys[afbr.number] = new
        use(afbr, old, new)
        self._later(_STEP, lambda: use(afbr, new, old))
        self._later(2 * _STEP, lambda: use(afbr, new))

    def _operator(self, afbr: Afbr) -> None:
        afbr.charon.swanctl("--load-conns", "--file", str(afbr.home / "others.conf"))
