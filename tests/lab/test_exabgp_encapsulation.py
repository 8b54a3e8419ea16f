"""ExaBGP with the Encapsulation SAFI (RFC 5512 §3), of both versions: with itself, and with a peer that talks nonsense.

near ── 2001:db8:f::1 ── 2001:db8:f::2 ── far
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.namespace import Namespace, link
from lab.speaker import reach, unreach
from softmesh.bgp import exabgp_encapsulation
from softmesh.bgp.announcement import Announcement
from softmesh.bgp.route import ENCAPSULATION, Family, SessionState
from tests.lab.exabgp_router import FAR, NEAR, Mirrored, Router

FAMILIES = (Family.IPV4_UNICAST, Family.IPV4_ENCAPSULATION, Family.IPV6_ENCAPSULATION)
EXABGP = {
    "5.0": (sys.executable, "-m", exabgp_encapsulation.__name__),
    # As an operator's, of another Python.
    "4.2": (str(Path(".venv-exabgp42/bin/python").absolute()), exabgp_encapsulation.__file__),
}
TUNNELS = bytes.fromhex("0004001803160001" + "11" * 20)
"""RFC 5566 §4: an authenticator, and no Tunnel Egress Endpoint."""
COMMUNITY = 0x030C000000000004
"""RFC 5512 §4.5, of the same tunnel."""
V4 = Announcement("192.0.2.1/32", "192.0.2.1", TUNNELS, encapsulation=True)
V6 = Announcement(f"{NEAR}/128", NEAR, None, (COMMUNITY,), encapsulation=True)


@contextmanager
def linked() -> Iterator[tuple[Namespace, Namespace]]:
    """The namespaces of near and far."""
    tag = os.urandom(2).hex()
    with Namespace(f"near{tag}") as near, Namespace(f"far{tag}") as far:
        link(near, "core", far, "core")
        near.address("core", f"{NEAR}/64")
        far.address("core", f"{FAR}/64")
        yield near, far


def held(mirrored: Mirrored) -> dict[tuple[Family, str], tuple[str, bytes | None, tuple[int, ...]]]:
    """What the hook has, by family and prefix."""
    return {
        (key.family, key.prefix): (
            route.next_hop,
            route.attributes.tunnel_encapsulation,
            route.attributes.extended_communities,
        )
        for key, route in mirrored.client.routes.items()
    }


def complete(mirrored: Mirrored, peer: str, families: Set[Family]) -> Callable[[], bool]:
    """Whether a hook has heard from its peer that these families are complete."""
    return lambda: mirrored.client.neighbors[peer].end_of_rib >= families


V4_KEY, V6_KEY = (Family.IPV4_ENCAPSULATION, V4.prefix), (Family.IPV6_ENCAPSULATION, V6.prefix)
ANNOUNCED = {V4_KEY: (V4.next_hop, TUNNELS, ()), V6_KEY: (V6.next_hop, None, (COMMUNITY,))}


@pytest.mark.parametrize("version", EXABGP)
async def test_endpoints_are_announced_heard_again_and_withdrawn(version: str) -> None:
    with linked() as (near_namespace, far_namespace):
        far = Router(far_namespace, FAR, 2, EXABGP["5.0"], peer=NEAR, families=FAMILIES, listens=True)
        near = Router(near_namespace, NEAR, 1, EXABGP[version], peer=FAR, families=FAMILIES)
        async with Mirrored(near) as teller, Mirrored(far) as listener:
            teller.client.announce(frozenset({V4, V6}))
            listener.client.announce(frozenset({V4}))
            await listener.until(lambda: held(listener) == ANNOUNCED, "both endpoints are heard")
            await teller.until(lambda: held(teller) == {V4_KEY: ANNOUNCED[V4_KEY]}, "and that of the other side")
            for mirrored, peer, families in ((teller, FAR, ENCAPSULATION), (listener, NEAR, {V4_KEY[0]})):
                await mirrored.until(complete(mirrored, peer, families), "all of it")
            (heard_at,) = (route.received_at for route in teller.client.routes.values())
            (hook,) = near.hooks()
            os.kill(hook, signal.SIGKILL)
            await teller.until(
                lambda: teller.client.synced and [r for r in teller.client.routes.values() if r.received_at > heard_at],
                "the new hook has heard it again",
            )
            await teller.until(complete(teller, FAR, ENCAPSULATION), "and that this is all")
            teller.client.announce(frozenset({V6}))
            await listener.until(lambda: held(listener).keys() == {V6_KEY}, "one")
            teller.client.announce(frozenset())
            await listener.until(lambda: not held(listener), "none")
            assert teller.client.neighbors[FAR].state is SessionState.UP
            assert not teller.client.errors


UNFIT = (
    reach(1, bytes.fromhex("20 c0000205 20 c000")),
    reach(1, bytes.fromhex("28 c0000205 05")),
    unreach(2, bytes.fromhex("ff 20010db8")),
)
FIT = (reach(1, bytes.fromhex("18 c00002 20 c0000205")), reach(2, b"\x80" + bytes(15) + b"\x01"))


@pytest.mark.parametrize("version", EXABGP)
async def test_what_is_no_nlri_ends_a_session_and_not_exabgp(version: str) -> None:
    with linked() as (near_namespace, far_namespace):
        updates = [f"!{update.hex()}" for update in UNFIT] + [update.hex() for update in FIT]
        speaker = far_namespace.start(
            sys.executable, "-m", "lab.speaker", FAR, *updates, log=f"{far_namespace.name}/speaker.log"
        )
        near = Router(near_namespace, NEAR, 1, EXABGP[version], peer=FAR, families=FAMILIES)
        async with Mirrored(near) as mirrored:
            await mirrored.until(
                lambda: {prefix for _, prefix in held(mirrored)} == {"192.0.2.0/24", "192.0.2.5/32", "::1/128"},
                "what can be read is heard, in the end",
                within=60,
            )
            assert mirrored.client.neighbors[FAR].state is SessionState.UP
        assert near.process.running
        notified = speaker.log.read_text().split("\n")
        assert [line for line in notified if line] == ["notification 3 10"] * len(UNFIT)
