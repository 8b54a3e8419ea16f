"""What each route reflector of Debian 12, 13 and testing does to attribute 23, and what becomes of a mesh then."""

from __future__ import annotations

import enum
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import pytest

from lab.authority import Authority
from lab.bird import Bird
from lab.eventually import eventually, holds
from lab.fault import hook_pid
from lab.flooder import Flooder, offer
from lab.frr import Frr
from lab.gobgp import GoBgp
from lab.mesh import MIXED, Direction, Mesh, meshed
from lab.openbgpd import OpenBgpd
from lab.reflector import Reflector
from lab.reflector_table import TABLE
from lab.release import RELEASES, release
from softmesh.bgp.announcement import Announcement, announce_command
from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.extended_communities import ColorCommunity, EncapsulationCommunity

UP = 20.0
"""Seconds within which a mesh of two must stand."""
STEADY = 2.0
"""Seconds for which what stands must go on standing."""


class Fate(enum.StrEnum):
    """What a reflector makes of a route with an attribute 23."""

    INTACT = "intact"
    """The other clients have it, octet by octet."""
    REWRITTEN = "rewritten"
    STRIPPED = "stripped"
    """The other clients have the route without it."""
    WITHDRAWN = "withdrawn"
    """The other clients do not have the route."""
    RESET = "reset"
    """The session with who sent it is reset."""


@dataclass(frozen=True, slots=True)
class Habits:
    """What is made of attributes 23."""

    ours: Fate
    malformed: Fate
    unknown: Fate
    """One with a sub-TLV of a type from 128 on that nobody knows."""


HABITS: dict[tuple[type[Bird | Frr | GoBgp | OpenBgpd], str], Habits] = {
    (Bird, "bookworm"): Habits(Fate.INTACT, Fate.INTACT, Fate.INTACT),
    (Bird, "trixie"): Habits(Fate.INTACT, Fate.INTACT, Fate.INTACT),
    (Bird, "forky"): Habits(Fate.INTACT, Fate.INTACT, Fate.INTACT),
    (OpenBgpd, "bookworm"): Habits(Fate.INTACT, Fate.INTACT, Fate.INTACT),
    (OpenBgpd, "trixie"): Habits(Fate.INTACT, Fate.INTACT, Fate.INTACT),
    (OpenBgpd, "forky"): Habits(Fate.INTACT, Fate.INTACT, Fate.INTACT),
    (GoBgp, "bookworm"): Habits(Fate.INTACT, Fate.STRIPPED, Fate.INTACT),
    (GoBgp, "trixie"): Habits(Fate.INTACT, Fate.STRIPPED, Fate.INTACT),
    (GoBgp, "forky"): Habits(Fate.INTACT, Fate.STRIPPED, Fate.INTACT),
    (Frr, "bookworm"): Habits(Fate.STRIPPED, Fate.RESET, Fate.RESET),
    (Frr, "trixie"): Habits(Fate.RESET, Fate.RESET, Fate.RESET),
    (Frr, "forky"): Habits(Fate.STRIPPED, Fate.WITHDRAWN, Fate.STRIPPED),
}

HEADINGS = {Bird: "BIRD", OpenBgpd: "OpenBGPD", GoBgp: "GoBGP", Frr: "FRR"}


@dataclass(frozen=True, slots=True)
class Case:
    """A route reflector of a release, and a core."""

    kind: type[Bird | Frr | GoBgp | OpenBgpd]
    release: str
    direction: Direction

    @property
    def habits(self) -> Habits:
        return HABITS[self.kind, self.release]

    @property
    def signed(self) -> bool:
        """Whether it can do TCP-MD5; Debian 12's OpenBGPD is built without, and does not say so."""
        return (self.kind, self.release) != (OpenBgpd, "bookworm")

    @property
    def column(self) -> str:
        """What the table calls the direction."""
        return f"IPv{self.direction.island} over IPv{self.direction.core}"

    @property
    def strange(self) -> bool:
        """Whether strangers are let at it: one core is enough for a reflector."""
        return self.direction is (Direction.FOUR_OVER_SIX if self.signed else Direction.SIX_OVER_FOUR)

    def __str__(self) -> str:
        return f"{self.kind.__name__}-{self.release}-{self.direction.value}"


