"""A router whose charon uses the kernel's ESP and AH, in cores of both families."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_address, ip_network

from lab.namespace import Namespace
from lab.peer import Peer
from softmesh.bgp.codepoints import TunnelType
from softmesh.charon.connection import Connection
from softmesh.charon.verify import verify, verify_peer
from softmesh.mesh.softwire import (
    Interface,
    Level,
    Mode,
    Profile,
    Selector,
    SelectorPair,
    Softwire,
    SoftwireId,
)

IKE = ("aes256gcm16-prfsha384-x25519",)
ENCRYPT = Profile(Level.ENCRYPT, IKE, ("aes256gcm16-x25519",))
NULL = Profile(Level.INTEGRITY, IKE, ("null-sha256-x25519",))
GMAC = Profile(Level.INTEGRITY, IKE, ("aes256gmac-x25519",))
AH = Profile(Level.AH, IKE, ("sha256-x25519",))


class Router(Peer):
    """A namespace with an address in a core of each family and one behind it, its charon and our side of it."""

    def __init__(self, number: int, core: Namespace, *, events: Iterable[str] = ()) -> None:
        """``core``: where what crosses can be captured, on its device ``core``."""
        super().__init__(f"router{number}", libipsec=False, events=events)
        self.number = number
        self.core = core

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
        super().start()

    def transport(self, peer: Router, core: int, protocol: int, profile: Profile) -> Connection:
        """What protects a protocol between this router and the peer."""
        ours, theirs = self.address(core), peer.address(core)
        pair = SelectorPair(Selector(ip_network(ours), protocol), Selector(ip_network(theirs), protocol))
        wire = SoftwireId(ip_address(ours), ip_address(theirs), TunnelType.IP_IN_IP_IPSEC_TRANSPORT)
        return self.rendered(Softwire(wire, Mode.TRANSPORT, frozenset({pair}), (peer.key.pinned,), profile))

    def tunnel(
        self, peer: Router, core: int, family: int, profile: Profile, interface: Interface | None = None
    ) -> Connection:
        """What carries the inner addresses of a family over the core of another, or of the same."""
        wire = SoftwireId(ip_address(self.address(core)), ip_address(peer.address(core)), TunnelType.IPSEC_TUNNEL)
        pair = SelectorPair(Selector(ip_network(self.inner(family))), Selector(ip_network(peer.inner(family))))
        softwire = Softwire(wire, Mode.TUNNEL, frozenset({pair}), (peer.key.pinned,), profile)
        return self.rendered(replace(softwire, interface=interface))


async def established(left: Router, ours: Connection, right: Router, theirs: Connection) -> None:
    """Load both, initiate from the left, and have the outcome verified at both ends."""
    await right.driver.load_connection(theirs)
    await left.driver.load_connection(ours)
    await left.initiate(ours)
    for router, connection in ((left, ours), (right, theirs)):
        ike, child = await router.carrying(connection)
        assert verify_peer(ike, connection) is None
        assert verify(child, connection.children[0], ike) is None


async def parted(*routers: Router) -> None:
    """Take down all that ``established`` set up: a fresh guest is slow, so tests use one for several SAs."""
    for router in routers:
        observed = await router.driver.observe()
        for name in observed.connections:
            await router.driver.unload_connection(name)
        for ike in observed.ike_sas:
            await router.driver.terminate_ike(ike.unique_id)
    for router in routers:
        await router.no_ike_sa()
