"""charon at its limits: replies longer than a VICI message, other people's thousands, no descriptors left, a death."""

from __future__ import annotations

import asyncio
import re
import resource
import signal
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from ipaddress import ip_address, ip_network
from itertools import count
from pathlib import Path
from typing import cast

import pytest
import vici

from lab.charon import Charon
from lab.eventually import PATIENCE, eventually, holds, until
from lab.mesh import Afbr, Direction, Mesh, meshed
from lab.namespace import LAB, link
from lab.peer import Peer
from softmesh.bgp.codepoints import TunnelType
from softmesh.charon.connection import Connection
from softmesh.charon.packet import MAX_PACKET
from softmesh.charon.watch import Watch
from softmesh.errors import Unreachable
from softmesh.mesh.softwire import Level, Mode, Profile, Selector, SelectorPair, Softwire, SoftwireId

PROFILE = Profile(Level.ENCRYPT, ("aes256gcm16-prfsha384-x25519",), ("aes256gcm16",))
LEFT, RIGHT = "2001:db8:f::1", "2001:db8:f::2"
ISLANDS = {LEFT: "10.1.0.1", RIGHT: "10.2.0.1"}
TOO_MANY = 1500
"""CHILD SAs that no VICI message can hold."""
OTHERS = 13_000
"""Connections of others: more than the reply to get-conns could name."""
LONG = "road-warrior-" + "x" * 200
"""So that a few thousand pre-shared keys are more than the reply to get-shared can name."""


@contextmanager
def session(charon: Charon) -> Iterator[vici.Session]:
    """Somebody else at the same charon."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(str(charon.vici))
        yield vici.Session(connection)


def named(charon: Charon) -> Counter[str]:
    """How many connections charon has, ours and others'."""
    with session(charon) as other:
        return Counter(
            "ours" if name.startswith("softmesh-") else "theirs" for conn in other.list_conns() for name in conn
        )


def ike_sas(charon: Charon, connection: str) -> int:
    """How many IKE_SAs there are of connections that begin so, whatever is in them."""
    with session(charon) as other:
        return sum(name.startswith(connection) for sa in other.list_sas({"child": "-"}) for name in sa)


def multiply(afbr: Afbr, towards: Afbr, times: int) -> None:
    """Have a router's charon open that many CHILD SAs within the one that its peer has a connection for."""
    with session(afbr.charon) as other:
        ((name, conn),) = (
            item for listed in other.list_conns() for item in listed.items() if towards.endpoint in str(item[0])
        )
        (child,) = conn["children"].values()
        # Each other than what it was offered, and within it: charon does not ask twice for the same.
        asked = {
            f"child-{number}": {
                "local_ts": [f"{child['local-ts'][0].decode()}[udp/{number + 1}]"],
                "remote_ts": child["remote-ts"],
                "esp_proposals": ["aes256gcm16-x25519"],
            }
            for number in range(times)
        }
        identities = [conn[side]["id"] for side in ("local-1", "remote-1")]
        assert name.startswith("softmesh-")
        other.load_conn({"many": {
            "version": "2", "local_addrs": [afbr.endpoint], "remote_addrs": [towards.endpoint],
            "proposals": ["aes256gcm16-prfsha384-x25519"], "send_cert": "never",
            "local": {"auth": "pubkey", "id": f"@#{identities[0].decode().replace(':', '')}"},
            "remote": {"auth": "pubkey", "id": f"@#{identities[1].decode().replace(':', '')}"},
            "children": asked,
        }})  # fmt: skip
        for name in asked:
            list(other.initiate({"ike": "many", "child": name, "timeout": "-1"}))


