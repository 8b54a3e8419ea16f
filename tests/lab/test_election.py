"""Who initiates, under stress: never two CHILD SAs for longer than a bound, and none of what stands is lost.

Both charons are looked at past the bridge twenty times a second (lab/watcher.py), from before the first start on.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from lab.authority import Authority
from lab.eventually import PATIENCE, eventually, holds
from lab.fault import exabgp_pid, hook_pid
from lab.firewall import load
from lab.mesh import SOFTMESH, Afbr, Direction, Mesh, meshed
from lab.namespace import program
from lab.proof import blocked_ike
from lab.watcher import Watcher
from softmesh.control.progress import Pace

PACE = Pace()
DUPLICATE = PACE.surplus_grace + 1.0
"""Seconds for which two CHILD SAs may stand for the same traffic: the elected end leaves them alone for
``surplus_grace``, and has another second to notice them and to delete one. docs/failure.md tells operators so."""
TAKEOVER = 1.5 * PACE.takeover
"""Seconds after which the other end initiates at the latest."""
UP = 40.0
QUIET = 3.0
"""Seconds to watch what is up."""


@contextmanager
def watched(size: int = 2, **options: Any) -> Iterator[tuple[Mesh, Watcher]]:
    """A mesh that is not started yet, watched; in the end the bounds are seen to have held."""
    with Mesh(Direction.FOUR_OVER_SIX, size, **options) as mesh:
        with Watcher(*list(mesh.afbrs.values())[:2]) as watcher:
            yield mesh, watcher
        print(watcher)
        assert watcher.looks > 20, "it has looked at all"
        assert watcher.duplicate <= DUPLICATE * PATIENCE, watcher


def converges(mesh: Mesh, *, within: float = UP) -> None:
    """Wait until all is up, nobody tries any more, and duplicates are gone; then it stays so, SPI for SPI."""
    eventually(lambda: meshed(mesh.afbrs.values()), within=within, what="all is up", every=0.2)
    others = len(mesh.afbrs) - 1
    eventually(
        lambda: all(len(established(afbr)) == others and not trying(afbr) for afbr in mesh.afbrs.values()),
        within=UP, what="one CHILD SA for each peer, and no attempt under way", every=0.2,
    )  # fmt: skip
    settled = {number: established(afbr) for number, afbr in mesh.afbrs.items()}
    holds(
        lambda: {number: established(afbr) for number, afbr in mesh.afbrs.items()} == settled,
        during=QUIET, what="nothing flaps", every=0.5,
    )  # fmt: skip
    assert meshed(mesh.afbrs.values())


def established(afbr: Afbr) -> list[str]:
    """charon's own account of its CHILD SAs: name and number of each."""
    return re.findall(r"^ +(\S+: #\d+), reqid \d+, INSTALLED", afbr.charon.swanctl("--list-sas"), re.MULTILINE)


def trying(afbr: Afbr) -> bool:
    """Whether charon has an exchange of its own under way, or to come."""
    listed = afbr.charon.swanctl("--list-sas")
    return any(word in listed for word in ("CONNECTING", "active:", "queued:"))


def test_both_start_at_the_same_instant() -> None:
    with watched() as (mesh, watcher):
        mesh.start()
        converges(mesh)
    assert watcher.hole == 0


def test_initiations_that_cross() -> None:
    """Both ends have tried while nothing got through: the first by election, the second by takeover."""
    with watched() as (mesh, watcher):
        with blocked_ike(mesh):
            mesh.start()
            eventually(
                lambda: all(trying(afbr) for afbr in mesh.afbrs.values()),
                within=TAKEOVER + 15, what="both are trying", every=0.02,
            )  # fmt: skip
        converges(mesh)
    assert watcher.hole == 0


def test_the_elected_charon_wakes_when_the_other_has_taken_over() -> None:
    with watched() as (mesh, watcher):
        frozen, other = mesh.afbrs.values()
        frozen.charon.freeze()
        mesh.start()
        eventually(lambda: trying(other), within=TAKEOVER + 15, what="the other end tries", every=0.02)
        frozen.charon.thaw()
        converges(mesh)
    assert watcher.hole == 0


