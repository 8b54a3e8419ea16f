"""A status as the bridge gives it, of any number of softwires."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from softmesh.bgp.route import Neighbor, SessionState
from softmesh.charon.failure import Cause
from softmesh.charon.observed import ChildSa
from softmesh.control.measurements import Measurements
from softmesh.control.plan import Plan
from softmesh.control.progress import Progress, State
from softmesh.control.sessions import SessionGuard, Verdict
from softmesh.control.view import View, status
from softmesh.mesh.desired import Desired, fold
from softmesh.mesh.trust import AnnouncedKeys
from softmesh.web.metrics import Exposition, text
from tests.unit.mesh.routes import OURS, REFLECTOR, attribute, policy, route

SA = ChildSa(
    "c", "7", "INSTALLED", "tunnel", "ESP", frozenset({"10.1.0.0/24"}), frozenset({"10.2.0.0/24"}),
    "c0ffee01", "c0ffee02", "AES_GCM_16_256", bytes_in=10, bytes_out=20, packets_in=1, packets_out=2,
)  # fmt: skip


def desired(size: int, *, keyless: int = 0, plain: int = 0) -> Desired:
    """``size`` softwires, ``keyless`` more whose key nobody has, and ``plain`` routes without a tunnel."""
    routes = [
        route(
            f"10.{2 + (n >> 8)}.{n & 255}.0/24",
            attribute(endpoint=f"2001:db8:f::{n + 2:x}", key=f"peer{n}", announced=n < size),
            next_hop=f"2001:db8:f::{n + 2:x}",
        )
        for n in range(size + keyless)
    ]
    routes += [
        route(f"10.{200 + (n >> 8)}.{n & 255}.0/24", next_hop=f"2001:db8:f::{0xE000 + n:x}") for n in range(plain)
    ]
    return fold(routes, policy(max_softwires=100_000, max_arrivals=100_000), [AnnouncedKeys()])


def view(wanted: Desired, **changes: Any) -> View:
    """A view of these softwires, all of them up but the last, to which the peer does not answer."""
    progress = {wire: Progress(State.UP, 90.0) for wire in wanted.softwires}
    *_, last = progress
    progress[last] = Progress(State.CONNECTING, 95.0, "the peer does not answer", attempts=3, cause=Cause.SILENT)
    seen = View(
        now=100.0,
        endpoint=OURS,
        authenticators=("aa" * 20,),
        announcing=True,
        prefixes=("10.1.0.0/24",),
        hook_connected=True,
        charon="",
        awaited=(),
        neighbors={REFLECTOR: Neighbor(REFLECTOR, 65000, SessionState.UP, 40.0)},
        sessions={REFLECTOR: Verdict(SessionGuard.MD5, satisfied=True, reason="")},
        desired=wanted,
        progress=progress,
        installed={wire: (SA,) for wire in progress if wire != last},
        pending_since=dict.fromkeys(wanted.pending, 95.0),
        routes={REFLECTOR: {"ipv4 unicast": 2}},
    )
    return replace(seen, **changes)


def measured(seen: View) -> Measurements:
    """What a bridge has measured that has looked twice."""
    measurements = Measurements(0.0)
    plan = Plan(progress=seen.progress, installed=seen.installed)
    for now in (99.0, 100.0):
        measurements.looked((), plan, now, lambda _: 90.0)
    return measurements


def told(seen: View) -> dict[str, Any]:
    """The status of it."""
    return status(seen)


def exposition(measurements: Measurements, status: dict[str, Any]) -> str:
    """What a scrape would be told."""
    return text(Exposition(measurements).families(status)).decode()
