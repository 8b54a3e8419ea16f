"""ExaBGP's API output: one line in, one event out.

A line is JSON about a neighbour, a bare acknowledgement of one of our commands, or a row of ``show neighbor
summary``. 4.2 and 5.0 print attribute 23 as octets under ``attribute-0x17-0x<flags>``; 6.0-dev splits it into
``"tunnel-encap": {"tunnel-type-4": "0x…"}``, a name several times for several tunnels of one type.
"""

from __future__ import annotations

import json
import re
import sys
from functools import lru_cache
from typing import Any, TypeAlias, TypeVar

import msgspec

from softmesh.bgp.address_text import is_address, is_prefix
from softmesh.bgp.route import Family, Origin, PathAttributes, RouteKey
from softmesh.errors import printable

MAX_LINE = 2 * 1024 * 1024
"""Octets of the longest line: an extended message (RFC 8654) full of short prefixes prints as 0.5 MB."""

_EXCERPT = 160


class UpdateReceived(msgspec.Struct, frozen=True, gc=False):
    """An UPDATE: routes announced with one set of attributes, and routes withdrawn."""

    neighbor: str
    asn: int | None
    counter: int | None
    attributes: PathAttributes
    announced: tuple[tuple[RouteKey, str], ...]
    """Each with its next hop."""
    withdrawn: tuple[RouteKey, ...]


class EndOfRib(msgspec.Struct, frozen=True, gc=False):
    """End-of-RIB marker, RFC 4724 §2; ``family`` is None for one we do not keep."""

    neighbor: str
    asn: int | None
    counter: int | None
    family: Family | None


class SessionChanged(msgspec.Struct, frozen=True, gc=False):
    """A session is established, or was lost; ``reason`` is ExaBGP's."""

    neighbor: str
    asn: int | None
    counter: int | None
    up: bool
    reason: str


class RefreshMarked(msgspec.Struct, frozen=True, gc=False):
    """The neighbour begins or ends a refresh of a family: BoRR and EoRR, RFC 7313 §4."""

    neighbor: str
    asn: int | None
    counter: int | None
    family: Family | None
    begins: bool


class OpenRead(msgspec.Struct, frozen=True, gc=False):
    """An OPEN, sent by us or received; the session does not stand yet."""

    neighbor: str
    asn: int | None
    counter: int | None
    sent: bool
    extended_next_hop: bool
    """Whether it offers IPv6 next hops for IPv4 unicast (RFC 8950 §4)."""


class OtherLine(msgspec.Struct, frozen=True, gc=False):
    """A well-formed line that changes no route: a connection attempt, an update of our own."""

    neighbor: str | None
    asn: int | None
    counter: int | None


class NeighborListed(msgspec.Struct, frozen=True, gc=False):
    """A row of ``show neighbor summary``."""

    neighbor: str
    asn: int | None
    state: str
    """ExaBGP's name for the state of its finite state machine, in lower case."""

    @property
    def established(self) -> bool:
        """Whether routes may flow (RFC 4271 §8.2.2)."""
        return self.state == "established"


class Acknowledgement(msgspec.Struct, frozen=True, gc=False):
    """ExaBGP's answer to one command; it does not say which."""

    done: bool


class Shutdown(msgspec.Struct, frozen=True, gc=False):
    """ExaBGP is ending."""


class Malformed(msgspec.Struct, frozen=True, gc=False):
    """A line that is not what ExaBGP documents."""

    excerpt: str
    reason: str


NeighborEvent: TypeAlias = UpdateReceived | EndOfRib | SessionChanged | RefreshMarked | OpenRead | OtherLine
Event: TypeAlias = NeighborEvent | NeighborListed | Acknowledgement | Shutdown | Malformed


class _Nlri(msgspec.Struct, gc=False):
    nlri: str
    path_id: str | None = msgspec.field(name="path-information", default=None)


_Nlris: TypeAlias = list[_Nlri | str]


class _Announce(msgspec.Struct, gc=False):
    ipv4: dict[str, _Nlris] = msgspec.field(name="ipv4 unicast", default_factory=dict)
    ipv6: dict[str, _Nlris] = msgspec.field(name="ipv6 unicast", default_factory=dict)
    ipv4_encapsulation: dict[str, _Nlris] = msgspec.field(name="ipv4 encap", default_factory=dict)
    ipv6_encapsulation: dict[str, _Nlris] = msgspec.field(name="ipv6 encap", default_factory=dict)