@pytest.mark.parametrize("late", [1, 2], ids=["the elected", "the other"])
def test_one_is_late(late: int) -> None:
    with watched() as (mesh, watcher):
        early = mesh.afbrs[3 - late]
        early.start()
        eventually(lambda: early.status().get("endpoint"), within=20, what="it runs")
        holds(lambda: not early.up(), during=10, what="there is nobody", every=0.5)
        mesh.start()
        converges(mesh)
    assert watcher.hole == 0


@pytest.mark.parametrize("rebooted", [1, 2], ids=["the elected", "the other"])
def test_one_is_rebooted_and_remembers_nothing(rebooted: int) -> None:
    with watched() as (mesh, watcher):
        mesh.start()
        converges(mesh)
        assert watcher.hole == 0
        afbr = mesh.afbrs[rebooted]
        assert afbr.bridge is not None
        afbr.bridge.kill()
        afbr.charon.kill()
        # These go when they notice, and clean up.
        eventually(lambda: not exabgp_pid(afbr) and not hook_pid(afbr), within=10, what="its ExaBGP has ended")
        shutil.rmtree(afbr.home / "run")
        assert established(mesh.afbrs[3 - rebooted]), "its peer holds what it had"
        afbr.charon.start()
        afbr.start()
        eventually(afbr.up, within=UP, what="the rebooted is up again", every=0.2)
        converges(mesh)
    # It knows nothing before its BGP session is back; if it is not elected, its peer believes that all is up.
    assert watcher.hole <= (TAKEOVER + 15) * PATIENCE


@pytest.mark.parametrize("behind", [1, 2], ids=["the elected", "the other"])
def test_a_firewall_that_lets_one_end_initiate_only(behind: int) -> None:
    """Of what the one sends only answers get through, as a stateful firewall has it."""
    with watched() as (mesh, watcher):
        unheard, other = mesh.afbrs[behind], mesh.afbrs[3 - behind]
        unsolicited(other, unheard.endpoint)
        mesh.start()
        converges(mesh)
    assert watcher.hole == 0


def unsolicited(afbr: Afbr, source: str) -> None:
    """Drop IKE from an address to a router, but for answers."""
    load(
        afbr.namespace,
        "table inet lab {\n chain input {\n  type filter hook input priority 0;\n"
        f"  ip6 saddr {source} udp dport {{ 500, 4500 }} ct state new drop\n }}\n}}\n",
    )


def translate(afbr: Afbr, how: str) -> None:
    """Translate the source of the router's IKE on its way out."""
    load(
        afbr.namespace,
        "table ip6 lab {\n chain postrouting {\n  type nat hook postrouting priority 100;\n"
        f"  oifname core0 udp sport {{ 500, 4500 }} {how}\n }}\n}}\n",
    )


@pytest.mark.parametrize("behind", [1, 2], ids=["the elected", "the other"])
def test_a_nat_that_changes_ports(behind: int) -> None:
    with watched() as (mesh, watcher):
        translate(mesh.afbrs[behind], "masquerade to :20000-30000")
        mesh.start()
        converges(mesh)
        hidden = mesh.afbrs[behind].endpoint
        if behind == 1:
            ike = mesh.afbrs[2].charon.swanctl("--list-sas")
            assert f"@ {hidden}[4500]" not in ike
            assert f"@ {hidden}[2" in ike, "the peer answers where it was asked from"
        left, right = mesh.afbrs.values()
        assert left.island.ping(mesh.plan.host(right.number, 10), count=3, within=5)
    assert watcher.hole == 0


def test_a_nat_that_changes_addresses_keeps_them_apart() -> None:
    """To the peer it is somebody it was never told of: no SA, a reason at both ends, and no heap of attempts."""
    with watched() as (mesh, watcher):
        hidden, other = mesh.afbrs.values()
        outside = mesh.plan.endpoint(0x99)
        hidden.namespace.address("core0", f"{outside}/128")
        translate(hidden, f"snat to [{outside}]:20000-30000")
        unsolicited(hidden, other.endpoint)
        mesh.start()
        refused = "the peer answered NO_PROPOSAL_CHOSEN: it has no connection for us"
        for afbr, peer, reason in ((hidden, other, refused), (other, hidden, "the peer does not answer")):
            eventually(
                lambda afbr=afbr, peer=peer, reason=reason: (  # type: ignore[misc]
                    reason in afbr.wires().get(peer.endpoint, {}).get("reason", "")
                ),
                within=UP, what=f"{afbr.namespace.name} says: {reason}", every=0.5,
            )  # fmt: skip
        holds(lambda: not hidden.up() and not other.up(), during=30, what="nothing comes up", every=0.5)
        assert not established(hidden)
        assert not established(other)
    assert watcher.most <= 2, "an attempt of either end"


