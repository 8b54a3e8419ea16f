"""Transport mode by two charons alone, as rendered and verified by us, for every encapsulation the kernel has.

left ══ core (a cable) ══ right: each with a loopback address of either family behind it
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace

import pytest

from lab.eventually import eventually
from softmesh.charon.verify import verify
from softmesh.mesh.softwire import Mode, Profile
from tests.vm.kernel import EspOnly, accept_labels, interface, security_associations
from tests.vm.router import ENCRYPT, NULL, Router, established

PINGS = 3
IPIP, IPV6, GRE, L2TP, MPLS = 4, 41, 47, 115, 137


Routers = tuple[Router, Router]


async def protect(left: Router, right: Router, core: int, protocol: int, profile: Profile) -> None:
    """Set up the SA and have it verified at both ends."""
    ours = left.transport(right, core, protocol, profile)
    await established(left, ours, right, right.transport(left, core, protocol, profile))


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
    await protect(left, right, encapsulation.core, encapsulation.protocol, NULL)
    assert "enc ecb(cipher_null)" in left.namespace.ip("xfrm", "state")
    await crosses(left, right, encapsulation)


async def crosses(left: Router, right: Router, encapsulation: Encapsulation) -> None:
    """Ping through the tunnel with all it carries: bare ESP on the cable, and the counters say so too."""
    with (
        enter(left, right, encapsulation),
        enter(right, left, encapsulation),
        EspOnly(left.core, "core") as core,
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
    with EspOnly(left.core, "core") as wire:
        left.namespace.run(*python, _SEND.format(family=family, protocol=L2TP, to=right.address(core)))
        eventually(lambda: "got 64" in receiver.log.read_text(), within=10, what="what was sent is received")
        wire.saw(1)


async def test_a_peer_that_falls_back_to_tunnel_mode_is_found_out(routers: Routers) -> None:
    left, right = routers
    ours = left.transport(right, 4, IPIP, ENCRYPT)
    theirs = right.transport(left, 4, IPIP, ENCRYPT)
    # Its responder ignores USE_TRANSPORT_MODE, as RFC 7296 §1.3.1 allows, and charon accepts that without a word.
    tunnel = replace(theirs, children=(replace(theirs.children[0], mode=Mode.TUNNEL),))
    await right.driver.load_connection(tunnel)
    await left.driver.load_connection(ours)
    await left.driver.initiate(ours.name, ours.children[0].name)
    ike, child = await left.carrying(ours)
    assert verify(child, ours.children[0], ike) == "asked for transport mode, negotiated tunnel"
