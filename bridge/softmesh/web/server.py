"""The web server, in the loop of whoever embeds it. It reads and tells; nothing can be changed through it.

Whoever connects is bounded: so many connections at once, one request each, so many seconds for all of it; only event
streams stay, and of those there are fewer. A page of somebody else's that has its name resolve to our address
(DNS rebinding) is turned away by the Host header, for it names neither an address nor ``localhost``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from ipaddress import ip_address
from typing import Any, Self, cast

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.log import server_logger
from aiohttp.web_protocol import RequestHandler

from softmesh.errors import SoftmeshError
from softmesh.mesh.softwire import Address
from softmesh.web import assets
from softmesh.web.listening import Settings, listen
from softmesh.web.metrics import CONTENT_TYPE
from softmesh.web.sources import Document, Sources

CONNECTIONS = 64
"""At once, event streams included."""
STREAMS = 32
PATIENCE = 10.0
"""Seconds a connection may take to ask and to read the answer; and a stream to take one event."""
ALIVE = 3.0
"""Seconds between signs of life on a stream where nothing happens."""
_SWEEP = 1.0
_CLOSING = 0.5
_CONNECTING = 2
"""Rounds of asyncio's loop from accept(2) to a connection that aiohttp knows of: a task, then a call."""

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Server": "softmesh",
}

_ALIVE = b"event: alive\ndata:\n\n"

_TOO_MANY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Retry-After: 5\r\nConnection: close\r\nContent-Length: 21\r\n\r\ntoo many connections\n"
)