def test_monotonic_clocks_a_long_time_apart() -> None:
    """As after one machine has run for weeks and the other was just booted."""
    weeks = [program("unshare"), "--time", "--monotonic", "2000000", "--boottime", "2000000", "--fork", "--kill-child"]
    with watched() as (mesh, watcher):
        old, _ = mesh.afbrs.values()
        old.charon.stop()
        old.charon.start(*weeks)
        old.bridge = old.namespace.start(
            *weeks, *SOFTMESH, "run", "-c", str(old.configuration), log=f"{old.namespace.name}/softmesh.log"
        )
        mesh.start()
        converges(mesh)
    assert watcher.hole == 0


def test_a_clock_outside_the_certificates_validity() -> None:
    """To a clock that is too far on, a valid certificate has expired, as this one has; then the clock is put right."""
    authority = Authority("the mesh")
    settings = {"trust": {"authorities": ["ca.pem"]}, "identity": {"certificate": "identity.crt"}}
    with watched(settings=settings) as (mesh, watcher):
        early, other = mesh.afbrs.values()
        for afbr in (early, other):
            authority.write(afbr.home / "ca.pem")
            authority.certify_file(
                afbr.home / "identity.key", [afbr.endpoint], afbr.home / "identity.crt", expired=afbr is early
            )
        mesh.start()
        eventually(
            lambda: "certificate is not valid at this time" in other.wires().get(early.endpoint, {}).get("reason", ""),
            within=UP, what="the peer says that the certificate is not valid", every=0.2,
        )  # fmt: skip
        assert not established(early)
        assert not established(other)
        authority.certify_file(early.home / "identity.key", [early.endpoint], early.home / "identity.crt")
        early.reload()
        converges(mesh, within=90)
    assert watcher.hole == 0


@pytest.mark.parametrize("what", ["child", "ike"])
def test_rekeying_at_both_ends_at_once(what: str) -> None:
    """RFC 7296 §2.8.1 has one of the two new SAs closed."""
    with watched() as (mesh, watcher):
        mesh.start()
        converges(mesh)
        for _ in range(30):
            before = [spis(afbr, what) for afbr in mesh.afbrs.values()]
            # Neither hears of the other's before its own is under way.
            with blocked_ike(mesh):
                together(*(rekeying(afbr, what) for afbr in mesh.afbrs.values()))
                eventually(lambda: all(trying(afbr) for afbr in mesh.afbrs.values()), within=10, what="both are at it")
            eventually(
                lambda before=before: [spis(afbr, what) for afbr in mesh.afbrs.values()] != before,  # type: ignore[misc]
                within=20, what="it is rekeyed", every=0.1,
            )  # fmt: skip
            eventually(
                lambda: not any(trying(afbr) for afbr in mesh.afbrs.values()), within=20, what="and that is over"
            )
            if collisions(mesh) >= 3:
                break
        assert collisions(mesh) >= 3, "they were at it at once"
        converges(mesh)
    assert watcher.hole == 0


def collisions(mesh: Mesh) -> int:
    """How often the charons say that both were at it."""
    return sum(afbr.charon.process.log.read_text().count("collision") for afbr in mesh.afbrs.values())


def spis(afbr: Afbr, what: str) -> set[str]:
    """The SPIs of the router's CHILD SAs, or of its IKE_SAs."""
    if what == "child":
        return {spi for pair in afbr.spis().values() for spi in pair}
    return set(re.findall(r"ESTABLISHED, IKEv2, (\S+)", afbr.charon.swanctl("--list-sas")))


def rekeying(afbr: Afbr, what: str) -> list[str]:
    """The command that rekeys the router's softwire."""
    listed = afbr.charon.swanctl("--list-sas")
    (name,) = re.findall(r"^ +(\S+): #\d+, reqid" if what == "child" else r"^(softmesh-\S+): #", listed, re.MULTILINE)[
        -1:
    ]
    return [program("swanctl"), "--rekey", f"--{what}", name, "--uri", f"unix://{afbr.charon.vici}"]


def together(*commands: list[str]) -> None:
    """Run commands at the same time; one may find that the other was there first."""
    running = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for command in commands]
    for process in running:
        process.wait(30 * PATIENCE)
