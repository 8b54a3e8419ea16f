"""What BGP last said, on disk: written seldom, trusted little, of use in one boot only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from lab.eventually import until
from softmesh.bgp.route import Family, PathAttributes, Route, RouteKey
from softmesh.control import kept_routes
from softmesh.control.kept_routes import Kept, KeptRoutes, decode, encode

REFLECTOR = "2001:db8:f::fe"
BOOT = bytes(16)
NOW = 1000.0


def route(prefix: str = "10.2.0.0/24", *, stale_since: float | None = None, **attributes: object) -> Route:
    key = RouteKey(REFLECTOR, Family.IPV4_UNICAST, prefix, "0.0.0.7")
    full = PathAttributes(b"\x00\x04\x00\x00", (1, 2), as_path=(65001,), originator_id="10.255.0.2")
    return Route(key, "2001:db8:f::2", replace(full, **attributes), 10.0, stale_since)  # type: ignore[arg-type]


KEPT = Kept(
    (route(), route("10.3.0.0/24"), route("10.4.0.0/24", stale_since=900.0, cluster_list=("10.0.0.1",))),
    "hook",
    {ip_address("2001:db8:f::2"): "10.255.0.2"},
    {REFLECTOR: "md5"},
)


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def problems() -> list[str]:
    return []


@pytest.fixture
def file(tmp_path: Path, clock: Clock, problems: list[str]) -> KeptRoutes:
    tmp_path.chmod(0o700)
    return KeptRoutes(tmp_path / "routes", report=problems.append, monotonic=clock)


def test_what_is_written_is_what_is_read() -> None:
    assert decode(encode(KEPT, BOOT, NOW), BOOT, NOW + 1) == (KEPT, NOW)


def test_equal_attributes_are_written_once_and_read_as_one_object() -> None:
    found = decode(encode(KEPT, BOOT, NOW), BOOT, NOW)
    assert found is not None
    first, second, third = found[0].routes
    assert first.attributes is second.attributes
    assert third.attributes is not first.attributes


def test_another_boot_has_nothing_to_do_with_it() -> None:
    assert decode(encode(KEPT, BOOT, NOW), b"\1" * 16, NOW) is None


@pytest.mark.parametrize(
    "kept",
    [
        Kept((replace(route(), next_hop="somewhere"),)),
        Kept((replace(route(), received_at=NOW + 1),)),
        Kept((replace(route(), received_at=float("nan")),)),
        Kept((route(stale_since=NOW + 1),)),
        Kept((route("10.2.0.0/33"),)),
        Kept((route(originator_id="me"),)),
        Kept((route(cluster_list=("10.0.0.1", "x")),)),
        Kept((replace(route(), key=RouteKey("rr", Family.IPV4_UNICAST, "10.2.0.0/24")),)),
    ],
)
def test_what_no_bridge_has_is_no_file_of_a_bridge(kept: Kept) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(encode(kept, BOOT, NOW), BOOT, NOW)


def test_a_file_cut_short_anywhere_or_from_the_future_is_refused() -> None:
    data = encode(KEPT, BOOT, NOW)
    for length in range(len(data)):
        with pytest.raises(ValueError, match=r"."):
            decode(data[:length], BOOT, NOW)
    with pytest.raises(ValueError, match="future"):
        decode(data, BOOT, NOW - 1)


def test_the_file_is_for_its_owner_alone_and_whole(file: KeptRoutes, tmp_path: Path, problems: list[str]) -> None:
    file.write(KEPT)
    assert [(path.name, path.stat().st_mode & 0o777) for path in tmp_path.iterdir()] == [("routes", 0o600)]
    assert file.read(300.0) == (KEPT, NOW)
    assert problems == [""]


def test_where_nothing_is_nothing_is_read_and_nothing_said(file: KeptRoutes, problems: list[str]) -> None:
    assert file.read(300.0) == (Kept(), NOW)
    assert problems == []


@pytest.mark.parametrize("content", [b"", b"\xff" * 1000, b"softmsh1" + bytes(1000)])
def test_garbage_is_one_problem_and_is_replaced(
    file: KeptRoutes, tmp_path: Path, problems: list[str], content: bytes
) -> None:
    (tmp_path / "routes").write_bytes(content)
    (tmp_path / "routes").chmod(0o600)
    kept, _ = file.read(300.0)
    assert kept == Kept()
    assert len(problems) <= 1
    file.write(KEPT)
    assert file.read(300.0)[0] == KEPT
    assert problems[-1] == ""


def test_a_file_open_to_others_is_not_used(file: KeptRoutes, tmp_path: Path, problems: list[str]) -> None:
    file.write(KEPT)
    (tmp_path / "routes").chmod(0o644)
    assert file.read(300.0) == (Kept(), NOW)
    assert "chmod 600" in problems[-1]


def test_what_is_stale_for_too_long_is_left_out(file: KeptRoutes, clock: Clock) -> None:
    file.write(KEPT)
    clock.now = 1199.0
    assert [each.key.prefix for each in file.read(300.0)[0].routes] == ["10.2.0.0/24", "10.3.0.0/24", "10.4.0.0/24"]
    clock.now = 1200.0
    assert [each.key.prefix for each in file.read(300.0)[0].routes] == ["10.2.0.0/24", "10.3.0.0/24"]
    clock.now = 1300.0
    assert file.read(300.0)[0].routes == ()


def test_too_many_routes_leave_no_file(
    file: KeptRoutes, tmp_path: Path, problems: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write(KEPT)
    monkeypatch.setattr(kept_routes, "_MAX_OCTETS", 100)
    file.write(KEPT)
    assert list(tmp_path.iterdir()) == []
    assert "3 routes take more than 100 octets" in problems[-1]


def test_what_cannot_be_written_is_told(tmp_path: Path, problems: list[str]) -> None:
    KeptRoutes(tmp_path / "nowhere" / "routes", report=problems.append).write(KEPT)
    assert "cannot be written: No such file" in problems[-1]


class Bridge:
    """What is to be kept, with how often it was asked for."""

    def __init__(self) -> None:
        self.version = 0
        self.asked = 0

    def kept(self) -> Kept:
        self.asked += 1
        return KEPT


async def test_it_is_written_when_something_changed_and_at_the_end(
    file: KeptRoutes, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_routes, "_EVERY", 0.001)
    bridge = Bridge()
    running = asyncio.create_task(file.run(lambda: bridge.version, bridge.kept))
    await _until(lambda: bridge.asked == 1)
    clock.now += 50
    await _until(lambda: file.read(300.0)[1] == clock.now)
    assert bridge.asked == 1, "that it is alive needs no writing"
    bridge.version += 1
    await _until(lambda: bridge.asked == 2)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert bridge.asked == 3


async def test_a_slow_write_is_followed_by_a_long_rest(
    file: KeptRoutes, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_routes, "_EVERY", 0.001)
    bridge = Bridge()

    def slow() -> Kept:
        clock.now += 1.0
        bridge.version += 1
        return bridge.kept()

    running = asyncio.create_task(file.run(lambda: bridge.version, slow))
    await _until(lambda: bridge.asked == 1)
    clock.now += 49.0
    await asyncio.sleep(0.01)
    assert bridge.asked == 1
    clock.now += 1.0
    await _until(lambda: bridge.asked == 2)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_an_old_file_that_cannot_be_replaced_is_not_kept_alive(
    file: KeptRoutes, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write(KEPT)
    monkeypatch.setattr(Path, "replace", _refuse)
    monkeypatch.setattr(kept_routes, "_EVERY", 0.001)
    bridge = Bridge()
    running = asyncio.create_task(file.run(lambda: bridge.version, bridge.kept))
    await _until(lambda: bridge.asked == 1)
    clock.now += 5
    await asyncio.sleep(0.01)
    assert file.read(300.0)[1] == NOW
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


def _refuse(*_: object) -> None:
    raise OSError(28, "No space left on device")


async def _until(condition: Callable[[], object]) -> None:
    async def held() -> object:
        return condition() or None

    await until(held, within=5, what="the file is as it should be", every=0.001)
