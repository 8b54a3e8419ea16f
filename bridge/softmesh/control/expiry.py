"""Until when the certificates are valid that a mesh rests on: ours, the authorities', and those peers announced."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from softmesh.mesh.certificate import not_after
from softmesh.mesh.credential import Certified, PinnedCertificate
from softmesh.mesh.desired import Desired
from softmesh.mesh.identity import Identity

_NAMED_BY = 16
"""Hexadecimal digits of an authority's SHA-256."""


@dataclass(frozen=True, slots=True)
class Expiry:
    """One certificate's."""

    holder: str
    """``own``, ``authority`` or ``peer``."""
    name: str
    """The authenticator of our key, the beginning of an authority's SHA-256, or the softwire's key."""
    not_after: float
    """Seconds since the epoch."""


def expiries(own: Iterable[Identity], desired: Desired) -> tuple[Expiry, ...]:
    """Those of all certificates that are in use and known.

    A peer that authenticates by certificate alone shows it to charon only. One that is pinned by its key needs none.
    """
    return tuple(dict.fromkeys((*_own(own), *_others(desired))))


def _own(own: Iterable[Identity]) -> Iterator[Expiry]:
    for identity in own:
        if identity.certificate is not None and (until := not_after(identity.certificate)) is not None:
            yield Expiry("own", identity.authenticator.hex(), until)


def _others(desired: Desired) -> Iterator[Expiry]:
    for wire, softwire in desired.softwires.items():
        for credential in softwire.credentials:
            if isinstance(credential, PinnedCertificate):
                shown = credential.key.certificate
                if shown is not None and (until := not_after(shown)) is not None:
                    yield Expiry("peer", wire.key, until)
                yield from _authorities(credential.certified)
            elif isinstance(credential, Certified):
                yield from _authorities(credential)


def _authorities(certified: Certified) -> Iterator[Expiry]:
    for der in certified.authorities:
        if (until := not_after(der)) is not None:
            yield Expiry("authority", hashlib.sha256(der).hexdigest()[:_NAMED_BY], until)
