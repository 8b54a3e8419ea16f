"""The bridge: keep charon's softwires as BGP says."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from msgspec.structs import replace

from softmesh import __version__, held_signals
from softmesh.cli.arguments import add_config_argument
from softmesh.config import Config, ConfigurationError, Problem, examine
from softmesh.control.bridge import Bridge
from softmesh.control.event_stream import EventStream
from softmesh.control.exabgp import managed_exabgp
from softmesh.control.server import Answer, ControlServer
from softmesh.control.service_notify import ServiceNotify
from softmesh.errors import SoftmeshError
from softmesh.listening_socket import own_directory
from softmesh.log import configure
from softmesh.mesh.identity import load_identities
from softmesh.secret_file import leave_no_core
from softmesh.web.bridge_sources import bridge_sources
from softmesh.web.server import WebServer

_ONLY_AT_THE_START = "endpoint, bgp, sockets, http and charon.vici are only read at the start"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    add_config_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT; SIGHUP reads the file again."""
    path: Path = args.config
    config, warnings = _read(path)
    events = EventStream()
    configure(config.log.level, config.log.format, events.publish)
    _warn(warnings)
    try:
        asyncio.run(_serve(path, config, events))
    except* SoftmeshError as errors:
        # Several parts may fail for one reason; the first to say so is enough for a user.
        raise errors.exceptions[0] from None
    return 0


async def _serve(path: Path, config: Config, events: EventStream) -> None:
    log = structlog.get_logger("softmesh.run")
    leave_no_core()
    own_directory(config.sockets.directory, "sockets.directory")
    bridge = Bridge(config, load_identities(config.own_keys))
    exabgp = managed_exabgp(config) if config.bgp.managed else None
    service = ServiceNotify.from_environment()
    reload = partial(_reload, path, bridge, events, service)
    server = await ControlServer(
        config.sockets.control,
        {
            "status": bridge.answer_status,
            "mesh": bridge.answer_mesh,
            "explain": bridge.answer_explain,
            "plan": bridge.answer_plan,
            "audit": bridge.answer_audit,
            "announce": bridge.answer_announce,
            "withdraw": bridge.answer_withdraw,
            "reload": _answer_with(reload),
        },
        {"events": events.answer_events},
    ).serve()
    async with server, _web(config, bridge, events):
        running = asyncio.create_task(bridge.run(exabgp, on_pass=service.passed))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, _stop, running, service)
        loop.add_signal_handler(signal.SIGHUP, _hang_up, reload)
        held_signals.release()
        log.info("started", version=__version__, endpoint=str(config.endpoint), managed_exabgp=exabgp is not None)
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await running
        finally:
            log.info("stopped")
            events.end()


@contextlib.asynccontextmanager
async def _web(config: Config, bridge: Bridge, events: EventStream) -> AsyncIterator[None]:
    """Serve the page, where it is wanted."""
    if config.http.port is None:
        yield
        return
    async with await WebServer(bridge_sources(bridge, events)).serve(config.http.addresses, config.http.port):
        yield


def _read(path: Path) -> tuple[Config, tuple[Problem, ...]]:
    examination = examine(path)
    if examination.config is None:
        raise ConfigurationError(examination.problems)
    return examination.config, examination.warnings


def _warn(warnings: tuple[Problem, ...]) -> None:
    log = structlog.get_logger("softmesh.run")
    for warning in warnings:
        log.warning("configuration", problem=str(warning))


def _read_at_the_start(config: Config) -> tuple[object, ...]:
    """What a reload cannot take over; of BGP neighbours, what is asked of them can change, and how long they count."""
    neighbors = tuple(
        replace(neighbor, protection=None, authenticators=(), tunnels=None) for neighbor in config.bgp.neighbors
    )
    return (
        config.endpoint,
        replace(config.bgp, neighbors=neighbors, stale_time=0),
        config.sockets,
        config.http,
        config.charon.vici,
    )


def _stop(running: asyncio.Task[None], service: ServiceNotify) -> None:
    service.stopping()
    running.cancel()


def _hang_up(reload: Callable[[], object]) -> None:
    # Why it failed is in the log; a signal has nobody to answer.
    with contextlib.suppress(SoftmeshError):
        reload()


def _answer_with(reload: Callable[[], Mapping[str, Any]]) -> Answer:
    async def answer(_request: Mapping[str, Any]) -> Mapping[str, Any]:
        return reload()

    return answer


def _reload(path: Path, bridge: Bridge, events: EventStream, service: ServiceNotify) -> Mapping[str, Any]:
    """Read the file again; returns the answer to ``softmesh reload``. Raises SoftmeshError where nothing changed."""
    log = structlog.get_logger("softmesh.run")
    service.reloading()
    try:
        before = bridge.config
        config, warnings = _read(path)
        _warn(warnings)
        bridge.configure(config, load_identities(config.own_keys))
    except SoftmeshError as error:
        bridge.measurements.reloaded(successfully=False)
        log.warning("configuration not taken over", problem=str(error))
        raise
    finally:
        service.reloaded()
    bridge.measurements.reloaded(successfully=True)
    configure(config.log.level, config.log.format, events.publish)
    log.info("configuration taken over")
    restart_needed = _read_at_the_start(config) != _read_at_the_start(before)
    if restart_needed:
        log.warning("restart needed", problem=_ONLY_AT_THE_START)
    return {
        "warnings": [str(warning) for warning in warnings],
        "restart_needed": _ONLY_AT_THE_START if restart_needed else "",
    }
