"""The bridge: keep charon's softwires as BGP says."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
from pathlib import Path

import structlog
from msgspec.structs import replace

from softmesh.cli.arguments import add_config_argument
from softmesh.config import Config, ConfigurationError, Problem, examine
from softmesh.control.bridge import Bridge
from softmesh.control.exabgp import managed_exabgp
from softmesh.control.server import ControlServer
from softmesh.errors import SoftmeshError
from softmesh.listening_socket import own_directory
from softmesh.log import configure
from softmesh.mesh.identity import load_identities
from softmesh.secret_file import leave_no_core


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    add_config_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT; SIGHUP reads the file again."""
    path: Path = args.config
    config, warnings = _read(path)
    configure(config.log.level, config.log.format)
    _warn(warnings)
    try:
        asyncio.run(_serve(path, config))
    except* SoftmeshError as errors:
        # Several parts may fail for one reason; the first to say so is enough for a user.
        raise errors.exceptions[0] from None
    return 0


async def _serve(path: Path, config: Config) -> None:
    log = structlog.get_logger("softmesh.run")
    leave_no_core()
    own_directory(config.sockets.directory, "sockets.directory")
    bridge = Bridge(config, load_identities(config.own_keys))
    exabgp = managed_exabgp(config) if config.bgp.managed else None
    server = await ControlServer(
        config.sockets.control,
        {
            "status": bridge.answer_status,
            "explain": bridge.answer_explain,
            "plan": bridge.answer_plan,
            "audit": bridge.answer_audit,
            "announce": bridge.answer_announce,
            "withdraw": bridge.answer_withdraw,
        },
    ).serve()
    running = asyncio.create_task(bridge.run(exabgp))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, running.cancel)
    loop.add_signal_handler(signal.SIGHUP, _reload, path, bridge)
    log.info("started", endpoint=str(config.endpoint), managed_exabgp=exabgp is not None)
    async with server:
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await running
        finally:
            log.info("stopped; softwires stay as they are")


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
    return config.endpoint, replace(config.bgp, neighbors=neighbors, stale_time=0), config.sockets, config.charon.vici


def _reload(path: Path, bridge: Bridge) -> None:
    log = structlog.get_logger("softmesh.run")
    try:
        before = bridge.config
        config, warnings = _read(path)
        _warn(warnings)
        bridge.configure(config, load_identities(config.own_keys))
    except SoftmeshError as error:
        log.warning("configuration not taken over", problem=str(error))
    else:
        configure(config.log.level, config.log.format)
        log.info("configuration taken over")
        if _read_at_the_start(config) != _read_at_the_start(before):
            log.warning("restart needed", problem="endpoint, bgp, sockets and charon.vici are only read at the start")