CASES = [Case(kind, name, direction) for kind, name in HABITS for direction in MIXED]
# OpenBGPD 7.7 has no RFC 8950.
WITHOUT_EXTENDED_NEXT_HOP = Case(OpenBgpd, "bookworm", Direction.FOUR_OVER_SIX)
PASSING = [case for case in CASES if case.habits.ours is Fate.INTACT and case != WITHOUT_EXTENDED_NEXT_HOP]


@contextmanager
def mesh_of(case: Case) -> Iterator[Mesh]:
    """Two routers at the reflector, with certificates that count once ``certify`` is called; not started."""
    maker = partial(case.kind, release=release(case.release))
    with Mesh(case.direction, 2, spare=2, reflectors=[maker], signed=case.signed) as mesh:
        if case.direction is Direction.FOUR_OVER_SIX and case.signed:
            is_documented(case, mesh.reflector)
        if not case.signed:
            for afbr in mesh.afbrs.values():
                afbr.settings["bgp"]["neighbors"] = [{"address": mesh.reflector.address, "protection": "none"}]
                afbr.write_configuration()
        yield mesh


def certify(mesh: Mesh, **announce: Any) -> None:
    """Have the routers trust an authority and announce no keys; ``announce``: further settings of that section."""
    authority = Authority("the mesh")
    for afbr in mesh.afbrs.values():
        authority.write(afbr.home / "ca.pem")
        authority.certify_file(afbr.home / "identity.key", [afbr.endpoint], afbr.home / "identity.crt")
        afbr.settings["trust"] = {"authorities": ["ca.pem"]}
        afbr.settings["identity"]["certificate"] = "identity.crt"
        afbr.settings["announce"].update(announce)
        afbr.write_configuration()


def sessions(mesh: Mesh, reflector: Reflector) -> list[dict[str, Any]]:
    """What each router's status says of a reflector."""
    nothing = {"address": reflector.address, "state": "", "for": 0.0, "carriage": {"attribute": "", "seen": ""}}
    rows = [afbr.status().get("neighbors") or [nothing] for afbr in mesh.afbrs.values()]
    return [row for each in rows for row in each if row["address"] == reflector.address]


def age(mesh: Mesh, reflector: Reflector | None = None) -> float:
    """Seconds for which all sessions with a reflector have been up; the first where none is named."""
    rows = sessions(mesh, reflector or mesh.reflector)
    return min(row["for"] if row["state"] == "up" else 0.0 for row in rows)


def carried(mesh: Mesh) -> set[tuple[str, str]]:
    """Whether the reflector gets attribute 23, and what is seen of it."""
    found = [row["carriage"] for row in sessions(mesh, mesh.reflector)]
    return {(each["attribute"], each["seen"]) for each in found}


def spis(mesh: Mesh) -> list[dict[str, tuple[str, str]]]:
    return [afbr.spis() for afbr in mesh.afbrs.values()]


def stands(mesh: Mesh) -> None:
    """Every softwire comes up, and islands reach each other."""
    eventually(lambda: meshed(mesh.afbrs.values()), within=UP, what="every softwire is up")
    for here, there in ((1, 2), (2, 1)):
        reaches(mesh, here, there)


def reaches(mesh: Mesh, here: int, there: int) -> None:
    """Packets go from one island to the other; charon, whose ESP is in user space, may stand still for a while."""
    island, host = mesh.afbrs[here].island, mesh.plan.host(there, 10)
    eventually(lambda: island.ping(host, count=3), within=10, what=f"island {here} reaches island {there}")


