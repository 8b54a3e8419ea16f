"""A list of path attributes with their headers: where each ends, and what it says about tunnels.

Errors are handled as RFC 7606 §3 and §4 have it: a damaged list is never half used, its routes count as
withdrawn.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from softmesh.bgp.codepoints import AttributeType
from softmesh.bgp.extended_communities import decode_communities, tunnels_from
from softmesh.bgp.next_hop import NextHop, decode_next_hop
from softmesh.bgp.tunnel_encapsulation import (
    AttributeVerdict,
    Carrier,
    TunnelEncapsulation,
    decode,
    treat_as_withdraw,
    weigh,
)
from softmesh.bgp.wire import DecodeError, Reader


class Flag(enum.IntFlag):
    """Attribute flags, RFC 4271 §4.3."""

    OPTIONAL = 0x80
    TRANSITIVE = 0x40
    PARTIAL = 0x20
    EXTENDED_LENGTH = 0x10


_OPTIONAL_TRANSITIVE = Flag.OPTIONAL | Flag.TRANSITIVE

_FLAGS: dict[int, Flag] = {
    AttributeType.MP_REACH_NLRI: Flag.OPTIONAL,
    AttributeType.EXTENDED_COMMUNITIES: _OPTIONAL_TRANSITIVE,
    AttributeType.TUNNEL_ENCAPSULATION: _OPTIONAL_TRANSITIVE,
}


@dataclass(frozen=True, slots=True)
class PathAttribute:
    """One attribute as on the wire."""

    flags: int
    type: int
    value: bytes

    def octets(self) -> bytes:
        """Header and value; the length takes two octets where the flags or the value ask for it."""
        size = len(self.value)
        flags = self.flags | (Flag.EXTENDED_LENGTH if size > 0xFF else 0)
        width = 2 if flags & Flag.EXTENDED_LENGTH else 1
        return bytes([flags, self.type]) + size.to_bytes(width, "big") + self.value


@dataclass(frozen=True, slots=True)
class MultiprotocolReach:
    """MP_REACH_NLRI (RFC 4760 §3) as far as tunnels need it."""

    afi: int
    safi: int
    next_hop: NextHop


@dataclass(frozen=True, slots=True)
class DecodedAttributes:
    """What a list of path attributes says about tunnels."""

    attributes: tuple[PathAttribute, ...]
    """Those that could be delimited, in order, duplicates left out."""
    encapsulation: TunnelEncapsulation
    """The verdict; the tunnels of attribute 23 first, then those that only Encapsulation communities name."""
    of_attribute: int = 0
    """How many of its tunnels are those of attribute 23."""
    extended_communities: tuple[int, ...] = ()
    reach: MultiprotocolReach | None = None
    discarded: tuple[PathAttribute, ...] = ()
    """Later occurrences of a type already seen (RFC 7606 §3 g)."""


@dataclass(frozen=True, slots=True)
class _Fault:
    reason: str
    section: str


def decode_attributes(octets: bytes, carrier: Carrier, *, refuse_documentation: bool = False) -> DecodedAttributes:
    """The attributes in ``octets``, the Path Attributes field of an UPDATE or a part of it; never raises.

    ``carrier`` and ``refuse_documentation`` are those of tunnel_encapsulation.decode. Of several faults the
    first is told: all that can be told here have the same consequence.
    """
    attributes, discarded, fault = _delimit(octets)
    values: dict[int, bytes] = {}
    for attribute in attributes:
        values[attribute.type] = attribute.value
        expected = _FLAGS.get(attribute.type)
        if expected is not None and (attribute.flags & _OPTIONAL_TRANSITIVE) != expected:
            fault = fault or _flag_fault(attribute)
    communities: tuple[int, ...] = ()
    if AttributeType.EXTENDED_COMMUNITIES in values:
        try:
            communities = decode_communities(values[AttributeType.EXTENDED_COMMUNITIES])
        except DecodeError as error:
            fault = fault or _Fault(str(error), "RFC 7606 §7.14")
    reach = None
    if AttributeType.MP_REACH_NLRI in values:
        try:
            reach = _decode_reach(values[AttributeType.MP_REACH_NLRI])
        except DecodeError as error:
            fault = fault or _Fault(f"MP_REACH_NLRI: {error}", "RFC 7606 §7.11")
    value = values.get(AttributeType.TUNNEL_ENCAPSULATION)
    own = None if value is None else decode(value, carrier, refuse_documentation=refuse_documentation)
    encapsulation = _combine(own, communities, None if reach is None else reach.next_hop)
    if fault is not None:
        encapsulation = treat_as_withdraw(encapsulation.tunnels, fault.reason, fault.section)
    number = 0 if own is None else len(own.tunnels)
    return DecodedAttributes(tuple(attributes), encapsulation, number, communities, reach, tuple(discarded))


def _combine(
    own: TunnelEncapsulation | None, communities: Sequence[int], next_hop: NextHop | None
) -> TunnelEncapsulation:
    beside = () if own is None else own.tunnels
    extra = tunnels_from(communities, beside, None if next_hop is None else next_hop.address)
    if own is None and not extra:
        reason = "no Tunnel Encapsulation attribute (23) and no Encapsulation community (0x030c)"
        return TunnelEncapsulation((), AttributeVerdict.UNUSABLE, reason, "RFC 9012 §4.1, §6")
    if own is None:
        return weigh(extra)
    if own.verdict is AttributeVerdict.TREAT_AS_WITHDRAW:
        return treat_as_withdraw((*own.tunnels, *extra), own.reason, own.section) if extra else own
    return weigh((*own.tunnels, *extra))


def _delimit(octets: bytes) -> tuple[list[PathAttribute], list[PathAttribute], _Fault | None]:
    """The attributes, the later duplicates, and what ended the list before its end."""
    reader = Reader(octets)
    attributes: list[PathAttribute] = []
    discarded: list[PathAttribute] = []
    fault = None
    seen: set[int] = set()
    while reader.remaining:
        start = reader.offset
        try:
            flags, number = reader.u8(), reader.u8()
            size = reader.u16() if flags & Flag.EXTENDED_LENGTH else reader.u8()
            attribute = PathAttribute(flags, number, reader.take(size))
        except DecodeError as error:
            fault = fault or _Fault(f"the attribute at offset {start} does not fit: {error}", "RFC 7606 §4")
            break
        if number not in seen:
            attributes.append(attribute)
        else:
            discarded.append(attribute)
            if number == AttributeType.MP_REACH_NLRI:
                # In a session this calls for a NOTIFICATION; of the routes it can only be said that they are
                # gone.
                fault = fault or _Fault("MP_REACH_NLRI appears twice", "RFC 7606 §3 g")
        seen.add(number)
    return attributes, discarded, fault


def _flag_fault(attribute: PathAttribute) -> _Fault:
    if attribute.type == AttributeType.TUNNEL_ENCAPSULATION and not attribute.flags & Flag.TRANSITIVE:
        return _Fault(f"attribute 23 without the transitive bit (flags 0x{attribute.flags:02x})", "RFC 9012 §13")
    return _Fault(
        f"attribute {attribute.type} with flags 0x{attribute.flags:02x}, which contradict its type",
        "RFC 7606 §3 c",
    )


def _decode_reach(value: bytes) -> MultiprotocolReach:
    reader = Reader(value)
    afi, safi = reader.u16(), reader.u8()
    return MultiprotocolReach(afi, safi, decode_next_hop(reader.take(reader.u8())))
