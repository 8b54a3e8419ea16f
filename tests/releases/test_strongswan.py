"""The mesh's main properties with the strongSwan of each Debian release, and with an old one and a new one together."""

from __future__ import annotations

import re
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
import vici

from lab import support_table
from lab.authority import Authority
from lab.eventually import eventually, holds, until
from lab.mesh import Afbr, Direction, Mesh, meshed
from lab.namespace import link
from lab.peer import Key, Peer
from lab.proof import connection, spis
from lab.release import RELEASES, release
from softmesh.bgp.codepoints import TunnelType
from softmesh.charon import listing
from softmesh.charon.connection import Connection
from softmesh.charon.failure import ALERT, LOG
from softmesh.charon.packet import Section
from softmesh.mesh.credential import PinnedKey
from softmesh.mesh.softwire import Level, Mode, Profile, Selector, SelectorPair, Softwire, SoftwireId

DEBIAN = {"bookworm": "12", "trixie": "13", "forky": "testing"}
CASES = (*((name, name) for name in RELEASES), (RELEASES[0], RELEASES[-1]))
"""Whose charon each of two routers has; the first initiates."""
PROFILE = Profile(Level.ENCRYPT, ("aes256gcm16-prfsha384-x25519",), ("aes256gcm16-x25519",))
IMPOSTOR = "the peer has another key or identity than it announced"
SILENT = "the peer does not answer"


def name_of(case: tuple[str, str]) -> str:
    return "-".join(dict.fromkeys(case))


def version(afbr: Afbr | Peer) -> str:
    """What charon says it is."""
    with socket.socket(socket.AF_UNIX) as connected:
        connected.connect(str(afbr.charon.vici))
        return listing.text(vici.Session(connected).version()["version"])


def shown(ends: Sequence[Afbr] | Sequence[Peer], case: tuple[str, str], **cells: str) -> None:
    """Keep what was seen of a case, by column, with _ for a blank."""
    key = (
        " with ".join(dict.fromkeys(map(version, ends))),
        " with ".join(dict.fromkeys(DEBIAN[name] for name in case)),
    )
    support_table.STRONGSWAN.shown(key, {column.replace("_", " "): seen for column, seen in cells.items()})


@pytest.fixture(scope="module", params=CASES, ids=name_of)
def case(request: pytest.FixtureRequest) -> tuple[str, str]:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def mesh(case: tuple[str, str]) -> Iterator[Mesh]:
    """Two AFBRs with pinned keys; the tests of a case share it."""
    with Mesh(Direction.FOUR_OVER_SIX, 0, spare=2) as mesh:
        for number, name in enumerate(case, 1):
            mesh.add(number, release=release(name))
        mesh.start()
        yield mesh


def up(mesh: Mesh) -> None:
    eventually(lambda: meshed(mesh.afbrs.values()), within=40, what="every softwire is up")


def ends(mesh: Mesh) -> list[Afbr]:
    return list(mesh.afbrs.values())


def test_softwire_comes_up_and_carries(mesh: Mesh, case: tuple[str, str]) -> None:
    up(mesh)
    plan = mesh.plan
    for here, there in ((1, 2), (2, 1)):
        eventually(
            lambda here=here, there=there: mesh.afbrs[here].island.ping(plan.host(there, 10), count=5, within=5),  # type: ignore[misc]
            within=10, what=f"island {here} reaches island {there}",
        )  # fmt: skip

    def carried(afbr: Afbr) -> int:
        (wire,) = afbr.up().values()
        return int(wire["children"][0]["packets_out"])

    eventually(lambda: all(carried(afbr) >= 10 for afbr in ends(mesh)), within=10, what="status counts the packets")
    shown(ends(mesh), case, softwire="carries")


def test_the_best_key_exchange_that_both_have(mesh: Mesh, case: tuple[str, str]) -> None:
    up(mesh)
    # list-sas does not tell of the second exchange (RFC 9370).
    *_, agreed = re.findall(r"selected proposal: (IKE:\S+)", mesh.afbrs[1].charon.process.log.read_text())
    both = case == ("forky", "forky")
    assert ("KE1_ML_KEM_768" in agreed) is both, agreed
    shown(ends(mesh), case, IKE="X25519 and ML-KEM-768" if both else "X25519")


def test_prefix_comes_and_goes_and_leaves_the_others_alone(mesh: Mesh, case: tuple[str, str]) -> None:
    up(mesh)
    left, right = ends(mesh)
    before, plan = left.spis(), mesh.plan
    right.add_site(1)
    for sites in ((0, 1), (0,)):
        right.settings["announce"]["prefixes"] = [plan.island(2, site) for site in sites]
        right.reload()
        eventually(
            lambda sites=sites: len(left.spis()) == len(right.spis()) == len(sites),  # type: ignore[misc]
            within=15, what=f"{len(sites)} CHILD SAs",
        )  # fmt: skip
        assert before.items() <= left.spis().items(), "the others keep their SPIs"
    shown(ends(mesh), case, prefixes="others keep SPIs")


