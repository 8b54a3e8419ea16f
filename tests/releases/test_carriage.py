"""Attribute 23 through route reflectors that refuse it, or take it off.

FRR 10.3 resets a session at any attribute 23, always: it is the real case of a reflector that refuses it. BIRD is made
to take it off by a filter.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lab.authority import Authority
from lab.bird import Bird
from lab.eventually import eventually, holds
from lab.frr import Frr
from lab.mesh import SOFTMESH, Afbr, Direction, Mesh, meshed
from lab.namespace import has_ended
from lab.reflector import ReflectorMaker
from lab.release import release
from softmesh.bgp.route_refresh import MARKED_QUIET
from tests.lab.test_exabgp_support import exabgp42

__all__ = ["exabgp42"]

FRR_10_3 = partial(Frr, release=release("trixie"))
COLORED = {"tunnels": [{"type": "ipsec-tunnel-mode", "color": 7}]}


class FilteringBird(Bird):
    """BIRD, which takes attribute 23 off once it is told to."""

    strips = False

    def configure(self) -> None:
        """Write bird.conf."""
        super().configure()
        if self.strips:
            path = self.home / "bird.conf"
            text = path.read_text().replace("import all;", "import filter { unset(tunnels); accept; };")
            assert "unset" in text, text
            path.write_text(f"attribute bgp 0x17 bytestring tunnels;\n{text}")

    def strip(self) -> None:
        """Take attribute 23 off what the routers say from now on."""
        self.strips = True
        self.configure()
        answer = self.birdc("configure")
        assert "Reconfigur" in answer, answer
        self.birdc("reload", "in", "all")


def certified(reflector: ReflectorMaker, bgp: Mapping[str, Any] | None = None) -> Iterator[Mesh]:
    """Two routers that authenticate by certificates, announce a coloured tunnel, and no authenticator."""
    with Mesh(Direction.FOUR_OVER_SIX, 0, spare=2, reflectors=(reflector,)) as mesh:
        mesh.settings = {"trust": {"authorities": ["ca.pem"]}, "announce": COLORED, "bgp": bgp or {}}
        authority = Authority("the mesh")
        for number in (1, 2):
            afbr = mesh.add(number)
            afbr.settings["identity"]["certificate"] = "identity.crt"
            afbr.write_configuration()
            authority.write(afbr.home / "ca.pem")
            authority.certify_file(afbr.home / "identity.key", [afbr.endpoint], afbr.home / "identity.crt")
        mesh.start()
        yield mesh


@pytest.fixture
def refusing() -> Iterator[Mesh]:
    yield from certified(FRR_10_3)


@pytest.fixture
def refusing_4_2(exabgp42: tuple[str, ...]) -> Iterator[Mesh]:
    yield from certified(FRR_10_3, {"exabgp": str(Path(exabgp42[0]).with_name("exabgp"))})


@pytest.fixture
def filtering() -> Iterator[Mesh]:
    yield from certified(partial(FilteringBird, release=release("trixie")))


def neighbor(afbr: Afbr) -> dict[str, Any]:
    """What status says of the reflector."""
    rows = afbr.status().get("neighbors") or [{"state": "", "for": 0.0, "carriage": {}, "end_of_rib": []}]
    found: dict[str, Any] = rows[0]
    return found


def carriage(afbr: Afbr) -> dict[str, Any]:
    found: dict[str, Any] = neighbor(afbr)["carriage"]
    return found


def whole(afbr: Afbr, *, since: float = 0.0) -> bool:
    """Whether the session stands, and the reflector has said all: to a hook that was not there at ``since`` yet.

    The moment without a hook, or without a session, is over before a busy machine looks.
    """
    asked, status = time.monotonic(), neighbor(afbr)
    return status["state"] == "up" and len(status["end_of_rib"]) == 2 and status["for"] < asked - since


def told_again(frr: Frr) -> bool:
    """Whether FRR has our routes from sessions that stand: another end would take those it only keeps (RFC 4724)."""
    return "stale" not in frr.vtysh("show bgp ipv4 unicast json") and len(frr.prefixes()) == 2


def refusals(frr: Frr) -> int:
    """How many sessions FRR has reset at attribute 23, by its log, which does not tell of the NOTIFICATIONs."""
    return frr.process.log.read_text(errors="replace").count("Attribute ENCAP, parse error")


def descendants(pid: int) -> Iterator[tuple[int, bytes]]:
    """Process ids below a process, with their command lines."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield int(child), Path(f"/proc/{child}/cmdline").read_bytes()
        yield from descendants(int(child))


