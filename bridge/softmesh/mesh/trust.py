"""From what a tunnel's announcement offers to the credentials its peer may show.

RFC 5566 §4.1 and RFC 5619 §4.4.2: BGP says whom to talk to, and cannot make us trust them. Wherever a key comes from,
it counts only when SHA-1 over its SubjectPublicKeyInfo equals an advertised authenticator, or an authority of ours
vouches for it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from softmesh.mesh.certificate import flaw
from softmesh.mesh.credential import Certified, Credential, GroupKey, PinnedCertificate, PinnedKey
from softmesh.mesh.key_directory import KeyDirectory
from softmesh.mesh.public_key import KeyFileError, authenticator, find_keys
from softmesh.mesh.refusal import Refusal, Rule
from softmesh.mesh.selection import Offer
from softmesh.mesh.softwire import Address
from softmesh.mesh.trust_policy import TrustMode, TrustPolicy


class KeySource(Protocol):
    """Where keys may be found."""

    def keys_for(self, offer: Offer) -> Sequence[PinnedKey]:
        """Keys that hash to one of the offer's authenticators; the caller does not check again."""


class AnnouncedKeys:
    """Keys that arrive beside the hash: bare in sub-TLV 126, in a certificate in sub-TLV 254."""

    def keys_for(self, offer: Offer) -> Sequence[PinnedKey]:
        """The offered keys whose hash was advertised too; certificates first, which say more."""
        claims = (*map(_certified, offer.certificates), *map(_bare, offer.public_keys))
        return [key for key in claims if key is not None and key.authenticator in offer.authenticators]


class DirectoryKeys:
    """Keys an operator put into a directory."""

    def __init__(self, directory: KeyDirectory) -> None:
        self._directory = directory

    def keys_for(self, offer: Offer) -> Sequence[PinnedKey]:
        """The directory's keys for the offer's authenticators."""
        found = (self._directory.find(authenticator) for authenticator in offer.authenticators)
        return [key for key in found if key is not None]


@functools.lru_cache(maxsize=4096)
def _certified(octets: bytes) -> PinnedKey | None:
    """The key of a sub-TLV 254; None for what is no certificate, or of a key that cannot be used."""
    key = _key_in(octets, "sub-TLV 254")
    return key if key is not None and key.certificate == octets else None


@functools.lru_cache(maxsize=4096)
def _bare(octets: bytes) -> PinnedKey | None:
    """The key of a sub-TLV 126; None for what is no SubjectPublicKeyInfo, or of a key that cannot be used."""
    key = _key_in(octets, "sub-TLV 126")
    return key if key is not None and key.spki == octets else None


def _key_in(octets: bytes, origin: str) -> PinnedKey | None:
    """The first key in a sub-TLV; not what it seems to be where DER has PEM in it, in a name, say."""
    try:
        key, *_ = find_keys(octets, origin)
    except KeyFileError:
        return None
    return PinnedKey(authenticator(key.spki), key.spki, origin, key.certificate)


def vouch(
    offer: Offer, local: Address, trust: TrustPolicy, sources: Sequence[KeySource]
) -> tuple[tuple[Credential, ...], Refusal | None]:
    """The credentials by which the peer of an offer may authenticate towards us at ``local``, any of them.

    None, with the reason, where there are no such. Keys are looked for in the order of ``sources``; of each hash the
    first found counts. What selection refuses (an authenticator that is required and absent) is not asked again.
    """
    if trust.mode is TrustMode.GROUP_PSK:
        ours, theirs = str(local), str(offer.endpoint)
        return (GroupKey(ours, theirs, trust.secret, trust.secret_digest),), None
    if trust.mode is TrustMode.PINNED:
        pinned, _ = _looked_for(offer, sources, lambda _key: None)
        return pinned, None if pinned else _missing(offer, "key")
    certified = Certified(
        trust.identity_of(local), trust.identity_of(offer.endpoint), trust.authorities, trust.revocation.digest
    )
    if trust.mode is TrustMode.PKI and not offer.authenticators:
        return (certified,), None
    # A peer that advertised authenticators is held to them whoever signed its certificate (RFC 5566 §4.1).

    def flawed(key: PinnedKey) -> str | None:
        if key.certificate is None:
            return ""
        return flaw(key.certificate, certified.identity, trust.authorities, trust.revocation)

    sound, flaws = _looked_for(offer, sources, flawed)
    if sound:
        return tuple(PinnedCertificate(key, certified) for key in sound), None
    for key, why in flaws.items():
        return (), Refusal(
            Rule.CERTIFICATE, f"the certificate for authenticator {key.authenticator.hex()} from {key.origin} {why}"
        )
    return (), _missing(offer, "certificate")


def _looked_for(
    offer: Offer, sources: Sequence[KeySource], flawed: Callable[[PinnedKey], str | None]
) -> tuple[tuple[PinnedKey, ...], Mapping[PinnedKey, str]]:
    """The first key without a flaw of each authenticator, in order of authenticator; and the flaws met, if any to tell.

    A later source is asked only for what the earlier ones lack: a store need not hear of every peer.
    """
    found: dict[bytes, PinnedKey] = {}
    flaws: dict[PinnedKey, str] = {}
    for source in sources:
        missing = tuple(digest for digest in offer.authenticators if digest not in found)
        if not missing:
            break
        for key in source.keys_for(replace(offer, authenticators=missing)):
            why = flawed(key)
            if why is None:
                found.setdefault(key.authenticator, key)
            elif why:
                flaws[key] = why
    return tuple(found[digest] for digest in sorted(found)), flaws


def _missing(offer: Offer, what: str) -> Refusal:
    hashes = ", ".join(sorted(digest.hex() for digest in offer.authenticators))
    return Refusal(Rule.KEY, f"no {what} found for authenticator {hashes}; looked in trust.keys")