class _Withdraw(msgspec.Struct, gc=False):
    ipv4: _Nlris = msgspec.field(name="ipv4 unicast", default_factory=list)
    ipv6: _Nlris = msgspec.field(name="ipv6 unicast", default_factory=list)
    ipv4_encapsulation: _Nlris = msgspec.field(name="ipv4 encap", default_factory=list)
    ipv6_encapsulation: _Nlris = msgspec.field(name="ipv6 encap", default_factory=list)


class _Segment(msgspec.Struct, gc=False):
    value: list[int]


class _Community(msgspec.Struct, gc=False):
    value: int


class _Attribute(msgspec.Struct, gc=False):
    origin: str = "incomplete"
    as_path: list[int] | dict[str, _Segment] = msgspec.field(name="as-path", default_factory=list)
    as_set: list[int] = msgspec.field(name="as-set", default_factory=list)
    confederation_path: list[int] = msgspec.field(name="confederation-path", default_factory=list)
    confederation_set: list[int] = msgspec.field(name="confederation-set", default_factory=list)
    local_preference: int | None = msgspec.field(name="local-preference", default=None)
    med: int | None = None
    originator_id: str | None = msgspec.field(name="originator-id", default=None)
    cluster_list: list[str] = msgspec.field(name="cluster-list", default_factory=list)
    extended_community: list[_Community] = msgspec.field(name="extended-community", default_factory=list)
    # Optional transitive, with the partial and extended length bits; other spellings take a slower way.
    tunnel_c0: str | None = msgspec.field(name="attribute-0x17-0xC0", default=None)
    tunnel_d0: str | None = msgspec.field(name="attribute-0x17-0xD0", default=None)
    tunnel_e0: str | None = msgspec.field(name="attribute-0x17-0xE0", default=None)
    tunnel_f0: str | None = msgspec.field(name="attribute-0x17-0xF0", default=None)


class _Update(msgspec.Struct, gc=False):
    attribute: _Attribute | None = None
    announce: _Announce | None = None
    withdraw: _Withdraw | None = None


class _AfiSafi(msgspec.Struct, gc=False):
    afi: str
    safi: str
    subtype: str = ""


class _Message(msgspec.Struct, gc=False):
    update: _Update | None = None
    eor: _AfiSafi | None = None


class _ExtendedNextHop(msgspec.Struct, gc=False):
    conversion: list[str] = []


class _Capabilities(msgspec.Struct, gc=False):
    # Those of our own OPEN are printed by name, received ones by number.
    sent: _ExtendedNextHop = msgspec.field(name="nexthop", default_factory=_ExtendedNextHop)
    received: _ExtendedNextHop = msgspec.field(name="5", default_factory=_ExtendedNextHop)


class _Open(msgspec.Struct, gc=False):
    capabilities: _Capabilities


class _Address(msgspec.Struct, gc=False):
    peer: str


class _Asn(msgspec.Struct, gc=False):
    peer: int | str | None = None


class _Neighbor(msgspec.Struct, gc=False):
    address: _Address
    asn: _Asn | None = None
    direction: str | None = None
    state: str | None = None
    reason: str = ""
    message: _Message | None = None
    refresh: _AfiSafi | None = msgspec.field(name="route-refresh", default=None)
    open: _Open | None = None


class _Line(msgspec.Struct, gc=False):
    type: str = ""
    counter: int | None = None
    neighbor: _Neighbor | None = None
    notification: str | None = None
    answer: str | None = None


_decode = msgspec.json.Decoder(_Line).decode

_ORIGINS = {"igp": Origin.IGP, "egp": Origin.EGP, "incomplete": Origin.INCOMPLETE}
_FAMILIES = {tuple(family.value.split()): family for family in Family}
_ANSWERS = {b"done": True, b"error": False}
_SUMMARY = re.compile(rb"([0-9A-Fa-f.:]+) +([!-~]+) .*?([a-z]+) +\d+ +\d+ *")
_MAX_ROW = 256
"""Octets of the longest row of a summary: the time to look for one grows with the square of its length."""
_SUMMARY_HEADER = b"Peer "
_ATTRIBUTE_23 = re.compile(r"attribute-0x17-0x[0-9a-f]{2}", re.IGNORECASE)
_ANY_ATTRIBUTE_23 = re.compile(rb'"(?:attribute-0x17-|tunnel-encap")', re.IGNORECASE)
_TUNNEL_TYPE = re.compile(r"tunnel-type-([0-9]{1,5})")
_LINK_LOCAL = "fe80:"
_EXTENDED_NEXT_HOP = "ipv4/unicast/ipv6"
_TWICE_QUOTED = re.compile(rb'(?<!")""([a-z0-9-]+)""(?!")')

