"""Trust mode ``pinned``: which keys an offer's authenticators vouch for (RFC 5566 §4.1).

Wherever a key comes from, it counts only when SHA-1 over its SubjectPublicKeyInfo equals an advertised authenticator.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol

from softmesh.mesh.key_directory import KeyDirectory
from softmesh.mesh.selection import Offer
from softmesh.mesh.softwire import PinnedKey


class KeySource(Protocol):
    """Where keys may be found."""

    def keys_for(self, offer: Offer) -> Sequence[PinnedKey]:
        """Keys that hash to one of the offer's authenticators; the caller does not check again."""


class AnnouncedKeys:
    """Keys that arrive beside the hash, in sub-TLV 126."""

    def keys_for(self, offer: Offer) -> Sequence[PinnedKey]:
        """The offered keys whose hash was advertised too."""
        found = []
        for spki in offer.public_keys:
            digest = hashlib.sha1(spki, usedforsecurity=False).digest()
            if digest in offer.authenticators:
                found.append(PinnedKey(digest, spki, "sub-TLV 126"))
        return found


class DirectoryKeys:
    """Keys an operator put into a directory."""

    def __init__(self, directory: KeyDirectory) -> None:
        self._directory = directory

    def keys_for(self, offer: Offer) -> Sequence[PinnedKey]:
        """The directory's keys for the offer's authenticators."""
        found = (self._directory.find(authenticator) for authenticator in offer.authenticators)
        return [key for key in found if key is not None]


def trusted_keys(offer: Offer, sources: Sequence[KeySource]) -> tuple[PinnedKey, ...]:
    """One key for each authenticator that any source has a key for, in order of authenticator; sources in order."""
    found: dict[bytes, PinnedKey] = {}
    for source in sources:
        for key in source.keys_for(offer):
            found.setdefault(key.authenticator, key)
    return tuple(found[digest] for digest in sorted(found))
