"""The whole chain, from the reflector to the kernel's ESP, for each tunnel type of RFC 5566 §3.

The mesh is shared: every test announces the type it is about and waits until the softwires are of that type.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from lab.eventually import eventually
from lab.mesh import Afbr, Direction, Mesh
from softmesh.bgp.codepoints import TunnelType
from tests.vm.kernel import EspOnly, accept_labels, interface, security_associations

PINGS = 5


def announce(mesh: Mesh, tunnel: TunnelType) -> None:
    """Have every router offer this tunnel type alone, and wait until charon and kernel hold that and no more."""
    for afbr in mesh.afbrs.values():
        afbr.settings["announce"]["tunnels"] = [{"type": tunnel.keyword}]
        afbr.write_configuration()
        assert afbr.bridge is not None
        afbr.bridge.signal(signal.SIGHUP)
    eventually(
        lambda: all(
            {wire["type"] for wire in afbr.up().values()} == {tunnel.label}
            and afbr.charon.swanctl("--list-sas").count("INSTALLED") == 1
            for afbr in mesh.afbrs.values()
        ),
        within=30, what=f"every softwire is up as {tunnel.label}", every=0.2,
    )  # fmt: skip


def kernel_holds(mesh: Mesh, mode: str, packets: int) -> None:
    """Assert that each router's kernel has one SA a direction, bare ESP in this mode, and how much each carried."""
    left, right = (afbr.endpoint for afbr in mesh.afbrs.values())
    for afbr in mesh.afbrs.values():
        found = security_associations(afbr.namespace)
        assert found.keys() == {(left, right), (right, left)}
        for sa in found.values():
            assert (sa.protocol, sa.mode, sa.encapsulated, sa.packets) == ("esp", mode, False, packets)


def crosses_as_esp(mesh: Mesh, mode: str) -> None:
    """Ping between the islands, both ways; all of it is ESP on the wire and counted by the kernel and by status."""
    left, right = mesh.afbrs.values()
    plan = mesh.plan
    kernel_holds(mesh, mode, 0)
    with EspOnly(mesh.core, "br0") as core:
        assert left.island.ping(plan.host(right.number, 10), count=PINGS)
        assert right.island.ping(plan.host(left.number, 10), count=PINGS)
        core.saw(2 * 2 * PINGS)
        kernel_holds(mesh, mode, 2 * PINGS)
        for afbr in (left, right):
            (wire,) = afbr.up().values()
            (child,) = wire["children"]
            assert (wire["mode"], child["mode"]) == (mode, mode)
            eventually(
                lambda afbr=afbr: carried(afbr) == (2 * PINGS, 2 * PINGS),  # type: ignore[misc]
                within=10, what="status counts them too", every=0.2,
            )  # fmt: skip
        assert left.namespace.ping(right.endpoint)
        core.sees(plaintext=2)


def carried(afbr: Afbr) -> tuple[int, int]:
    """Packets in and out by the account of status."""
    ((child,),) = (wire["children"] for wire in afbr.up().values())
    return child["packets_in"], child["packets_out"]


@contextmanager
def tunnelled(mesh: Mesh, *, labels: bool = False) -> Iterator[None]:
    """An interface on each router for the encapsulation, with the other's island routed into it."""
    with interfaces(mesh, labels=labels) as devices:
        for afbr, other in pairs(mesh):
            device = devices[afbr.number]
            via = ["dev", device]
            if labels:
                accept_labels(afbr.namespace, device, label(afbr))
                via = ["encap", "mpls", str(label(other)), *via]
            afbr.namespace.ip("route", "replace", mesh.plan.island(other.number), *via)
        yield


@contextmanager
def interfaces(mesh: Mesh, *, labels: bool) -> Iterator[dict[int, str]]:
    """Names of tunnel interfaces, by router."""
    if mesh.plan.direction is Direction.FOUR_OVER_SIX:
        kind = ("ip6tnl", "mode", "any" if labels else "ipip6")
    else:
        kind = ("sit", "mode", "mplsip" if labels else "ip6ip")
    (left, right), _ = pairs(mesh)
    with (
        interface(left.namespace, kind[0], left.endpoint, right.endpoint, *kind[1:]) as ours,
        interface(right.namespace, kind[0], right.endpoint, left.endpoint, *kind[1:]) as theirs,
    ):
        yield {left.number: ours, right.number: theirs}


def pairs(mesh: Mesh) -> tuple[tuple[Afbr, Afbr], tuple[Afbr, Afbr]]:
    """Each router with the other."""
    left, right = mesh.afbrs.values()
    return (left, right), (right, left)


def label(afbr: Afbr) -> int:
    """The MPLS label under which a router takes packets for its island."""
    return 100 + afbr.number


def test_type_4_by_policy(mesh: Mesh) -> None:
    announce(mesh, TunnelType.IPSEC_TUNNEL)
    crosses_as_esp(mesh, "tunnel")


def test_type_5_protects_the_encapsulation(mesh: Mesh) -> None:
    announce(mesh, TunnelType.IP_IN_IP_IPSEC_TRANSPORT)
    protocol = "ipencap" if mesh.plan.direction is Direction.FOUR_OVER_SIX else "ipv6"
    selectors_are(mesh, protocol)
    with tunnelled(mesh):
        crosses_as_esp(mesh, "transport")


def test_type_6_protects_mpls(mesh: Mesh) -> None:
    announce(mesh, TunnelType.MPLS_IN_IP_IPSEC_TRANSPORT)
    selectors_are(mesh, "mpls-in-ip")
    with tunnelled(mesh, labels=True):
        # No selector but protocol 137 leads into the SA, so what its counters grow by is labelled.
        crosses_as_esp(mesh, "transport")


def selectors_are(mesh: Mesh, protocol: str) -> None:
    """Assert that the SA carries this protocol between the endpoints and nothing else."""
    for afbr, other in pairs(mesh):
        ((child,),) = (wire["children"] for wire in afbr.up().values())
        length = 128 if ":" in afbr.endpoint else 32
        assert child["local_ts"] == f"{afbr.endpoint}/{length}[{protocol}]"
        assert child["remote_ts"] == f"{other.endpoint}/{length}[{protocol}]"
