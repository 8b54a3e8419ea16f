"""What is to be shown of a softwire, whatever its type: it carries traffic, all of it protected, and never leaks.

Between two routers of a mesh, on any kernel that has IPsec. What was shown is collected, for docs/shown.md.
"""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from lab.capture import ESP, PLAINTEXT, Capture
from lab.eventually import eventually, holds
from lab.mesh import Afbr, Mesh
from lab.namespace import LAB, program

AH = "proto 51"
PINGS = 5
SHOWN = LAB / "shown.jsonl"
MARK = "shown: "
"""What a line of the log begins with that says what was shown."""


@dataclass(frozen=True, slots=True)
class Case:
    """A softwire of one kind between two routers."""

    tunnel: str
    """As mesh.yaml spells it."""
    core: str
    """Its family."""
    plane: str
    """What leads into it."""
    level: str
    faults: bool = False
    """Whether it is also rekeyed under traffic, and taken down in every way."""

    @property
    def protocol(self) -> str:
        """The IPsec protocol that must be on the wire, as a capture filter."""
        return AH if self.level == "ah" else ESP

    def __str__(self) -> str:
        return f"{self.tunnel}-{self.core}-{self.level}"


def shown(case: Case, what: str, **figures: Any) -> None:
    """Keep what was seen, for the table."""
    emulator = "qemu" if os.environ.get("SOFTMESH_MACHINE") == "1" else "user-mode-linux"
    kernel = f"Linux {os.uname().release}, {emulator}"
    with SHOWN.open("a") as collected:
        collected.write(json.dumps({**asdict(case), "kernel": kernel, "what": what, **figures}) + "\n")


def reload(mesh: Mesh, settle: Callable[[Afbr], None]) -> None:
    """Change every router's mesh.yaml with ``settle`` and have it taken over."""
    for afbr in mesh.afbrs.values():
        settle(afbr)
        afbr.reload()


def carries(mesh: Mesh, case: Case) -> None:
    """Ping between the first two islands, both ways: all of it is IPsec on the wire, and the SAs count it."""
    left, right = list(mesh.afbrs.values())[:2]
    plan = mesh.plan
    capture = Capture(mesh.core, "br0", f"carries-{case}")
    before = packets(left, right), packets(right, left)
    for family in plan.families:
        for source, destination in ((left, right), (right, left)):
            host = plan.host(destination.number, 10, family=family)
            assert source.island.ping(host, count=PINGS, within=5)
    # Request and reply of each, once across the core.
    expected = 2 * 2 * PINGS * len(plan.families)
    eventually(
        lambda: capture.count(case.protocol) >= expected,
        within=10, what=f"{expected} packets captured by {case.protocol}", every=0.2,
    )  # fmt: skip
    capture.stop()
    assert capture.count(PLAINTEXT) == 0
    for afbr, other, was in ((left, right, before[0]), (right, left, before[1])):
        eventually(
            lambda afbr=afbr, other=other, was=was: counted(packets(afbr, other), was, expected),  # type: ignore[misc]
            within=15, what=f"the SAs of {afbr.namespace.name} count {expected} packets", every=0.2,
        )  # fmt: skip
    shown(case, "traffic", packets=expected, plaintext=0)


def packets(afbr: Afbr, other: Afbr) -> list[int]:
    """Packets that each SA pair of a softwire has carried in both directions."""
    wire = afbr.up().get(other.endpoint, {"children": []})
    return [child["packets_in"] + child["packets_out"] for child in wire["children"]]


