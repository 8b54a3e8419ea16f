"""From octets to sub-TLV values: well formed, malformed, or without meaning for the tunnel type."""

from __future__ import annotations

import struct
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

from softmesh.bgp.codepoints import AuthenticatorType, SubTlvType, TunnelType, tunnel_type_name
from softmesh.bgp.special_purpose import special_purpose
from softmesh.bgp.sub_tlv import (
    AFI_IPV4,
    AFI_IPV6,
    AFI_NEXT_HOP,
    MAX_CERTIFICATE,
    Authenticator,
    Certificate,
    Color,
    Disregard,
    DsField,
    EgressEndpoint,
    EmbeddedLabelHandling,
    GreKey,
    L2tpv3Session,
    LabelHandling,
    LoadBalancingBlock,
    MplsLabelStack,
    Opaque,
    PrefixSid,
    ProtocolType,
    PublicKey,
    SubTlv,
    UdpDestinationPort,
    VirtualNetwork,
)
from softmesh.bgp.wire import DecodeError, Reader

SHA1_SIZE = 20

# Members every attribute is compared with: Python 3.11 is slow to look one up in its enum.
_EGRESS_ENDPOINT = int(SubTlvType.EGRESS_ENDPOINT)
_SHA1_OF_PUBLIC_KEY = int(AuthenticatorType.SHA1_OF_PUBLIC_KEY)

_NO_OUTER_UDP = frozenset(
    {
        TunnelType.L2TPV3,
        TunnelType.GRE,
        TunnelType.TRANSMIT_TUNNEL_ENDPOINT,
        TunnelType.IPSEC_TUNNEL,
        TunnelType.IP_IN_IP_IPSEC_TRANSPORT,
        TunnelType.MPLS_IN_IP_IPSEC_TRANSPORT,
        TunnelType.IP_IN_IP,
        TunnelType.NVGRE,
        TunnelType.MPLS,
        TunnelType.MPLS_IN_GRE,
        TunnelType.IPV6_TUNNEL,
    }
)
_NO_OUTER_IP = frozenset({TunnelType.MPLS})


def decode_sub_tlv(number: int, value: bytes, tunnel_type: int, refuse_documentation: bool = False) -> SubTlv:
    """The value of one sub-TLV of type ``number`` in a TLV of ``tunnel_type``; never raises.

    ``refuse_documentation``: see special_purpose. A value that is not as its type has it comes back as
    Opaque.
    """
    try:
        if number == _EGRESS_ENDPOINT:
            return _egress_endpoint(value, refuse_documentation)
        decode = _DECODERS.get(number)
        return Opaque(number, value) if decode is None else decode(value, tunnel_type)
    except DecodeError as error:
        return Opaque(number, value, Disregard.MALFORMED, str(error))


def _meaningless(number: SubTlvType, value: bytes, reason: str) -> Opaque:
    return Opaque(number, value, Disregard.MEANINGLESS, reason)


def _egress_endpoint(value: bytes, refuse_documentation: bool) -> SubTlv:
    size = len(value)
    if size < 6:
        raise DecodeError(f"endpoint of {size} octets, at least 6 expected")
    reserved = int.from_bytes(value[:4], "big")
    family = value[4] << 8 | value[5]
    if family == AFI_IPV6:
        expected = 22
    elif family == AFI_IPV4:
        expected = 10
    elif family == AFI_NEXT_HOP:
        expected = 6
    else:
        # RFC 9012 §3.1 keeps this apart from malformed: the sub-TLV is unrecognized, its TLV lives on.
        return Opaque(SubTlvType.EGRESS_ENDPOINT, value, Disregard.UNKNOWN, f"address family {family}")
    if size != expected:
        raise DecodeError(f"endpoint of {size} octets, {expected} expected for address family {family}")
    if size == 6:
        return EgressEndpoint(None, reserved)
    packed = value[6:]
    address = IPv4Address(packed) if size == 10 else IPv6Address(packed)
    block = special_purpose(packed, refuse_documentation)
    if block:
        raise DecodeError(f"endpoint {address} lies in a special-purpose block: {block}")
    return EgressEndpoint(address, reserved)


def _sized(value: bytes, size: int) -> bytes:
    if len(value) != size:
        raise DecodeError(f"{len(value)} octets, {size} expected")
    return value


def _encapsulation(value: bytes, tunnel_type: int) -> SubTlv:
    if tunnel_type in (TunnelType.GRE, TunnelType.MPLS_IN_GRE):
        return GreKey(int.from_bytes(_sized(value, 4), "big"))
    if tunnel_type == TunnelType.L2TPV3:
        if not 4 <= len(value) <= 12:
            raise DecodeError(f"{len(value)} octets, 4 to 12 expected")
        session_id = int.from_bytes(value[:4], "big")
        if session_id == 0:
            raise DecodeError("session identifier 0")
        return L2tpv3Session(session_id, value[4:])
    if tunnel_type in (TunnelType.VXLAN, TunnelType.NVGRE):
        _sized(value, 12)
        return VirtualNetwork(value[0], int.from_bytes(value[1:4], "big"), value[4:10], value[10:])
    return _meaningless(SubTlvType.ENCAPSULATION, value, f"{tunnel_type_name(tunnel_type)} defines none")


def _protocol_type(value: bytes, _tunnel_type: int) -> SubTlv:
    ethertype = int.from_bytes(_sized(value, 2), "big")
    if ethertype == 0xFFFF:
        raise DecodeError("Ethertype 0xffff is reserved")
    return ProtocolType(ethertype)


