"""What the proposals of each level of protection do, and whether that is what the level is for.

strongSwan's notation: algorithms joined by ``-``. What is unknown here is left for charon to judge.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from softmesh.config.finding import Finding, error, warning
from softmesh.config.problems import KeyPath
from softmesh.config.values import Charon

_AEAD = re.compile(r"aes\d*[gc]cm\w*|chacha20poly1305\w*|camellia\d*ccm\w*")
_CIPHER = re.compile(r"aes\d*(ctr)?|3des|des|blowfish\d*|cast128|(camellia|serpent|twofish)\d*(ctr)?")
_GMAC = re.compile(r"aes\d*gmac")
_HASH = re.compile(r"(sha|md5)\w*|\w*(xcbc|cmac)")
_OTHER = re.compile(r"(modp|ecp|curve|mlkem|prf|ke\d_)\w*|x25519|x448|(no)?esn|none")
"""Key exchange, pseudo-random functions and sequence numbers: nothing that tells levels apart."""


@dataclass(frozen=True, slots=True)
class Transforms:
    """What a proposal for ESP or AH (RFC 7296 §3.3) comes to."""

    encrypts: bool
    authenticates: bool
    null: bool
    """Whether it names NULL encryption (RFC 2410)."""
    gmac: bool
    """Whether it names GMAC, which authenticates as a cipher of ESP that encrypts nothing (RFC 4543)."""


def transforms(proposal: str) -> Transforms | None:
    """Read a proposal; None where part of it is unknown here."""
    algorithms = proposal.split("-")
    aead = any(_AEAD.fullmatch(algorithm) for algorithm in algorithms)
    cipher = any(_CIPHER.fullmatch(algorithm) for algorithm in algorithms)
    gmac = any(_GMAC.fullmatch(algorithm) for algorithm in algorithms)
    hashed = any(_HASH.fullmatch(algorithm) for algorithm in algorithms)
    known = (_AEAD, _CIPHER, _GMAC, _HASH, _OTHER)
    if any(algorithm != "null" and not any(kind.fullmatch(algorithm) for kind in known) for algorithm in algorithms):
        return None
    return Transforms(
        encrypts=aead or cipher, authenticates=aead or gmac or hashed, null="null" in algorithms, gmac=gmac
    )


def unfit(charon: Charon) -> Iterator[Finding]:
    """Find proposals that do not do what their level promises."""
    for index, proposal in enumerate(charon.esp_proposals):
        yield from _encrypt(("charon", "esp_proposals", index), proposal)
    for index, proposal in enumerate(charon.integrity_proposals):
        yield from _integrity(("charon", "integrity_proposals", index), proposal)
    for index, proposal in enumerate(charon.ah_proposals):
        yield from _ah(("charon", "ah_proposals", index), proposal)


def _encrypt(path: KeyPath, proposal: str) -> Iterator[Finding]:
    found = transforms(proposal)
    if found is None:
        return
    if not found.authenticates:
        yield _unauthenticated(path, proposal)
    elif not found.encrypts and (found.null or found.gmac):
        yield warning(
            path,
            f"{proposal} does not encrypt, at level encrypt",
            "use level integrity where that is meant, and remove it here",
        )
    elif not found.encrypts:
        yield error(path, f"{proposal} has no cipher, and ESP needs one", "write it as in aes256gcm16-x25519")


def _integrity(path: KeyPath, proposal: str) -> Iterator[Finding]:
    found = transforms(proposal)
    if proposal == "default" or (found is not None and found.encrypts):
        yield error(
            path,
            f"{proposal} encrypts, at level integrity",
            "write null-sha256-x25519, or use level encrypt",
        )
    elif found is None:
        return
    elif not found.authenticates:
        yield _unauthenticated(path, proposal)
    elif not (found.null or found.gmac):
        yield error(path, f"{proposal} has no cipher, and ESP needs one, be it null", f"write null-{proposal}")


def _ah(path: KeyPath, proposal: str) -> Iterator[Finding]:
    found = transforms(proposal)
    if found is None:
        return
    if found.gmac:
        yield error(path, f"{proposal}: GMAC as AH does not work in strongSwan", "write sha256-x25519")
    elif found.encrypts or found.null:
        yield error(path, f"{proposal} has a cipher, and AH takes none", "write sha256-x25519")
    elif not found.authenticates:
        yield _unauthenticated(path, proposal)


def _unauthenticated(path: KeyPath, proposal: str) -> Finding:
    # RFC 8221 §4: encryption without authentication must not be used.
    return error(path, f"{proposal} authenticates nothing", "add a hash such as sha256")