def test_restart_of_the_bridge_changes_no_spi(mesh: Mesh, case: tuple[str, str]) -> None:
    up(mesh)
    before = {number: afbr.spis() for number, afbr in mesh.afbrs.items()}
    for afbr in ends(mesh):
        assert afbr.bridge is not None
        afbr.bridge.kill()
        afbr.start()
    up(mesh)
    eventually(lambda: not any(a.status()["removal_awaits"] for a in ends(mesh)), within=30, what="end-of-RIB")
    assert {number: afbr.spis() for number, afbr in mesh.afbrs.items()} == before
    shown(ends(mesh), case, bridge_restarts="SPIs kept")


def test_rekeying_by_either_end(mesh: Mesh, case: tuple[str, str]) -> None:
    up(mesh)
    for left, right in (ends(mesh), reversed(ends(mesh))):
        for what in ("child", "ike"):
            before = spis(left, right, what)
            name = left.up()[right.endpoint]["children"][0]["name"] if what == "child" else connection(left, right)
            left.charon.swanctl("--rekey", f"--{what}", name)
            eventually(
                lambda before=before, what=what, left=left, right=right: spis(left, right, what) != before,  # type: ignore[misc]
                within=20, what=f"the {what} SA has new SPIs",
            )  # fmt: skip
            up(mesh)
    holds(lambda: meshed(ends(mesh)), during=1, what="the bridges take it for what it is")
    shown(ends(mesh), case, rekeying="IKE and CHILD")


def test_charon_killed_and_started_again(mesh: Mesh, case: tuple[str, str]) -> None:
    up(mesh)
    for afbr in ends(mesh):
        before = afbr.spis()
        afbr.charon.kill()
        afbr.charon.start()
        eventually(
            lambda before=before, afbr=afbr: meshed(ends(mesh)) and not before.items() & afbr.spis().items(),  # type: ignore[misc]
            within=40, what="new SAs stand at both ends",
        )  # fmt: skip
        eventually(lambda: mesh.afbrs[1].island.ping(mesh.plan.host(2, 10)), within=20, what="traffic flows again")
    shown(ends(mesh), case, charon_killed="comes back")


def established(afbr: Afbr) -> list[str]:
    """The numbers of the IKE_SAs that stand."""
    return re.findall(r"^softmesh-\S+: #(\d+), ESTABLISHED", afbr.charon.swanctl("--list-sas"), re.MULTILINE)


def test_a_revoked_certificate_ends_its_softwire(mesh: Mesh, case: tuple[str, str]) -> None:
    """The mesh moves from pinned keys to certificates first."""
    up(mesh)
    authority = Authority("the mesh")
    certificates = []
    for afbr in ends(mesh):
        authority.write(afbr.home / "ca.pem")
        authority.write_revocation_list(afbr.home / "ca.crl")
        certificates.append(
            authority.certify_file(afbr.home / "identity.key", [afbr.endpoint], afbr.home / "identity.crt")
        )
        afbr.settings["identity"]["certificate"] = "identity.crt"
        afbr.settings["trust"] = {"authorities": ["ca.pem"], "revocation_lists": ["ca.crl"]}
        afbr.reload()
    eventually(
        lambda: all(wire.get("trust") == ["pki"] for afbr in ends(mesh) for wire in afbr.wires().values()), within=15,
        what="both go by certificates",
    )  # fmt: skip
    up(mesh)
    # What was authenticated by the pinned keys goes a little later.
    eventually(lambda: all(len(established(afbr)) == 1 for afbr in ends(mesh)), within=30, what="one IKE_SA stands")
    left, right = ends(mesh)
    authority.revoke(certificates[0])
    authority.write_revocation_list(right.home / "ca.crl")
    eventually(
        lambda: "certificate is revoked" in right.wires()[left.endpoint]["reason"], within=30, what="it is refused"
    )
    # The bridge lets what stands stand in for a while yet (tests/lab/test_trust_modes.py).
    for number in established(right):
        right.charon.swanctl("--terminate", "--ike-id", number)
    eventually(lambda: not right.up() and not left.up(), within=10, what="the softwire is gone")
    holds(lambda: not right.up(), during=2, what="it does not come back")
    shown(ends(mesh), case, revoked="closed, no other")


CORE = ("2001:db8:f::1", "2001:db8:f::2")
ISLANDS = ("10.1.0.0/24", "10.2.0.0/24")


