"""The web server: what it answers, to whom, and that nobody can keep it from answering others."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import ip_address
from typing import Any

import pytest

from softmesh.control.event_stream import EventStream
from softmesh.errors import OperatorError
from softmesh.web import server as web_server
from softmesh.web.server import WebServer
from softmesh.web.sources import Sources

LOOPBACK = ip_address("127.0.0.1")
MARKUP = "<img src=x onerror=alert(1)>"
PATHS = (
    "/",
    "/assets/main.js",
    "/api/mesh",
    "/api/status",
    "/api/explain?target=::1",
    "/metrics",
    "/healthz",
    "/readyz",
)


class World:
    """What is told, and whether it is."""

    def __init__(self) -> None:
        self.events = EventStream()
        self.alive = True
        self.awaits: tuple[str, ...] = ()

    async def mesh(self) -> Mapping[str, Any]:
        return {"afbrs": [], "reason": MARKUP}

    async def explain(self, target: str) -> Mapping[str, Any]:
        if target == "bug":
            raise ZeroDivisionError(target)
        if target != "::1":
            raise OperatorError(f"{target!r} is no address")
        return {"target": target, "routes": []}

    async def metrics(self) -> bytes:
        return b"softmesh_up 1\n"

    async def awaited(self) -> tuple[str, ...]:
        return self.awaits

    def sources(self, **others: Any) -> Sources:
        given: dict[str, Any] = {"status": self.mesh, "explain": self.explain, "metrics": self.metrics}
        return Sources(
            mesh=self.mesh, alive=lambda: self.alive, awaited=self.awaited, events=self.events, **(given | others)
        )


class Reply:
    """An answer, as it came."""

    def __init__(self, octets: bytes) -> None:
        head, _, self.body = octets.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


class Site:
    """A server that listens, and who asks it."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(str(LOOPBACK), self.port)

    async def say(self, octets: bytes) -> Reply:
        reader, writer = await self.connect()
        try:
            writer.write(octets)
            return Reply(await asyncio.wait_for(reader.read(), 15))
        finally:
            writer.close()

    async def ask(self, path: str, *headers: str, method: str = "GET", host: str = "localhost") -> Reply:
        lines = (f"{method} {path} HTTP/1.1", f"Host: {host}", *headers, "", "")
        return await self.say("\r\n".join(lines).encode())


def free_port() -> int:
    with socket.create_server((str(LOOPBACK), 0)) as taken:
        return int(taken.getsockname()[1])


@asynccontextmanager
async def serving(sources: Sources) -> AsyncIterator[Site]:
    port = free_port()
    async with await WebServer(sources).serve((LOOPBACK,), port):
        yield Site(port)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def site(world: World) -> AsyncIterator[Site]:
    async with serving(world.sources()) as made:
        yield made


@pytest.mark.parametrize("path", PATHS)
async def test_every_answer_is_guarded(site: Site, path: str) -> None:
    reply = await site.ask(path)
    assert reply.status == 200
    policy = reply.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["cross-origin-resource-policy"] == "same-origin"
    assert "access-control-allow-origin" not in reply.headers
    assert reply.headers["cache-control"] in {"no-store", "no-cache"}
    assert "aiohttp" not in str(reply.headers).lower()


async def test_content(site: Site) -> None:
    assert (await site.ask("/")).headers["content-type"] == "text/html; charset=utf-8"
    assert (await site.ask("/assets/main.js")).headers["content-type"] == "text/javascript; charset=utf-8"
    reply = await site.ask("/api/mesh")
    assert reply.headers["content-type"] == "application/json"
    assert json.loads(reply.body)["reason"] == MARKUP
    assert (await site.ask("/metrics")).body == b"softmesh_up 1\n"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW"])
@pytest.mark.parametrize("path", ["/", "/api/mesh", "/metrics"])
async def test_nothing_but_reading(site: Site, method: str, path: str) -> None:
    reply = await site.ask(path, "Content-Length: 0", method=method)
    assert reply.status in {400, 404, 405}
    assert (await site.ask("/healthz")).status == 200


async def test_head_has_no_body(site: Site) -> None:
    reply = await site.ask("/api/mesh", method="HEAD")
    assert (reply.status, reply.body) == (200, b"")


