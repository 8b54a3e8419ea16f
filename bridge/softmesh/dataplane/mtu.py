"""The largest packet that goes into a softwire and leaves it whole. Pure arithmetic.

    core MTU = outer header + [UDP] + ESP header + IV + [GRE] + packet + padding + ESP trailer + ICV
    core MTU = outer header + AH header + ICV + padding + [GRE] + packet

Tunnel mode and transport mode around IP in IP come to the same (RFC 4303 §3.1): one outer header, one inner.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from softmesh.mesh.softwire import InterfaceKind, Level

_OUTER = {4: 20, 6: 40}
"""Octets of the outer header by IP version (RFC 791 §3.1, RFC 8200 §3); neither has options."""
_GRE = 4
"""RFC 2784 §2.1: neither key nor checksum."""
_LABEL = 4
"""RFC 3032 §2.1."""
_UDP = 8
"""RFC 3948 §2.1."""
_ESP_HEADER, _ESP_TRAILER = 8, 2
"""SPI and sequence number; pad length and next header (RFC 4303 §2)."""
_AH_HEADER = 12
"""All of it but the ICV (RFC 4302 §2)."""
_AH_ALIGNMENT = {4: 4, 6: 8}
"""Octets a whole AH is a multiple of, by IP version (RFC 4302 §3.3.3.2.1)."""
_LEAST = 1280
"""What an IPv6 link must carry (RFC 8200 §5); under it Linux takes IPv6 off an interface."""

_AEAD = re.compile(r"(?:aes|camellia)\d*(?:gcm|ccm)(?P<icv>\d*)")
_AEAD_ICV = {"": 16, "8": 8, "12": 12, "16": 16, "64": 8, "96": 12, "128": 16}
"""Octets, by what strongSwan's names end in: octets or bits."""
_BLOCK_CIPHERS = {
    "aes": 16, "camellia": 16, "serpent": 16, "twofish": 16, "3des": 8, "des": 8, "blowfish": 8, "cast": 8
}  # fmt: skip
"""Octets of a block, and of the IV, in CBC mode (RFC 3602 §2, RFC 2451 §2)."""
_CIPHER = re.compile(r"(?P<name>3?des|[a-z]+)(?P<bits>\d*?)(?P<counter>ctr)?")
_ICV = {
    "sha256": 16, "sha384": 24, "sha512": 32, "sha1": 12, "sha": 12, "md5": 12,
    "sha256_96": 12, "sha1_160": 20, "md5_128": 16, "aesxcbc": 12, "aescmac": 12, "camelliaxcbc": 12,
}  # fmt: skip
"""Octets of the truncated hash (RFC 4868 §2.6, RFC 2404 §3, RFC 2403 §3, RFC 3566 §4, RFC 4494 §2)."""


@dataclass(frozen=True, slots=True)
class _Transform:
    """What a proposal adds to a packet, octets."""

    iv: int = 0
    block: int = 4
    """At least 4 (RFC 4303 §2.4)."""
    icv: int = 0


_UNKNOWN = _Transform(iv=16, block=16, icv=32)
"""No less than any that strongSwan has."""


def inner_mtu(
    core_mtu: int,
    kind: InterfaceKind,
    version: int,
    level: Level,
    proposals: Iterable[str],
    *,
    encapsulated_in_udp: bool = False,
) -> int:
    """Octets of the largest packet that an interface takes so that no outer packet exceeds ``core_mtu`` octets.

    ``version``: of the outer header. ``proposals``: in strongSwan's notation; the one that adds most counts, and one
    that is unknown here counts as the worst there is. An MPLS label need not be taken off: the kernel takes it off
    the MTU of a route that has one.

    Never less than IPv6 needs, 1280 and room for a label: over a core that carries no more than that, large packets
    leave in fragments, or are refused with the ICMP message that says so.
    """
    room = core_mtu - _OUTER[version] - (_UDP if encapsulated_in_udp else 0)
    read = _hash if level is Level.AH else _cipher
    transforms = [read(proposal) for proposal in proposals] or [_UNKNOWN]
    payload = min(_ah(room, version, each) if level is Level.AH else _esp(room, each) for each in transforms)
    least = _LEAST + (_LABEL if kind is InterfaceKind.IP_IN_IP else 0)
    return max(least, payload - (_GRE if kind is InterfaceKind.GRE else 0))


def _esp(room: int, transform: _Transform) -> int:
    padded = room - _ESP_HEADER - transform.iv - transform.icv
    return padded - padded % transform.block - _ESP_TRAILER


def _ah(room: int, version: int, transform: _Transform) -> int:
    alignment = _AH_ALIGNMENT[version]
    return room - -(-(_AH_HEADER + transform.icv) // alignment) * alignment


@lru_cache(maxsize=256)
def _cipher(proposal: str) -> _Transform:
    """Of ESP: the worst of its ciphers with the worst of its hashes; the first algorithm is a cipher."""
    parts = proposal.lower().split("-")
    ciphers = [cipher for part in parts if (cipher := _cipher_alone(part)) is not None]
    if _cipher_alone(parts[0]) is None:
        return _UNKNOWN
    hashes = [_ICV.get(_plain(part), 0) for part in parts]
    return _Transform(
        iv=max(cipher.iv for cipher in ciphers),
        block=max(cipher.block for cipher in ciphers),
        icv=max(*hashes, *(cipher.icv for cipher in ciphers)),
    )


def _cipher_alone(name: str) -> _Transform | None:
    if match := _AEAD.fullmatch(name):
        return _Transform(iv=8, icv=_AEAD_ICV.get(match["icv"], _UNKNOWN.icv))
    # RFC 4543 §3 and RFC 7634 §2: as GCM.
    if "gmac" in name or name.startswith("chacha20poly1305"):
        return _Transform(iv=8, icv=16)
    if name == "null":
        return _Transform()
    match = _CIPHER.fullmatch(name)
    block = _BLOCK_CIPHERS.get(match["name"]) if match else None
    if match is None or block is None:
        return None
    # RFC 3686 §3.1: an IV of 8 octets, and no padding but to 4.
    return _Transform(iv=8) if match["counter"] else _Transform(iv=block, block=block)


@lru_cache(maxsize=256)
def _hash(proposal: str) -> _Transform:
    """Of AH."""
    icvs = [_ICV[_plain(part)] for part in proposal.lower().split("-") if _plain(part) in _ICV]
    return _Transform(icv=max(icvs)) if icvs else _UNKNOWN


def _plain(name: str) -> str:
    """The shorter of the two names that strongSwan has for a hash of SHA-2."""
    return name.replace("sha2_", "sha")
