"""Routes as netlink's messages, and back. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from socket import AF_INET, AF_INET6
from typing import Any

from pyroute2.netlink import NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST
from pyroute2.netlink.rtnl import RTM_DELROUTE, RTM_GETROUTE, RTM_NEWROUTE, rt_scope, rt_type
from pyroute2.netlink.rtnl.rtmsg import LWTUNNEL_ENCAP_MPLS, rtmsg

from softmesh.dataplane.netlink import Message
from softmesh.mesh.softwire import Address, Network

PROTOCOL = 194
"""rtm_protocol of every route of ours: a number that nobody has in /etc/iproute2/rt_protos."""
METRIC = 10
"""Better than what routing daemons use: what goes into a softwire must not go beside it, with whatever they learned."""
LAST_RESORT = 2**32 - 1
"""The worst metric there is: any other route is better."""
EXPLICIT_NULL = {4: 0, 6: 2}
"""The label that stands for none, by the version of what is under it (RFC 3032 §2.1)."""
NO_DEVICE = 2**31 - 1
"""The index of an interface that there never is."""

_FAMILIES = {4: AF_INET, 6: AF_INET6}
_UNSPECIFIED = {4: str(IPv4Address(0)), 6: str(IPv6Address(0))}
_COMPATIBLE = 252
"""RT_TABLE_COMPAT: the table's number is in the attribute, as it needs more than 8 bits."""


@dataclass(frozen=True, slots=True)
class Route:
    """A route found."""

    prefix: Network
    blackhole: bool
    device: int
    """The interface's index; ``NO_DEVICE`` if there is none."""
    explicit_null: bool
    source: Address | None
    metric: int

    @property
    def ours(self) -> bool:
        """Whether its metric is one that we give; a protocol's number may be somebody else's too."""
        return self.metric == (LAST_RESORT if self.blackhole else METRIC)


def into(prefix: Network, device: int, source: Address | None, table: int, *, explicit_null: bool) -> Message:
    """Send a prefix into the interface with this index; refused where there is a route with its metric."""
    attributes: list[tuple[str, Any]] = [("RTA_OIF", device)]
    if source is not None:
        attributes.append(("RTA_PREFSRC", str(source)))
    if explicit_null:
        label = {"label": EXPLICIT_NULL[prefix.version], "tc": 0, "bos": 1, "ttl": 0}
        attributes += [
            ("RTA_ENCAP_TYPE", LWTUNNEL_ENCAP_MPLS),
            ("RTA_ENCAP", {"attrs": [("MPLS_IPTUNNEL_DST", [label])]}),
        ]
    message = _message(RTM_NEWROUTE, prefix, table, METRIC, attributes, NLM_F_CREATE | NLM_F_EXCL)
    message["type"] = rt_type["unicast"]
    message["scope"] = rt_scope["link" if prefix.version == 4 else "universe"]
    return message


def blackhole(prefix: Network, table: int) -> Message:
    """Let a prefix go nowhere for want of any better route; refused where there is a route with this metric."""
    message = _message(RTM_NEWROUTE, prefix, table, LAST_RESORT, [], NLM_F_CREATE | NLM_F_EXCL)
    message["type"] = rt_type["blackhole"]
    return message


def instead(message: Message) -> Message:
    """The same, in place of the route that has its metric."""
    message["header"]["flags"] = message["header"]["flags"] & ~NLM_F_EXCL | NLM_F_REPLACE
    return message


def remove(prefix: Network, metric: int, table: int) -> Message:
    """Remove our route, and nobody else's: the kernel compares the protocol."""
    message = _message(RTM_DELROUTE, prefix, table, metric, [])
    message["scope"] = rt_scope["nowhere"]
    return message


def of_our_protocol(version: int, table: int) -> Message:
    """Ask for the routes that have our protocol, in a dump."""
    message = held(version, table)
    message["proto"] = PROTOCOL
    return message


def held(version: int, table: int) -> Message:
    """Ask for all routes of a table, in a dump."""
    message = _bare(RTM_GETROUTE, version, table)
    message["attrs"] = [("RTA_TABLE", table)]
    return message


def towards(remote: Address) -> Message:
    """Ask how an address is reached."""
    message = _bare(RTM_GETROUTE, remote.version, 0)
    message["header"]["flags"] = NLM_F_REQUEST
    message["dst_len"] = remote.max_prefixlen
    message["attrs"] = [("RTA_DST", str(remote))]
    return message


def no_route_with_a_label(version: int) -> Message:
    """Ask for what cannot be, a route into no interface, so as to learn whether it could have a label otherwise."""
    prefix = ip_network(_UNSPECIFIED[version])
    return into(prefix, NO_DEVICE, None, 0, explicit_null=True)


def parse(message: Message) -> Route:
    """A route of a dump."""
    version = 4 if message["family"] == AF_INET else 6
    source = message.get("prefsrc")
    return Route(
        prefix=ip_network((message.get("dst") or _UNSPECIFIED[version], message["dst_len"])),
        blackhole=message["type"] == rt_type["blackhole"],
        device=message.get("oif") or NO_DEVICE,
        explicit_null=message.get("encap") is not None,
        source=None if source is None else ip_address(source),
        metric=message.get("priority") or 0,
    )


def mtu(message: Message) -> int | None:
    """Octets, where a route knows better than its interface: one that was learned, or set."""
    metrics = message.get("metrics")
    known = None if metrics is None else metrics.get("mtu")
    return int(known) if known else None


def _message(
    kind: int, prefix: Network, table: int, metric: int, attributes: list[tuple[str, Any]], flags: int = 0
) -> Message:
    message = _bare(kind, prefix.version, table)
    message["header"]["flags"] |= flags
    message["proto"] = PROTOCOL
    message["dst_len"] = prefix.prefixlen
    message["attrs"] = [
        ("RTA_TABLE", table),
        ("RTA_DST", str(prefix.network_address)),
        ("RTA_PRIORITY", metric),
        *attributes,
    ]
    return message


def _bare(kind: int, version: int, table: int) -> Message:
    message = rtmsg()
    message["header"]["type"] = kind
    message["header"]["flags"] = NLM_F_REQUEST | NLM_F_ACK
    message["family"] = _FAMILIES[version]
    message["table"] = table if table < 256 else _COMPATIBLE
    for field in ("dst_len", "src_len", "tos", "proto", "scope", "type", "flags"):
        message[field] = 0
    return message
