"""Code points of BGP tunnels, by their IANA names: tunnel types and the sub-TLVs of attribute 23.

Numbers outside these enums are legal on the wire (both registries are open); they are kept as plain ``int``.
"""

from __future__ import annotations

import enum

_IN_KEYWORDS = str.maketrans({" ": "-", "(": None, ")": None})


class TunnelType(enum.IntEnum):
    """IANA's BGP Tunnel Encapsulation Attribute Tunnel Types (RFC 5512 §7, RFC 5566 §6, RFC 9012 §14)."""

    label: str
    keyword: str
    """As mesh.yaml and the keys of softwires spell it."""

    def __new__(cls, value: int, label: str = "", keyword: str = "") -> TunnelType:
        """Keep the registry's name beside the number; a keyword that is not given is made of the name."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.label = label
        member.keyword = keyword or label.lower().translate(_IN_KEYWORDS)
        return member

    RESERVED = 0, "Reserved"
    L2TPV3 = 1, "L2TPv3 over IP", "l2tpv3"
    GRE = 2, "GRE"
    TRANSMIT_TUNNEL_ENDPOINT = 3, "Transmit tunnel endpoint", "transmit-only"
    IPSEC_TUNNEL = 4, "IPsec in Tunnel-mode", "ipsec-tunnel-mode"
    IP_IN_IP_IPSEC_TRANSPORT = 5, "IP in IP Tunnel with IPsec Transport Mode", "ip-in-ip-ipsec-transport"
    MPLS_IN_IP_IPSEC_TRANSPORT = 6, "MPLS-in-IP Tunnel with IPsec Transport Mode", "mpls-in-ip-ipsec-transport"
    IP_IN_IP = 7, "IP in IP"
    VXLAN = 8, "VXLAN Encapsulation"
    NVGRE = 9, "NVGRE Encapsulation"
    MPLS = 10, "MPLS Encapsulation"
    MPLS_IN_GRE = 11, "MPLS in GRE Encapsulation"
    VXLAN_GPE = 12, "VXLAN GPE Encapsulation"
    MPLS_IN_UDP = 13, "MPLS in UDP Encapsulation"
    IPV6_TUNNEL = 14, "IPv6 Tunnel"
    SR_POLICY = 15, "SR Policy"
    BARE = 16, "Bare"
    SR_TUNNEL = 17, "SR Tunnel"
    CLOUD_SECURITY = 18, "Cloud Security"
    GENEVE = 19, "Geneve Encapsulation"
    ANY_ENCAPSULATION = 20, "Any-Encapsulation"
    GTP = 21, "GTP Tunnel Type"
    DPS = 22, "Dynamic Path Selection (DPS) Tunnel Encapsulation"
    OPE = 23, "Originating PE (OPE)"
    DPS_POLICY = 24, "Dynamic Path Selection (DPS) Policy"
    SDWAN_HYBRID = 25, "SDWAN-Hybrid"
    X_OVER_UDP = 26, "X-over-UDP"
    DISTRIBUTED_ETHERLINK_SWITCH = 27, "Distributed Etherlink Switch"
    ESP_PROTECTED_PAYLOAD = 28, "ESP-Protected-Payload"


class SubTlvType(enum.IntEnum):
    """BGP Tunnel Encapsulation Attribute Sub-TLVs with a typed value here (RFC 9012 §14.6)."""

    ENCAPSULATION = 1
    PROTOCOL_TYPE = 2
    IPSEC_TUNNEL_AUTHENTICATOR = 3
    COLOR = 4
    LOAD_BALANCING_BLOCK = 5
    EGRESS_ENDPOINT = 6
    DS_FIELD = 7
    UDP_DESTINATION_PORT = 8
    EMBEDDED_LABEL_HANDLING = 9
    MPLS_LABEL_STACK = 10
    PREFIX_SID = 11
    PUBLIC_KEY = 126
    """Ours, in the experimental range: the DER SubjectPublicKeyInfo that a sub-TLV 3 is the hash of."""
    CERTIFICATE = 254
    """Ours, in the experimental range: a DER certificate of a key that a sub-TLV 3 is the hash of."""


class AuthenticatorType(enum.IntEnum):
    """Authenticator types of the IPsec Tunnel Authenticator sub-TLV (RFC 5566 §4; there is no registry)."""

    SHA1_OF_PUBLIC_KEY = 1


class ExtendedCommunityType(enum.IntEnum):
    """Type and sub-type of the extended communities with a typed value here, as one number of 16 bits."""

    COLOR = 0x030B
    ENCAPSULATION = 0x030C
    ATTRIBUTE_DIGEST = 0x8F17
    """Ours, of a type for experimental use (RFC 7153 §5.1): the start of SHA-256 over attribute 23 as it was sent."""


class AttributeType(enum.IntEnum):
    """BGP path attribute type codes the codec looks at."""

    MP_REACH_NLRI = 14
    EXTENDED_COMMUNITIES = 16
    TUNNEL_ENCAPSULATION = 23


_TUNNEL_NAMES = {int(member): member.label for member in TunnelType}

_SUB_TLV_NAMES = {
    1: "Encapsulation",
    2: "Protocol Type",
    3: "IPsec Tunnel Authenticator",
    4: "Color",
    5: "Load-Balancing Block",
    6: "Tunnel Egress Endpoint",
    7: "DS Field",
    8: "UDP Destination Port",
    9: "Embedded Label Handling",
    10: "MPLS Label Stack",
    11: "Prefix-SID",
    12: "Preference",
    13: "Binding SID",
    14: "ENLP",
    15: "Priority",
    16: "SPI/SI Representation",
    20: "SRv6 Binding SID",
    126: "Public Key (experimental: Softmesh)",
    128: "Segment List",
    129: "Policy Candidate Path Name",
    130: "Policy Name",
    254: "Certificate (experimental: Softmesh)",
}


def tunnel_type_name(number: int) -> str:
    """The IANA name of a tunnel type, or "tunnel type N" for one not in the registry as we know it."""
    return _TUNNEL_NAMES.get(number) or f"tunnel type {number}"


def sub_tlv_name(number: int) -> str:
    """The IANA name of a sub-TLV of attribute 23, or "sub-TLV N"."""
    return _SUB_TLV_NAMES.get(number) or f"sub-TLV {number}"