def kill(afbr: Afbr, program: bytes) -> float:
    """SIGKILL what the bridge has started; returns when it was gone, by CLOCK_MONOTONIC."""
    assert afbr.bridge is not None
    (pid,) = (pid for pid, command in descendants(afbr.bridge.pid) if program in command.split(b"\0"))
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: has_ended(pid), within=5, what=f"process {pid} has ended")
    return time.monotonic()


def spis(mesh: Mesh) -> list[dict[str, tuple[str, str]]]:
    return [afbr.spis() for afbr in mesh.afbrs.values()]


def test_a_reflector_that_resets_gets_the_community_until_told_otherwise(refusing: Mesh) -> None:
    mesh, first, frr = refusing, refusing.afbrs[1], refusing.reflector
    assert isinstance(frr, Frr)
    eventually(lambda: meshed(mesh.afbrs.values()), within=20, what="the softwire is up without attribute 23")
    eventually(lambda: all(map(whole, mesh.afbrs.values())), within=20, what="the sessions stand")
    told = carriage(first)
    assert (told["attribute"], told["seen"]) == ("left-out", "unknown")
    assert "NOTIFICATION 3/9" in told["reason"]
    assert f"neighbor {first.endpoint} path-attribute discard 23" in told["remedy"]
    assert f"softmesh announce --attribute {frr.address}" in told["remedy"]
    assert "attribute  left out: 2 sessions" in first.softmesh("status", "-c", str(first.configuration))
    before = spis(mesh)

    killed = kill(first, b"hook")
    # FRR marks the beginning of a refreshed family without routes, and no end.
    eventually(lambda: whole(first, since=killed), within=10 + MARKED_QUIET, what="the new hook knows all")
    assert carriage(first)["attribute"] == "left-out", "a new hook remembers"
    resets = refusals(frr)
    assert resets >= 2 * len(mesh.afbrs)
    killed = kill(first, b"exabgp")
    eventually(lambda: whole(first, since=killed), within=20, what="a new ExaBGP has its session")
    eventually(lambda: told_again(frr), within=20, what="FRR is told our routes on it")
    assert first.bridge is not None
    first.bridge.kill()
    killed = time.monotonic()
    first.start()
    eventually(lambda: whole(first, since=killed), within=20, what="a new bridge has its session")
    assert carriage(first)["attribute"] == "left-out", "all anew, and still remembered"
    eventually(lambda: spis(mesh) == before, within=10, what="the bridge sees what stands")
    eventually(lambda: told_again(frr), within=20, what="FRR is told our routes again")
    holds(lambda: spis(mesh) == before, during=2, what="no SPI changes")
    assert resets == refusals(frr), "no session was tried with it"

    first.softmesh("announce", "-c", str(first.configuration), "--attribute", frr.address)
    eventually(lambda: refusals(frr) >= resets + 2, within=10, what="it is tried, and FRR resets the sessions")
    eventually(
        lambda: whole(first) and carriage(first)["attribute"] == "left-out", within=20, what="it is left out again"
    )
    # What comes after the withdrawal tells that it has been dealt with.
    first.add_site(1)
    first.settings["announce"]["prefixes"].append(mesh.plan.island(1, 1))
    first.reload()
    eventually(lambda: all(len(each) == 2 for each in spis(mesh)), within=20, what="what FRR had withdrawn is up again")
    before = spis(mesh)
    holds(lambda: whole(first) and spis(mesh) == before, during=2, what="the session stays, and all softwires")
    of_another = first.namespace.run(
        *SOFTMESH, "announce", "-c", str(first.configuration), "--attribute", "192.0.2.1", check=False
    )
    assert "192.0.2.1 is not known to refuse attribute 23" in of_another.stderr

    frr.discard = True
    frr.configure()
    frr.stop()
    stopped = time.monotonic()
    frr.start()
    eventually(
        lambda: all(whole(afbr, since=stopped) for afbr in mesh.afbrs.values()),
        within=30, what="the remedied FRR has its sessions",
    )  # fmt: skip
    for afbr in mesh.afbrs.values():
        afbr.softmesh("announce", "-c", str(afbr.configuration), "--attribute", frr.address)
    eventually(
        lambda: all(
            (carriage(afbr)["attribute"], carriage(afbr)["seen"]) == ("announced", "stripped")
            for afbr in mesh.afbrs.values()
        ),
        within=20, what="it gets attribute 23, and is seen to take it off",
    )  # fmt: skip
    holds(
        lambda: all(map(whole, mesh.afbrs.values())) and spis(mesh) == before,
        during=3, what="the sessions stay, and the community carries on",
    )  # fmt: skip


