"""The control socket: who may ask, what is answered, and that garbage harms nobody."""

from __future__ import annotations

import asyncio
import socket
import stat
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from softmesh.control import server
from softmesh.control.client import ask
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
