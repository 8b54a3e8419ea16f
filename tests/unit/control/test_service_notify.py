"""What systemd hears, and that only rounds of the bridge count as life."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.eventually import until
from softmesh.config import examine
from softmesh.control.bridge import Bridge
from softmesh.control.service_notify import ServiceNotify
from softmesh.errors import Unreachable
from softmesh.mesh.identity import load_identities
from tests.unit.config.conftest import site
from tests.unit.config.site import GOOD, Site

__all__ = ["site"]


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A service manager's socket, and what NOTIFY_SOCKET says of it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        name = str(tmp_path / "notify") if request.param == "path" else f"@softmesh-{secrets.token_hex(8)}"
        listening.bind(f"\0{name[1:]}" if name.startswith("@") else name)
        listening.settimeout(5)
        yield listening, name


def test_what_is_said(manager: tuple[socket.socket, str], monkeypatch: pytest.MonkeyPatch) -> None:
    listening, name = manager
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    service = ServiceNotify.from_environment()
    service.reloading()
    service.reloaded()
    service.passed("12 of 12 softwires up")
    assert listening.recv(4096) == b"READY=1\nWATCHDOG=1\nSTATUS=12 of 12 softwires up", "not ready before"
    service.reloading()
    begun, _, moment = listening.recv(4096).decode().partition("\nMONOTONIC_USEC=")
    assert begun == "RELOADING=1"
    assert moment.isdigit()
    service.reloaded()
    assert listening.recv(4096) == b"READY=1"
    service.stopping()
    assert listening.recv(4096) == b"STOPPING=1"


@pytest.mark.parametrize("named", [None, "", "vsock:2:1234", "/nonexistent/notify", "@nobody-listens-there"])
def test_nobody_to_tell_is_no_error(named: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if named is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", named)
    ServiceNotify.from_environment().passed("0 of 0 softwires up")


def test_a_manager_that_does_not_read_does_not_stop_us(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        service = ServiceNotify(str(tmp_path / "notify"))
        for _ in range(10_000):
            service.passed("")


@pytest.fixture
def bridge(site: Site) -> Bridge:
    site.file.write_text(f"{GOOD}sockets: {{directory: run}}\ncharon: {{vici: {site.directory}/charon.vici}}\n")
    config = examine(site.file).config
    assert config is not None
    config.sockets.directory.mkdir(mode=0o700)
    return Bridge(config, load_identities(config.own_keys))


async def going_round(bridge: Bridge, one: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the bridge go round with passes of the test's; returns what was said, until no more comes."""
    said: list[str] = []

    async def replaced() -> None:
        bridge._wake.set()
        await asyncio.sleep(0)
        result = one()
        if asyncio.iscoroutine(result):
            await result

    async def connected() -> None:
        return

    monkeypatch.setattr(bridge, "_pass", replaced)
    monkeypatch.setattr(bridge._charon, "wait_connected", connected)
    running = asyncio.create_task(bridge._passes(said.append))

    async def quiet() -> bool:
        before = len(said)
        await asyncio.sleep(0.3)
        return len(said) == before or before > 50

    await until(quiet, within=10, what="it says no more, or goes on and on")
    running.cancel()
    await asyncio.wait([running])
    return said


async def test_each_pass_is_a_sign_of_life(bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    said = await going_round(bridge, lambda: None, monkeypatch)
    assert len(said) > 2
    assert set(said) == {"0 of 0 softwires up"}


async def test_a_pass_that_fails_is_one_too(bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise Unreachable("charon is away")

    said = await going_round(bridge, fail, monkeypatch)
    assert said[0] == "0 of 0 softwires up, 1 problem: softmesh status"


async def test_a_pass_that_does_not_end_is_none_though_the_loop_goes_on(
    bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await going_round(bridge, lambda: asyncio.Event().wait(), monkeypatch) == []


async def test_neither_is_one_that_waits_for_a_command_that_hangs(
    bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bridge._turn:
        assert await going_round(bridge, lambda: None, monkeypatch) == []