@pytest.mark.parametrize(
    "host", ["localhost", "LocalHost:8180", "127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:8180", "192.0.2.7"]
)
async def test_hosts_that_name_us(site: Site, host: str) -> None:
    assert (await site.ask("/", host=host)).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:8180",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "[evil]",
        "[::1",
        "@",
        "127.0.0.1@evil.example",
    ],
)
@pytest.mark.parametrize("path", ["/", "/api/status", "/metrics", "/nothing"])
async def test_a_name_that_is_made_to_lead_here(site: Site, host: str, path: str) -> None:
    """DNS rebinding: the browser takes us for the other site, and would let its scripts read the answer."""
    reply = await site.ask(path, host=host)
    assert reply.status in {400, 421}
    assert MARKUP.encode() not in reply.body
    assert (await site.say(f"GET {path} HTTP/1.0\r\n\r\n".encode())).status == 421


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../server.py", "/assets/..%2fserver.py", "/assets/%2e%2e/server.py", "/assets/....//server.py",
        "/assets//etc/passwd", "/assets/", "/assets", "/assets/index.html", "/assets/main.js%00", "/assets/main.js/",
        "/../../etc/passwd", "//etc/passwd", "/%", "/assets/%ff%fe", "/api", "/api/", "/api/mesh/", "/" + "a" * 5000,
    ],
)  # fmt: skip
async def test_hostile_paths(site: Site, path: str) -> None:
    reply = await site.ask(path)
    assert reply.status in {400, 404}
    assert len(reply.body) < 600
    assert b"Traceback" not in reply.body
    assert (await site.ask("/healthz")).status == 200


