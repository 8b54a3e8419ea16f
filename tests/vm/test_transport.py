"""Transport mode by two charons alone, as rendered and verified by us, for every encapsulation the kernel has.

left ══ core (a cable) ══ right: each with a loopback address of either family behind it
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network
from types import TracebackType
from typing import TypeVar

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from lab.charon import Charon
from lab.eventually import eventually
from lab.namespace import Namespace, link
from softmesh.bgp.codepoints import TunnelType
from softmesh.charon.connection import Connection
from softmesh.charon.driver import Driver
from softmesh.charon.observed import ChildSa, IkeSa
from softmesh.charon.render import render
from softmesh.charon.verify import verify, verify_peer
from softmesh.charon.vici import Vici
from softmesh.mesh.softwire import Mode, PinnedKey, Profile, Selector, SelectorPair, Softwire, SoftwireId
from tests.vm.kernel import EspOnly, accept_labels, interface, security_associations

T = TypeVar("T")

PINGS = 3
IKE = ("aes256gcm16-prfsha384-x25519",)
ENCRYPT = Profile(IKE, ("aes256gcm16-x25519",))
INTEGRITY = Profile(IKE, ("null-sha256-x25519",))
IPIP, IPV6, GRE, L2TP, MPLS = 4, 41, 47, 115, 137


async def until(condition: Callable[[], Awaitable[T | None]], *, what: str, within: float = 15.0) -> T:
    """The first true value of a condition; AssertionError when its time is up."""
    deadline = asyncio.get_running_loop().time() + within
    while not (value := await condition()):
        assert asyncio.get_running_loop().time() < deadline, f"not within {within:g} s: {what}"
        await asyncio.sleep(0.05)
    return value


class Router:
    """A namespace, its charon on the kernel's ESP, and our side of it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.namespace = Namespace(f"router{number}", forwarding=True)
        key = Ed25519PrivateKey.generate()
        self._private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.key = PinnedKey(hashlib.sha1(spki, usedforsecurity=False).digest(), spki, "lab")

    def address(self, core: int) -> str:
        """In the core of this family."""
        return f"172.31.0.{self.number}" if core == 4 else f"2001:db8:f::{self.number}"

    def inner(self, family: int) -> str:
        """Behind the router."""
        return f"10.{self.number}.0.1" if family == 4 else f"2001:db8:100{self.number}::1"

    def start(self) -> None:
        """Give it its addresses and start charon."""
        self.namespace.address("core", f"{self.address(4)}/24", f"{self.address(6)}/64")
        self.namespace.address("lo", f"{self.inner(4)}/32", f"{self.inner(6)}/128")
        self.charon = Charon(self.namespace, libipsec=False)
        self._vici = Vici(self.charon.vici, (), lambda _name, _message: None, lambda _connected: None, within=5.0)
        self.driver = Driver(self._vici)

    async def __aenter__(self) -> Router:
        self._running = asyncio.create_task(self._vici.run())
        await asyncio.wait_for(self._vici.wait_connected(), 5)
        await self.driver.load_key(self._private)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.cancel()
        with suppress(asyncio.CancelledError):
            await self._running

    def connection(self, peer: Router, core: int, protocol: int, profile: Profile) -> Connection:
        """The connection that protects a protocol between this router and the peer."""
        ours, theirs = self.address(core), peer.address(core)
        pair = SelectorPair(Selector(ip_network(ours), protocol), Selector(ip_network(theirs), protocol))
        wire = SoftwireId(ip_address(ours), ip_address(theirs), TunnelType.IP_IN_IP_IPSEC_TRANSPORT)
        softwire = Softwire(wire, Mode.TRANSPORT, frozenset({pair}), (peer.key,), profile)
        (connection,) = render(softwire, self.key.authenticator)
        return connection

    async def installed(self, connection: Connection) -> tuple[IkeSa, ChildSa]:
        """Wait for its CHILD SA."""

        async def found() -> tuple[IkeSa, ChildSa] | None:
            for ike in (await self.driver.observe()).ike_sas:
                for child in ike.children:
                    if (ike.connection, child.state) == (connection.name, "INSTALLED"):
                        return ike, child
            return None

        return await until(found, what=f"a CHILD SA at {self.namespace.name}")


Routers = tuple[Router, Router]


@pytest.fixture
async def routers() -> AsyncIterator[Routers]:
    left, right = Router(1), Router(2)
    with left.namespace, right.namespace:
        link(left.namespace, "core", right.namespace, "core")
        left.start()
        right.start()
        async with left, right:
            yield left, right


async def protect(left: Router, right: Router, core: int, protocol: int, profile: Profile) -> None:
    """Set up the SA and have it verified at both ends."""
    ours = left.connection(right, core, protocol, profile)
    theirs = right.connection(left, core, protocol, profile)
    await right.driver.load_connection(theirs)
    await left.driver.load_connection(ours)
    await left.driver.initiate(ours.name, ours.children[0].name)
    for router, connection in ((left, ours), (right, theirs)):
        ike, child = await router.installed(connection)
        assert verify_peer(ike, connection) is None
        assert verify(child, connection.children[0], ike) is None


def counted(router: Router, packets: int) -> None:
    """Assert what the kernel counted on the one SA in each direction."""
    sas = security_associations(router.namespace)
    assert [(sa.protocol, sa.mode, sa.encapsulated) for sa in sas.values()] == [("esp", "transport", False)] * 2
    assert [sa.packets for sa in sas.values()] == [packets, packets]


@dataclass(frozen=True)
class Encapsulation:
    """A tunnel interface, the core it runs over and what it can carry."""

    kind: tuple[str, ...]
    core: int
    protocol: int
    carries: tuple[int, ...]
    labels: bool = False