def test_a_peer_with_more_child_sas_than_charon_can_list_is_neither_forgotten_nor_beyond_reach() -> None:
    with Mesh(Direction.FOUR_OVER_SIX, 3) as mesh:
        mesh.start()
        eventually(lambda: meshed(mesh.afbrs.values()), within=30, what="every softwire is up")
        victim, bystander, greedy = mesh.afbrs.values()
        before = victim.spis()
        assert victim.bridge is not None
        # Else it closes them as fast as they come: they are not what it asked for.
        victim.bridge.signal(signal.SIGSTOP)
        multiply(greedy, victim, TOO_MANY)
        last = re.compile(rf"CHILD_SA child-{TOO_MANY - 1}\{{\d+\}} established")
        log = greedy.charon.process.log
        eventually(lambda: last.search(log.read_text()), within=60, what="the last of them stands", every=0.5)
        victim.bridge.signal(signal.SIGCONT)
        row = eventually(
            lambda: wire if (wire := victim.wires().get(greedy.endpoint, {})).get("state") == "degraded" else {},
            within=60, what="it is shown as what it is", every=0.5,
        )  # fmt: skip
        assert "too many CHILD SAs with this peer to list them" in row["reason"]
        initiated = victim.charon.process.log.read_text().count("initiating IKE_SA")
        sas = ike_sas(victim.charon, f"softmesh-{greedy.endpoint}")
        holds(
            lambda: victim.wires()[greedy.endpoint]["state"] == "degraded"
            and ike_sas(victim.charon, f"softmesh-{greedy.endpoint}") == sas,
            during=3, what="nothing is torn down", every=0.5,
        )  # fmt: skip
        assert victim.charon.process.log.read_text().count("initiating IKE_SA") == initiated, "and nothing is initiated"
        assert victim.spis().items() <= before.items()
        assert victim.up().keys() == {bystander.endpoint}
        # What is withdrawn goes, though nobody can see what is in it.
        greedy.softmesh("withdraw", "-c", str(greedy.configuration))
        eventually(
            lambda: ike_sas(victim.charon, f"softmesh-{greedy.endpoint}") == 0, within=30, what="its SAs are gone"
        )
        assert victim.spis().items() <= before.items()


def test_thousands_of_others_are_not_in_the_way_and_not_touched() -> None:
    with Mesh(Direction.FOUR_OVER_SIX, 2) as mesh:
        afbr = mesh.afbrs[1]
        with session(afbr.charon) as other:
            for number in range(OTHERS):
                address = f"192.0.{number >> 8}.{number & 255}"
                other.load_conn({f"head-office-{number}": {
                    "remote_addrs": [address], "local": {"auth": "pubkey"}, "remote": {"auth": "pubkey"},
                    "children": {"net": {"remote_ts": [f"{address}/32"]}},
                }})  # fmt: skip
            secrets = MAX_PACKET // len(LONG) + 1
            for number in range(secrets):
                other.load_shared({"id": f"{LONG}{number}", "type": "IKE", "data": "x" * 16, "owners": [LONG]})
        began = time.monotonic()
        mesh.start()
        eventually(lambda: meshed(mesh.afbrs.values()), within=60, what="the mesh is up in their midst")
        took = time.monotonic() - began
        assert afbr.bridge is not None
        planned = ("plan", "-c", str(afbr.configuration))
        eventually(lambda: "nothing to do" in afbr.softmesh(*planned), within=30, what="there is nothing to do")
        seconds = cpu(afbr.bridge.pid)
        looks = 0

        def nothing_to_do() -> bool:
            nonlocal looks
            looks += 1
            said = afbr.softmesh(*planned)
            # On a busy machine a look may take longer than a command waits for it.
            assert said.startswith(("nothing to do", "nothing can be planned: charon has not answered")), said
            return "nothing to do" in said

        for _ in range(10):
            eventually(nothing_to_do, within=20, what="charon answers, and there is nothing to do")
        cost = (cpu(afbr.bridge.pid) - seconds) / looks
        assert [problem for problem in afbr.status()["problems"] if "restart strongSwan" in problem]
        assert named(afbr.charon) == {"ours": 1, "theirs": OTHERS}
        print(f"{OTHERS} connections and {secrets} keys of others: up after {took:.1f} s, {cost:.3f} s of CPU a look")
        afbr.bridge.stop()
        afbr.softmesh("flush", "-c", str(afbr.configuration), check=False)
        assert named(afbr.charon) == {"theirs": OTHERS}
        eventually(lambda: ike_sas(afbr.charon, "softmesh-") == 0, within=20, what="the peer knows that it has gone")
        assert cost < 0.4