@pytest.mark.parametrize(
    "octets",
    [
        b"\0" * 100 + b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\0\x01\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 20000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: a\r\n" * 1000 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
    ],
)  # fmt: skip
async def test_no_request(site: Site, octets: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Nor is it news: a stranger could fill the log with such."""
    assert (await site.say(octets)).status in {400, 421}
    assert caplog.records == []
    assert (await site.ask("/healthz")).status == 200


async def test_an_error_is_told_in_its_words(site: Site) -> None:
    reply = await site.ask("/api/explain?target=nobody")
    assert (reply.status, json.loads(reply.body)) == (400, {"error": "'nobody' is no address"})


async def test_a_bug_is_no_news_for_clients(site: Site) -> None:
    reply = await site.ask("/api/explain?target=bug")
    assert reply.status == 500
    assert b"ZeroDivision" not in reply.body
    assert (await site.ask("/healthz")).status == 200


async def test_health_and_readiness(world: World, site: Site) -> None:
    assert json.loads((await site.ask("/readyz")).body) == {"ready": True, "awaited": []}
    world.alive, world.awaits = False, ("charon: gone",)
    assert (await site.ask("/healthz")).status == 503
    reply = await site.ask("/readyz")
    assert (reply.status, json.loads(reply.body)) == (503, {"ready": False, "awaited": ["charon: gone"]})


async def test_beside_a_reflector(world: World) -> None:
    async with serving(world.sources(status=None, explain=None, metrics=None)) as site:
        assert (await site.ask("/api/mesh")).status == 200
        for path in ("/api/status", "/api/explain?target=::1", "/metrics"):
            assert (await site.ask(path)).status == 404


async def test_what_is_known_is_not_sent_again(site: Site) -> None:
    etag = (await site.ask("/assets/style.css")).headers["etag"]
    reply = await site.ask("/assets/style.css", f"If-None-Match: {etag}")
    assert (reply.status, reply.body) == (304, b"")
    assert (await site.ask("/assets/style.css", 'If-None-Match: "other"')).status == 200


async def follow(
    site: Site, *headers: str, path: str = "/api/events"
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await site.connect()
    writer.write("\r\n".join((f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", "")).encode())
    assert b"200" in await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def next_event(reader: asyncio.StreamReader) -> Mapping[str, Any]:
    async with asyncio.timeout(10):
        while not (line := await reader.readline()).startswith(b"data: "):
            pass
    event: Mapping[str, Any] = json.loads(line.removeprefix(b"data: "))
    return event


async def test_events_as_they_come(world: World, site: Site) -> None:
    world.events.publish({"event": "early"})
    reader, writer = await follow(site)
    assert (await next_event(reader))["event"] == "gap"
    assert (await next_event(reader))["event"] == "early"
    world.events.publish({"event": "late", "reason": MARKUP + "\n\ndata: forged"})
    late = await next_event(reader)
    assert late["reason"] == MARKUP + "\n\ndata: forged"
    writer.close()
    world.events.publish({"event": "missed"})
    for where, path in ((f"Last-Event-ID: {late['seq']}", "/api/events"), ("X: y", f"/api/events?since={late['seq']}")):
        reader, writer = await follow(site, where, path=path)
        assert (await next_event(reader))["event"] == "missed"
        writer.close()


@pytest.mark.parametrize("said", ["x", "-1", "1e3", "9" * 30, "\u0661"])
async def test_a_number_that_is_none(world: World, site: Site, said: str) -> None:
    world.events.publish({"event": "one"})
    reader, writer = await follow(site, f"Last-Event-ID: {said}")
    assert (await next_event(reader))["event"] == "gap"
    writer.close()


async def test_a_quiet_stream_gives_signs_of_life(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_server, "ALIVE", 0.01)
    reader, writer = await follow(site)
    async with asyncio.timeout(10):
        for _ in range(5):
            await reader.readuntil(b"event: alive")
    writer.close()


async def test_streams_end_with_the_events(world: World, site: Site) -> None:
    reader, writer = await follow(site)
    world.events.end()
    await asyncio.wait_for(reader.read(), 5)
    writer.close()


async def test_streams_are_bounded_and_others_are_served(site: Site) -> None:
    streams = [await follow(site) for _ in range(web_server.STREAMS)]
    assert (await site.ask("/api/events")).status == 503
    assert (await site.ask("/api/mesh")).status == 200
    for _, writer in streams:
        writer.close()


async def test_who_says_nothing_is_cut_off(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """All there is room for are silent, or send an octet now and then: after a while others are served again."""
    monkeypatch.setattr(web_server, "PATIENCE", 0.3)
    monkeypatch.setattr(web_server, "_SWEEP", 0.05)
    async with AsyncExitStack() as stack:
        slow = [await site.connect() for _ in range(web_server.CONNECTIONS)]
        for number, (_, writer) in enumerate(slow):
            stack.callback(writer.close)
            if number % 2:
                writer.write(b"GET / HTTP/1.1\r\nHost: loc")
        refused = await site.ask("/")
        assert (refused.status, refused.body) == (503, b"too many connections\n")
        async with asyncio.timeout(10):
            # Each answer is awaited: this asks no faster than it is answered.
            while (await site.ask("/")).status != 200:
                pass


async def test_who_does_not_read_is_cut_off(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_server, "PATIENCE", 0.3)
    monkeypatch.setattr(web_server, "_SWEEP", 0.05)

    async def large() -> Mapping[str, Any]:
        return {"much": "x" * 30_000_000}

    async with serving(world.sources(status=large)) as site:
        reader, writer = await site.connect()
        writer.write(b"GET /api/status HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        # Not reading for a while is the fault itself. The kernel holds some of it; the rest never comes.
        await asyncio.sleep(1.0)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await asyncio.wait_for(reader.readexactly(30_000_000), 10)
        writer.close()


async def test_a_stream_nobody_reads_is_cut_off(world: World, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_server, "PATIENCE", 0.2)
    monkeypatch.setattr(web_server, "STREAMS", 1)
    _, writer = await follow(site)
    async with asyncio.timeout(20):
        while (await status_line(site)) == 503:
            world.events.publish({"event": "long", "reason": "x" * 1_000_000})
            await asyncio.sleep(0.01)
    writer.close()


async def status_line(site: Site) -> int:
    """The status of a stream that is given up at once."""
    reader, writer = await site.connect()
    writer.write(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    status = int((await reader.readline()).split()[1])
    writer.close()
    return status


@pytest.mark.parametrize("rounds", range(6))
@pytest.mark.parametrize(
    "said", [b"", b"GET /api/mesh HTTP/1.1\r\nHost: localhost\r\n\r\n"], ids=["nothing", "a request"]
)
def test_nobody_stays_connected_when_it_ends(said: bytes, rounds: int) -> None:
    """Whoever came just before, and had so many rounds of the loop to get somewhere; nor who does not read."""
    port = free_port()
    world = World()

    async def long() -> Mapping[str, Any]:
        return {"reason": "x" * 20_000_000}

    async def briefly() -> socket.socket:
        async with await WebServer(
            Sources(mesh=long, alive=lambda: True, awaited=world.awaited, events=world.events)
        ).serve((LOOPBACK,), port):
            client = socket.create_connection((str(LOOPBACK), port))
            client.sendall(said)
            for _ in range(rounds):
                await asyncio.sleep(0)
        return client

    asyncio.run(briefly()).close()
    # What was left open warns as it is collected, and a warning is a failure.
    gc.collect()


async def test_a_port_that_is_taken() -> None:
    with socket.create_server((str(LOOPBACK), 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OperatorError, match=rf"^http\.port: port {port} of 127\.0\.0\.1 is taken; choose another"):
            await WebServer(World().sources()).serve((LOOPBACK,), port)


async def test_an_address_that_is_not_ours() -> None:
    with pytest.raises(OperatorError, match=r"^http\.addresses: 192\.0\.2\.1 is no address of this machine; use one"):
        await WebServer(World().sources()).serve((LOOPBACK, ip_address("192.0.2.1")), free_port())


async def test_a_loopback_this_machine_has_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many a machine has no ``::1``; the default names it."""
    absent, port = ip_address("127.0.0.1"), free_port()
    real = socket.socket.bind

    def bind(self: socket.socket, where: Any) -> None:
        if where[0] == "::1":
            raise OSError(99, "Cannot assign requested address")
        real(self, where)

    monkeypatch.setattr(socket.socket, "bind", bind)
    async with await WebServer(World().sources()).serve((absent, ip_address("::1")), port):
        assert (await Site(port).ask("/")).status == 200
    with pytest.raises(OperatorError, match=r"^http\.addresses: ::1 is no address"):
        await WebServer(World().sources()).serve((ip_address("::1"),), port)
