"""charon that hangs, peers that do, and somebody else at the same charon: what must hold in a whole mesh."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import vici

from lab.charon import Charon
from lab.eventually import PATIENCE, eventually, holds
from lab.flooder import Flooder, offer
from lab.mesh import Afbr, Direction, Mesh, meshed
from lab.namespace import program

FREEZES = {1: 2.0, 2: 12.0, 3: 40.0}
"""Seconds for which the charon of a router hangs."""
LOST_AFTER = 13.0
"""Seconds without an answer before which a lab's charon does not give a peer up (lab/charon.py)."""
CEILING = 3
"""IKE_SAs that may be in the making at once."""
BOGUS = 300


class Sampler:
    """Lists a charon's SAs all the time, and keeps the worst it saw."""

    def __init__(self, charon: Charon) -> None:
        self.half_open = 0
        """IKE_SAs being initiated at once."""
        self.most = 0
        """IKE_SAs of one connection at once."""
        self._charon = charon
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(60)
            connection.connect(str(self._charon.vici))
            session = vici.Session(connection)
            while not self._done.wait(0.1):
                sas = [(name, sa) for listed in session.list_sas() for name, sa in listed.items()]
                making = [sa for _, sa in sas if sa["state"] == b"CONNECTING" and sa.get("initiator") == b"yes"]
                self.half_open = max(self.half_open, len(making))
                alive = Counter(name for name, sa in sas if sa["state"] != b"DELETING")
                self.most = max(self.most, *alive.values(), 0)


def one_each(afbr: Afbr) -> bool:
    """Whether charon has one IKE_SA for each peer, with one CHILD SA in it."""
    listed = afbr.charon.swanctl("--list-sas")
    ike = re.findall(r"^softmesh-(\S+)-[0-9a-f]{16}: #\d+, ESTABLISHED", listed, re.MULTILINE)
    return len(ike) == len(set(ike)) == len(re.findall(r"INSTALLED", listed)) == len(afbr.mesh.afbrs) - 1


def test_a_charon_that_hangs_for_a_while() -> None:
    with Mesh(Direction.FOUR_OVER_SIX, 4) as mesh:
        mesh.start()
        everybody = mesh.afbrs.values()
        eventually(lambda: meshed(everybody), within=30, what="every softwire is up")
        eventually(lambda: all(map(one_each, everybody)), within=15, what="and there is no SA too many")
        witness = mesh.afbrs[4]
        before = {number: towards(witness, mesh.afbrs[number]) for number in FREEZES}
        hung: dict[int, float] = {}
        began = time.monotonic()
        for number in FREEZES:
            mesh.afbrs[number].charon.freeze()
        for number, seconds in FREEZES.items():
            afbr = mesh.afbrs[number]
            eventually(lambda afbr=afbr: silent(afbr), within=15, what="it is shown")  # type: ignore[misc]
            left = max(0.0, seconds - (time.monotonic() - began))
            holds(lambda afbr=afbr: silent(afbr), during=left, what="charon hangs, and status says so", every=0.5)  # type: ignore[misc]
            afbr.charon.thaw()
            hung[number] = time.monotonic() - began
        thawed = time.monotonic()
        eventually(lambda: meshed(everybody), within=40, what="every softwire is up again", every=0.2)
        eventually(lambda: all(map(one_each, everybody)), within=30, what="with one SA each", every=0.2)
        recovered = time.monotonic() - thawed
        kept = [number for number in FREEZES if towards(witness, mesh.afbrs[number]) == before[number]]
        print(f"hung for {hung}: SAs kept towards routers {kept}; whole {recovered:.1f} s after the last came back")
        assert {number for number, seconds in hung.items() if seconds < LOST_AFTER} <= set(kept)
        eventually(lambda: not any(map(silent, everybody)), within=15, what="no complaint is left")
        for afbr in everybody:
            assert "Traceback" not in (afbr.home / "softmesh.log").read_text()


