"""The Tunnel Encapsulation attribute (23): its tunnels, and a verdict on each and on the whole.

Octets become values and values octets; decoding raises on nothing a peer sends. A consumer may use a tunnel
whose verdict is ``usable`` and no other: that alone keeps a damaged authenticator from becoming an
unauthenticated softwire.
"""

from __future__ import annotations

import enum
import functools
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from softmesh.bgp.codepoints import AuthenticatorType, SubTlvType, TunnelType, sub_tlv_name, tunnel_type_name
from softmesh.bgp.sub_tlv import (
    Authenticator,
    Certificate,
    Color,
    Disregard,
    EgressEndpoint,
    Opaque,
    ProtocolType,
    PublicKey,
    SubTlv,
    VirtualNetwork,
)
from softmesh.bgp.sub_tlv_decoding import decode_sub_tlv
from softmesh.bgp.wire import DecodeError, Reader
from softmesh.errors import OperatorError


class Carrier(enum.StrEnum):
    """Which UPDATE the attribute came in: the rules for the egress endpoint differ."""

    UNICAST = "unicast"
    """AFI/SAFI 1/1, 2/1, others of RFC 9012 §6: each TLV needs exactly one Tunnel Egress Endpoint (§3.1)."""
    ENCAPSULATION = "encapsulation"
    """SAFI 7, RFC 5512 and RFC 5566: the endpoint is in the NLRI, the sub-TLV may be absent."""


class TunnelVerdict(enum.StrEnum):
    """What may be done with one tunnel."""

    USABLE = "usable"
    TRANSMIT_ONLY = "transmit-only"
    """Well formed, but carries nothing: it says that its sender only transmits (RFC 5566 §4.1)."""
    UNUSABLE = "unusable"
    """Well formed, and stays in the attribute, but must not carry anything."""
    IGNORED = "ignored"
    """Of an unknown type: as if absent, but kept (RFC 9012 §13)."""
    STRIPPED = "stripped"
    """Malformed in a way that removes it from the attribute before propagation (RFC 9012 §3.1, §13)."""


class AttributeVerdict(enum.StrEnum):
    """What may be done with the route that carries the attribute."""

    USABLE = "usable"
    UNUSABLE = "unusable"
    """Well formed, but no tunnel of it may be used."""
    TREAT_AS_WITHDRAW = "treat-as-withdraw"
    """RFC 7606 §2."""


_MPLS = (0x8847, 0x8848)
_IP = (0x0800, 0x86DD)

# "X-in-Y" types: a Protocol Type other than X must be ignored (RFC 9012 §3.4.1).
_PAYLOADS: dict[int, tuple[int, ...]] = {
    TunnelType.IP_IN_IP_IPSEC_TRANSPORT: _IP,
    TunnelType.MPLS_IN_IP_IPSEC_TRANSPORT: _MPLS,
    TunnelType.IP_IN_IP: _IP,
    TunnelType.MPLS_IN_GRE: _MPLS,
    TunnelType.MPLS_IN_UDP: _MPLS,
}

_KNOWN_TYPES = frozenset(map(int, TunnelType)) - {TunnelType.RESERVED}

# Members every attribute is compared with: Python 3.11 is slow to look one up in its enum.
_SHA1_OF_PUBLIC_KEY = int(AuthenticatorType.SHA1_OF_PUBLIC_KEY)
_TRANSMIT_TUNNEL_ENDPOINT = int(TunnelType.TRANSMIT_TUNNEL_ENDPOINT)
_USABLE = TunnelVerdict.USABLE


@dataclass(frozen=True, slots=True)
class Tunnel:
    """One TLV: a tunnel type and its sub-TLVs, in the order received."""

    type: int
    sub_tlvs: tuple[SubTlv, ...]
    verdict: TunnelVerdict = TunnelVerdict.USABLE
    reason: str = ""
    """Why it is not usable; empty where it is."""
    section: str = ""
    """The RFC and section the verdict rests on; empty where it is usable."""

    @property
    def name(self) -> str:
        """The tunnel type's IANA name."""
        return tunnel_type_name(self.type)

    @property
    def egress_endpoint(self) -> IPv4Address | IPv6Address | None:
        """Where it ends; None is the next hop of the UPDATE (for SAFI 7, the endpoint in the NLRI)."""
        # Only the first counts (RFC 9012 §13).
        return next((s.address for s in self.sub_tlvs if isinstance(s, EgressEndpoint)), None)

    @property
    def colors(self) -> tuple[int, ...]:
        """All its colours (RFC 9012 §13 lets the sub-TLV repeat)."""
        return tuple(s.color for s in self.sub_tlvs if isinstance(s, Color))

    @property
    def color(self) -> int | None:
        """Its first colour."""
        return next(iter(self.colors), None)

    @property
    def authenticators(self) -> tuple[bytes, ...]:
        """SHA-1 values of 20 octets, any of which the peer's key may have (RFC 5566 §4.1)."""
        return tuple(
            s.value
            for s in self.sub_tlvs
            if isinstance(s, Authenticator) and s.authenticator_type == AuthenticatorType.SHA1_OF_PUBLIC_KEY
        )

    @property
    def public_keys(self) -> tuple[bytes, ...]:
        """DER SubjectPublicKeyInfos sent along; not to be trusted unless an authenticator is their SHA-1."""
        return tuple(s.spki for s in self.sub_tlvs if isinstance(s, PublicKey))

    @property
    def certificates(self) -> tuple[bytes, ...]:
        """DER certificates sent along; not to be trusted unless an authenticator is their key's SHA-1."""
        return tuple(s.der for s in self.sub_tlvs if isinstance(s, Certificate))

    @property
    def protocols(self) -> tuple[int, ...]:
        """Ethertypes it may carry; empty is any that the tunnel type can (RFC 9012 §3.4.1)."""
        payloads = _PAYLOADS.get(self.type)
        named = (s.ethertype for s in self.sub_tlvs if isinstance(s, ProtocolType))
        return tuple(ethertype for ethertype in named if payloads is None or ethertype in payloads)

    @property
    def unknown(self) -> tuple[Opaque, ...]:
        """The sub-TLVs that count as if absent."""
        return tuple(s for s in self.sub_tlvs if isinstance(s, Opaque))


