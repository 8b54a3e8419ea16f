"""What the kernel and nft list: firewalls, interfaces, routes and TCP sockets, others' among them.

An input begins with a letter that says which: ``n`` nft's JSON, ``i`` an interface's name, alias and group as JSON,
``t`` a datagram of sock_diag.
"""

from __future__ import annotations

import json
import socket
import struct
from ipaddress import ip_address
from random import Random
from typing import Any

from fuzz import mutation
from fuzz.target import Target, demand
from softmesh.dataplane import link, nft_listing, tcp_diag
from softmesh.dataplane.layout import Device
from softmesh.dataplane.nft_ruleset import SIGN
from softmesh.errors import PeerError
from softmesh.mesh.softwire import Interface, InterfaceKind

DEVICE = Device(Interface(InterfaceKind.XFRM, 0x2A), ip_address("2001:db8:f::1"), ip_address("2001:db8:f::2"), 1400)
_TABLE: dict[str, Any] = {
    "nftables": [
        {"metainfo": {"version": "1.0.6", "json_schema_version": 1}},
        {"table": {"family": "inet", "name": "softmesh", "handle": 1}},
        {"chain": {"family": "inet", "table": "softmesh", "name": SIGN, "handle": 1}},
        {"chain": {"name": "core", "hook": "postrouting", "prio": 150, "policy": "accept"}},
        {"rule": {"chain": "core", "comment": "unprotected", "expr": [{"drop": None}]}},
        {"counter": {"name": "unprotected", "packets": 3, "bytes": 300}},
        {"set": {"name": "a", "type": "ipv4_addr", "elem": ["10.0.0.1", {"prefix": {"addr": "10.2.0.0", "len": 24}}]}},
        {"set": {"name": "b", "type": "ifname", "elem": ["core0", {"elem": {"val": "eth0", "counter": {}}}]}},
        {"set": {"name": "c", "type": ["ifname", "ipv6_addr"], "elem": [{"concat": ["sm-0000002a", "2001:db8::1"]}]}},
        {"map": {"name": "d", "type": "ipv6_addr", "map": "mark", "elem": [["2001:db8::1", 42]]}},
        {"set": {"name": "e", "type": "inet_service", "elem": [{"range": ["10.0.0.1", "10.0.0.9"]}]}},
    ]
}
_LINK = {
    "ifname": DEVICE.name,
    "ifalias": link.alias(DEVICE),
    "group": link.GROUP,
    "mtu": 1400,
    "if_id": 0x2A,
    "up": True,
}


def _datagram() -> bytes:
    """sock_diag's account of one BGP session with a TCP-MD5 key, and the end of the dump."""
    ends = socket.inet_pton(socket.AF_INET6, "2001:db8:f::1"), socket.inet_pton(socket.AF_INET6, "2001:db8:f::fe")
    body = struct.pack("!BBxxHH16s16s", socket.AF_INET6, 1, 40000, 179, *ends).ljust(72, b"\0")
    key = struct.pack("=BBH16s80x", socket.AF_INET6, 128, 8, ends[1])
    for kind, value in ((15, struct.pack("=I", 0)), (18, key)):
        body += struct.pack("=HH", 4 + len(value), kind) + value
    return struct.pack("=IHHII", 16 + len(body), 20, 2, 1, 0) + body + struct.pack("=IHHIIi", 20, 3, 2, 1, 0, 0)


CORPUS = (b"n" + json.dumps(_TABLE).encode(), b"i" + json.dumps(_LINK).encode(), b"t" + _datagram())


def mutate(listing: bytes, chance: Random) -> bytes:
    """The same kind of listing, damaged."""
    damage = mutation.octets if listing[:1] == b"t" else mutation.document
    return listing[:1] + damage(listing[1:], chance)


def check(listing: bytes) -> str:
    """What was found."""
    match listing[:1]:
        case b"n":
            return _firewall(listing[1:])
        case b"i":
            return _interface(listing[1:])
        case _:
            return _sessions(bytearray(listing[1:]))


def _firewall(output: bytes) -> str:
    try:
        table = nft_listing.table(output)
    except PeerError as error:
        demand(str(error).isprintable(), f"the error is one line: {error!r}")
        return "no table"
    return "ours" if table.ours else "another's"


class _Link(dict[str, Any]):
    """An interface as pyroute2 gives it: attributes by name, as far as they are looked at."""


def _interface(text: bytes) -> str:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return "no interface"
    if not isinstance(said, dict):
        return "no interface"
    # The kernel sees to what kind of value each is: these are what somebody may have chosen.
    name, alias = (str(said.get(key) or "").split("\0")[0] for key in ("ifname", "ifalias"))
    data = _Link(IFLA_XFRM_IF_ID=said.get("if_id"))
    message = _Link(
        ifname=name[:15],
        ifalias=alias[:255],
        group=said.get("group"),
        mtu=1400,
        flags=1 if said.get("up") else 0,
        linkinfo=_Link(kind="xfrm", data=data),
    )
    device = link.parse(message)
    if device is None:
        return "another's interface"
    demand(name.startswith("sm-"), "what has no name of ours is not ours")
    demand(alias.startswith("softmesh ") or (not alias and said.get("group") == link.GROUP), "nor what has no mark")
    return "an interface as made" if device == DEVICE else "an interface to be made anew"


def _sessions(datagram: bytearray) -> str:
    try:
        found, more = tcp_diag.read(memoryview(datagram))
    except PeerError as error:
        demand(str(error).isprintable(), f"the error is one line: {error!r}")
        return "no account"
    except OSError:
        return "refused"
    return f"{min(len(found), 9)} sessions{', and more' if more else ''}"


TARGET = Target(CORPUS, mutate, check)