class End(Peer):
    """One of two routers with a charon and no bridge."""

    def __init__(self, side: int, name: str) -> None:
        super().__init__(f"end{side}", events=("child-updown", ALERT), release=release(name))
        self.side = side
        self.forgotten: list[tuple[str, Section]] = []
        """What was heard until the last ``drop``."""

    def start(self) -> None:
        self.namespace.address("core", f"{CORE[self.side]}/64")
        self.namespace.address("lo", f"{ip_network(ISLANDS[self.side])[0]}/32")
        super().start()

    def connection(
        self, key: PinnedKey, *, profile: Profile = PROFILE, islands: tuple[str, str] = ISLANDS, absent: bool = False
    ) -> Connection:
        """To the other end, if that is to have this key."""
        near, far = (islands[self.side], islands[1 - self.side])
        remote = "2001:db8:f::99" if absent else CORE[1 - self.side]
        wire = SoftwireId(ip_address(CORE[self.side]), ip_address(remote), TunnelType.IPSEC_TUNNEL)
        pair = SelectorPair(Selector(ip_network(near)), Selector(ip_network(far)))
        return self.rendered(Softwire(wire, Mode.TUNNEL, frozenset({pair}), (key,), profile))

    async def drop(self, loaded: Connection) -> None:
        """Unload a connection, end its SAs and forget what was heard."""
        await self.driver.unload_connection(loaded.name)

        async def gone() -> bool:
            made = [ike_sa for ike_sa in await self.ike_sas() if ike_sa.connection == loaded.name]
            for ike_sa in made:
                await self.driver.terminate_ike(ike_sa.unique_id)
            return not made

        await until(gone, within=10, what=f"nothing is left of {loaded.name}")
        self.forgotten += self.heard
        self.heard.clear()


@pytest.fixture
async def two(case: tuple[str, str]) -> AsyncIterator[tuple[End, End]]:
    left, right = End(0, case[0]), End(1, case[1])
    with left.namespace, right.namespace:
        link(left.namespace, "core", right.namespace, "core")
        left.start()
        right.start()
        async with left, right:
            yield left, right


async def test_a_withdrawn_key_is_dead_though_charon_still_stores_it(
    two: tuple[End, End], case: tuple[str, str]
) -> None:
    for ours, theirs in (two, two[::-1]):
        old, made = ours.connection(theirs.key.pinned), theirs.connection(ours.key.pinned)
        await ours.driver.load_connection(old)
        await theirs.driver.load_connection(made)
        await theirs.initiate(made)
        await ours.up(old)
        await ours.driver.unload_connection(old.name)
        (ike_sa,) = await ours.ike_sas()
        await ours.driver.terminate_ike(ike_sa.unique_id)
        newer = ours.connection(Key().pinned)
        await ours.driver.load_connection(newer)
        await ours.no_ike_sa()
        await theirs.no_ike_sa()
        ours.heard.clear()
        await theirs.initiate(made)
        await theirs.no_ike_sa()
        assert not any(name == "child-updown" and listing.is_up(message) for name, message in ours.heard)
        assert not await ours.installed()
        await ours.driver.unload_connection(newer.name)
        await theirs.driver.unload_connection(made.name)
    shown(two, case, withdrawn_key="dead at once")


async def test_why_an_attempt_failed(two: tuple[End, End], case: tuple[str, str]) -> None:
    """By alerts alone where charon has them, else by its log."""
    left, right = two
    source = {}
    for end, name in zip(two, case, strict=True):
        source[end.side] = LOG if ALERT in end.vici.refused_events else ALERT
        assert source[end.side] == (ALERT if name == "forky" else LOG)
        if source[end.side] == LOG:
            await end.vici.listen(LOG, wanted=True)

    async def says(end: End, loaded: Connection, why: str) -> None:
        # The last that charon tells of an attempt counts, and it tells in more than one line.
        async def said() -> bool:
            return why in await end.failure(loaded)

        await until(said, within=10, what=f"end {end.side} says {why}")

    async def fails(ours: Connection, theirs: Connection, here: str, there: str) -> None:
        await right.driver.load_connection(theirs)
        await left.driver.load_connection(ours)
        await left.initiate(ours)
        await says(left, ours, here)
        if there:
            await says(right, theirs, there)
        for end, loaded in ((left, ours), (right, theirs)):
            await end.drop(loaded)

    # That takes its time: 13 s with the lab's settings.
    absent = left.connection(right.key.pinned, absent=True)
    await left.driver.load_connection(absent)
    await left.initiate(absent)
    wrong = PinnedKey(right.key.authenticator, Key().spki, "lab")
    await fails(left.connection(wrong), right.connection(left.key.pinned), IMPOSTOR, "")
    await fails(
        left.connection(right.key.pinned), right.connection(Key().pinned), "AUTHENTICATION_FAILED", "",
    )  # fmt: skip
    stranger = PinnedKey(left.key.authenticator, Key().spki, "lab")
    await fails(left.connection(right.key.pinned), right.connection(stranger), "AUTHENTICATION_FAILED", IMPOSTOR)
    for other in (
        replace(PROFILE, ike_proposals=("aes128-sha256-x25519",)),
        replace(PROFILE, level=Level.INTEGRITY, proposals=("null-sha256-x25519",)),
    ):
        await fails(
            left.connection(right.key.pinned), right.connection(left.key.pinned, profile=other), "propos", "propos"
        )
    islands = ("10.1.0.0/24", "10.9.0.0/24")
    await fails(
        left.connection(right.key.pinned), right.connection(left.key.pinned, islands=islands), "prefixes", "prefixes"
    )
    # It may have been told while the others were tried.
    left.heard[:0] = left.forgotten
    assert await left.failure(absent) == SILENT
    shown(two, case, reasons_by=" and ".join(dict.fromkeys(source.values())))