def test_a_charon_that_hangs_before_the_next_pass_is_shown_as_it_was_seen_last(pair: Mesh) -> None:
    # It is not elected: what its own passes have last seen is nothing.
    afbr = pair.afbrs[2]
    eventually(afbr.up, within=20, what="the softwire is up", every=0.005)
    afbr.charon.freeze()
    assert afbr.up()
    eventually(lambda: silent(afbr), within=15, what="it is shown")
    # For longer than one command is waited for: the next has only just been sent then.
    holds(lambda: silent(afbr) and afbr.up(), during=12, what="charon hangs, and status says so", every=0.02)
    afbr.charon.thaw()
    eventually(lambda: not silent(afbr), within=15, what="no complaint is left")


def silent(afbr: Afbr) -> bool:
    """Whether status says that charon does not answer."""
    return "answer" in afbr.status()["charon"]["reason"]


def towards(afbr: Afbr, peer: Afbr) -> dict[str, tuple[str, str]]:
    """The SPIs of the softwire to one peer."""
    return {name: spis for name, spis in afbr.spis().items() if name.startswith(f"{peer.endpoint} ")}


def test_a_charon_that_hangs_while_hundreds_of_connections_are_loaded() -> None:
    settings = {"admission": {"max_arrivals": 10 * BOGUS}}
    with Mesh(Direction.FOUR_OVER_SIX, 2, spare=2, settings=settings) as mesh:
        mesh.start()
        eventually(lambda: meshed(mesh.afbrs.values()), within=30, what="the softwire is up")
        eventually(lambda: all(map(one_each, mesh.afbrs.values())), within=15, what="and there is no SA too many")
        afbr, before = mesh.afbrs[1], mesh.afbrs[1].spis()
        flooder = Flooder(mesh, 3)
        routes = [
            (f"10.{100 + (number >> 8)}.{number & 255}.0/24", offer(f"2001:db8:f::bad:{number:x}"))
            for number in range(1, BOGUS + 1)
        ]
        flooding = flooder.begin(routes)
        eventually(lambda: loaded(afbr) > 20, within=30, what="it is in the midst of it", every=0.01)
        afbr.charon.freeze()
        time.sleep(12)
        afbr.charon.thaw()
        with Sampler(afbr.charon) as sampler:
            eventually(lambda: loaded(afbr) == BOGUS + 1, within=60, what="all are loaded", every=0.5)
            flooding.join()
            time.sleep(3)
        added = Counter(re.findall(r"added vici connection: (softmesh-\S+)", afbr.charon.process.log.read_text()))
        print(f"{BOGUS} connections, hung for 12 s among them: IKE_SAs of one connection at most {sampler.most}")
        assert set(added.values()) == {1}, "none is loaded twice"
        assert sampler.most == 1, "none is initiated beside an attempt that is under way"
        assert before.items() <= afbr.spis().items()
        flooder.close()


def loaded(afbr: Afbr) -> int:
    return len(set(re.findall(r"added vici connection: (softmesh-\S+)", afbr.charon.process.log.read_text())))


@contextmanager
def without_ike_auth(mesh: Mesh, router: Afbr) -> Iterator[None]:
    """A router that answers IKE_SA_INIT, on port 500, and nothing that comes after it, on port 4500."""
    rules = (
        "add table bridge stuck; add chain bridge stuck f { type filter hook forward priority 0; }; "
        f"add rule bridge stuck f ip6 daddr {router.endpoint} udp dport 4500 drop; "
        f"add rule bridge stuck f ip6 saddr {router.endpoint} udp sport 4500 drop"
    )
    mesh.core.run(program("nft"), rules)
    try:
        yield
    finally:
        mesh.core.run(program("nft"), "delete table bridge stuck")


def reason(afbr: Afbr, peer: Afbr) -> str:
    """Why there is no softwire to a router."""
    return str(afbr.wires().get(peer.endpoint, {}).get("reason", ""))