def cpu(pid: int) -> float:
    """Seconds of CPU time a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


@pytest.fixture
async def pair() -> AsyncIterator[tuple[Peer, Peer]]:
    """Two charons with an IPv6 core, and no bridge."""
    left, right = Peer("left"), Peer("right")
    with left.namespace, right.namespace:
        link(left.namespace, "core", right.namespace, "core")
        for router, core in ((left, LEFT), (right, RIGHT)):
            router.namespace.address("core", f"{core}/64")
            router.namespace.address("lo", f"{ISLANDS[core]}/32")
        left.start()
        right.start()
        async with left, right:
            yield left, right


def many(router: Peer, peer: Peer, size: int) -> Connection:
    """A connection of as many children, whose selectors are ports of the islands."""
    ends = (LEFT, RIGHT) if router.namespace.name == "left" else (RIGHT, LEFT)
    pairs = ([Selector(ip_network(ISLANDS[end]), 17, port) for end in ends] for port in range(1, size + 1))
    wire = SoftwireId(ip_address(ends[0]), ip_address(ends[1]), TunnelType.IPSEC_TUNNEL)
    selectors = frozenset(SelectorPair(near, far) for near, far in pairs)
    return router.rendered(Softwire(wire, Mode.TUNNEL, selectors, (peer.key.pinned,), PROFILE))


class Tap:
    """Stands between a client and charon's socket, and kills charon in the middle of a reply."""

    def __init__(self, charon: Charon) -> None:
        self.path = LAB / "tap.vici"
        self._charon = charon
        self._serving: list[asyncio.Task[None]] = []
        self.deadly = 0
        """Octets in one connection after which charon is killed; 0 for never."""

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        server = await asyncio.start_unix_server(self._serve, self.path)
        async with server:
            yield
        # Its clients have left: it ends by itself, and what it has open with it.
        await asyncio.gather(*self._serving)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.append(cast("asyncio.Task[None]", asyncio.current_task()))
        try:
            theirs, ours = await asyncio.open_unix_connection(self._charon.vici)
        except OSError:
            writer.close()
            return
        forth = asyncio.create_task(self._pass_on(reader, ours))
        said = 0
        with suppress(ConnectionError):
            while octets := await theirs.read(4096):
                said += len(octets)
                writer.write(octets)
                await writer.drain()
                if self.deadly and said > self.deadly:
                    self.deadly = 0
                    self._charon.kill()
        writer.close()
        ours.close()
        await forth

    @staticmethod
    async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while octets := await reader.read(4096):
                writer.write(octets)
        writer.close()


@asynccontextmanager
async def watching(path: Path) -> AsyncIterator[Watch]:
    watch = Watch(path, on_change=lambda: None)
    running = asyncio.create_task(watch.run())
    try:
        await asyncio.wait_for(watch.wait_connected(), 10 * PATIENCE)
        yield watch
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_charon_killed_in_the_middle_of_a_listing_is_one_reason_and_no_half_truth(
    pair: tuple[Peer, Peer],
) -> None:
    left, right = pair
    size = 1000
    ours = many(left, right, size)
    await right.driver.load_connection(many(right, left, size))
    await left.driver.load_connection(ours)
    await left.initiate(ours)

    async def all_up() -> bool:
        return len(await left.installed()) == size

    await until(all_up, within=30, what=f"{size} CHILD SAs")
    tap = Tap(left.charon)
    async with tap.listening(), watching(tap.path) as watch:
        (ike_sa,) = (await watch.look()).ike_sas
        assert len(ike_sa.children) == size
        watch.suspect()
        tap.deadly = MAX_PACKET // 2
        with pytest.raises(Unreachable, match=r"closed the connection|Connection reset"):
            await watch.look()
        assert not tap.deadly, "it was in the midst of it"
        await until(
            lambda: told(watch, "closed the connection", "Connection reset", "Connection refused"),
            within=10,
            what="one reason",
        )
        left.charon.start()
        await asyncio.wait_for(watch.wait_connected(), 10 * PATIENCE)
        observed = await watch.look()
        assert (observed.ike_sas, dict(observed.connections), observed.key_ids) == ((), {}, frozenset())


async def told(watch: Watch, *reasons: str) -> bool:
    return any(reason in watch.problem for reason in reasons)


async def test_charon_without_descriptors_is_one_reason_until_it_has_some(pair: tuple[Peer, Peer]) -> None:
    left, _ = pair
    pid = left.charon.process.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    async with watching(left.charon.vici) as watch:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (lowest_free(pid), limits[1]))
        with pytest.raises(Unreachable, match="within 10 s"):
            await watch.look()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        await watch.look()
        assert watch.problem == ""


def lowest_free(pid: int) -> int:
    """The descriptor that the process would get next: below, none is to be had."""
    used = {int(descriptor.name) for descriptor in Path(f"/proc/{pid}/fd").iterdir()}
    return next(number for number in count() if number not in used)