def counted(now: list[int], before: list[int], expected: int) -> bool:
    """Whether SAs have carried that many packets more, all of them an equal share: each its own family."""
    if len(now) != len(before):
        return False
    return all(new - old >= expected // len(now) for new, old in zip(sorted(now), sorted(before), strict=True))


class Pinger:
    """Pings from one island to another until it is stopped, and knows when answers come and when they do not."""

    def __init__(
        self, mesh: Mesh, source: Afbr, destination: Afbr, *, interval: float = 0.05, host: str | None = None
    ) -> None:
        """Begin; ``interval`` in seconds. ``host``: another than the island's first."""
        self._log = LAB / source.island.name / "ping.out"
        # Before it begins: what was answered until then would count as lost.
        self._log.unlink(missing_ok=True)
        self._process = source.island.start(
            *(program("ping"), "-n", "-i", f"{interval:g}", host or mesh.plan.host(destination.number, 10)),
            log=f"{source.island.name}/{self._log.name}",
        )

    @property
    def answered(self) -> int:
        """Echo replies so far."""
        return self._log.read_bytes().count(b"bytes from")

    @property
    def unanswered(self) -> list[int]:
        """The numbers of the requests that were lost: not answered, while later ones were."""
        answered = [int(number) for number in re.findall(rb"bytes from .*icmp_seq=(\d+)", self._log.read_bytes())]
        return sorted({*range(1, max(answered, default=0))} - {*answered})

    def goes_on(self, *, within: float = 20.0) -> None:
        """Wait for more answers."""
        before = self.answered
        eventually(lambda: self.answered > before + 2, within=within, what="pings are answered", every=0.1)

    def stops(self, *, within: float = 20.0) -> None:
        """Wait until no answer comes for a second."""
        seen = -1

        def silent() -> bool:
            nonlocal seen
            was, seen = seen, self.answered
            return was == seen

        eventually(silent, within=within, what="pings are answered no more", every=1.0)

    def stop(self) -> tuple[int, int]:
        """End it; requests and replies by its own account."""
        self._process.signal(signal.SIGINT)
        found = eventually(
            lambda: re.search(rb"(\d+) packets transmitted, (\d+) received", self._log.read_bytes()),
            within=10, what="ping's account",
        )  # fmt: skip
        assert found is not None
        return int(found[1]), int(found[2])


@contextmanager
def blocked_ike(mesh: Mesh) -> Iterator[None]:
    """No IKE crosses the core."""
    rules = (
        "add table bridge lab; add chain bridge lab f { type filter hook forward priority 0; }; "
        "add rule bridge lab f udp dport { 500, 4500 } drop"
    )
    mesh.core.run(program("nft"), rules)
    try:
        yield
    finally:
        mesh.core.run(program("nft"), "delete table bridge lab")


def never_leaks(
    mesh: Mesh, case: Case, *, gone: Callable[[], None], back: Callable[[], None], up: Callable[[], bool]
) -> None:
    """Under traffic: charon killed, charon stopped, IKE blocked, the softwire withdrawn; nothing leaves in the clear.

    ``gone`` withdraws the softwire, ``back`` brings it back; ``up`` says whether it is up at every router.
    """
    left, right = list(mesh.afbrs.values())[:2]
    capture = Capture(mesh.core, "br0", f"faults-{case}")
    pinger = Pinger(mesh, left, right)
    other = Pinger(mesh, right, left)

    def recovers() -> None:
        eventually(up, within=30, what="the softwire is up again", every=0.5)
        pinger.goes_on()
        other.goes_on()

    recovers()
    right.charon.kill()
    right.charon.start()
    recovers()
    right.charon.stop()
    pinger.stops()
    right.charon.start()
    recovers()
    with blocked_ike(mesh):
        right.charon.restart()
        pinger.stops()
        eventually(lambda: left.endpoint not in right.up(), within=20, what="the bridge has seen it go", every=0.2)
        holds(lambda: left.endpoint not in right.up(), during=2.0, what="nothing comes up without IKE")
    recovers()
    gone()
    pinger.stops()
    back()
    recovers()
    sent = sum(pinger.stop()[0] for pinger in (pinger, other))
    capture.stop()
    plaintext = capture.count(PLAINTEXT)
    assert plaintext == 0, f"{plaintext} packets in the clear: {capture.packets(PLAINTEXT)}"
    assert capture.count(case.protocol) > 0
    shown(case, "faults", pings=sent, plaintext=plaintext, protected=capture.count(case.protocol))


def rekeys(mesh: Mesh, case: Case, *, times: int = 3) -> None:
    """IKE and CHILD SA are rekeyed under traffic, again and again; what is lost is counted."""
    left, right = list(mesh.afbrs.values())[:2]
    capture = Capture(mesh.core, "br0", f"rekey-{case}")
    for what in ("child", "ike"):
        pinger = Pinger(mesh, left, right, interval=0.01)
        pinger.goes_on()
        for _ in range(times):
            before = spis(left, right, what)
            name = left.up()[right.endpoint]["children"][0]["name"] if what == "child" else connection(left, right)
            left.charon.swanctl("--rekey", f"--{what}", name)
            eventually(
                lambda before=before, what=what: spis(left, right, what) != before,  # type: ignore[misc]
                within=30, what=f"the {what} SA has new SPIs", every=0.2,
            )  # fmt: skip
            pinger.goes_on()
        sent, _ = pinger.stop()
        lost = pinger.unanswered
        shown(case, f"rekey {what}", times=times, pings=sent, lost=len(lost))
        assert len(lost) <= 1, f"of {sent} were lost {lost}"
    capture.stop()
    assert capture.count(PLAINTEXT) == 0


def connection(afbr: Afbr, other: Afbr) -> str:
    """The name of the connection of an established IKE_SA with a router."""
    found = re.search(rf"^(softmesh-{re.escape(other.endpoint)}-\S+): #\d+, ESTABLISHED", sas(afbr), re.MULTILINE)
    assert found is not None, sas(afbr)
    return found[1]


def spis(afbr: Afbr, other: Afbr, what: str) -> frozenset[str]:
    """The SPIs of the CHILD SAs with a router, or of the IKE_SA."""
    if what == "child":
        return frozenset(child["spi_in"] for child in afbr.up()[other.endpoint]["children"])
    return frozenset(re.findall(r"ESTABLISHED, IKEv2, (\S+)", sas(afbr)))


def sas(afbr: Afbr) -> str:
    """What charon itself lists."""
    return afbr.charon.swanctl("--list-sas")