class Strangers:
    """Two more clients of the reflector: one says what it likes, the other listens."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._speaker = Flooder(mesh, 3)
        self._listener = Flooder(mesh, 4)

    def close(self) -> None:
        self._speaker.close()
        self._listener.close()

    def heard(self, prefix: str) -> dict[str, Any] | None:
        """The path attributes that the listener has of a prefix; None where it does not have it."""
        held = None
        for line in self._listener.heard():
            update = line.get("neighbor", {}).get("message", {}).get("update", {})
            for routes in update.get("withdraw", {}).values():
                held = None if any(route["nlri"] == prefix for route in routes) else held
            for next_hops in update.get("announce", {}).values():
                if any(route["nlri"] == prefix for routes in next_hops.values() for route in routes):
                    held = update.get("attribute", {})
        return held

    def send(self, attribute: bytes) -> Fate:
        """Have the speaker announce a prefix with this attribute; what becomes of it."""
        prefix, after = (self._mesh.plan.island(3, site) for site in (1, 2))
        eventually(lambda: self._speaker.session_up, within=30, what="the speaker's session is up")
        before = self._ends()
        self._speaker.announce([(prefix, attribute)])
        # What comes after it tells that it has been dealt with.
        self._speaker.announce([(after, None)])
        eventually(lambda: self.heard(after) is not None or self._ends() > before, within=10, what="it is dealt with")
        fate = Fate.RESET if self._ends() > before else self._fate(prefix, attribute)
        self._speaker.withdraw(prefix, after)
        eventually(lambda: self.heard(prefix) is self.heard(after) is None, within=10, what="all is taken back")
        return fate

    def _ends(self) -> int:
        """How often the speaker's session has ended: it is back within milliseconds."""
        states = [line["neighbor"]["state"] for line in self._speaker.heard() if line.get("type") == "state"]
        return states.count("down")

    def hands_on(self, *communities: int) -> bool:
        """Whether the listener gets these extended communities of the speaker's as they are."""
        prefix = self._mesh.plan.island(3, 3)
        self._speaker.tell([announce_command(Announcement(prefix, self._speaker.endpoint, None, communities))])
        held = eventually(lambda: self.heard(prefix), within=10, what="the prefix is heard of") or {}
        return {community["value"] for community in held["extended-community"]} == set(communities)

    def _fate(self, prefix: str, attribute: bytes) -> Fate:
        held = self.heard(prefix)
        if held is None:
            return Fate.WITHDRAWN
        seen = next((value for name, value in held.items() if name.lower().startswith("attribute-0x17")), None)
        if seen is None:
            return Fate.STRIPPED
        return Fate.INTACT if seen == f"0x{attribute.hex()}" else Fate.REWRITTEN


def suffers_strangers(mesh: Mesh, habits: Habits) -> None:
    """Whatever another client's attribute 23 is like, our sessions and softwires stay as they are."""
    tunnel = offer(mesh.plan.endpoint(3))
    unknown = bytes([200, 0, 3]) + b"any"
    longer = (len(tunnel) - 4 + len(unknown)).to_bytes(2)
    before, since = spis(mesh), age(mesh)
    assert since > 0
    with closing(Strangers(mesh)) as strangers:
        assert strangers.hands_on(int(EncapsulationCommunity(TunnelType.IPSEC_TUNNEL)), int(ColorCommunity(7)))
        seen = Habits(
            strangers.send(tunnel),
            strangers.send(tunnel[:-5]),
            strangers.send(tunnel[:2] + longer + tunnel[4:] + unknown),
        )
    assert seen == habits
    assert spis(mesh) == before
    assert age(mesh) > since, "no session went down and came back"


def is_documented(case: Case, reflector: Reflector) -> None:
    """What docs/reflectors.md has operators configure is what runs here, but for the password."""
    password = reflector.password or ""
    (file,) = (file for file in reflector.home.iterdir() if file.suffix in {".conf", ".toml"})
    written = file.read_text().replace(json.dumps(password), '"…"').replace(password, "…")
    running = {line.strip() for line in written.replace(password.encode().hex(), "…").splitlines()}
    section = TABLE.page.read_text().partition(f"\n## {HEADINGS[case.kind]}\n")[2].partition("\n## ")[0]
    block = section.partition("\n    ")[2].partition("\n\n")[0]
    assert len(block.splitlines()) > 5
    assert [line for line in map(str.strip, block.splitlines()) if line not in running] == []


def tell(case: Case, mesh: Mesh, outcome: str) -> None:
    """Put it into the table of docs/reflectors.md."""
    cells = {case.column: outcome, "TCP-MD5": "yes" if case.signed else "no"}
    if case.strange:
        cells |= {f"attribute 23: {what}": fate.value for what, fate in asdict(case.habits).items()}
    TABLE.shown((mesh.reflector.version(), case.release), cells)


