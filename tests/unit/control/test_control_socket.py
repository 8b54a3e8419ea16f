"""The control socket: who may ask, what is answered, and that garbage harms nobody."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from lab.eventually import until
from softmesh.control import server
from softmesh.control.client import ask, follow
from softmesh.control.event_stream import EventStream
from softmesh.control.server import ControlServer
from softmesh.errors import OperatorError, PeerError, Unreachable


async def echo(request: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"heard": request.get("target")}


async def refuse(_request: Mapping[str, Any]) -> Mapping[str, Any]:
    raise OperatorError("not so; do this")


ANSWERS = {"echo": echo, "refuse": refuse}


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[Path]:
    where = tmp_path / "run" / "control.sock"
    async with await ControlServer(where, ANSWERS).serve():
        yield where


async def asked(path: Path, command: str, **arguments: Any) -> dict[str, Any]:
    return await asyncio.to_thread(ask, path, command, **arguments)


async def test_answers(path: Path) -> None:
    assert await asked(path, "echo", target="10.0.0.0/8") == {"heard": "10.0.0.0/8"}


async def asked_of(events: EventStream, followers: int = 1) -> bool:
    return len(events._waiting) == followers


async def test_a_stream_reaches_its_reader_and_ends_with_us(tmp_path: Path) -> None:
    events = EventStream()
    where = tmp_path / "control.sock"
    async with await ControlServer(where, ANSWERS, {"events": events.answer_events}).serve():
        events.publish({"event": "a", "softwire": "x"})
        events.publish({"event": "b"})
        told: list[str] = []
        reading = asyncio.create_task(
            asyncio.to_thread(lambda: told.extend(each["event"] for each in follow(where, "events", softwire="x")))
        )
        await until(lambda: asked_of(events), within=5, what="it is followed")
        events.publish({"event": "c"})
        events.publish({"event": "d", "softwire": "x"})
        with pytest.raises(OperatorError, match="since: 'x' is not a whole number"):
            await asyncio.to_thread(lambda: list(follow(where, "events", since="x")))
        last = await asyncio.to_thread(lambda: list(follow(where, "events", last=1, follow=False)))
        assert [each["event"] for each in last] == ["d"]
        events.publish({"event": "e", "softwire": "x"})
        events.end()
    await reading
    assert told == ["a", "d", "e"]
    with pytest.raises(Unreachable):
        list(follow(where, "events"))


async def test_who_does_not_read_a_stream_hinders_nobody_and_is_told_what_it_missed(tmp_path: Path) -> None:
    events = EventStream(kept=100)
    where = tmp_path / "control.sock"
    async with await ControlServer(where, ANSWERS, {"events": events.answer_events}).serve():
        reader, writer = await asyncio.open_unix_connection(where, limit=4096)
        writer.write(b'{"command": "events", "last": 0}\n')
        await until(lambda: asked_of(events), within=5, what="it is followed")
        # More than any buffer on the way holds.
        for _ in range(10_000):
            events.publish({"event": "x" * 1000})
            await asyncio.sleep(0)
        assert await asked(where, "echo", target="still here") == {"heard": "still here"}
        events.end()
        told = [json.loads(line) async for line in reader]
        writer.close()
    gaps = [each for each in told if each["event"] == "gap"]
    assert gaps
    assert len(told) - len(gaps) + sum(each["missed"] for each in gaps) == 10_000
    assert [each["seq"] for each in told] == sorted({each["seq"] for each in told})


async def test_a_reader_that_leaves_is_forgotten_at_once(tmp_path: Path) -> None:
    events = EventStream()
    where = tmp_path / "control.sock"
    async with await ControlServer(where, ANSWERS, {"events": events.answer_events}).serve():
        _, writer = await asyncio.open_unix_connection(where)
        writer.write(b'{"command": "events"}\n')
        await until(lambda: asked_of(events), within=5, what="it is followed")
        writer.close()
        await until(lambda: asked_of(events, 0), within=5, what="it is not followed any more")


def test_owner_only(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_strangers_are_told_that_they_are(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "stranger", lambda connection: "mallory")
    with pytest.raises(OperatorError, match=r"serves root and \S+, not mallory; ask as one of these"):
        await asked(path, "echo", target="10.0.0.0/8")


def test_no_right_to_connect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root may connect to anything, so it is the answer that is made up.
    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", denied)
    with pytest.raises(
        OperatorError, match=r"Permission denied; ask as root, or as the user that softmesh run runs as"
    ):
        ask(tmp_path / "control.sock", "status")


async def test_refusal_is_the_callers_error(path: Path) -> None:
    with pytest.raises(OperatorError, match="not so; do this"):
        await asked(path, "refuse")


async def test_unknown_command_lists_the_known(path: Path) -> None:
    with pytest.raises(OperatorError, match="echo, refuse"):
        await asked(path, "reboot")


@pytest.mark.parametrize(
    "garbage",
    [b"\n", b"{\n", b"[]\n", b"\xff\xfe\n", b'{"command": []}\n', b"[" * 60000 + b"\n", b"x" * 70000 + b"\n"],
)
async def test_garbage_closes_only_its_own_connection(path: Path, garbage: bytes) -> None:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(garbage)
    try:
        answer = await reader.read()
    except ConnectionResetError:
        answer = b""
    assert answer == b"" or b"not a request" in answer
    writer.close()
    assert await asked(path, "echo", target="still here") == {"heard": "still here"}


async def test_busy_socket_is_refused_and_left_alone(path: Path) -> None:
    with pytest.raises(OperatorError, match="another softmesh run listens there"):
        await ControlServer(path, ANSWERS).serve()
    assert await asked(path, "echo") == {"heard": None}


async def test_socket_left_by_a_crash_is_replaced(tmp_path: Path) -> None:
    where = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(where))
    async with await ControlServer(where, ANSWERS).serve():
        assert await asked(where, "echo") == {"heard": None}


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="is softmesh run running"):
        ask(tmp_path / "control.sock", "status")


def test_somebody_else_there(tmp_path: Path) -> None:
    where = tmp_path / "other.sock"

    async def stranger() -> None:
        async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            writer.write(b"220 mail.example ESMTP\r\n")
            writer.close()

        async with await asyncio.start_unix_server(speak, where):
            with pytest.raises(PeerError, match="cut short"):
                await asked(where, "status")

    asyncio.run(stranger())
