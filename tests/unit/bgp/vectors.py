"""Attributes as octets: fixed vectors, and makers that compute every length.

A length typed beside what it measures may be mistyped, and a test of one rule becomes one of another.
"""

from __future__ import annotations

K1_SPKI = bytes.fromhex("302a300506032b6570032100d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
"""Ed25519, RFC 8032 §7.1 test 1."""
K1 = bytes.fromhex("a566be19840173413a61048350eff23e8fe22266")
"""SHA-1 of K1_SPKI, by openssl."""
K2 = bytes.fromhex("cad8a997d27511a79df843085a62049c78e38097")
"""SHA-1 of the SubjectPublicKeyInfo of the P-256 key of RFC 6979 §A.2.5, by openssl."""

# Whole attributes: flags, type, length, value.
VECTORS = {
    name: bytes.fromhex(text)
    for name, text in {
        "A": "c0171c 0004 0018 0316 0001 a566be19840173413a61048350eff23e8fe22266",
        "B": "c0171c 0005 0018 0316 0001 cad8a997d27511a79df843085a62049c78e38097",
        "C": "c01728 0004 0024 060a 00000000 0001 c00002020316 0001 a566be19840173413a61048350eff23e8fe22266",
        "D": "c01756 0005 0052 0616 00000000 0002 20010db8000000000000000000000002 0408 030b0000 00000064"
        "0316 0001 a566be19840173413a61048350eff23e8fe22266"
        "0316 0001 cad8a997d27511a79df843085a62049c78e38097",
        "E": "c0173c 0004 0018 0316 0001 a566be19840173413a61048350eff23e8fe22266"
        "0005 0018 0316 0001 a566be19840173413a61048350eff23e8fe22266 0003 0000",
        "F": "c01724 0006 0020 0606 00000000 0000 0316 0001 a566be19840173413a61048350eff23e8fe22266",
        "G": "c0171b 0004 0017 0315 0001 a566be19840173413a61048350eff23e8fe222",
        "H": "c0171c 0004 0020 0316 0001 a566be19840173413a61048350eff23e8fe22266",
        "I": "c01728 0004 0024 0322 0002" + "aa" * 32,
        "J": "c01723 0005 001f 82 0004 00616263 0316 0001 a566be19840173413a61048350eff23e8fe22266",
        "K": "80171c 0004 0018 0316 0001 a566be19840173413a61048350eff23e8fe22266",
        "L": "c0170e 0002 000a 0104 12345678 0202 0800",
        "M": "c0171a 0001 0016 010c 1234abcd 0102030405060708 0202 86dd 0502 0018",
    }.items()
}

MP_REACH_ENCAP_V4 = bytes.fromhex("800e0e 0001 07 04 c0000202 00 20 c0000202")
MP_REACH_ENCAP_V6 = bytes.fromhex(
    "800e26 0002 07 10 20010db8000000000000000000000002 00 80 20010db8000000000000000000000002"
)
MP_REACH_V4_VIA_V6 = bytes.fromhex("800e19 0001 01 10 20010db8000000000000000000000002 00 18 c63364")
MP_REACH_V6_VIA_V4 = bytes.fromhex("800e1c 0002 01 10 00000000000000000000ffffc0000202 00 30 20010db80001")


def value_of(attribute: bytes) -> bytes:
    """The value field of an attribute with a one-octet length."""
    return attribute[3:]


def attribute(value: bytes, number: int = 23, flags: int = 0xC0) -> bytes:
    """A path attribute; a value that needs it, or the flag, gets the extended length."""
    if len(value) > 255:
        flags |= 0x10
    return bytes([flags, number]) + len(value).to_bytes(2 if flags & 0x10 else 1, "big") + value


def tlv(number: int, *sub_tlvs: bytes) -> bytes:
    """A tunnel TLV."""
    value = b"".join(sub_tlvs)
    return number.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value


def sub(number: int, value: bytes | str) -> bytes:
    """A sub-TLV; ``value`` may be hex."""
    octets = bytes.fromhex(value) if isinstance(value, str) else value
    return bytes([number]) + len(octets).to_bytes(1 if number < 128 else 2, "big") + octets


def endpoint(address: str = "c0000202", family: int = 1) -> bytes:
    """A Tunnel Egress Endpoint sub-TLV; ``address`` as hex."""
    return sub(6, bytes(4) + family.to_bytes(2, "big") + bytes.fromhex(address))


AUTHENTICATOR_K1 = sub(3, b"\0\1" + K1)
COLOR_100 = sub(4, "030b 0000 00000064")
TYPICAL = tlv(4, endpoint("20010db8000000000000000000000002", 2), COLOR_100, AUTHENTICATOR_K1, sub(126, K1_SPKI))
"""The value an AFBR of ours announces: endpoint, colour, authenticator and public key."""