@dataclass(frozen=True, slots=True)
class TunnelEncapsulation:
    """The attribute's tunnels and what is to be done with it."""

    tunnels: tuple[Tunnel, ...]
    verdict: AttributeVerdict = AttributeVerdict.USABLE
    reason: str = ""
    section: str = ""

    @property
    def usable_tunnels(self) -> tuple[Tunnel, ...]:
        """The tunnels that may be used: none unless the attribute itself is usable."""
        return tuple(tunnel for tunnel in self.tunnels if tunnel.verdict is TunnelVerdict.USABLE)


def decode(value: bytes, carrier: Carrier, *, refuse_documentation: bool = False) -> TunnelEncapsulation:
    """The attribute whose value field is ``value``, judged by the rules for ``carrier``; never raises.

    ``refuse_documentation`` counts documentation prefixes among the endpoints that RFC 9012 §3.1 calls
    malformed.
    """
    tunnels: list[Tunnel] = []
    reader = Reader(value)
    try:
        while reader.remaining:
            tunnels.append(_decode_tunnel(reader, carrier, refuse_documentation))
    except DecodeError as error:
        return treat_as_withdraw(tunnels, f"tunnel {len(tunnels) + 1} does not fit: {error}", "RFC 9012 §13")
    return weigh(tuple(tunnels))


@functools.lru_cache(maxsize=8192)
def _decode_remembered(value: bytes, carrier: Carrier) -> TunnelEncapsulation:
    return decode(value, carrier)


def decode_repeated(value: bytes, carrier: Carrier) -> TunnelEncapsulation:
    """``decode`` for a stream in which octets come again and again: equal ones share one object."""
    # A peer may send ever new values: 512 octets decode to 42 KiB at worst, and honest ones are no longer.
    return _decode_remembered(value, carrier) if len(value) <= 512 else decode(value, carrier)


def encode(tunnels: Iterable[Tunnel]) -> bytes:
    """The value field of attribute 23 for these tunnels, whatever their verdicts.

    Raises OperatorError for a sub-TLV that is longer than its length field can say.
    """
    return b"".join(map(_encode_tunnel, tunnels))


def weigh(tunnels: tuple[Tunnel, ...]) -> TunnelEncapsulation:
    """The verdict on an attribute from those on its tunnels (RFC 9012 §13)."""
    refused: Tunnel | None = None
    for tunnel in tunnels:
        if tunnel.verdict is _USABLE:
            return TunnelEncapsulation(tunnels)
        if refused is None and tunnel.verdict is not TunnelVerdict.STRIPPED:
            refused = tunnel
    if refused is not None:
        # A TLV of an unknown type is skipped, yet the attribute must not be called malformed for it.
        return TunnelEncapsulation(tunnels, AttributeVerdict.UNUSABLE, _reasons(tunnels), refused.section)
    reason = f"no valid TLV: {_reasons(tunnels)}" if tunnels else "the attribute holds no tunnel"
    return TunnelEncapsulation(tunnels, AttributeVerdict.TREAT_AS_WITHDRAW, reason, "RFC 9012 §13")


def treat_as_withdraw(tunnels: Sequence[Tunnel], reason: str, section: str) -> TunnelEncapsulation:
    """An attribute whose route counts as withdrawn: the tunnels read so far are kept, none is usable."""
    spoiled = tuple(
        Tunnel(t.type, t.sub_tlvs, TunnelVerdict.UNUSABLE, "the route is treated as withdrawn", section)
        if t.verdict in (TunnelVerdict.USABLE, TunnelVerdict.TRANSMIT_ONLY)
        else t
        for t in tunnels
    )
    return TunnelEncapsulation(spoiled, AttributeVerdict.TREAT_AS_WITHDRAW, reason, section)


