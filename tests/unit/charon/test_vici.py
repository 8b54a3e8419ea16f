"""The VICI client against a server that misbehaves on purpose: what a real charon cannot be made to do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from softmesh.charon.packet import Framer, Kind, Request, Section, frame, write_message
from softmesh.charon.vici import CommandError, UnknownCommandError, UnknownEventError, Vici, ViciConnection
from softmesh.errors import PeerError, Unreachable

Send = Callable[[bytes], None]
Answer = Callable[[Kind, str, Send], None]
"""What the server does with a request: its kind, its name, and a way to send packets."""

CONFIRM = bytes([Kind.EVENT_CONFIRM])
UNKNOWN_EVENT = bytes([Kind.EVENT_UNKNOWN])
UNKNOWN_COMMAND = bytes([Kind.CMD_UNKNOWN])


def reply(**message: str) -> bytes:
    return bytes([Kind.CMD_RESPONSE]) + write_message(message)


def event(name: str, **message: str) -> bytes:
    return bytes([Kind.EVENT, len(name)]) + name.encode() + write_message(message)


class Server:
    """Counts connections; sends what ``answer`` says."""

    def __init__(self, path: Path, answer: Answer) -> None:
        self.path = path
        self.answer = answer
        self.connections = 0
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, self.path)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.close()
        self._writers.clear()
        self.path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        framer = Framer()
        with suppress(ConnectionError):
            while octets := await reader.read(65536):
                for packet in framer.feed(octets):
                    name = packet[2 : 2 + packet[1]].decode()
                    self.answer(Kind(packet[0]), name, lambda sent: writer.write(frame(sent)))
        writer.close()


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Callable[[Answer], Awaitable[Server]]]:
    servers: list[Server] = []

    async def start(answer: Answer) -> Server:
        server = Server(tmp_path / "charon.vici", answer)
        await server.start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        await server.stop()


Serve = Callable[[Answer], Awaitable[Server]]


@asynccontextmanager
async def connected(
    server: Server, on_event: Callable[[str, Section], None] | None = None
) -> AsyncIterator[ViciConnection]:
    connection = await ViciConnection.open(server.path, on_event)
    try:
        yield connection
    finally:
        await connection.close()


async def test_a_socket_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=r"charon\.vici: No such file or directory; is strongSwan running"):
        await ViciConnection.open(tmp_path / "charon.vici")


async def test_replies_and_events_go_their_own_ways(serve: Serve) -> None:
    def answer(kind: Kind, name: str, send: Send) -> None:
        if kind is Kind.EVENT_REGISTER:
            send(CONFIRM)
        else:
            send(event("ike-updown", before="reply"))
            send(reply(command=name))
            send(event("ike-updown", after="reply"))

    heard: list[Section] = []
    async with connected(await serve(answer), lambda _, message: heard.append(message)) as connection:
        assert await connection.listen(["ike-updown"]) == frozenset()
        assert await connection.request("version") == {"command": b"version"}
        assert await connection.request("stats") == {"command": b"stats"}
    assert heard[:3] == [{"before": b"reply"}, {"after": b"reply"}, {"before": b"reply"}]


async def test_requests_take_turns_and_get_their_own_reply(serve: Serve) -> None:
    async with connected(await serve(lambda _, name, send: send(reply(command=name)))) as connection:
        replies = await asyncio.gather(*(connection.request(f"command-{number}") for number in range(50)))
    assert replies == [{"command": f"command-{number}".encode()} for number in range(50)]


async def test_a_refusal_carries_charons_words(serve: Serve) -> None:
    def answer(_: Kind, name: str, send: Send) -> None:
        if name == "version":
            send(reply(version="5.9.8"))
        elif name == "unload-conn":
            send(reply(success="no", errmsg="connection not found"))
        else:
            send(UNKNOWN_COMMAND)

    async with connected(await serve(answer)) as connection:
        with pytest.raises(CommandError, match="connection not found") as refused:
            await connection.request("unload-conn", {"name": "softmesh-x"})
        assert (refused.value.command, refused.value.errmsg) == ("unload-conn", "connection not found")
        with pytest.raises(UnknownCommandError, match="get-nothing"):
            await connection.request("get-nothing")
        assert await connection.request("version") == {"version": b"5.9.8"}


async def test_an_unknown_event_leaves_the_others_registered(serve: Serve) -> None:
    def answer(kind: Kind, name: str, send: Send) -> None:
        send(UNKNOWN_EVENT if kind is Kind.EVENT_REGISTER and name == "alert" else CONFIRM)

    async with connected(await serve(answer)) as connection:
        assert await connection.listen(["ike-updown", "alert", "child-updown"]) == {"alert"}
        with pytest.raises(UnknownEventError, match="alert"):
            await connection.stream("list-alerts", None, "alert")


async def test_a_listing_collects_its_own_events_only(serve: Serve) -> None:
    def answer(kind: Kind, name: str, send: Send) -> None:
        if kind in (Kind.EVENT_REGISTER, Kind.EVENT_UNREGISTER):
            send(CONFIRM)
        else:
            send(event("list-sa", sa="1"))
            send(event("ike-updown", other="event"))
            send(event("list-sa", sa="2"))
            send(reply())

    async with connected(await serve(answer)) as connection:
        assert await connection.stream("list-sas", None, "list-sa") == [{"sa": b"1"}, {"sa": b"2"}]
        assert await connection.stream("list-sas", None, "list-sa") == [{"sa": b"1"}, {"sa": b"2"}]


async def test_a_listing_reads_only_what_it_is_about_and_counts_the_rest(serve: Serve) -> None:
    def listed(name: str) -> bytes:
        return bytes([Kind.EVENT, 7]) + b"list-sa" + write_message({name: {"state": "ESTABLISHED"}})

    def answer(kind: Kind, _: str, send: Send) -> None:
        if kind is Kind.CMD_REQUEST:
            send(listed("road-warrior"))
            send(listed("softmesh-x"))
            send(bytes([Kind.EVENT, 7]) + b"list-sa")
            send(reply())
        else:
            send(CONFIRM)

    async with connected(await serve(answer)) as connection:
        ours = {"softmesh-x": {"state": b"ESTABLISHED"}}
        assert await connection.stream("list-sas", None, "list-sa", about="softmesh-") == [{}, ours, {}]
        everything = [{"road-warrior": {"state": b"ESTABLISHED"}}, ours, {}]
        assert await connection.stream("list-sas", None, "list-sa") == everything


async def test_every_command_is_told_of_with_how_it_ended(serve: Serve) -> None:
    def answer(kind: Kind, name: str, send: Send) -> None:
        if kind is not Kind.CMD_REQUEST:
            send(CONFIRM)
        elif name == "unload-conn":
            send(reply(success="no", errmsg="connection not found"))
        elif name == "get-nothing":
            send(UNKNOWN_COMMAND)
        elif name != "initiate":
            send(reply())

    told: list[tuple[str, str]] = []
    server = await serve(answer)

    def on_answer(command: str, seconds: float, error: str) -> None:
        assert 0 <= seconds < 5
        told.append((command, error))

    connection = await ViciConnection.open(server.path, on_answer=on_answer)
    await connection.request("version")
    await connection.stream("list-sas", None, "list-sa")
    for command, error in (("unload-conn", CommandError), ("get-nothing", UnknownCommandError)):
        with pytest.raises(error):
            await connection.request(command)
    with pytest.raises(Unreachable):
        await connection.request("initiate", within=0.05)
    await connection.close()
    assert told == [
        ("version", ""), ("list-sas", ""), ("unload-conn", "refused"), ("get-nothing", "unknown"),
        ("initiate", "unanswered"),
    ]  # fmt: skip


async def test_a_late_reply_is_never_taken_for_the_next(serve: Serve) -> None:
    async with connected(await serve(lambda _kind, _name, _send: None)) as connection:
        with pytest.raises(Unreachable, match=r"no answer to initiate within 0.05 s"):
            await connection.request("initiate", within=0.05)
        assert connection.closed
        with pytest.raises(Unreachable, match="no answer to initiate"):
            await connection.request("version")


async def test_an_abandoned_request_closes_the_connection(serve: Serve) -> None:
    asked = asyncio.Event()
    async with connected(await serve(lambda _kind, _name, _send: asked.set())) as connection:
        request = asyncio.create_task(connection.request("initiate"))
        await asked.wait()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert connection.closed


async def test_charon_going_away_ends_the_request(serve: Serve) -> None:
    asked = asyncio.Event()
    server = await serve(lambda _kind, _name, _send: asked.set())
    async with connected(server) as connection:
        request = asyncio.create_task(connection.request("version"))
        await asked.wait()
        await server.stop()
        with pytest.raises(Unreachable, match="charon closed the connection"):
            await request


@pytest.mark.parametrize(
    "packet",
    [b"\x09", CONFIRM, bytes([Kind.CMD_RESPONSE, 99]), event("list-sa") + b"\xff"],
    ids=["unknown kind", "confirmation of nothing asked", "malformed message", "malformed event"],
)
async def test_garbage_is_the_peers_error(serve: Serve, packet: bytes) -> None:
    heard: list[str] = []
    server = await serve(lambda _kind, _name, send: send(packet))
    async with connected(server, lambda name, _: heard.append(name)) as connection:
        with pytest.raises(PeerError):
            await connection.request("version")
    assert heard == []


async def test_an_endless_packet_is_refused_at_its_length(serve: Serve) -> None:
    server = await serve(lambda _kind, _name, _send: None)
    async with connected(server) as connection:
        server.answer = lambda _kind, _name, _send: server._writers[0].write(b"\xff\xff\xff\xff")
        with pytest.raises(PeerError, match="4294967295 octets"):
            await connection.request("version")


class Watched:
    """A Vici that runs, and what it told."""

    def __init__(self, path: Path, *events: str) -> None:
        self.ups: list[bool] = []
        self.heard: list[tuple[str, Section]] = []
        self._told = asyncio.Event()
        self.vici = Vici(
            path,
            events or ("ike-updown",),
            self._on_event,
            self._on_connection,
            retry_initial=0.01,
            retry_max=0.02,
            within=0.2,
        )

    async def __aenter__(self) -> Watched:
        self._task = asyncio.create_task(self.vici.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                self._told.clear()
                await self._told.wait()

    def _on_event(self, name: str, message: Section) -> None:
        self.heard.append((name, message))
        self._told.set()

    def _on_connection(self, up: bool) -> None:
        self.ups.append(up)
        self._told.set()


def orderly(kind: Kind, name: str, send: Send) -> None:
    send(reply(command=name) if kind is Kind.CMD_REQUEST else CONFIRM)


async def test_it_comes_back_when_charon_does(serve: Serve, tmp_path: Path) -> None:
    async with Watched(tmp_path / "charon.vici") as watched:
        with pytest.raises(Unreachable, match=r"charon\.vici"):
            await watched.vici.request("version")
        server = await serve(orderly)
        await watched.until(lambda: watched.ups == [True])
        assert await watched.vici.request("version") == {"command": b"version"}
        assert watched.vici.last_error is None
        await server.stop()
        await watched.until(lambda: watched.ups == [True, False])
        assert not watched.vici.connected
        with pytest.raises(Unreachable):
            await watched.vici.request("version")
        await serve(orderly)
        await watched.until(lambda: watched.ups == [True, False, True])
        assert await watched.vici.request("version") == {"command": b"version"}
    assert watched.ups == [True, False, True, False]


async def test_a_stuck_command_stops_neither_events_nor_the_next_command(serve: Serve) -> None:
    senders: list[Send] = []

    def answer(kind: Kind, name: str, send: Send) -> None:
        if kind is Kind.EVENT_REGISTER:
            senders.append(send)
        if name != "stuck":
            orderly(kind, name, send)

    server = await serve(answer)
    async with Watched(server.path) as watched:
        await watched.vici.wait_connected()
        with pytest.raises(Unreachable, match="no answer to stuck"):
            await watched.vici.request("stuck", within=0.05)
        senders[0](event("ike-updown", up="yes"))
        assert await watched.vici.request("version") == {"command": b"version"}
        await watched.until(lambda: watched.heard == [("ike-updown", {"up": b"yes"})])
        assert watched.ups == [True]
    assert server.connections == 3


async def test_no_command_goes_before_the_events_are_registered(serve: Serve) -> None:
    order: list[str] = []

    def answer(kind: Kind, name: str, send: Send) -> None:
        order.append(name)
        orderly(kind, name, send)

    server = await serve(answer)
    async with Watched(server.path, "ike-updown", "child-updown") as watched:
        await watched.vici.wait_connected()
        await watched.vici.request("version")
    assert order == ["ike-updown", "child-updown", "version"]


async def test_a_further_event_is_had_on_demand_and_again_after_a_reconnection(serve: Serve) -> None:
    registered: list[tuple[Kind, str]] = []

    def answer(kind: Kind, name: str, send: Send) -> None:
        registered.append((kind, name))
        orderly(kind, name, send)

    server = await serve(answer)
    async with Watched(server.path) as watched:
        await watched.vici.wait_connected()
        await watched.vici.listen("log", wanted=True)
        await watched.vici.listen("log", wanted=True)
        await server.stop()
        await watched.until(lambda: watched.ups == [True, False])
        await serve(answer)
        await watched.until(lambda: watched.ups == [True, False, True])
        await watched.vici.listen("log", wanted=False)
    once = [(Kind.EVENT_REGISTER, "ike-updown"), (Kind.EVENT_REGISTER, "log")]
    assert registered == [*once, *once, (Kind.EVENT_UNREGISTER, "log")]


async def test_what_on_event_raises_is_not_swallowed(serve: Serve) -> None:
    def answer(kind: Kind, name: str, send: Send) -> None:
        orderly(kind, name, send)
        send(event("ike-updown", up="yes"))

    def broken(name: str, message: Section) -> None:
        raise LookupError(name)

    server = await serve(answer)
    vici = Vici(server.path, ["ike-updown"], broken, lambda _: None)
    with pytest.raises(LookupError, match="ike-updown"):
        await asyncio.wait_for(vici.run(), 5)


@pytest.mark.parametrize("message", [{"data": b"x" * 65536}, {f"child {n}": b"x" * 60000 for n in range(9)}])
async def test_what_is_too_long_to_be_sent_is_a_refusal_and_nothing_more(serve: Serve, message: Request) -> None:
    """A revocation list, or a connection to a peer with thousands of prefixes."""
    async with connected(await serve(lambda _, name, send: send(reply(command=name)))) as connection:
        with pytest.raises(CommandError, match="not sent"):
            await connection.request("load-conn", message)
        assert await connection.request("version") == {"command": b"version"}