def time_to_up(mesh: Mesh) -> float:
    """Seconds until routers 1 to 3 have their softwires to each other."""
    began = time.monotonic()
    mesh.start()
    some = [mesh.afbrs[number] for number in (1, 2, 3)]
    eventually(lambda: meshed(some), within=30, what="routers 1 to 3 are meshed")
    return time.monotonic() - began


def test_peers_that_are_stuck_delay_nobody() -> None:
    settings = {"charon": {"max_half_open": CEILING}}
    with Mesh(Direction.FOUR_OVER_SIX, 3, settings=settings) as mesh:
        alone = time_to_up(mesh)
    with Mesh(Direction.FOUR_OVER_SIX, 5, settings=settings) as mesh:
        silent, stuck = mesh.afbrs[4], mesh.afbrs[5]
        for afbr in (silent, stuck):
            afbr.start()
        eventually(
            lambda: {mesh.plan.island(4), mesh.plan.island(5)} <= mesh.reflector.prefixes(),
            within=20, what="the stuck ones have announced themselves",
        )  # fmt: skip
        silent.charon.freeze()
        with without_ike_auth(mesh, stuck), Sampler(mesh.afbrs[1].charon) as sampler:
            beside = time_to_up(mesh)
            for peer in (silent, stuck):
                eventually(
                    lambda peer=peer: "the peer does not answer" in reason(mesh.afbrs[1], peer),  # type: ignore[misc]
                    within=40, what=f"the reason why there is no softwire to {peer.endpoint}", every=0.2,
                )  # fmt: skip
        print(f"up after {alone:.1f} s, beside stuck peers after {beside:.1f} s; half-open at most {sampler.half_open}")
        assert 1 <= sampler.half_open <= CEILING
        # To be delayed is to wait until an attempt of theirs is given up.
        assert beside < alone + min(5 * PATIENCE, LOST_AFTER)
        silent.charon.thaw()
        eventually(lambda: meshed(mesh.afbrs.values()), within=90, what="they are taken in once they answer", every=0.5)


def test_somebody_else_at_the_same_charon(pair: Mesh) -> None:
    def up() -> bool:
        return meshed(pair.afbrs.values())

    eventually(up, within=30, what="the mesh is up")
    own = (
        "connections {\n  theirs {\n    remote_addrs = 192.0.2.77\n    children {\n      n {\n      }\n    }\n  }\n}\n"
    )
    clients: list[Callable[[], str]] = []
    for afbr in pair.afbrs.values():
        (afbr.home / "swanctl.conf").write_text(own)
        file = ("--file", str(afbr.home / "swanctl.conf"))
        swanctl = afbr.charon.swanctl
        clients += [
            lambda file=file, swanctl=swanctl: swanctl("--load-conns", *file),  # type: ignore[misc]
            lambda file=file, swanctl=swanctl: swanctl("--load-creds", "--clear", "--noprompt", *file),  # type: ignore[misc]
            lambda swanctl=swanctl: swanctl("--flush-certs"),  # type: ignore[misc]
        ]

    def terminate() -> None:
        for afbr in pair.afbrs.values():
            for number in re.findall(r"^softmesh-\S+: #(\d+)", afbr.charon.swanctl("--list-sas"), re.MULTILINE):
                afbr.charon.namespace.run(
                    *(program("swanctl"), "--terminate", "--ike-id", number, "--uri", f"unix://{afbr.charon.vici}"),
                    check=False,
                )

    for client in clients:
        client()
        terminate()
        eventually(up, within=40, what="the mesh is up again without a hand", every=0.2)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        for client in clients:
            client()
        terminate()
    eventually(up, within=40, what="the mesh is up once they leave off", every=0.2)
    for afbr in pair.afbrs.values():
        assert "theirs" in afbr.charon.swanctl("--list-conns")
        eventually(
            lambda afbr=afbr: afbr.softmesh("plan", "-c", str(afbr.configuration)).startswith("nothing to do"),  # type: ignore[misc]
            within=30, what="and there is nothing left to do",
        )  # fmt: skip
