"""Levels of protection and what binds SAs to an interface, by two charons alone.

As ``test_transport``; here also tunnel mode, the inner addresses of one family over the core of another or the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from lab.eventually import until
from lab.namespace import Namespace
from softmesh.charon.connection import Connection
from softmesh.mesh.softwire import Interface, InterfaceKind, Profile
from tests.vm.kernel import AhOnly, EspOnly, interface, security_associations
from tests.vm.router import AH, ENCRYPT, GMAC, NULL, Router, established, parted

Routers = tuple[Router, Router]

PINGS = 3
IPIP, IPV6 = 4, 41
CROSSINGS = [(4, 4), (4, 6), (6, 4), (6, 6)]
"""Families of the core and of what crosses it."""


@dataclass(frozen=True)
class Level:
    """A profile and what the kernel makes of it."""

    profile: Profile
    watch: Callable[[Namespace, str], EspOnly | AhOnly]
    protocol: str
    algorithms: tuple[str, ...]


LEVELS = {
    "encrypt": Level(ENCRYPT, EspOnly, "esp", ("rfc4106(gcm(aes))",)),
    "integrity-null": Level(NULL, EspOnly, "esp", ("hmac(sha256)", "ecb(cipher_null)")),
    "integrity-gmac": Level(GMAC, EspOnly, "esp", ("rfc4543(gcm(aes))",)),
    "ah": Level(AH, AhOnly, "ah", ("hmac(sha256)",)),
}


def holds(router: Router, level: Level, mode: str) -> None:
    """Assert that the kernel holds one SA a direction, of this level, that carried what was sent."""
    found = security_associations(router.namespace).values()
    assert [(sa.protocol, sa.mode, sa.encapsulated, sa.packets) for sa in found] == [
        (level.protocol, mode, False, PINGS)
    ] * 2
    assert {sa.algorithms for sa in found} == {level.algorithms}


def through(left: Router, right: Router, family: int, devices: tuple[str, str]) -> None:
    """Route the inner addresses into these devices."""
    for router, peer, device in ((left, right, devices[0]), (right, left, devices[1])):
        router.namespace.ip("route", "replace", peer.inner(family), "dev", device, "src", router.inner(family))


def clear(*routers: Router) -> None:
    """Take all policies and SAs out of the kernel, behind charon's back."""
    for router in routers:
        router.namespace.ip("xfrm", "policy", "flush")
        router.namespace.ip("xfrm", "state", "flush")


@pytest.mark.parametrize(("core", "family"), CROSSINGS)
async def test_tunnel_mode(routers: Routers, core: int, family: int) -> None:
    left, right = routers
    # Where to, the policy says; a route is needed all the same.
    for router, peer in ((left, right), (right, left)):
        via = ("dev", "core") if core != family else ("via", peer.address(core))
        router.namespace.ip("route", "replace", peer.inner(family), *via, "src", router.inner(family))
    for level in LEVELS.values():
        ours = left.tunnel(right, core, family, level.profile)
        await established(left, ours, right, right.tunnel(left, core, family, level.profile))
        with level.watch(left.core, "core") as cable:
            assert left.namespace.ping(right.inner(family), source=left.inner(family), count=PINGS)
            cable.saw(2 * PINGS)
            for router in (left, right):
                holds(router, level, "tunnel")
            # What the policies do not cover the same watch sees.
            assert left.namespace.ping(right.address(core))
            cable.sees(plaintext=2)
        await parted(left, right)


@pytest.mark.parametrize(
    ("core", "kind", "protocol", "family"),
    [(4, "ipip", IPIP, 4), (4, "sit", IPV6, 6), (6, "ip6tnl", IPIP, 4), (6, "ip6tnl", IPV6, 6)],
)
async def test_transport_mode(routers: Routers, core: int, kind: str, protocol: int, family: int) -> None:
    left, right = routers
    mode = () if core == 4 else ("mode", "ipip6" if family == 4 else "ip6ip6")
    ends = left.address(core), right.address(core)
    with (
        interface(left.namespace, kind, *ends, *mode) as here,
        interface(right.namespace, kind, *reversed(ends), *mode) as there,
    ):
        through(left, right, family, (here, there))
        for level in (LEVELS["integrity-gmac"], LEVELS["ah"]):
            ours = left.transport(right, core, protocol, level.profile)
            await established(left, ours, right, right.transport(left, core, protocol, level.profile))
            with level.watch(left.core, "core") as cable:
                assert left.namespace.ping(right.inner(family), source=left.inner(family), count=PINGS)
                cable.saw(2 * PINGS)
                for router in (left, right):
                    holds(router, level, "transport")
                clear(left, right)
                assert left.namespace.ping(right.inner(family), source=left.inner(family))
                cable.sees(plaintext=2)
            await parted(left, right)


