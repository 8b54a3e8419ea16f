"""The whole mesh as it is announced, from beside a route reflector: mismatches, and who could build with whom."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple

import structlog
from rich.console import Console, Group
from rich.live import Live

from softmesh.cli import terminal
from softmesh.cli.mesh_table import shown
from softmesh.config import load
from softmesh.config.values import ACCEPTED_TUNNEL_TYPES, LogFormat, LogLevel
from softmesh.control.event_stream import EventStream
from softmesh.control.observer import Observer
from softmesh.errors import SoftmeshError
from softmesh.log import configure
from softmesh.mesh.softwire import Address
from softmesh.web.listening import Settings
from softmesh.web.server import WebServer
from softmesh.web.sources import Recent, Sources

DEFAULT_HOOK = Path("/run/softmesh/hook.sock")
_FASTEST = 0.5
"""Seconds between two looks while routes keep changing."""


_AGING = 5.0
"""Seconds between two looks where nothing does."""


class _Listen(NamedTuple):
    address: Address
    port: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--hook", type=Path, default=DEFAULT_HOOK, metavar="SOCKET", help=f"the hook's socket [{DEFAULT_HOOK}]"
    )
    where.add_argument("-c", "--config", type=Path, metavar="FILE", help="configuration that says where that is")
    parser.add_argument(
        "--keys",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="directory with the keys of announced hashes: say whose is not there; may be repeated",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the mesh document as JSON")
    form.add_argument("--matrix", action="store_true", help="show who could build with whom as a matrix, too")
    on = parser.add_mutually_exclusive_group()
    on.add_argument("--watch", action="store_true", help="go on, and show every change")
    on.add_argument("--check", action="store_true", help="exit with 1 if there is any mismatch, or an impossible pair")
    on.add_argument(
        "--http",
        type=_listen,
        metavar="ADDRESS:PORT",
        help="serve the page with the picture there, such as 127.0.0.1:8180 or [::1]:8180",
    )


def run(args: argparse.Namespace) -> int:
    """Show the mesh; 0 whatever it is like, but 1 with ``--check`` where something is wrong. Raises SoftmeshError."""
    path = args.hook if args.config is None else load(args.config, files=False).sockets.hook
    try:
        return asyncio.run(_observe(args, path))
    except* SoftmeshError as errors:
        raise errors.exceptions[0] from None


async def _observe(args: argparse.Namespace, hook: Path) -> int:
    observer = Observer(hook, accepted=ACCEPTED_TUNNEL_TYPES.values(), directories=args.keys)
    async with _running(observer):
        if args.http is not None:
            await _serve(observer, args.http)
            return 0
        if args.watch:
            await _watch(observer, args)
            return 0
        document = await observer.document()
        _print(terminal.console(), document, args)
        wrong = document["summary"]["mismatched"] or document["summary"]["impossible"]
        return 1 if args.check and (wrong or await observer.awaited()) else 0


@asynccontextmanager
async def _running(observer: Observer) -> AsyncIterator[None]:
    running = asyncio.create_task(observer.run(), name="observer")
    try:
        await observer.ready()
        yield
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def _watch(observer: Observer, args: argparse.Namespace) -> None:
    """Show it anew with every change: one after the other, or in place on a terminal."""
    console = terminal.console()
    with ExitStack() as stack:
        live: Live | None = None
        if console.is_terminal and not args.json:
            live = stack.enter_context(Live(console=console, screen=True, auto_refresh=False))
        while True:
            document = await observer.document()
            if live is None:
                _print(console, document, args)
            else:
                live.update(_shown(console, document, args), refresh=True)
            # Ages on a terminal go on without a change.
            with suppress(TimeoutError):
                async with asyncio.timeout(None if live is None else _AGING):
                    await observer.changed()
            await asyncio.sleep(_FASTEST)


async def _serve(observer: Observer, listen: _Listen) -> None:
    """Serve the page until SIGTERM or SIGINT, and log what changes."""
    events = EventStream()
    configure(LogLevel.INFO, LogFormat.AUTO, events.publish)
    sources = Sources(
        mesh=Recent(observer.document), alive=lambda: observer.alive, awaited=observer.awaited, events=events
    )
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    settings = Settings(port="--http", addresses="--http")
    async with await WebServer(sources, settings=settings).serve([listen.address], listen.port):
        telling = asyncio.create_task(_tell(observer))
        try:
            await ending.wait()
        finally:
            telling.cancel()
            events.end()


async def _tell(observer: Observer) -> None:
    log = structlog.get_logger("softmesh.observe")
    told: object = None
    while True:
        summary = (await observer.document())["summary"]
        if summary != told:
            told = summary
            log.info(
                "mesh observed",
                afbrs=summary["afbrs"],
                mismatched=summary["mismatched"],
                possible=summary["possible"],
                impossible=summary["impossible"],
            )
        await observer.changed()
        await asyncio.sleep(_FASTEST)


def _print(console: Console, document: Mapping[str, Any], args: argparse.Namespace) -> None:
    if args.json:
        print(json.dumps(document, indent=None if args.watch else 2, ensure_ascii=False), flush=True)
    else:
        console.print(_shown(console, document, args))


def _shown(console: Console, document: Mapping[str, Any], args: argparse.Namespace) -> Group:
    return Group(*shown(document, console.width, with_matrix=args.matrix))


def _listen(text: str) -> _Listen:
    """ADDRESS:PORT; raises ValueError, of which argparse makes a message."""
    address, _, port = text.rpartition(":")
    number = int(port)
    if not 0 < number < 1 << 16:
        raise ValueError(text)
    return _Listen(ip_address(address.removeprefix("[").removesuffix("]")), number)


_listen.__name__ = "ADDRESS:PORT"