@pytest.mark.parametrize("case", PASSING, ids=str)
def test_announced_keys_cross_a_reflector_that_hands_the_attribute_on(case: Case) -> None:
    with mesh_of(case) as mesh:
        mesh.start()
        stands(mesh)
        # OpenBGPD up to 8.8 empties the digest that tells.
        seen = "unknown" if case.kind is OpenBgpd and case.release != "forky" else "intact"
        eventually(lambda: carried(mesh) == {("announced", seen)}, within=5, what=f"status says {seen}")
        if case.strange:
            suffers_strangers(mesh, case.habits)
        tell(case, mesh, "pinned")


@pytest.mark.parametrize("case", [case for case in CASES if case.kind is Frr], ids=str)
def test_certificates_need_no_more_than_the_community(case: Case) -> None:
    """FRR takes attribute 23 off, or resets the session: pinned keys get nowhere with it, certificates do."""
    with mesh_of(case) as mesh:
        first, second = mesh.afbrs.values()
        mesh.start()
        expected = ("left-out", "unknown") if case.habits.ours is Fate.RESET else ("announced", "stripped")
        eventually(lambda: carried(mesh) == {expected}, within=UP, what=f"{expected} in status")
        assert all("docs/reflectors.md" in row["carriage"]["remedy"] for row in sessions(mesh, mesh.reflector))
        eventually(lambda: second.endpoint in first.wires() and age(mesh) > 1, within=UP, what="the route is there")
        holds(lambda: age(mesh) > 0 and not first.up(), during=STEADY, what="sessions stand, and no softwire")
        certify(mesh)
        for afbr in mesh.afbrs.values():
            afbr.reload()
        stands(mesh)
        assert first.wires()[second.endpoint]["trust"] == ["pki"]
        if case.strange:
            suffers_strangers(mesh, case.habits)
        tell(case, mesh, "pki, by the community")


def _colored(*colors: int) -> list[dict[str, Any]]:
    return [{"type": "ipsec-tunnel-mode", "color": color} for color in colors]


@pytest.mark.parametrize("name", RELEASES)
def test_colors_are_lost_on_frr_and_softwires_are_not(name: str) -> None:
    """The attribute says the colour, and the community beside it carries on when the attribute is lost."""
    with mesh_of(Case(Frr, name, Direction.FOUR_OVER_SIX)) as mesh:
        certify(mesh, tunnels=_colored(7))
        mesh.start()
        stands(mesh)
        assert [wire["color"] for afbr in mesh.afbrs.values() for wire in afbr.up().values()] == [None, None]
        before = spis(mesh)
        for afbr in mesh.afbrs.values():
            afbr.settings["announce"]["tunnels"] = _colored(7, 8)
            afbr.reload()
        if name == "forky":
            # 10.7 takes a second tunnel for an error, and does not hear of the route (RFC 7606): what it knew it keeps.
            holds(lambda: age(mesh) > 0 and spis(mesh) == before, during=STEADY, what="all stands")
            mesh.reflector.stop()
            stopped = time.monotonic()
            mesh.reflector.start()
            eventually(lambda: 1 < age(mesh) < time.monotonic() - stopped, within=30, what="the sessions are back")
            assert mesh.reflector.prefixes() == set()
            for afbr in mesh.afbrs.values():
                afbr.settings["bgp"]["neighbors"][0]["attribute"] = "never"
                afbr.reload()
            eventually(lambda: len(mesh.reflector.prefixes()) == 2, within=UP, what="without it the routes are there")
            holds(lambda: spis(mesh) == before, during=STEADY, what="no SPI changed")
        else:
            # 8.4 and 10.3 reset the session, until it is left out.
            eventually(
                lambda: carried(mesh) == {("left-out", "unknown")} and age(mesh) > 0, within=UP, what="it is left out"
            )
            if name == "bookworm":
                # 8.4 does so only now: whoever still has its session hears that the other's routes are withdrawn. What
                # comes after that tells that it has been dealt with.
                for number, afbr in mesh.afbrs.items():
                    afbr.add_site(1)
                    afbr.settings["announce"]["prefixes"].append(mesh.plan.island(number, 1))
                    afbr.reload()
                eventually(lambda: all(len(each) == 4 for each in spis(mesh)), within=UP, what="all softwires are up")
                before = spis(mesh)
            holds(lambda: age(mesh) > 0 and spis(mesh) == before, during=STEADY, what="and all stands")