@pytest.mark.parametrize(("core", "family"), CROSSINGS)
async def test_mark_binds_to_a_vti(routers: Routers, core: int, family: int) -> None:
    """What goes through the VTI is protected or does not go at all: without SAs it is dropped."""
    left, right = routers
    numbers = 0xA1B2C3D4, 0x7
    ends = left.address(core), right.address(core)
    kind = "vti" if core == 4 else "vti6"
    with (
        interface(left.namespace, kind, *ends, "key", str(numbers[0])) as here,
        interface(right.namespace, kind, *reversed(ends), "key", str(numbers[1])) as there,
    ):
        through(left, right, family, (here, there))
        for level in (LEVELS["encrypt"], LEVELS["ah"]):
            ours, theirs = (
                router.tunnel(peer, core, family, level.profile, Interface(InterfaceKind.VTI, number))
                for router, peer, number in ((left, right, numbers[0]), (right, left, numbers[1]))
            )
            await established(left, ours, right, theirs)
            for router in (left, right):
                # charon's own routes, which are asked before any of ours.
                router.namespace.ip(f"-{family}", "route", "flush", "table", "220")
            with level.watch(left.core, "core") as cable:
                assert left.namespace.ping(right.inner(family), source=left.inner(family), count=PINGS)
                cable.saw(2 * PINGS)
                for router in (left, right):
                    holds(router, level, "tunnel")
                clear(left, right)
                assert not left.namespace.ping(right.inner(family), source=left.inner(family))
                cable.saw(2 * PINGS)
            await parted(left, right)


async def test_if_id_reaches_the_kernel_and_is_verified(routers: Routers) -> None:
    """A kernel without XFRM interfaces takes it too, but has nothing that leads into such an SA."""
    left, right = routers
    number = 0xA1B2C3D4
    ours = left.tunnel(right, 4, 6, ENCRYPT, Interface(InterfaceKind.XFRM, number))
    theirs = right.tunnel(left, 4, 6, ENCRYPT)
    await established(left, ours, right, theirs)
    assert left.namespace.ip("xfrm", "state").count(f"if_id {number:#x}") == 2
    assert left.namespace.ip("xfrm", "policy").count(f"if_id {number:#x}") == 3
    assert "if_id" not in right.namespace.ip("xfrm", "state")


@pytest.mark.parametrize(
    ("proposed", "accepted", "there", "here"),
    [("encrypt", "ah", "encrypt", "ah"), ("ah", "integrity-null", "ah", "integrity")],
)
async def test_both_ends_say_what_differs(
    routers: Routers, proposed: str, accepted: str, there: str, here: str
) -> None:
    left, right = routers
    ours = left.tunnel(right, 4, 6, LEVELS[proposed].profile)
    theirs = right.tunnel(left, 4, 6, LEVELS[accepted].profile)
    await right.driver.load_connection(theirs)
    await left.driver.load_connection(ours)

    async def told() -> bool:
        await left.initiate(ours)
        return f"{there} there and {here} here" in await right.failure(theirs)

    await until(told, within=10, what="the responder says what differs")
    assert f"(level {there}): it has another level of protection" in await left.failure(ours)
    # Either initiates at times, and so comes to know both sides.
    await right.initiate(theirs)

    async def known(router: Router, connection: Connection) -> bool:
        return "different levels of protection" in await router.failure(connection)

    for router, connection in ((left, ours), (right, theirs)):
        await until(
            lambda router=router, connection=connection: known(router, connection),  # type: ignore[misc]
            within=10, what="it knows both sides",
        )  # fmt: skip
    assert f"{here} there and {there} here" in await left.failure(ours)


@pytest.mark.parametrize(("before", "after"), [("encrypt", "ah"), ("ah", "integrity-gmac")])
async def test_sa_of_another_level_is_made_beside_the_one_it_replaces(
    routers: Routers, before: str, after: str
) -> None:
    """What the planner counts on: the old SA goes on carrying until it is terminated, then the new one does."""
    left, right = routers
    for router, peer in ((left, right), (right, left)):
        router.namespace.ip("route", "replace", peer.inner(6), "dev", "core", "src", router.inner(6))
    for profile in (LEVELS[before].profile, LEVELS[after].profile):
        ours, theirs = left.tunnel(right, 4, 6, profile), right.tunnel(left, 4, 6, profile)
        await right.driver.load_connection(theirs)
        await left.driver.load_connection(ours)
        await left.initiate(ours)
        name = ours.children[0].name

        async def there(name: str = name) -> bool:
            return name in await left.installed() and len(await left.installed()) == len(await right.installed())

        await until(there, within=15, what=f"{profile.level} beside what there was")
    assert len(await left.ike_sas()) == 1
    (old,) = [sa for sa_name, sa in (await left.installed()).items() if sa_name != name]
    await left.driver.terminate_child(old.unique_id)
    await left.up(ours)
    await right.up(theirs)
    with LEVELS[after].watch(left.core, "core") as cable:
        assert left.namespace.ping(right.inner(6), source=left.inner(6), count=PINGS)
        cable.saw(2 * PINGS)
