"""Tunnel interfaces as netlink's messages, and back. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

from pyroute2.netlink import NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST
from pyroute2.netlink.rtnl import RTM_DELLINK, RTM_GETLINK, RTM_NEWLINK
from pyroute2.netlink.rtnl.ifinfmsg import IFF_UP, ifinfmsg

from softmesh.dataplane.layout import Device
from softmesh.dataplane.netlink import Message
from softmesh.mesh.softwire import INTERFACE_PREFIX, Address, Interface, InterfaceKind

ALIAS_PREFIX = "softmesh "
"""What the alias of an interface of ours begins with; the rest is for people."""
GROUP = 0x736D
"""Interface group of what we make: an alias is given only afterwards, and we may be killed between the two."""
FOREIGN_NUMBER = 0
"""Number of an interface of ours that is not as we make it: no softwire has it, so it is made anew."""

_ANY_PROTOCOL = 0
_PATH_MTU_DISCOVERY = 1
_HOP_LIMIT = 64
_IGNORE_ENCAP_LIMIT = 1
"""IP6_TNL_F_IGN_ENCAP_LIMIT: the option of RFC 2473 §4.1.1 would stand between the outer header and ESP."""
_INHERIT_TOS = 1
_INHERIT_TRAFFIC_CLASS = 2
"""IP6_TNL_F_USE_ORIG_TCLASS. The outer header gets the inner one's DSCP (RFC 2983 §3.1), and with that the kernel looks
for the SA of each packet. It would else take for all of an interface the one that served the first: IPv4 in the SA of
IPv6, which the other end refuses."""
_NO_LINK_LOCAL = 1
"""IN6_ADDR_GEN_MODE_NONE: between two routers no link-local address is needed, and nothing it would send."""

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
"""The kernel's name of each interface, by the version of the outer header."""
_DATA = {"vti": "VTI", "vti6": "VTI", "sit": "SIT", "ip6tnl": "IP6TNL", "gre": "GRE", "ip6gre": "IP6GRE"}
"""What pyroute2 calls the attributes of each."""


def kernel_kind(device: Device) -> str:
    """The kernel's name of such an interface."""
    return _KINDS[device.interface.kind, device.local.version]


def alias(device: Device) -> str:
    """What an interface is for; an XFRM interface has no other place for its addresses."""
    return f"{ALIAS_PREFIX}{device.interface.kind} {device.local} {device.remote}"


def create(device: Device, name: str | None = None) -> Message:
    """Make an interface, which is down; refused where its name is taken."""
    kind = kernel_kind(device)
    info = {"attrs": [("IFLA_INFO_KIND", kind), ("IFLA_INFO_DATA", {"attrs": list(_data(device).items())})]}
    attributes = [
        ("IFLA_IFNAME", name or device.name),
        ("IFLA_MTU", device.mtu),
        ("IFLA_GROUP", GROUP),
        ("IFLA_LINKINFO", info),
    ]
    return _message(RTM_NEWLINK, attributes, NLM_F_CREATE | NLM_F_EXCL)


def finish(device: Device) -> tuple[Message, Message, Message]:
    """Alias and MTU; no link-local address; up. One after the other, for the kernel would bring it up too early.

    The second is refused with EAFNOSUPPORT where there is no IPv6, and needs not be done there.
    """
    named = ("IFLA_IFNAME", device.name)
    family = {"attrs": [("IFLA_INET6_ADDR_GEN_MODE", _NO_LINK_LOCAL)]}
    up = _message(RTM_NEWLINK, [named])
    up["flags"] = up["change"] = IFF_UP
    return (
        # The MTU once more, for some kinds take it from the core when they are made.
        _message(RTM_NEWLINK, [named, ("IFLA_MTU", device.mtu), ("IFLA_IFALIAS", alias(device))]),
        _message(RTM_NEWLINK, [named, ("IFLA_AF_SPEC", {"attrs": [("AF_INET6", family)]})]),
        up,
    )


def set_mtu(name: str, mtu: int) -> Message:
    """Change the MTU; octets."""
    return _message(RTM_NEWLINK, [("IFLA_IFNAME", name), ("IFLA_MTU", mtu)])


def remove(name: str) -> Message:
    """Remove an interface."""
    return _message(RTM_DELLINK, [("IFLA_IFNAME", name)])


def ask(name: str) -> Message:
    """Ask for one interface."""
    message = _message(RTM_GETLINK, [("IFLA_IFNAME", name)])
    message["header"]["flags"] = NLM_F_REQUEST
    return message