_Shareable = TypeVar("_Shareable")


@lru_cache(maxsize=4096)
def _shared(value: _Shareable) -> _Shareable:
    """Return an equal value seen lately: thousands of routes hold the same few cluster lists."""
    return value


def parse_line(line: bytes) -> Event:
    """Return what one line of ExaBGP's output, without its newline, says; never raises on any octets."""
    answer = _ANSWERS.get(line)
    if answer is not None:
        return Acknowledgement(answer)
    try:
        return _event(_decode(line), line)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        if b'"route-refresh"' in line and _TWICE_QUOTED.search(line):
            # 4.2 quotes the words of a received ROUTE-REFRESH twice.
            return parse_line(_TWICE_QUOTED.sub(rb'"\1"', line))
        return _not_json(line, error)


def _not_json(line: bytes, error: Exception) -> Event:
    row = _SUMMARY.fullmatch(line) if len(line) <= _MAX_ROW else None
    if row is not None:
        address, asn, state = (part.decode("ascii") for part in row.groups())
        if not is_address(address):
            return Malformed(excerpt(line), f"{address} is no address")
        return NeighborListed(sys.intern(address), int(asn) if asn.isdigit() else None, state)
    if line.startswith(_SUMMARY_HEADER) or not line.strip():
        return OtherLine(None, None, None)
    return Malformed(excerpt(line), str(error) or type(error).__name__)


def excerpt(line: bytes) -> str:
    """Return the start of a line as printable text, for a log."""
    return printable(line[:_EXCERPT].decode("ascii", "backslashreplace")) + ("…" if len(line) > _EXCERPT else "")


def _event(line: _Line, raw: bytes) -> Event:
    said = line.neighbor
    if said is None:
        if line.notification == "shutdown" or line.answer == "shutdown":
            return Shutdown()
        if line.answer is not None:
            return Acknowledgement(line.answer == "done")
        return OtherLine(None, None, line.counter)
    if not is_address(said.address.peer):
        raise ValueError("the neighbour is none by its address")
    neighbor = sys.intern(said.address.peer)
    asn = said.asn.peer if said.asn is not None and isinstance(said.asn.peer, int) else None
    message = said.message
    sent = said.direction == "send"
    if said.open is not None:
        capabilities = said.open.capabilities
        offered = (capabilities.sent if sent else capabilities.received).conversion
        return OpenRead(neighbor, asn, line.counter, sent, _EXTENDED_NEXT_HOP in offered)
    if sent:
        return OtherLine(neighbor, asn, line.counter)
    if message is not None:
        if message.update is not None:
            return _update(neighbor, asn, line.counter, message.update, raw)
        if message.eor is not None:
            family = _FAMILIES.get((message.eor.afi, message.eor.safi))
            return EndOfRib(neighbor, asn, line.counter, family)
    if line.type == "state" and said.state in {"up", "down"}:
        return SessionChanged(neighbor, asn, line.counter, said.state == "up", printable(said.reason))
    if said.refresh is not None and said.refresh.subtype in {"begin", "end"}:
        family = _FAMILIES.get((said.refresh.afi, said.refresh.safi))
        return RefreshMarked(neighbor, asn, line.counter, family, said.refresh.subtype == "begin")
    return OtherLine(neighbor, asn, line.counter)


