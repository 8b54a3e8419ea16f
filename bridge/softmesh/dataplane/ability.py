"""What this kernel can: found by asking it, for the modules may have to be loaded first."""

from __future__ import annotations

import errno
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from softmesh.dataplane import link, route
from softmesh.dataplane.layout import Device
from softmesh.dataplane.netlink import Netlink, opened
from softmesh.mesh.softwire import Interface, InterfaceKind

_MTU = 1280
_ENDS = {
    4: (ip_address("192.0.2.1"), ip_address("192.0.2.2")),
    6: (ip_address("2001:db8::1"), ip_address("2001:db8::2")),
}
"""Addresses for documentation (RFC 5737 §3, RFC 3849 §2): nobody has a tunnel between them."""


@dataclass(frozen=True, slots=True)
class Ability:
    """Of one kernel, as this process may use it."""

    xfrm_interface: bool
    vti: bool
    reason: str
    """Why there are no XFRM interfaces; empty where there are."""
    mpls: bool = True
    """Whether a route can have a label."""


async def kernel_ability() -> Ability:
    """Make an interface of each kind, and remove it at once.

    Raises OperatorError where there is no netlink to be had, Unreachable where the kernel does not answer.
    """
    async with opened() as netlink:
        mpls = await _has_mpls(netlink)
        xfrm = await _refusal(netlink, InterfaceKind.XFRM, 4)
        if not xfrm:
            return Ability(xfrm_interface=True, vti=True, reason="", mpls=mpls)
        vti = await _refusal(netlink, InterfaceKind.VTI, 4) and await _refusal(netlink, InterfaceKind.VTI, 6)
    if errno.EPERM in {xfrm, vti}:
        lack = "this process may make no interfaces: run it as root, or with CAP_NET_ADMIN"
        return Ability(xfrm_interface=False, vti=False, reason=lack, mpls=mpls)
    lacks = "neither XFRM interfaces nor VTI" if vti else "no XFRM interfaces"
    return Ability(xfrm_interface=False, vti=not vti, reason=f"this kernel has {lacks}", mpls=mpls)


async def refused_kinds(kinds: Iterable[tuple[InterfaceKind, int]]) -> Mapping[tuple[InterfaceKind, int], int]:
    """Make an interface of each kind, by the version of its outer header, and remove it at once.

    Returns those that the kernel refuses, each with the error number. Raises as ``kernel_ability``.
    """
    async with opened() as netlink:
        answers = {(kind, version): await _refusal(netlink, kind, version) for kind, version in kinds}
    return {which: code for which, code in answers.items() if code}


async def _refusal(netlink: Netlink, kind: InterfaceKind, version: int) -> int:
    """The error number with which the kernel refuses an interface; 0 where it does not."""
    # A name of our own kind: one that is left behind, should we be killed now, is removed as whatever is half made.
    device = Device(Interface(kind, secrets.randbits(32) or 1), *_ENDS[version], _MTU)
    (made,) = await netlink.ask([link.create(device)])
    if not made.code:
        await netlink.ask([link.remove(device.name)])
    return made.code


async def _has_mpls(netlink: Netlink) -> bool:
    (answer,) = await netlink.ask([route.no_route_with_a_label(4)])
    return answer.code not in {errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM}
