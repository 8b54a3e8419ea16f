"""A tunnel interface as netlink's attributes, and back. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

from softmesh.dataplane.layout import Device
from softmesh.mesh.softwire import INTERFACE_PREFIX, Address, Interface, InterfaceKind

ALIAS_PREFIX = "softmesh "
"""What the alias of an interface of ours begins with; the rest is for people."""

_ANY_PROTOCOL = 0
_PATH_MTU_DISCOVERY = 1
_HOP_LIMIT = 64
_IGNORE_ENCAP_LIMIT = 1
"""IP6_TNL_F_IGN_ENCAP_LIMIT: the option of RFC 2473 §4.1.1 would stand between the outer header and ESP."""

_KINDS = {
    (InterfaceKind.XFRM, 4): "xfrm",
    (InterfaceKind.XFRM, 6): "xfrm",
    (InterfaceKind.VTI, 4): "vti",
    (InterfaceKind.VTI, 6): "vti6",
    (InterfaceKind.IP_IN_IP, 4): "sit",
    (InterfaceKind.IP_IN_IP, 6): "ip6tnl",
    (InterfaceKind.GRE, 4): "gre",
    (InterfaceKind.GRE, 6): "ip6gre",
}
"""The kernel's name of each interface, by the family of the core."""


def alias(device: Device) -> str:
    """What an interface is for; an XFRM interface has no other place for its addresses."""
    return f"{ALIAS_PREFIX}{device.interface.kind} {device.local} {device.remote}"


def attributes(device: Device) -> Mapping[str, Any]:
    """What ``link add`` is told: kind and addresses, in pyroute2's names."""
    number, version = device.interface.number, device.local.version
    kind = _KINDS[device.interface.kind, version]
    own: dict[str, Any]
    match device.interface.kind:
        case InterfaceKind.XFRM:
            return {"kind": kind, "xfrm_if_id": number}
        case InterfaceKind.VTI:
            own = {"ikey": number, "okey": number}
        case InterfaceKind.IP_IN_IP:
            own = {"proto": _ANY_PROTOCOL}
        case InterfaceKind.GRE:
            own = {}
    if device.interface.kind is not InterfaceKind.VTI:
        own["ttl"] = _HOP_LIMIT
        own |= {"pmtudisc": _PATH_MTU_DISCOVERY} if version == 4 else {"flags": _IGNORE_ENCAP_LIMIT}
    prefix = "vti" if device.interface.kind is InterfaceKind.VTI else kind
    own |= {"local": str(device.local), "remote": str(device.remote)}
    return {"kind": kind, **{f"{prefix}_{name}": value for name, value in own.items()}}


def parse(link: Any) -> Device | None:
    """The device a link of a dump is, None where it is none of ours (by name and alias both)."""
    name, text = link.get("ifname") or "", link.get("ifalias") or ""
    if not (name.startswith(INTERFACE_PREFIX) and text.startswith(ALIAS_PREFIX)):
        return None
    try:
        number = int(name.removeprefix(INTERFACE_PREFIX), 16)
        kind_text, local, remote = text.removeprefix(ALIAS_PREFIX).split()
        kind = InterfaceKind(kind_text)
        ends: tuple[Address, Address] = ip_address(local), ip_address(remote)
    except ValueError:
        return None
    info = link.get("linkinfo")
    # Somebody made it anew as something else: it is no more what its alias says.
    if info is None or info.get("kind") != _KINDS[kind, ends[0].version]:
        kind = _other_than(kind)
    return Device(Interface(kind, number), *ends, int(link.get("mtu")))


def _other_than(kind: InterfaceKind) -> InterfaceKind:
    return next(other for other in InterfaceKind if other is not kind)