def judge(number: int, sub_tlvs: tuple[SubTlv, ...], carrier: Carrier) -> Tunnel:
    """The tunnel of type ``number`` with these sub-TLVs, and its verdict by the rules for ``carrier``."""
    if number not in _KNOWN_TYPES:
        reason = f"unknown tunnel type {number}" if number else "tunnel type 0 is reserved"
        return Tunnel(number, sub_tlvs, TunnelVerdict.IGNORED, reason, "RFC 9012 §13")
    endpoints = 0
    kinds: tuple[int, ...] = ()
    malformed: tuple[Opaque, ...] = ()
    network: VirtualNetwork | None = None
    for sub_tlv in sub_tlvs:
        if isinstance(sub_tlv, EgressEndpoint):
            endpoints += 1
        elif isinstance(sub_tlv, Authenticator):
            kinds += (sub_tlv.authenticator_type,)
        elif isinstance(sub_tlv, Opaque):
            if sub_tlv.why is Disregard.MALFORMED:
                malformed += (sub_tlv,)
        elif isinstance(sub_tlv, VirtualNetwork):
            network = network or sub_tlv
    fault = _endpoint_fault(endpoints, malformed, carrier)
    if fault:
        return Tunnel(number, sub_tlvs, TunnelVerdict.STRIPPED, *fault)
    fault = _use_fault(number, kinds, malformed, network)
    if fault:
        return Tunnel(number, sub_tlvs, TunnelVerdict.UNUSABLE, *fault)
    if number == _TRANSMIT_TUNNEL_ENDPOINT:
        reason = "the peer only transmits: it initiates, and receives through no tunnel"
        return Tunnel(number, sub_tlvs, TunnelVerdict.TRANSMIT_ONLY, reason, "RFC 5566 §4.1")
    return Tunnel(number, sub_tlvs)


def _endpoint_fault(endpoints: int, malformed: Sequence[Opaque], carrier: Carrier) -> tuple[str, str] | None:
    for sub_tlv in malformed:
        if sub_tlv.type == SubTlvType.EGRESS_ENDPOINT:
            return f"malformed Tunnel Egress Endpoint: {sub_tlv.reason}", "RFC 9012 §3.1, §13"
    if endpoints == 1 or carrier is Carrier.ENCAPSULATION:
        return None
    # Of other repeated sub-TLVs the first counts; of this one RFC 9012 §13 wants exactly one.
    found = f"{endpoints} Tunnel Egress Endpoints" if endpoints else "no Tunnel Egress Endpoint"
    return f"{found}, exactly one expected", "RFC 9012 §3.1, §13"


def _use_fault(
    number: int, kinds: Sequence[int], malformed: Sequence[Opaque], network: VirtualNetwork | None
) -> tuple[str, str] | None:
    # RFC 9012 §13 would have a malformed authenticator count as absent. It says whom to trust: were it to
    # vanish, damage to the attribute would turn an authenticated tunnel into one that anybody may terminate.
    for sub_tlv in malformed:
        if sub_tlv.type == SubTlvType.IPSEC_TUNNEL_AUTHENTICATOR:
            return f"malformed IPsec Tunnel Authenticator: {sub_tlv.reason}", "RFC 5566 §4"
    if kinds and _SHA1_OF_PUBLIC_KEY not in kinds:
        return f"only authenticators of unknown types ({', '.join(map(str, kinds))})", "RFC 5566 §4"
    if network is not None and network.vn_id is None:
        section = "RFC 9012 §3.2.1" if number == TunnelType.VXLAN else "RFC 9012 §3.2.2"
        return "no VN-ID signalled (V bit clear) outside EVPN", section
    return None


def _reasons(tunnels: tuple[Tunnel, ...]) -> str:
    return "; ".join(dict.fromkeys(tunnel.reason for tunnel in tunnels))


def _decode_tunnel(reader: Reader, carrier: Carrier, refuse_documentation: bool) -> Tunnel:
    number = reader.u16()
    inner = reader.nested(reader.u16())
    sub_tlvs = []
    while inner.remaining:
        kind = inner.u8()
        value = inner.take(inner.u8() if kind < 128 else inner.u16())
        sub_tlvs.append(decode_sub_tlv(kind, value, number, refuse_documentation))
    return judge(number, tuple(sub_tlvs), carrier)


def _encode_tunnel(tunnel: Tunnel) -> bytes:
    parts = []
    for sub_tlv in tunnel.sub_tlvs:
        octets = sub_tlv.octets()
        limit = 0xFF if sub_tlv.type < 128 else 0xFFFF
        if len(octets) > limit:
            name = sub_tlv_name(sub_tlv.type)
            raise OperatorError(f"{name} sub-TLV of {len(octets)} octets: {limit} at most, shorten its value")
        parts.append(struct.pack("!BB" if limit == 0xFF else "!BH", sub_tlv.type, len(octets)) + octets)
    value = b"".join(parts)
    if len(value) > 0xFFFF:
        raise OperatorError(f"a tunnel TLV of {len(value)} octets: 65535 at most, announce fewer sub-TLVs")
    return struct.pack("!HH", tunnel.type, len(value)) + value
