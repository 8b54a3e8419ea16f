"""The sub-TLVs of attribute 23 as values: those of RFC 9012 §3, RFC 5566 §4 and RFC 5640 §2, and ours.

Each value has ``type``, ``octets()`` (its value field as on the wire) and reads well as ``str()``. Reserved
fields are kept, so that what was decoded encodes to the same octets. Whatever has no typed value here is an
``Opaque``: a type we do not know, a malformed value, or one without meaning for its tunnel type. RFC 9012 §13
treats all three alike: as if absent, but kept.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import ClassVar, TypeAlias

from softmesh.bgp.codepoints import AuthenticatorType, SubTlvType
from softmesh.errors import OperatorError

AFI_NEXT_HOP, AFI_IPV4, AFI_IPV6 = 0, 1, 2

MAX_CERTIFICATE = 2048
"""Octets of a sub-TLV 254: the attribute has to fit an UPDATE of 4096 octets with all else (RFC 4271 §4)."""


class Disregard(enum.StrEnum):
    """Why a sub-TLV counts as if it were absent."""

    UNKNOWN = "unknown"
    MALFORMED = "malformed"
    MEANINGLESS = "meaningless"


@dataclass(frozen=True, slots=True)
class Opaque:
    """A sub-TLV that is disregarded but kept octet for octet (RFC 9012 §13)."""

    type: int
    value: bytes
    why: Disregard = Disregard.UNKNOWN
    reason: str = ""

    def octets(self) -> bytes:
        """The value field."""
        return self.value

    def __str__(self) -> str:
        because = f" ({self.reason})" if self.reason else ""
        return f"{self.value.hex() or 'empty'}, {self.why}{because}"


@dataclass(frozen=True, slots=True)
class EgressEndpoint:
    """Tunnel Egress Endpoint, RFC 9012 §3.1; no address means the UPDATE's next hop."""

    type: ClassVar = SubTlvType.EGRESS_ENDPOINT
    address: IPv4Address | IPv6Address | None
    reserved: int = 0

    def octets(self) -> bytes:
        """The value field."""
        if self.address is None:
            return struct.pack("!IH", self.reserved, AFI_NEXT_HOP)
        family = AFI_IPV4 if self.address.version == 4 else AFI_IPV6
        return struct.pack("!IH", self.reserved, family) + self.address.packed

    def __str__(self) -> str:
        return "the next hop" if self.address is None else str(self.address)


@dataclass(frozen=True, slots=True)
class Color:
    """Color, RFC 9012 §3.4.2: the value of a colour extended community."""

    type: ClassVar = SubTlvType.COLOR
    color: int
    flags: int = 0

    def octets(self) -> bytes:
        """The value field."""
        return struct.pack("!HHI", 0x030B, self.flags, self.color)

    def __str__(self) -> str:
        return str(self.color)


@dataclass(frozen=True, slots=True)
class Authenticator:
    """IPsec Tunnel Authenticator, RFC 5566 §4; type 1: SHA-1 of the DER SubjectPublicKeyInfo, 20 octets."""

    type: ClassVar = SubTlvType.IPSEC_TUNNEL_AUTHENTICATOR
    value: bytes
    authenticator_type: int = AuthenticatorType.SHA1_OF_PUBLIC_KEY

    def octets(self) -> bytes:
        """The value field."""
        return struct.pack("!H", self.authenticator_type) + self.value

    def __str__(self) -> str:
        if self.authenticator_type == AuthenticatorType.SHA1_OF_PUBLIC_KEY:
            return f"SHA-1 of public key {self.value.hex()}"
        return f"unknown authenticator type {self.authenticator_type}, {self.value.hex() or 'empty'}"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """Ours, 126: the DER SubjectPublicKeyInfo, worth nothing until it hashes to an authenticator."""

    type: ClassVar = SubTlvType.PUBLIC_KEY
    spki: bytes

    def octets(self) -> bytes:
        """Raises OperatorError for a key over 255 octets: types below 128 have a one-octet length."""
        if len(self.spki) > 255:
            raise OperatorError(
                f"a public key of {len(self.spki)} octets does not fit sub-TLV 126 (255 at most, so no RSA): "
                "put it into the peers' key directory, or use an Ed25519 or ECDSA key"
            )
        return self.spki

    def __str__(self) -> str:
        return f"{len(self.spki)} octets {self.spki.hex()}"


@dataclass(frozen=True, slots=True)
class Certificate:
    """Ours, 254: a DER certificate, worth nothing until its key hashes to an authenticator."""

    type: ClassVar = SubTlvType.CERTIFICATE
    der: bytes

    def octets(self) -> bytes:
        """Raises OperatorError for one over MAX_CERTIFICATE octets: peers would take it for damaged."""
        if len(self.der) > MAX_CERTIFICATE:
            raise OperatorError(
                f"a certificate of {len(self.der)} octets does not fit sub-TLV 254 ({MAX_CERTIFICATE} at most): "
                "put it into the peers' key directory or store, or have one made that says less"
            )
        return self.der

    def __str__(self) -> str:
        return f"{len(self.der)} octets {self.der.hex()}"


@dataclass(frozen=True, slots=True)
class ProtocolType:
    """Protocol Type, RFC 9012 §3.4.1: an Ethertype the tunnel may carry."""

    type: ClassVar = SubTlvType.PROTOCOL_TYPE
    ethertype: int

    def octets(self) -> bytes:
        """The value field."""
        return struct.pack("!H", self.ethertype)

    def __str__(self) -> str:
        name = {0x0800: "IPv4", 0x86DD: "IPv6", 0x8847: "MPLS"}.get(self.ethertype)
        return f"0x{self.ethertype:04x}" + (f" {name}" if name else "")