ENCAPSULATIONS = {
    "ipip": Encapsulation(("ipip",), 4, IPIP, (4,)),
    "sit": Encapsulation(("sit",), 4, IPV6, (6,)),
    "ipip6": Encapsulation(("ip6tnl", "mode", "ipip6"), 6, IPIP, (4,)),
    "ip6ip6": Encapsulation(("ip6tnl", "mode", "ip6ip6"), 6, IPV6, (6,)),
    "gre": Encapsulation(("gre",), 4, GRE, (4, 6)),
    "ip6gre": Encapsulation(("ip6gre",), 6, GRE, (4, 6)),
    "mpls-in-ipv4": Encapsulation(("ipip", "mode", "mplsip"), 4, MPLS, (4, 6), labels=True),
    "mpls-in-ipv6": Encapsulation(("ip6tnl", "mode", "any"), 6, MPLS, (4, 6), labels=True),
}


def enter(router: Router, peer: Router, encapsulation: Encapsulation) -> ExitStack:
    """Make the router's tunnel interface and route the peer's inner addresses into it."""
    stack = ExitStack()
    core = encapsulation.core
    kind, *options = encapsulation.kind
    device = stack.enter_context(interface(router.namespace, kind, router.address(core), peer.address(core), *options))
    via = ["dev", device]
    if encapsulation.labels:
        accept_labels(router.namespace, device, 100 + router.number)
        via = ["encap", "mpls", str(100 + peer.number), *via]
    for family in encapsulation.carries:
        router.namespace.ip("route", "replace", peer.inner(family), *via, "src", router.inner(family))
    return stack


@pytest.mark.parametrize("encapsulation", ENCAPSULATIONS.values(), ids=ENCAPSULATIONS)
async def test_an_encapsulation_crosses_as_esp(routers: Routers, encapsulation: Encapsulation) -> None:
    left, right = routers
    await protect(left, right, encapsulation.core, encapsulation.protocol, ENCRYPT)
    await crosses(left, right, encapsulation)


@pytest.mark.parametrize("encapsulation", [ENCAPSULATIONS["ipip"], ENCAPSULATIONS["ip6ip6"]], ids=["ipip", "ip6ip6"])
async def test_esp_with_null_encryption(routers: Routers, encapsulation: Encapsulation) -> None:
    left, right = routers
    await protect(left, right, encapsulation.core, encapsulation.protocol, INTEGRITY)
    assert "enc ecb(cipher_null)" in left.namespace.ip("xfrm", "state")
    await crosses(left, right, encapsulation)


async def crosses(left: Router, right: Router, encapsulation: Encapsulation) -> None:
    """Ping through the tunnel with all it carries: bare ESP on the cable, and the counters say so too."""
    with (
        enter(left, right, encapsulation),
        enter(right, left, encapsulation),
        EspOnly(left.namespace, "core") as core,
    ):
        for family in encapsulation.carries:
            assert left.namespace.ping(right.inner(family), source=left.inner(family), count=PINGS)
        total = PINGS * len(encapsulation.carries)
        core.saw(2 * total)
        for router in (left, right):
            counted(router, total)
        # Without the SA the same packets would be seen.
        for router in (left, right):
            router.namespace.ip("xfrm", "policy", "flush")
            router.namespace.ip("xfrm", "state", "flush")
        family = encapsulation.carries[0]
        assert left.namespace.ping(right.inner(family), source=left.inner(family))
        core.sees(plaintext=2)


_RECEIVE = """
import socket
received = socket.socket({family}, socket.SOCK_RAW, {protocol})
received.settimeout(20)
print("listening", flush=True)
print("got", received.recv(2048)[-64:].count(b"x"), flush=True)
"""
_SEND = 'import socket; socket.socket({family}, socket.SOCK_RAW, {protocol}).sendto(b"x" * 64, ("{to}", 0))'


@pytest.mark.parametrize("core", [4, 6])
async def test_l2tp_is_protected_though_this_kernel_cannot_speak_it(routers: Routers, core: int) -> None:
    left, right = routers
    await protect(left, right, core, L2TP, ENCRYPT)
    family = "socket.AF_INET" if core == 4 else "socket.AF_INET6"
    python = (sys.executable, "-I", "-S", "-c")
    receiver = right.namespace.start(
        *python, _RECEIVE.format(family=family, protocol=L2TP), log=f"router2/receiver{core}.log"
    )
    eventually(lambda: "listening" in receiver.log.read_text(), within=10, what="the receiver listens")
    with EspOnly(left.namespace, "core") as wire:
        left.namespace.run(*python, _SEND.format(family=family, protocol=L2TP, to=right.address(core)))
        eventually(lambda: "got 64" in receiver.log.read_text(), within=10, what="what was sent is received")
        wire.saw(1)


async def test_a_peer_that_falls_back_to_tunnel_mode_is_found_out(routers: Routers) -> None:
    left, right = routers
    ours = left.connection(right, 4, IPIP, ENCRYPT)
    theirs = right.connection(left, 4, IPIP, ENCRYPT)
    # Its responder ignores USE_TRANSPORT_MODE, as RFC 7296 §1.3.1 allows, and charon accepts that without a word.
    tunnel = replace(theirs, children=(replace(theirs.children[0], mode=Mode.TUNNEL),))
    await right.driver.load_connection(tunnel)
    await left.driver.load_connection(ours)
    await left.driver.initiate(ours.name, ours.children[0].name)
    ike, child = await left.installed(ours)
    assert verify(child, ours.children[0], ike) == "asked for transport mode, negotiated tunnel"
