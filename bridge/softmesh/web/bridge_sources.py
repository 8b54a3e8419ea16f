"""What the page beside a bridge shows. However many ask, charon is looked at once a second at most."""

from __future__ import annotations

from functools import partial

from softmesh.control.bridge import Bridge
from softmesh.control.event_stream import EventStream
from softmesh.web.metrics import Exposition
from softmesh.web.sources import Document, Recent, Sources

_AGE = 1.0
_STUCK = 180.0
"""Seconds without a pass after which the bridge counts as dead: as long as systemd waits (systemd/softmesh.service)."""


def bridge_sources(bridge: Bridge, events: EventStream) -> Sources:
    """The sources of a bridge."""
    status = Recent(partial(bridge.status, age=_AGE), age=_AGE)
    exposition = Exposition(bridge.measurements)

    async def metrics() -> bytes:
        return await exposition(await status())

    async def awaited() -> tuple[str, ...]:
        return awaited_by(await status())

    return Sources(
        mesh=Recent(partial(bridge.mesh, age=_AGE), age=_AGE),
        alive=lambda: bridge.silent_for < _STUCK,
        awaited=awaited,
        events=events,
        status=status,
        explain=partial(bridge.explanation, age=_AGE),
        metrics=Recent(metrics, age=_AGE),
    )


def awaited_by(status: Document) -> tuple[str, ...]:
    """What a bridge of this status still waits for, before it does its work; empty when it is ready."""
    waits = []
    if not status["hook"]["connected"]:
        waits.append("the hook, which tells what BGP says, is not connected")
    if not status["charon"]["connected"]:
        waits.append(f"charon: {status['charon']['reason']}")
    waits += [f"all is yet to be heard from {neighbor}" for neighbor in status["removal_awaits"]]
    return tuple(waits)