@dataclass(frozen=True, slots=True)
class L2tpv3Session:
    """Encapsulation of L2TPv3 over IP, RFC 9012 §3.2.3: a session and a cookie of 0 to 8 octets."""

    type: ClassVar = SubTlvType.ENCAPSULATION
    session_id: int
    cookie: bytes = b""

    def octets(self) -> bytes:
        """The value field."""
        return struct.pack("!I", self.session_id) + self.cookie

    def __str__(self) -> str:
        return f"session 0x{self.session_id:08x}" + (f" cookie {self.cookie.hex()}" if self.cookie else "")


@dataclass(frozen=True, slots=True)
class GreKey:
    """Encapsulation of GRE and MPLS-in-GRE, RFC 9012 §3.2.4 and §3.2.5."""

    type: ClassVar = SubTlvType.ENCAPSULATION
    key: int

    def octets(self) -> bytes:
        """The value field."""
        return struct.pack("!I", self.key)

    def __str__(self) -> str:
        return f"key 0x{self.key:08x}"


@dataclass(frozen=True, slots=True)
class VirtualNetwork:
    """Encapsulation of VXLAN and NVGRE, RFC 9012 §3.2.1 and §3.2.2; flag 0x80 is V, 0x40 is M."""

    type: ClassVar = SubTlvType.ENCAPSULATION
    flags: int
    identifier: int
    mac: bytes
    reserved: bytes = b"\0\0"

    @property
    def vn_id(self) -> int | None:
        """The VN-ID, where the V bit says there is one."""
        return self.identifier if self.flags & 0x80 else None

    def octets(self) -> bytes:
        """The value field."""
        return struct.pack("!I", self.flags << 24 | self.identifier) + self.mac + self.reserved

    def __str__(self) -> str:
        parts = [f"VN-ID {self.identifier}"] if self.flags & 0x80 else ["no VN-ID"]
        return " ".join([*parts, f"MAC {self.mac.hex(':')}"] if self.flags & 0x40 else parts)


@dataclass(frozen=True, slots=True)
class LoadBalancingBlock:
    """Load-Balancing Block, RFC 5640 §2: how many leading bits of the session or GRE key form the block."""

    type: ClassVar = SubTlvType.LOAD_BALANCING_BLOCK
    bits: int

    def octets(self) -> bytes:
        """The value field."""
        return struct.pack("!H", self.bits)

    def __str__(self) -> str:
        return f"{self.bits} bits"


@dataclass(frozen=True, slots=True)
class DsField:
    """DS Field, RFC 9012 §3.3.1: that of the outer IP header."""

    type: ClassVar = SubTlvType.DS_FIELD
    value: int

    def octets(self) -> bytes:
        """The value field."""
        return bytes([self.value])

    def __str__(self) -> str:
        return f"0x{self.value:02x}"


@dataclass(frozen=True, slots=True)
class UdpDestinationPort:
    """UDP Destination Port, RFC 9012 §3.3.2."""

    type: ClassVar = SubTlvType.UDP_DESTINATION_PORT
    port: int

    def octets(self) -> bytes:
        """The value field."""
        return struct.pack("!H", self.port)

    def __str__(self) -> str:
        return str(self.port)


class LabelHandling(enum.IntEnum):
    """Where the label embedded in the NLRI goes, RFC 9012 §3.5."""

    ON_TOP_OF_PAYLOAD = 1
    NOT_IN_PAYLOAD = 2


@dataclass(frozen=True, slots=True)
class EmbeddedLabelHandling:
    """Embedded Label Handling, RFC 9012 §3.5; without effect on unlabelled families."""

    type: ClassVar = SubTlvType.EMBEDDED_LABEL_HANDLING
    handling: LabelHandling

    def octets(self) -> bytes:
        """The value field."""
        return bytes([self.handling])

    def __str__(self) -> str:
        return f"{int(self.handling)} {self.handling.name.lower().replace('_', ' ')}"


@dataclass(frozen=True, slots=True)
class MplsLabelStack:
    """MPLS Label Stack, RFC 9012 §3.6: entries of 32 bits as in RFC 3032 §2.1, topmost first."""

    type: ClassVar = SubTlvType.MPLS_LABEL_STACK
    entries: tuple[int, ...]

    @property
    def labels(self) -> tuple[int, ...]:
        """The 20-bit labels, topmost first."""
        return tuple(entry >> 12 for entry in self.entries)

    def octets(self) -> bytes:
        """The value field."""
        return struct.pack(f"!{len(self.entries)}I", *self.entries)

    def __str__(self) -> str:
        return "labels " + "/".join(map(str, self.labels))


@dataclass(frozen=True, slots=True)
class PrefixSid:
    """Prefix-SID, RFC 9012 §3.7: the TLVs of RFC 8669 §3 as (type, value)."""

    type: ClassVar = SubTlvType.PREFIX_SID
    tlvs: tuple[tuple[int, bytes], ...]

    @property
    def label_index(self) -> int | None:
        """The Label-Index, where there is one (RFC 8669 §3.1)."""
        return next((int.from_bytes(v[3:7], "big") for t, v in self.tlvs if t == 1 and len(v) == 7), None)

    def octets(self) -> bytes:
        """The value field."""
        return b"".join(struct.pack("!BH", t, len(v)) + v for t, v in self.tlvs)

    def __str__(self) -> str:
        index = self.label_index
        return ("" if index is None else f"label index {index}, ") + f"{len(self.tlvs)} TLVs"


SubTlv: TypeAlias = (
    EgressEndpoint | Color | Authenticator | PublicKey | Certificate | ProtocolType | L2tpv3Session | GreKey
    | VirtualNetwork | LoadBalancingBlock | DsField | UdpDestinationPort | EmbeddedLabelHandling
    | MplsLabelStack | PrefixSid | Opaque
)  # fmt: skip