def test_exabgp_4_2_reports_it_well_enough(refusing_4_2: Mesh) -> None:
    mesh = refusing_4_2
    eventually(lambda: meshed(mesh.afbrs.values()), within=30, what="the softwire is up without attribute 23")
    eventually(lambda: all(map(whole, mesh.afbrs.values())), within=20, what="the sessions stand")
    for afbr in mesh.afbrs.values():
        assert carriage(afbr)["attribute"] == "left-out"
        assert "NOTIFICATION 3/9" in carriage(afbr)["reason"]
    holds(lambda: all(map(whole, mesh.afbrs.values())), during=2, what="the sessions stay")


def test_a_softwire_moves_when_its_attribute_is_taken_off(filtering: Mesh) -> None:
    mesh, bird = filtering, filtering.reflector
    assert isinstance(bird, FilteringBird)
    eventually(lambda: meshed(mesh.afbrs.values()), within=20, what="the softwire is up")
    first, second = mesh.afbrs.values()
    eventually(lambda: carriage(first)["seen"] == "intact", within=5, what="what BIRD hands on is as it was sent")
    assert {row["color"] for row in first.status()["softwires"]} == {7}, "the community beside it makes no other"

    bird.strip()
    eventually(lambda: carriage(first)["seen"] == "stripped", within=10, what="it is seen to be taken off")
    holds(lambda: second.endpoint in first.up(), during=3, what="some softwire is up all the time", every=0.05)
    assert {row["color"] for row in first.status()["softwires"]} == {None}
    told = carriage(first)
    assert "taken off 1 of 1 routes on the way, such as 10.2.0.0/24" in told["reason"]


def test_pinned_routers_refuse_what_is_left() -> None:
    """Where an authenticator is required, the community is never enough, and the reason names who took it."""
    bird = partial(FilteringBird, release=release("trixie"))
    with Mesh(Direction.FOUR_OVER_SIX, 2, reflectors=(bird,)) as mesh:
        mesh.start()
        eventually(lambda: meshed(mesh.afbrs.values()), within=20, what="the softwire is up")
        first, second = mesh.afbrs.values()
        reflector = mesh.reflector
        assert isinstance(reflector, FilteringBird)

        reflector.strip()
        eventually(
            lambda: first.wires()[second.endpoint]["state"] == "refused", within=10, what="nothing is left of it"
        )
        why = first.softmesh("explain", "-c", str(first.configuration), "10.2.0.0/24")
        assert f"had attribute 23 when it was sent: {reflector.address} stripped it" in why