def _is_ours(record: logging.LogRecord) -> bool:
    """Not what clients get wrong: a stranger could fill the log with it, and push events out."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


class WebServer:
    """Serves the page and what it shows, as long as the ``async with`` lasts."""

    def __init__(self, sources: Sources, *, settings: Settings | None = None) -> None:
        """``settings``: what an error tells the operator to change."""
        self._sources = sources
        self._settings = settings or Settings()
        self._assets = assets.load()
        self._streams: set[RequestHandler] = set()
        server_logger.addFilter(_is_ours)
        self._runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=_CLOSING)
        self._servers: list[asyncio.Server] = []
        self._sweeper: asyncio.Task[None] | None = None

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[self._guarded])
        application.on_response_prepare.append(_with_headers)
        get = application.router.add_get
        get("/", self._page)
        get("/assets/{name}", self._asset)
        get("/api/mesh", self._api_mesh)
        get("/api/status", self._api_status)
        get("/api/explain", self._api_explain)
        get("/api/events", self._api_events)
        get("/metrics", self._exposition)
        get("/healthz", self._healthz)
        get("/readyz", self._readyz)
        return application

    async def serve(self, addresses: Sequence[Address], port: int) -> Self:
        """Listen at a port of each address; leaving ``async with`` ends that. Raises OperatorError as ``listen``."""
        sockets = listen(addresses, port, self._settings)
        await self._runner.setup()
        loop, http = asyncio.get_running_loop(), cast("web.Server", self._runner.server)
        self._servers = [await loop.create_server(partial(_admitted, http), sock=each) for each in sockets]
        self._sweeper = asyncio.create_task(self._sweep(http), name="web connections")
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if (http := self._runner.server) is None:
            return
        if self._sweeper is not None:
            self._sweeper.cancel()
        # A server that is closed forgets, and leaves open, whom it has accepted and not yet connected.
        for listening in (each for server in self._servers for each in server.sockets):
            asyncio.get_running_loop().remove_reader(listening)
        for _round in range(_CONNECTING):
            await asyncio.sleep(0)
        for server in self._servers:
            server.close()
        transports = [each.transport for each in http.connections if each.transport is not None]
        await self._runner.cleanup()
        for transport in transports:
            # Closed already; but what a client does not read would be kept for it for ever.
            transport.abort()

    async def _sweep(self, http: web.Server) -> None:
        """Cut off who takes too long: asyncio and aiohttp would wait for a request, or a reader, for ever."""
        since: dict[RequestHandler, float] = {}
        while True:
            await asyncio.sleep(_SWEEP)
            now = time.monotonic()
            since = {each: since.get(each, now) for each in http.connections if each not in self._streams}
            for connection, seen in since.items():
                if now - seen >= PATIENCE and connection.transport is not None:
                    # Not close(), which would wait until all is read.
                    connection.transport.abort()

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if not names_us(request.headers.get("Host", "")):
            return _text(421, "ask for this page by its address, or as localhost\n")
        try:
            response: web.StreamResponse = await handler(request)
        except SoftmeshError as error:
            return _json({"error": str(error)}, status=400)
        except web.HTTPException as refused:
            answer = _text(refused.status, f"{refused.reason}\n")
            if "Allow" in refused.headers:
                answer.headers["Allow"] = refused.headers["Allow"]
            return answer
        return response

    # What is asked for.

    async def _page(self, request: web.Request) -> web.Response:
        return self._file(request, assets.PAGE)

    async def _asset(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in self._assets or name == assets.PAGE:
            raise web.HTTPNotFound
        return self._file(request, name)

    def _file(self, request: web.Request, name: str) -> web.Response:
        asset = self._assets[name]
        headers = {"ETag": f'"{asset.etag}"', "Cache-Control": "no-cache"}
        if any(known.value == asset.etag for known in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        return web.Response(body=asset.body, content_type=asset.content_type, charset="utf-8", headers=headers)

    async def _api_mesh(self, _: web.Request) -> web.Response:
        return _json(await self._sources.mesh())

    async def _api_status(self, _: web.Request) -> web.Response:
        if self._sources.status is None:
            raise web.HTTPNotFound
        return _json(await self._sources.status())

    async def _api_explain(self, request: web.Request) -> web.Response:
        if self._sources.explain is None:
            raise web.HTTPNotFound
        return _json(await self._sources.explain(request.query.get("target", "")))

    async def _exposition(self, _: web.Request) -> web.Response:
        if self._sources.metrics is None:
            raise web.HTTPNotFound
        headers = {"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"}
        return web.Response(body=await self._sources.metrics(), headers=headers)

    async def _healthz(self, _: web.Request) -> web.Response:
        return _text(200, "alive\n") if self._sources.alive() else _text(503, "stuck\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        awaited = await self._sources.awaited()
        return _json({"ready": not awaited, "awaited": awaited}, status=503 if awaited else 200)

    async def _api_events(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events (WHATWG HTML §9.2): ``message`` for each event, ``alive`` where there is none."""
        if len(self._streams) >= STREAMS:
            raise web.HTTPServiceUnavailable
        last = request.headers.get("Last-Event-ID", request.query.get("since", ""))
        since = int(last) if re.fullmatch("[0-9]{1,18}", last) else 0
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        self._streams.add(request.protocol)
        try:
            async with contextlib.aclosing(self._messages(since)) as messages:
                async for message in messages:
                    async with asyncio.timeout(PATIENCE):
                        await response.write(message)
        except (TimeoutError, ConnectionError):
            if request.transport is not None:
                request.transport.abort()
        finally:
            self._streams.discard(request.protocol)
        return response

    async def _messages(self, since: int) -> AsyncGenerator[bytes]:
        """What is written to a stream, as long as there are events to come."""
        yield _ALIVE
        events = self._sources.events.subscribe(since)
        coming = asyncio.ensure_future(anext(events, None))
        try:
            while True:
                await asyncio.wait({coming}, timeout=ALIVE)
                if not coming.done():
                    yield _ALIVE
                    continue
                if (event := coming.result()) is None:
                    return
                coming = asyncio.ensure_future(anext(events, None))
                yield b"id: %d\ndata: %s\n\n" % (event["seq"], msgspec.json.encode(event))
        finally:
            coming.cancel()


class _TurnedAway(asyncio.Protocol):
    """Says that there are too many, and nothing more."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        connection = cast("asyncio.Transport", transport)
        connection.write(_TOO_MANY)
        connection.close()


def _admitted(http: web.Server) -> asyncio.Protocol:
    """Who talks to a connection that is new."""
    return http() if len(http.connections) < CONNECTIONS else _TurnedAway()


def names_us(host: str) -> bool:
    """Whether a Host header holds an address or ``localhost``, with or without a port (RFC 9110 §7.2)."""
    form = re.fullmatch(r"(?:\[([^]]*)\]|([^:[\]]*))(?::[0-9]*)?", host)
    if form is None:
        return False
    name = form[1] or form[2] or ""
    if name.lower() == "localhost":
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


async def _with_headers(_: web.BaseRequest, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)
    response.force_close()


def _text(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text, headers={"Cache-Control": "no-store"})


def _json(document: Document, *, status: int = 200) -> web.Response:
    body = msgspec.json.encode(document)
    headers = {"Cache-Control": "no-store"}
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)