def _authenticator(value: bytes, _tunnel_type: int) -> SubTlv:
    size = len(value)
    if size < 2:
        raise DecodeError(f"{size} octets, too short for an authenticator type")
    kind = value[0] << 8 | value[1]
    if kind == _SHA1_OF_PUBLIC_KEY and size != 2 + SHA1_SIZE:
        raise DecodeError(f"authenticator of {size - 2} octets, {SHA1_SIZE} expected for a SHA-1")
    return Authenticator(value[2:], kind)


def _color(value: bytes, _tunnel_type: int) -> SubTlv:
    if len(value) != 8 or value[:2] != b"\x03\x0b":
        raise DecodeError("not a colour extended community")
    return Color(int.from_bytes(value[4:], "big"), value[2] << 8 | value[3])


def _load_balancing_block(value: bytes, tunnel_type: int) -> SubTlv:
    if tunnel_type not in (TunnelType.L2TPV3, TunnelType.GRE, TunnelType.MPLS_IN_GRE):
        reason = f"{tunnel_type_name(tunnel_type)} has no load-balancing field"
        return _meaningless(SubTlvType.LOAD_BALANCING_BLOCK, value, reason)
    bits = int.from_bytes(_sized(value, 2), "big")
    if bits > 32:
        raise DecodeError(f"a block of {bits} bits in a field of 32")
    return LoadBalancingBlock(bits)


def _ds_field(value: bytes, tunnel_type: int) -> SubTlv:
    if tunnel_type in _NO_OUTER_IP:
        reason = f"{tunnel_type_name(tunnel_type)} has no outer IP header"
        return _meaningless(SubTlvType.DS_FIELD, value, reason)
    return DsField(_sized(value, 1)[0])


def _udp_destination_port(value: bytes, tunnel_type: int) -> SubTlv:
    if tunnel_type in _NO_OUTER_UDP:
        reason = f"{tunnel_type_name(tunnel_type)} has no outer UDP header"
        return _meaningless(SubTlvType.UDP_DESTINATION_PORT, value, reason)
    port = int.from_bytes(_sized(value, 2), "big")
    if port == 0:
        raise DecodeError("port 0 is reserved")
    return UdpDestinationPort(port)


def _embedded_label_handling(value: bytes, _tunnel_type: int) -> SubTlv:
    handling = _sized(value, 1)[0]
    if handling not in (LabelHandling.ON_TOP_OF_PAYLOAD, LabelHandling.NOT_IN_PAYLOAD):
        raise DecodeError(f"value {handling}, 1 or 2 expected")
    return EmbeddedLabelHandling(LabelHandling(handling))


def _mpls_label_stack(value: bytes, _tunnel_type: int) -> SubTlv:
    if len(value) % 4:
        raise DecodeError(f"{len(value)} octets, a multiple of 4 expected")
    return MplsLabelStack(struct.unpack(f"!{len(value) // 4}I", value))


def _prefix_sid(value: bytes, _tunnel_type: int) -> SubTlv:
    reader = Reader(value)
    tlvs = []
    while reader.remaining:
        number, size = reader.u8(), reader.u16()
        tlvs.append((number, reader.take(size)))
    return PrefixSid(tuple(tlvs))


def _public_key(value: bytes, _tunnel_type: int) -> SubTlv:
    # Anybody may experiment with 126: only a DER SEQUENCE that fills the value can be a key of ours.
    if _is_sequence(value):
        return PublicKey(value)
    raise DecodeError("not a DER SubjectPublicKeyInfo")


def _certificate(value: bytes, _tunnel_type: int) -> SubTlv:
    if len(value) > MAX_CERTIFICATE:
        raise DecodeError(f"certificate of {len(value)} octets, {MAX_CERTIFICATE} at most")
    if _is_sequence(value):
        return Certificate(value)
    raise DecodeError("not a DER certificate")


def _is_sequence(value: bytes) -> bool:
    """Whether the octets are one DER SEQUENCE, not empty, and no more (X.690 §8.1.3, §10.1)."""
    size = len(value)
    if size < 3 or value[0] != 0x30:
        return False
    if value[1] < 0x80:
        return value[1] == size - 2
    if value[1] == 0x81:
        return value[2] == size - 3 >= 0x80
    return value[1] == 0x82 and int.from_bytes(value[2:4], "big") == size - 4 >= 0x100


_DECODERS: dict[int, Callable[[bytes, int], SubTlv]] = {
    SubTlvType.ENCAPSULATION: _encapsulation,
    SubTlvType.PROTOCOL_TYPE: _protocol_type,
    SubTlvType.IPSEC_TUNNEL_AUTHENTICATOR: _authenticator,
    SubTlvType.COLOR: _color,
    SubTlvType.LOAD_BALANCING_BLOCK: _load_balancing_block,
    SubTlvType.DS_FIELD: _ds_field,
    SubTlvType.UDP_DESTINATION_PORT: _udp_destination_port,
    SubTlvType.EMBEDDED_LABEL_HANDLING: _embedded_label_handling,
    SubTlvType.MPLS_LABEL_STACK: _mpls_label_stack,
    SubTlvType.PREFIX_SID: _prefix_sid,
    SubTlvType.PUBLIC_KEY: _public_key,
    SubTlvType.CERTIFICATE: _certificate,
}
