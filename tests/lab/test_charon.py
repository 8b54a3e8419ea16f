"""Two charons with kernel-libipsec; every test for IPv4 over IPv6 and for IPv6 over IPv4.

    islands of left ─ left ══ core (a cable) ══ right ─ islands of right

An island is an address on a router's loopback interface: enough for charon and for ping.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from lab.eventually import PATIENCE, until
from lab.namespace import link
from lab.peer import Key, Peer
from softmesh.bgp.codepoints import TunnelType
from softmesh.charon import listing
from softmesh.charon.actions import (
    Initiate,
    LoadConnection,
    LoadKey,
    TerminateChild,
    TerminateIke,
    UnloadConnection,
)
from softmesh.charon.connection import Connection
from softmesh.charon.observed import ChildSa, IkeSa
from softmesh.charon.packet import Request, Section
from softmesh.charon.render import render
from softmesh.charon.verify import verify, verify_peer
from softmesh.charon.vici import CommandError
from softmesh.charon.watch import Watch
from softmesh.errors import Unreachable
from softmesh.mesh.credential import OwnKey, PinnedKey
from softmesh.mesh.public_key import key_id
from softmesh.mesh.softwire import Level, Mode, Profile, Selector, SelectorPair, Softwire, SoftwireId

EVENTS = ("ike-updown", "ike-rekey", "child-updown", "child-rekey", "no-such-event")
PROFILE = Profile(Level.ENCRYPT, ("aes256gcm16-prfsha384-x25519",), ("aes256gcm16-x25519",))
INTEGRITY = Profile(Level.INTEGRITY, PROFILE.ike_proposals, ("null-sha256-x25519",))
PREFIXES = {
    "4-over-6": (("10.1.0.0/24", "10.1.1.0/24"), ("10.2.0.0/24", "10.2.1.0/24")),
    "6-over-4": (("2001:db8:1::/64", "2001:db8:1:1::/64"), ("2001:db8:2::/64", "2001:db8:2:1::/64")),
}
CORE = {"4-over-6": ("2001:db8:f::1/64", "2001:db8:f::2/64"), "6-over-4": ("172.31.0.1/24", "172.31.0.2/24")}


class Router(Peer):
    """One AFBR with its islands."""

    def __init__(self, name: str, core: str, prefixes: tuple[str, ...]) -> None:
        super().__init__(name, events=EVENTS)
        self.core = core
        self.address = core.partition("/")[0]
        self.prefixes = prefixes
        self.islands = tuple(str(ip_network(prefix).network_address) for prefix in prefixes)

    def start(self) -> None:
        self.namespace.address("core", self.core)
        for island in self.islands:
            self.namespace.address("lo", f"{island}/{ip_address(island).max_prefixlen}")
        super().start()

    def softwire(
        self, peer: Router, *pairs: int, keys: tuple[PinnedKey, ...] | None = None, profile: Profile = PROFILE
    ) -> Softwire:
        """To ``peer``, for the prefix pairs of these numbers."""
        return Softwire(
            SoftwireId(ip_address(self.address), ip_address(peer.address), TunnelType.IPSEC_TUNNEL),
            Mode.TUNNEL,
            frozenset(
                SelectorPair(Selector(ip_network(self.prefixes[n])), Selector(ip_network(peer.prefixes[n])))
                for n in pairs
            ),
            keys or (peer.key.pinned,),
            profile,
        )

    def connection(
        self, peer: Router, *pairs: int, key: PinnedKey | None = None, profile: Profile = PROFILE
    ) -> Connection:
        return self.rendered(self.softwire(peer, *pairs, keys=(key,) if key else None, profile=profile))

    def ping(self, peer: Router, pair: int = 0, *, within: float = 5.0) -> bool:
        return self.namespace.ping(peer.islands[pair], source=self.islands[pair], within=within)


@pytest.fixture(params=PREFIXES)
async def routers(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Router, Router]]:
    (left_core, right_core), (left_prefixes, right_prefixes) = CORE[request.param], PREFIXES[request.param]
    left = Router("left", left_core, left_prefixes)
    right = Router("right", right_core, right_prefixes)
    with left.namespace, right.namespace:
        link(left.namespace, "core", right.namespace, "core")
        left.start()
        right.start()
        async with left, right:
            yield left, right


Routers = tuple[Router, Router]


async def load(left: Router, right: Router, *pairs: int) -> tuple[Connection, Connection]:
    """Load the softwire on both sides."""
    ours, theirs = left.connection(right, *pairs), right.connection(left, *pairs)
    await right.driver.load_connection(theirs)
    await left.driver.load_connection(ours)
    return ours, theirs


def spis(children: dict[str, ChildSa]) -> dict[str, tuple[str, str]]:
    return {name: (child.spi_in, child.spi_out) for name, child in children.items()}


async def test_a_softwire_comes_up_as_asked_and_carries_esp(routers: Routers) -> None:
    left, right = routers
    ours, theirs = await load(left, right, 0, 1)
    await left.initiate(ours)
    for router, connection in ((left, ours), (right, theirs)):
        installed = await router.up(connection)
        (ike_sa,) = await router.ike_sas()
        assert verify_peer(ike_sa, connection) is None
        for child in connection.children:
            assert verify(installed[child.name], child, ike_sa) is None
    for pair in (0, 1):
        before = await left.installed()
        assert left.ping(right, pair)
        after = await left.installed()
        name = next(child.name for child in ours.children if child.local_ts == left.prefixes[pair])
        assert after[name].packets_out == before[name].packets_out + 1
        assert after[name].packets_in == before[name].packets_in + 1


async def test_charon_names_our_key_as_we_do(routers: Routers) -> None:
    left, _ = routers
    assert key_id(left.key.spki).hex() in (await left.driver.observe()).key_ids


async def test_every_action_can_be_repeated(routers: Routers) -> None:
    left, right = routers
    ours, _ = await load(left, right, 0, 1)

    async def twice(*actions: Initiate | LoadConnection | LoadKey | UnloadConnection | TerminateIke) -> None:
        for action in (*actions, *actions):
            await left.driver.apply(action)

    await twice(LoadKey(left.key.private), LoadConnection(ours))
    await twice(*(Initiate(ours.name, child.name) for child in ours.children))
    installed = await left.up(ours)
    await twice(*(Initiate(ours.name, child.name) for child in ours.children), LoadConnection(ours))
    assert spis(await left.installed()) == spis(installed)
    (ike_sa,) = await left.ike_sas()
    gone = next(iter(installed.values()))

    async def one_left() -> bool:
        return gone.name not in await left.installed()

    await left.driver.apply(TerminateChild(gone.unique_id, gone.name))
    await until(one_left, within=10, what="one child left")
    await left.driver.apply(TerminateChild(gone.unique_id, gone.name))
    await twice(TerminateIke(ike_sa.unique_id, ours.name), UnloadConnection(ours.name))
    observed = await left.driver.observe()
    assert (observed.ike_sas, dict(observed.connections)) == ((), {})


async def test_an_added_prefix_leaves_the_others_untouched(routers: Routers) -> None:
    left, right = routers
    ours, theirs = await load(left, right, 0)
    await left.initiate(ours)
    before = await left.up(ours)
    wider, _ = await load(left, right, 0, 1)
    assert wider.name == ours.name
    assert (await left.driver.observe()).connections == {wider.name: {child.name for child in wider.children}}
    assert spis(await left.installed()) == spis(before)
    (added,) = set(wider.children) - set(ours.children)
    await left.driver.initiate(wider.name, added.name)
    after = await left.up(wider)
    assert spis(before).items() < spis(after).items()
    assert len(await left.ike_sas()) == 1
    assert left.ping(right, 1)
    assert theirs.children[0].name in await right.installed()


async def test_a_removed_prefix_leaves_the_others_untouched(routers: Routers) -> None:
    left, right = routers
    ours, _ = await load(left, right, 0, 1)
    await left.initiate(ours)
    before = await left.up(ours)
    narrower = left.connection(right, 0)
    (removed,) = set(ours.children) - set(narrower.children)
    await left.driver.terminate_child(before[removed.name].unique_id)
    await left.driver.load_connection(narrower)
    after = await left.up(narrower)
    assert spis(after).items() < spis(before).items()
    await right.up(right.connection(left, 0))
    assert left.ping(right, 0)


async def test_a_peer_with_another_key_is_refused_and_we_are_told_why(routers: Routers) -> None:
    left, right = routers
    await right.driver.load_connection(right.connection(left, 0))
    # Right claims the identity that left asks for, but proves a key that left has not pinned to it.
    pinned = PinnedKey(right.key.authenticator, Key().spki, "lab")
    ours = left.connection(right, 0, key=pinned)
    await left.driver.load_connection(ours)
    await left.vici.listen("log", wanted=True)
    await left.initiate(ours)

    assert await left.failure(ours) == "the peer has another key or identity than it announced"
    await left.no_ike_sa()
    assert not any(name == "child-updown" for name, _ in left.heard)
    assert not left.ping(right, within=1)


async def test_a_peer_that_does_not_accept_our_key_says_so(routers: Routers) -> None:
    left, right = routers
    await right.driver.load_connection(right.connection(left, 0, key=Key().pinned))
    ours = left.connection(right, 0)
    await left.driver.load_connection(ours)
    await left.vici.listen("log", wanted=True)
    await left.initiate(ours)
    await left.no_ike_sa()

    reason = await left.failure(ours)
    assert reason.startswith("the peer answered AUTHENTICATION_FAILED")


async def in_full(left: Peer, ours: Connection, right: Peer, theirs: Connection) -> str:
    """What the responder says; of some attempts its charon leaves a line out of the log."""

    async def both_known() -> str | None:
        await left.initiate(ours)
        reason = await right.failure(theirs)
        # On an IKE_SA that stands, a CHILD SA's proposal has the key exchange too.
        reason = reason.replace("proposes ESP:AES_GCM_16_256/CURVE_25519,", "proposes ESP:AES_GCM_16_256,")
        return reason if "the peer proposes" in reason and "we accept" in reason else None

    return await until(both_known, within=10, what="the responder tells what both ends propose", every=0.5)


async def test_ends_of_different_levels_both_say_so(routers: Routers) -> None:
    left, right = routers
    ours, theirs = left.connection(right, 0), right.connection(left, 0, profile=INTEGRITY)
    await right.driver.load_connection(theirs)
    await left.driver.load_connection(ours)
    for router in (left, right):
        await router.vici.listen("log", wanted=True)
    await left.initiate(ours)
    assert await left.failure(ours) == (
        "the peer accepts none of our proposals aes256gcm16-x25519 (level encrypt): it has another level of "
        "protection, or its kernel lacks the algorithm; its own status says which"
    )
    assert await in_full(left, ours, right, theirs) == (
        "the peer proposes ESP:AES_GCM_16_256, we accept ESP:NULL/HMAC_SHA2_256_128/CURVE_25519: "
        "the two ends have different levels of protection, encrypt there and integrity here"
    )


async def test_ends_without_an_ike_proposal_in_common_both_say_so(routers: Routers) -> None:
    left, right = routers
    other = replace(PROFILE, ike_proposals=("aes128-sha256-x25519",))
    ours, theirs = left.connection(right, 0), right.connection(left, 0, profile=other)
    await right.driver.load_connection(theirs)
    await left.driver.load_connection(ours)
    for router in (left, right):
        await router.vici.listen("log", wanted=True)
    await left.initiate(ours)
    assert (await left.failure(ours)).endswith("; our IKE proposals: aes256gcm16-prfsha384-x25519")
    assert await in_full(left, ours, right, theirs) == (
        "the peer proposes IKE:AES_GCM_16_256/PRF_HMAC_SHA2_384/CURVE_25519, "
        "we accept IKE:AES_CBC_128/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/CURVE_25519: no IKE proposal in common"
    )


async def test_esp_that_only_authenticates(routers: Routers) -> None:
    left, right = routers
    ours, theirs = left.connection(right, 0, profile=INTEGRITY), right.connection(left, 0, profile=INTEGRITY)
    await right.driver.load_connection(theirs)
    await left.driver.load_connection(ours)
    await left.initiate(ours)
    for router, connection in ((left, ours), (right, theirs)):
        ike_sa, child_sa = await router.carrying(connection)
        assert verify(child_sa, connection.children[0], ike_sa) is None
    assert left.ping(right)
    (asked,) = right.connection(left, 0).children
    assert "no encryption" in (verify(child_sa, asked, ike_sa) or "")


async def test_watch_forgets_why_it_failed_once_it_works_and_knows_what_charon_can(routers: Routers) -> None:
    left, right = routers
    ours, theirs = left.connection(right, 0), right.connection(left, 0)
    watch = Watch(left.charon.vici, on_change=lambda: None)
    running = asyncio.create_task(watch.run())
    try:
        await asyncio.wait_for(watch.wait_connected(), 5 * PATIENCE)
        assert watch.ability is None
        await watch.look()
        assert watch.ability is not None
        assert watch.ability.kernel_libipsec
        await watch.hear_log(wanted=True)
        await watch.apply([LoadConnection(ours), Initiate(ours.name, ours.children[0].name)])

        async def failed() -> bool:
            return ours.name in watch.failures

        await until(failed, within=10, what="the peer knows nothing of us")
        await left.no_ike_sa()
        await right.driver.load_connection(theirs)
        await watch.apply([Initiate(ours.name, ours.children[0].name)])
        await left.up(ours)

        async def forgotten() -> bool:
            return not watch.failures

        await until(forgotten, within=10, what="no failure left")
        left.charon.restart()

        async def unknown() -> bool:
            return watch.ability is None

        await until(unknown, within=10, what="another charon may have other abilities")
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_a_withdrawn_key_is_dead_though_charon_still_stores_it(routers: Routers) -> None:
    left, right = routers
    ours, theirs = await load(left, right, 0)
    await right.initiate(theirs)
    await left.up(ours)
    # Left's peer now announces another key. The old one is withdrawn; charon has no way to forget it.
    await left.driver.unload_connection(ours.name)
    (ike_sa,) = await left.ike_sas()
    await left.driver.terminate_ike(ike_sa.unique_id)
    await left.driver.load_connection(left.connection(right, 0, key=Key().pinned))
    await left.no_ike_sa()
    await right.no_ike_sa()
    left.heard.clear()
    await right.initiate(theirs)
    await right.no_ike_sa()
    assert not any(listing.is_up(message) for _, message in left.heard)
    assert not await left.installed()


async def test_prefixes_the_peer_does_not_have_fail_alone(routers: Routers) -> None:
    left, right = routers
    await right.driver.load_connection(right.connection(left, 0))
    ours = left.connection(right, 0, 1)
    await left.driver.load_connection(ours)
    await left.initiate(ours)

    async def over() -> bool:
        (ike_sa,) = await left.ike_sas()
        return ike_sa.state == "ESTABLISHED" and "CHILD_CREATE" not in ike_sa.tasks

    await until(over, within=10, what="both attempts over")
    assert (await left.installed()).keys() == {child.name for child in left.connection(right, 0).children}
    assert left.ping(right, 0)


async def test_a_peer_that_restarted_replaces_what_it_had(routers: Routers) -> None:
    left, right = routers
    ours, theirs = await load(left, right, 0)
    await left.initiate(ours)
    before = await left.up(ours)
    right.charon.kill()
    right.charon.restart()

    async def reconnected() -> bool:
        return right.connected == [True, False, True]

    await until(reconnected, within=10, what="VICI connected to the new charon")
    await right.driver.load_key(right.key.private)
    await right.driver.load_connection(theirs)
    await right.initiate(theirs)
    await right.up(theirs)
    after = await left.up(ours)
    assert spis(after) != spis(before)
    assert len(await left.ike_sas()) == 1
    assert left.ping(right)


async def test_events_describe_the_sas_as_listings_do(routers: Routers) -> None:
    left, right = routers
    ours, _ = await load(left, right, 0)
    await left.initiate(ours)
    (child,) = (await left.up(ours)).values()

    async def told() -> list[Section]:
        return [message for name, message in left.heard if name == "child-updown" and listing.is_up(message)]

    (message,) = await until(told, within=10, what="child-updown")
    (ike_sa,) = listing.ike_sas([message])
    (heard,) = ike_sa.children
    assert (ike_sa.connection, heard.name, heard.spi_in, heard.spi_out) == (
        ours.name,
        child.name,
        child.spi_in,
        child.spi_out,
    )
    assert left.vici.refused_events == {"no-such-event"}


async def test_charon_stopping_and_starting_is_noticed(routers: Routers) -> None:
    left, right = routers
    left.charon.stop()

    async def down() -> bool:
        return left.connected == [True, False]

    await until(down, within=10, what="the disconnection")
    with pytest.raises(Unreachable, match=re.escape(str(left.charon.vici))):
        await left.driver.observe()
    left.charon.restart()

    async def back() -> bool:
        return left.connected == [True, False, True]

    await until(back, within=10, what="the connection")
    observed = await left.driver.observe()
    assert (observed.ike_sas, observed.key_ids, dict(observed.connections)) == ((), frozenset(), {})
    await left.driver.load_key(left.key.private)
    ours, _ = await load(left, right, 0)
    await left.initiate(ours)
    await left.up(ours)


async def test_a_charon_that_hangs_costs_one_timeout_and_no_more(routers: Routers) -> None:
    left, _ = routers

    left.charon.freeze()
    with pytest.raises(Unreachable, match=r"no answer to version within 0\.2 s"):
        await left.vici.request("version", within=0.2)
    left.charon.thaw()
    assert (await left.vici.request("version"))["daemon"] == b"charon-systemd"
    assert left.connected == [True]


@pytest.mark.parametrize("protocol", [4, 41, 47, 115, 137])
async def test_transport_mode_is_taken_as_rendered(routers: Routers, protocol: int) -> None:
    """Whether an SA comes of it depends on the kernel: kernel-libipsec knows tunnel mode only."""
    left, right = routers
    host = [Selector(ip_network(router.address), protocol) for router in (left, right)]
    identity = SoftwireId(ip_address(left.address), ip_address(right.address), TunnelType.IP_IN_IP_IPSEC_TRANSPORT)
    softwire = Softwire(identity, Mode.TRANSPORT, frozenset({SelectorPair(*host)}), (right.key.pinned,), PROFILE)
    (connection,) = render(softwire, (OwnKey(left.key.authenticator),))
    await left.driver.load_connection(connection)
    (listed,) = await left.vici.stream("list-conns", None, "list-conn")
    conn = listed[connection.name]
    assert isinstance(conn, dict)
    assert isinstance(conn["children"], dict)
    child = conn["children"][connection.children[0].name]
    assert isinstance(child, dict)
    assert child["mode"] == b"TRANSPORT"
    # charon prints the protocol by its name in /etc/protocols; verify must understand what it prints.
    found = ChildSa(
        name=connection.children[0].name,
        unique_id="1",
        state="INSTALLED",
        mode=listing.text(child["mode"]).lower(),
        protocol="ESP",
        local_ts=frozenset(listing.text(item) for item in child["local-ts"]),
        remote_ts=frozenset(listing.text(item) for item in child["remote-ts"]),
        encr_alg="AES_GCM_16_256",
    )
    ike_sa = IkeSa(connection.name, "1", "ESTABLISHED", True, left.address, right.address, "", "")
    assert verify(found, connection.children[0], ike_sa) is None


async def test_the_shipped_settings_are_in_force(routers: Routers) -> None:
    left, right = routers
    ours, _ = await load(left, right, 0)
    await left.initiate(ours)
    await left.up(ours)
    *_, last = re.findall(r"generating IKE_SA_INIT request 0 \[ (.*) \]", left.charon.process.log.read_text())
    # follow_redirects = no: of all the settings the one that shows on the wire.
    assert "REDIR_SUP" not in last


async def test_a_refusal_is_told_in_charons_words(routers: Routers) -> None:
    left, _ = routers
    with pytest.raises(CommandError, match="parsing ANY private key failed"):
        await left.driver.load_key(b"not a key")
    with pytest.raises(CommandError, match="CHILD_SA config 'no-such-child' not found"):
        await left.driver.initiate("softmesh-no-such-connection", "no-such-child")


async def test_nothing_of_others_is_touched(routers: Routers) -> None:
    left, _ = routers
    own: Request = {"local": {"auth": "pubkey"}, "remote": {"auth": "pubkey"}, "children": {"net": {}}}
    await left.vici.request("load-conn", {"head-office": own})
    assert dict((await left.driver.observe()).connections) == {}
    for attempt in (
        left.driver.unload_connection("head-office"),
        left.driver.initiate("head-office", "net"),
    ):
        with pytest.raises(ValueError, match="not ours"):
            await attempt
    assert b"head-office" in (await left.vici.request("get-conns"))["conns"]
