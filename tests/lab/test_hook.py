"""The hook under a real ExaBGP 5.0, with BIRD as the route reflector. The topology is in exabgp_router.py."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import socket
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.eventually import PATIENCE
from lab.namespace import LAB
from softmesh.bgp.exabgp_process import ExaBgpNeighbor, ExaBgpSettings, ManagedExaBgp
from softmesh.bgp.route import UNICAST, SessionState
from tests.lab.exabgp_router import FAR, NEAR, PASSWORD, REFLECTOR, Mirrored, attribute_23, reflected, route, tunnel

BRIDGE = str(Path("bridge").resolve())
SOME = [f"10.2.{number}.0/24" for number in range(8)]


async def test_snapshot_and_stream() -> None:
    with reflected(routes=[route(prefix, number) for number, prefix in enumerate(SOME)]) as (near, far, _):
        async with Mirrored(near) as mirrored, Mirrored(far) as announcer:
            await mirrored.until(lambda: mirrored.client.synced and mirrored.prefixes() == set(SOME), "snapshot")
            held = {key.prefix: held for key, held in mirrored.client.routes.items()}
            assert held[SOME[3]].next_hop == FAR
            assert held[SOME[3]].attributes.tunnel_encapsulation == tunnel(3)
            assert held[SOME[3]].attributes.originator_id == "10.255.0.2"
            await mirrored.until(
                lambda: mirrored.client.neighbors[REFLECTOR].end_of_rib == UNICAST, "end-of-RIB of both families"
            )
            announcer.announce("10.3.0.0/24", "2001:db8:3::/48")
            await mirrored.until(lambda: mirrored.prefixes() == {*SOME, "10.3.0.0/24", "2001:db8:3::/48"}, "stream")
            announcer.announce()
            await mirrored.until(lambda: mirrored.prefixes() == set(SOME), "withdrawal")


async def test_killed_hook_comes_back_and_the_mirror_loses_no_route() -> None:
    with reflected(routes=[route(prefix, number) for number, prefix in enumerate(SOME)]) as (near, far, _):
        async with Mirrored(near) as mirrored, Mirrored(far) as announcer:
            announcer.announce("10.3.0.0/24", "10.4.0.0/24")
            everything = {*SOME, "10.3.0.0/24", "10.4.0.0/24"}
            await mirrored.until(lambda: mirrored.client.synced and mirrored.prefixes() == everything, "snapshot")
            before = dict(mirrored.client.routes)
            (pid,) = near.hooks()
            least = len(everything)
            os.kill(pid, signal.SIGKILL)
            # While nobody listens: a route goes, which only a refresh can tell the next hook.
            announcer.announce("10.3.0.0/24")

            def refreshed() -> bool:
                nonlocal least
                least = min(least, len(mirrored.prefixes() & (everything - {"10.4.0.0/24"})))
                return near.hooks() not in ([], [pid]) and mirrored.client.synced and all(
                    held.received_at > before[key].received_at for key, held in mirrored.client.routes.items()
                )  # fmt: skip

            await mirrored.until(refreshed, "every route from the new hook")
            assert least == len(everything) - 1, "a route that stood was missing from the mirror for a moment"
            await mirrored.until(lambda: mirrored.prefixes() == everything - {"10.4.0.0/24"}, "what went is gone")
            neighbor = mirrored.client.neighbors[REFLECTOR]
            assert neighbor.state is SessionState.UP
            assert neighbor.asn == 65000
            await mirrored.until(lambda: mirrored.client.neighbors[REFLECTOR].end_of_rib == UNICAST, "complete again")


async def test_announcements_reach_the_reflector_change_and_go() -> None:
    with reflected() as (near, _, bird):
        async with Mirrored(near) as mirrored:
            mirrored.announce("10.1.0.0/24", "2001:db8:1::/48", label=1)
            await mirrored.until(lambda: attribute_23(bird, "10.1.0.0/24") == tunnel(1), "IPv4")
            await mirrored.until(lambda: attribute_23(bird, "2001:db8:1::/48") == tunnel(1), "IPv6")
            mirrored.announce("10.1.0.0/24", label=2)
            await mirrored.until(lambda: attribute_23(bird, "10.1.0.0/24") == tunnel(2), "replaced")
            await mirrored.until(lambda: bird.prefixes() == {"10.1.0.0/24"}, "withdrawn")
            (pid,) = near.hooks()
            os.kill(pid, signal.SIGKILL)
            mirrored.announce("10.5.0.0/24", label=2)
            await mirrored.until(lambda: bird.prefixes() == {"10.5.0.0/24"}, "the new hook withdraws for the old one")
        assert bird.prefixes() == {"10.5.0.0/24"}
        near.restart()
        async with Mirrored(near) as mirrored:
            mirrored.announce("10.6.0.0/24")
            await mirrored.until(lambda: bird.prefixes() == {"10.6.0.0/24"}, "ExaBGP was started again")


async def test_more_announcements_than_exabgp_may_have_unanswered() -> None:
    prefixes = [f"10.{number >> 8}.{number & 255}.0/24" for number in range(500)]
    with reflected() as (near, _, bird):
        async with Mirrored(near) as mirrored:
            mirrored.announce(*prefixes)
            await mirrored.until(lambda: bird.prefixes() == set(prefixes), "all announced", within=60)
            mirrored.announce()
            await mirrored.until(lambda: bird.prefixes() == set(), "all withdrawn", within=60)


async def test_a_stalled_reader_delays_nobody() -> None:
    prefixes = {f"10.{number >> 8}.{number & 255}.0/24" for number in range(2000)}
    with reflected(routes=[route(prefix, number) for number, prefix in enumerate(sorted(prefixes))]) as (
        near,
        _,
        _bird,
    ):
        async with Mirrored(near) as mirrored:
            await mirrored.until(lambda: mirrored.client.connected, "the hook")
            with socket.socket(socket.AF_UNIX) as stalled:
                stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                stalled.connect(str(near.socket))
                await mirrored.until(lambda: mirrored.prefixes() == prefixes, "every route, past the stalled reader")
                assert mirrored.client.neighbors[REFLECTOR].state is SessionState.UP


async def test_lost_reflector_leaves_stale_routes_which_its_return_freshens() -> None:
    with reflected(routes=[route(prefix, 1) for prefix in SOME]) as (near, _, bird):
        async with Mirrored(near) as mirrored:
            await mirrored.until(lambda: mirrored.prefixes() == set(SOME), "routes")
            bird.kill()
            await mirrored.until(
                lambda: all(held.stale_since is not None for held in mirrored.client.routes.values()), "stale"
            )
            assert mirrored.prefixes() == set(SOME)
            assert mirrored.client.neighbors[REFLECTOR].state is SessionState.DOWN
            assert mirrored.client.neighbors[REFLECTOR].reason
            bird.restart()
            await mirrored.until(
                lambda: all(held.stale_since is None for held in mirrored.client.routes.values()), "fresh", within=60
            )
            assert mirrored.prefixes() == set(SOME)


async def test_stale_routes_go_when_their_time_is_over() -> None:
    with reflected(routes=[route(prefix, 1) for prefix in SOME], stale_time=1.0) as (near, _, bird):
        async with Mirrored(near) as mirrored:
            await mirrored.until(lambda: mirrored.prefixes() == set(SOME), "routes")
            lost = time.monotonic()
            bird.kill()
            await mirrored.until(lambda: not mirrored.prefixes(), "expired")
            assert time.monotonic() - lost >= 1.0


async def test_jumps_in_the_count_make_the_neighbor_send_again() -> None:
    with reflected(routes=[route(SOME[0], 1)], extra_process=True) as (near, far, _):
        async with Mirrored(near) as mirrored, Mirrored(far) as announcer:
            await mirrored.until(lambda: mirrored.client.synced and mirrored.client.routes, "routes")
            await mirrored.until(lambda: "lines about" in near.process.log.read_text(), "the gap is seen")
            asked = f"Sent to neighbor {REFLECTOR}"
            await mirrored.until(lambda: near.process.log.read_text().count(asked) >= 4, "asked again")
            await mirrored.until(
                lambda: mirrored.client.neighbors[REFLECTOR].end_of_rib == UNICAST, "refreshed all the same"
            )
            announcer.announce(SOME[1])
            await mirrored.until(lambda: mirrored.prefixes() == set(SOME[:2]), "routes come and stay")


def _shown(pid: int) -> bytes:
    """What any process of the machine's root sees of another's command line and environment."""
    return b"".join(Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ"))


async def test_managed_exabgp_is_started_again_and_ends_with_us() -> None:
    directory = LAB / "managed"
    lines: list[str] = []
    settings = ExaBgpSettings(
        router_id="10.255.0.1",
        local_address="::1",
        local_as=65000,
        neighbors=(ExaBgpNeighbor("2001:db8:f::fe", 65000, PASSWORD),),
        hook_command=(sys.executable, "-m", "softmesh", "hook", "--socket", str(directory / "hook.sock")),
    )
    os.environ["PYTHONPATH"] = BRIDGE
    managed = ManagedExaBgp(settings, directory, on_log=lines.append, on_end=lines.append)
    task = asyncio.ensure_future(managed.run())

    async def until(condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + 20 * PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"{what}: {lines[-20:]}"
            assert not task.done(), task
            await asyncio.sleep(0.02)

    def hook() -> int | None:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(directory / "hook.sock")) != 0:
                return None
            return managed.pid

    await until(hook, "the hook serves")
    first = managed.pid
    assert first is not None
    configuration = directory / "exabgp.conf"
    assert stat.S_IMODE(configuration.stat().st_mode) == 0o600
    assert base64.b64encode(PASSWORD.encode()).decode() in configuration.read_text()
    assert PASSWORD.encode() not in _shown(first)
    os.kill(first, signal.SIGKILL)
    await until(lambda: hook() not in (None, first), "it is started again")
    second = managed.pid
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert managed.pid is None
    assert second is not None
    with pytest.raises(ProcessLookupError):
        os.kill(second, 0)
    assert PASSWORD not in "\n".join(lines)


async def test_neighbor_address_of_ours_is_not_in_the_mirror() -> None:
    with reflected() as (near, _, bird):
        async with Mirrored(near) as mirrored:
            mirrored.announce("10.1.0.0/24")
            await mirrored.until(lambda: bird.prefixes() == {"10.1.0.0/24"}, "announced")
            assert NEAR not in mirrored.client.neighbors
            assert mirrored.prefixes() == set()