def _update(neighbor: str, asn: int | None, counter: int | None, update: _Update, raw: bytes) -> UpdateReceived:
    announced: list[tuple[RouteKey, str]] = []
    withdrawn: list[RouteKey] = []
    if update.announce is not None:
        for family, by_next_hop in (
            (Family.IPV4_UNICAST, update.announce.ipv4),
            (Family.IPV6_UNICAST, update.announce.ipv6),
            (Family.IPV4_ENCAPSULATION, update.announce.ipv4_encapsulation),
            (Family.IPV6_ENCAPSULATION, update.announce.ipv6_encapsulation),
        ):
            for next_hop, nlris in by_next_hop.items():
                if len(by_next_hop) > 1 and next_hop.startswith(_LINK_LOCAL):
                    # RFC 2545 §3: the same routes once more, by the other of the next hop's two addresses.
                    continue
                keys = [_key(neighbor, family, nlri) for nlri in nlris]
                if is_address(next_hop):
                    shared_next_hop = sys.intern(next_hop)
                    announced += [(key, shared_next_hop) for key in keys]
                else:
                    # 5.0 says "no-nexthop", 4.2 "null": a mandatory attribute is missing (RFC 7606 §3 d).
                    withdrawn += keys
    if update.withdraw is not None:
        for family, gone in (
            (Family.IPV4_UNICAST, update.withdraw.ipv4),
            (Family.IPV6_UNICAST, update.withdraw.ipv6),
            (Family.IPV4_ENCAPSULATION, update.withdraw.ipv4_encapsulation),
            (Family.IPV6_ENCAPSULATION, update.withdraw.ipv6_encapsulation),
        ):
            withdrawn += [_key(neighbor, family, nlri) for nlri in gone]
    attributes = _path_attributes(update.attribute, raw) if announced and update.attribute else _NO_ATTRIBUTES
    return UpdateReceived(neighbor, asn, counter, attributes, tuple(announced), tuple(withdrawn))


def _key(neighbor: str, family: Family, nlri: _Nlri | str) -> RouteKey:
    prefix, path_id = (nlri, None) if isinstance(nlri, str) else (nlri.nlri, nlri.path_id)
    if not is_prefix(prefix):
        raise ValueError(f"{prefix[:_EXCERPT]!r} is no prefix")
    return RouteKey(neighbor, family, prefix, path_id)


_NO_ATTRIBUTES = PathAttributes()


def _path_attributes(said: _Attribute, raw: bytes) -> PathAttributes:
    tunnel = said.tunnel_e0 or said.tunnel_c0 or said.tunnel_f0 or said.tunnel_d0
    octets: bytes | None
    if tunnel is not None:
        octets = _octets(tunnel)
    elif _ANY_ATTRIBUTE_23.search(raw) is not None:
        octets = _tunnel_encapsulation(raw)
    else:
        octets = None
    if said.originator_id is not None and not is_address(said.originator_id):
        raise ValueError("originator-id is no address")
    communities = said.extended_community
    clusters = said.cluster_list
    return PathAttributes(
        octets,
        _shared(tuple([community.value for community in communities])) if communities else (),
        _ORIGINS.get(said.origin, Origin.INCOMPLETE),
        _as_path(said),
        said.local_preference,
        said.med,
        None if said.originator_id is None else sys.intern(said.originator_id),
        _shared(tuple([sys.intern(cluster) for cluster in clusters])) if clusters else (),
    )


def _as_path(said: _Attribute) -> tuple[int, ...]:
    path = said.as_path
    if isinstance(path, dict):
        members = [asn for segment in path.values() for asn in segment.value]
    else:
        members = [*said.confederation_path, *said.confederation_set, *path, *said.as_set]
    return _shared(tuple(members)) if members else ()


def _octets(text: Any) -> bytes:
    if not isinstance(text, str) or not text.startswith("0x"):
        raise ValueError("attribute 23 is not printed as 0x…")
    return bytes.fromhex(text[2:])


def _tunnel_encapsulation(raw: bytes) -> bytes | None:
    """Return attribute 23's value from a rare spelling, or from 6.0's shape; None where it is absent."""
    found: Any = json.loads(raw, object_pairs_hook=_Pairs)
    for name in ("neighbor", "message", "update", "attribute"):
        found = found.first(name)
        if not isinstance(found, _Pairs):
            return None
    for key, value in found:
        if _ATTRIBUTE_23.fullmatch(key):
            return _octets(value)
        if key == "tunnel-encap":
            if not isinstance(value, _Pairs):
                raise ValueError("tunnel-encap is not an object")
            return b"".join(_tunnel_tlv(name, content) for name, content in value)
    return None


def _tunnel_tlv(name: str, content: Any) -> bytes:
    numbered = _TUNNEL_TYPE.fullmatch(name)
    if numbered is None or int(numbered[1]) > 0xFFFF:
        raise ValueError(f"tunnel-encap holds {name[:40]!r}, not tunnel-type-<number>")
    value = _octets(content)
    if len(value) > 0xFFFF:
        raise ValueError("a tunnel of attribute 23 is longer than 65535 octets")
    return int(numbered[1]).to_bytes(2) + len(value).to_bytes(2) + value


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with its names in order, those that occur twice included."""

    def first(self, name: str) -> Any:
        """Return the value of the first member with this name; None where there is none."""
        return next((value for key, value in self if key == name), None)