def test_openbgpd_of_debian_12_takes_no_ipv4_across_an_ipv6_core() -> None:
    """It has no RFC 8950, and would reset the session over a next hop that needs it: so it is not told one."""
    with mesh_of(WITHOUT_EXTENDED_NEXT_HOP) as mesh:
        mesh.start()

        def withheld() -> list[list[str]]:
            rows = sessions(mesh, mesh.reflector)
            return [row["withheld"]["prefixes"] for row in rows if row.get("withheld")]

        def resets() -> int:
            return mesh.reflector.process.log.read_text().count("bad multiprotocol nexthop")

        first, second = mesh.afbrs.values()
        ours = [mesh.plan.prefixes(number) for number in (1, 2)]
        eventually(lambda: withheld() == ours, within=UP, what="status says what is withheld")
        # At most the first session is given the route, where the bridge was faster than BGP.
        eventually(lambda: age(mesh) > STEADY, within=UP, what="the session stands")
        assert resets() <= len(ours)
        before, pid = resets(), hook_pid(first)
        os.kill(pid, signal.SIGKILL)
        killed = time.monotonic()
        eventually(lambda: hook_pid(first) not in {0, pid}, within=UP, what="there is a new hook")
        eventually(
            lambda: 0 < age(mesh) < time.monotonic() - killed and withheld() == ours, within=UP, what="it remembers"
        )
        holds(lambda: age(mesh) > 0 and resets() == before, during=STEADY, what="the session goes on standing")
        assert carried(mesh) == {("announced", "unknown")}, "attribute 23 is not what it is about"
        row = sessions(mesh, mesh.reflector)[0]["withheld"]
        assert "RFC 8950" in row["reason"]
        assert "announce extended nexthop yes in OpenBGPD" in row["remedy"]
        (problem,) = second.status()["problems"]
        assert problem.startswith(f"withheld from {mesh.reflector.address}: our IPv4 prefixes: it does not offer")
        assert not mesh.reflector.prefixes()
        assert not first.wires()
        tell(WITHOUT_EXTENDED_NEXT_HOP, mesh, "no RFC 8950")


def test_openbgpd_of_debian_12_signs_nothing() -> None:
    """It takes a password, and is built without TCP-MD5: the session never comes up."""
    with Mesh(Direction.SIX_OVER_FOUR, 1, reflectors=[partial(OpenBgpd, release=release("bookworm"))]) as mesh:
        mesh.start()
        (row,) = eventually(
            lambda: [row for row in sessions(mesh, mesh.reflector) if row["state"]],
            within=UP,
            what="the bridge answers",
        )
        assert row["state"] == "down"
        holds(lambda: age(mesh) == 0, during=STEADY, what="there is no session")


@pytest.mark.parametrize(
    "pair",
    [((Frr, "trixie"), (Bird, "trixie")), ((GoBgp, "forky"), (OpenBgpd, "forky"))],
    ids=lambda pair: "-".join(kind.__name__ for kind, _ in pair),
)
def test_either_of_two_kinds_may_go(pair: tuple[tuple[type[Reflector], str], ...]) -> None:
    makers = [partial(kind, release=release(name)) for kind, name in pair]
    with Mesh(Direction.FOUR_OVER_SIX, 2, reflectors=makers) as mesh:
        mesh.start()
        stands(mesh)
        eventually(lambda: all(age(mesh, each) > 0 for each in mesh.reflectors), within=UP, what="the sessions stand")
        before = spis(mesh)
        for reflector in mesh.reflectors:
            up = partial(age, mesh, reflector)
            reflector.kill()
            eventually(lambda up=up: not up(), within=10, what="its sessions are lost")  # type: ignore[misc]
            holds(lambda: spis(mesh) == before, during=STEADY, what="no SPI changes")
            reflector.start()
            eventually(up, within=30, what="its sessions are back")
        holds(lambda: spis(mesh) == before, during=STEADY, what="no SPI changes")
        reaches(mesh, 1, 2)