def every() -> Message:
    """Ask for all interfaces, in a dump."""
    return _message(RTM_GETLINK, [])


def parse(link: Message) -> Device | None:
    """The device a link is, None where it is none of ours.

    Ours is what has our kind of name and an alias of ours, or no alias yet and our group. One that was changed behind
    our back, or left half made, has a number that no softwire has.
    """
    name, text = link.get("ifname") or "", link.get("ifalias") or ""
    if not name.startswith(INTERFACE_PREFIX):
        return None
    if not text.startswith(ALIAS_PREFIX):
        return _half_made(link) if not text and link.get("group") == GROUP else None
    try:
        number = int(name.removeprefix(INTERFACE_PREFIX), 16)
        kind_text, local, remote = text.removeprefix(ALIAS_PREFIX).split()
        kind = InterfaceKind(kind_text)
        device = Device(Interface(kind, number), ip_address(local), ip_address(remote), int(link.get("mtu")))
    except ValueError:
        return _half_made(link)
    if name != device.name or not _is_as_made(link, device):
        return Device(Interface(kind, FOREIGN_NUMBER), device.local, device.remote, device.mtu)
    return device


def twin(links: list[Message], device: Device) -> str | None:
    """Name of the interface that keeps the kernel from making this one: it leads to the same place."""
    for link in links:
        # Whatever else differs, of these the kernel has one for the same addresses, or for the same number.
        if _holds(link, kernel_kind(device), _identity(device)):
            return str(link.get("ifname"))
    return None


def _half_made(link: Message) -> Device:
    nowhere = ip_address("::")
    return Device(Interface(InterfaceKind.XFRM, FOREIGN_NUMBER), nowhere, nowhere, int(link.get("mtu")))


def _is_as_made(link: Message, device: Device) -> bool:
    return bool(link["flags"] & IFF_UP) and _holds(link, kernel_kind(device), _data(device))


def _holds(link: Message, kind: str, data: Mapping[str, Any]) -> bool:
    info = link.get("linkinfo")
    if info is None or info.get("kind") != kind:
        return False
    held = info.get("data")
    return held is not None and all(_same(name, held.get(name), value) for name, value in data.items())


def _same(name: str, held: Any, value: Any) -> bool:
    if isinstance(value, str):
        return held is not None and ip_address(held) == ip_address(value)
    # Among flags the kernel notes what an interface is able to.
    return bool((held or 0) & value == value) if name.endswith("_FLAGS") else bool((held or 0) == value)


def _identity(device: Device) -> Mapping[str, Any]:
    data = _data(device)
    if device.interface.kind is InterfaceKind.XFRM:
        return data
    prefix = f"IFLA_{_DATA[kernel_kind(device)]}"
    ends = _ends(prefix, device.local, device.remote)
    if device.interface.kind is InterfaceKind.IP_IN_IP:
        return ends
    return {**ends, f"{prefix}_IKEY": data.get(f"{prefix}_IKEY", 0)}


def _data(device: Device) -> Mapping[str, Any]:
    number, version = device.interface.number, device.local.version
    if device.interface.kind is InterfaceKind.XFRM:
        return {"IFLA_XFRM_IF_ID": number}
    prefix = f"IFLA_{_DATA[kernel_kind(device)]}"
    ends = _ends(prefix, device.local, device.remote)
    if device.interface.kind is InterfaceKind.VTI:
        return {**ends, f"{prefix}_IKEY": number, f"{prefix}_OKEY": number}
    common = {**ends, f"{prefix}_TTL": _HOP_LIMIT}
    if version == 4:
        common |= {f"{prefix}_PMTUDISC": _PATH_MTU_DISCOVERY, f"{prefix}_TOS": _INHERIT_TOS}
    else:
        common[f"{prefix}_FLAGS"] = _IGNORE_ENCAP_LIMIT | _INHERIT_TRAFFIC_CLASS
    if device.interface.kind is InterfaceKind.IP_IN_IP:
        common[f"{prefix}_PROTO"] = _ANY_PROTOCOL
    return common


def _ends(prefix: str, local: Address, remote: Address) -> dict[str, Any]:
    return {f"{prefix}_LOCAL": str(local), f"{prefix}_REMOTE": str(remote)}


def _message(kind: int, attributes: list[tuple[str, Any]], flags: int = 0) -> Message:
    message = ifinfmsg()
    message["header"]["type"] = kind
    message["header"]["flags"] = NLM_F_REQUEST | NLM_F_ACK | flags
    message["attrs"] = attributes
    return message
