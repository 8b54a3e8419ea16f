"""What the charon at hand can, by its own account."""

from __future__ import annotations

from dataclasses import dataclass

from softmesh.charon.listing import text
from softmesh.charon.packet import Section

_ML_KEM = "ML_KEM_768"
_KEY_EXCHANGES = ("ke", "dh")
"""Sections of get-algorithms that list them: since 6.0, and before."""


@dataclass(frozen=True, slots=True)
class Ability:
    """Of one charon, from its start to its end."""

    version: str
    kernel_libipsec: bool
    """ESP in user space: tunnel mode only, no AH, no interfaces of the kernel's."""
    ml_kem: bool
    """ML-KEM-768 as an additional key exchange (RFC 9370, FIPS 203)."""
    plugins: frozenset[str] = frozenset()
    """Those that are loaded."""


def of(version: Section, stats: Section, algorithms: Section) -> Ability:
    """From the replies to version, stats and get-algorithms; what is not listed is not there."""
    listed = stats.get("plugins", [])
    plugins = frozenset(map(text, listed)) if isinstance(listed, list) else frozenset()
    exchanges = [algorithms.get(section, {}) for section in _KEY_EXCHANGES]
    return Ability(
        version=text(version.get("version")),
        kernel_libipsec="kernel-libipsec" in plugins,
        ml_kem=any(isinstance(exchange, dict) and _ML_KEM in exchange for exchange in exchanges),
        plugins=plugins,
    )
