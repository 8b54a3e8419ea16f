"""The largest packet that goes into a softwire and leaves it whole. Pure arithmetic."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from softmesh.mesh.softwire import InterfaceKind, Level

_OUTER = {4: 20, 6: 40}
"""Octets of the outer header by IP version (RFC 791 §3.1, RFC 8200 §3); neither has options."""
_INNER = {InterfaceKind.GRE: 4}
"""Octets of the encapsulation's own header (RFC 2784 §2.1: no key, no checksum)."""
_ESP_HEADER, _ESP_TRAILER = 8, 2
"""SPI and sequence number; pad length and next header (RFC 4303 §2)."""
_AH_HEADER = 12
"""All of it but the ICV (RFC 4302 §2)."""
_AH_ALIGNMENT = {4: 4, 6: 8}
"""RFC 4302 §2.2."""
_UDP = 8
"""RFC 3948 §2.1."""
_LEAST = 1280
"""What an IPv6 link must carry (RFC 8200 §5); where the core carries no more, the outer packet goes in fragments."""

_AEAD = re.compile(r"(?:aes|camellia)(?:128|192|256)?(?:gcm|ccm|gmac)(?P<icv>8|12|16|64|96|128)?")
_AEAD_ICV = {None: 16, "8": 8, "12": 12, "16": 16, "64": 8, "96": 12, "128": 16}
_CBC = re.compile(r"(?:aes|camellia)(?:128|192|256)?")
_ICV = {"sha256": 16, "sha384": 24, "sha512": 32, "sha1": 12, "sha": 12, "md5": 12, "aesxcbc": 12, "aescmac": 12}
"""Octets of the truncated hash (RFC 4868 §2.6, RFC 2404 §3)."""


@dataclass(frozen=True, slots=True)
class _Cipher:
    """What a proposal adds to a packet, octets."""

    iv: int = 0
    block: int = 4
    """RFC 4303 §2.4: at least 4."""
    icv: int = 0


_UNKNOWN = _Cipher(iv=16, block=16, icv=32)
"""More than any that strongSwan has."""


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

    ``version``: of the outer header. ``proposals``: in strongSwan's notation; the one that adds most counts. At least
    1280. Tunnel mode and transport mode around IP in IP add the same (RFC 4303 §3.1).
    """
    room = core_mtu - _OUTER[version] - (_UDP if encapsulated_in_udp else 0)
    ciphers = [_cipher(proposal) for proposal in proposals] or [_UNKNOWN]
    payload = min(_ah(room, version, cipher) if level is Level.AH else _esp(room, cipher) for cipher in ciphers)
    return max(_LEAST, payload - _INNER.get(kind, 0))


def _esp(room: int, cipher: _Cipher) -> int:
    padded = room - _ESP_HEADER - cipher.iv - cipher.icv
    return padded - padded % cipher.block - _ESP_TRAILER


def _ah(room: int, version: int, cipher: _Cipher) -> int:
    alignment = _AH_ALIGNMENT[version]
    return room + (-(_AH_HEADER + cipher.icv) // alignment) * alignment


@lru_cache(maxsize=256)
def _cipher(proposal: str) -> _Cipher:
    iv, block, icv = 0, 4, 0
    encrypts = False
    for part in proposal.lower().split("-"):
        if match := _AEAD.fullmatch(part):
            return _Cipher(iv=8, icv=_AEAD_ICV[match["icv"]])
        if part == "chacha20poly1305":
            return _Cipher(iv=8, icv=16)
        if _CBC.fullmatch(part):
            iv, block, encrypts = 16, 16, True
        elif part == "null":
            encrypts = True
        elif part in _ICV:
            icv = _ICV[part]
    return _Cipher(iv, block, icv) if encrypts or icv else _UNKNOWN
