"""Whether what was built is what was asked for; charon itself does not say when it is not.

It falls back from transport to tunnel mode where it finds the selectors not host to host, and takes fewer
addresses than it asked for where the peer narrows them (RFC 7296 §2.9), both without a word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from softmesh.charon.connection import Child, Connection
from softmesh.charon.observed import ChildSa, IkeSa
from softmesh.charon.selector import parse_network, parse_selector
from softmesh.mesh.softwire import Level, Mode

_ENCRYPTION = re.compile(
    r"(?P<cipher>aes|camellia)(?P<size>128|192|256)?(?:(?P<mode>gcm|ccm|gmac|ctr)(?P<icv>8|12|16|64|96|128)?)?"
)
_ICV_OCTETS = {None: "16", "64": "8", "96": "12", "128": "16"}
_OTHER_ENCRYPTION = {"chacha20poly1305": "CHACHA20_POLY1305", "null": "NULL", "3des": "3DES_CBC"}
_AEAD = re.compile(r".*_(GCM|CCM|GMAC)_.*|CHACHA20_POLY1305")
"""Ciphers that authenticate by themselves."""
_INTEGRITY = {
    "md5": "HMAC_MD5_96", "md5_128": "HMAC_MD5_128", "sha": "HMAC_SHA1_96", "sha1": "HMAC_SHA1_96",
    "sha1_160": "HMAC_SHA1_160", "aesxcbc": "AES_XCBC_96", "aescmac": "AES_CMAC_96", "camelliaxcbc": "CAMELLIA_XCBC_96",
    "sha256": "HMAC_SHA2_256_128", "sha2_256": "HMAC_SHA2_256_128", "sha256_96": "HMAC_SHA2_256_96",
    "sha2_256_96": "HMAC_SHA2_256_96", "sha384": "HMAC_SHA2_384_192", "sha2_384": "HMAC_SHA2_384_192",
    "sha512": "HMAC_SHA2_512_256", "sha2_512": "HMAC_SHA2_512_256",
}  # fmt: skip
"""Without the GMACs: as integrity of AH charon cannot install them in Linux."""


def verify(child_sa: ChildSa, child: Child, ike_sa: IkeSa) -> str | None:
    """Why an installed CHILD SA is not what ``child`` asks for; None where it is.

    The reason is a phrase for status: what was asked and what was found.
    """
    if child_sa.mode != child.mode:
        return f"asked for {child.mode} mode, negotiated {child_sa.mode or 'none'}"
    protocol = "AH" if child.level is Level.AH else "ESP"
    if child_sa.protocol != protocol:
        return f"asked for {protocol}, negotiated {child_sa.protocol or 'nothing'}"
    for side, asked, found in (
        ("local", child.local_ts, child_sa.local_ts),
        ("remote", child.remote_ts, child_sa.remote_ts),
    ):
        if {parse_selector(text) for text in found} != {parse_selector(asked)}:
            return f"asked for {side} selector {asked}, negotiated {', '.join(sorted(found)) or 'none'}"
    if child.mode is Mode.TRANSPORT:
        for side, host, selector in (
            ("local", ike_sa.local_host, child.local_ts),
            ("remote", ike_sa.remote_host, child.remote_ts),
        ):
            if parse_network(host) != parse_selector(selector)[0]:
                return f"transport mode for {side} {selector} between other hosts ({host})"
    return _verify_binding(child_sa, child) or _verify_algorithms(child_sa, child)


def verify_peer(ike_sa: IkeSa, connection: Connection) -> str | None:
    """Why an established IKE_SA is not with the peer of ``connection``; None where it is."""
    for side, asked, found in (
        ("local", connection.local_address, ike_sa.local_host),
        ("remote", connection.remote_address, ike_sa.remote_host),
    ):
        if parse_network(found) != parse_network(asked):
            return f"asked for {side} address {asked}, found {found or 'none'}"
    for side, asked, found in (
        ("local", connection.local.identity, ike_sa.local_id),
        ("remote", connection.remote.identity, ike_sa.remote_id),
    ):
        if found not in printed_identity(asked):
            return f"asked for {side} identity {asked}, found {found or 'none'}"
    return None


def _verify_binding(child_sa: ChildSa, child: Child) -> str | None:
    for what, asked, found in (
        ("if_id", child.if_id, (child_sa.if_id_in, child_sa.if_id_out)),
        ("mark", child.mark, (child_sa.mark_in, child_sa.mark_out)),
    ):
        if found != (asked, asked):
            inbound, outbound = map(_printed_number, found)
            return f"asked for {what} {_printed_number(asked)}, found {inbound} inbound and {outbound} outbound"
    return None


def _verify_algorithms(child_sa: ChildSa, child: Child) -> str | None:
    found = "/".join(filter(None, (child_sa.encr_alg, child_sa.integ_alg)))
    reason = f"asked for {', '.join(child.proposals)}, negotiated"
    # Whatever is proposed, by a name that we cannot tell the algorithms of ("default"): charon holds to that, so
    # anything goes but less than the level of protection says.
    if child.level is Level.ENCRYPT and (not child_sa.encr_alg or child_sa.encr_alg.startswith("NULL")):
        return f"{reason} no encryption"
    if not child_sa.integ_alg and not _AEAD.fullmatch(child_sa.encr_alg):
        return f"{reason} no integrity"
    if any(_algorithms(proposal).hold(child_sa) for proposal in child.proposals):
        return None
    return f"{reason} {found}"


@dataclass(frozen=True, slots=True)
class _Algorithms:
    """Those of a proposal, as ``ChildSa`` spells them; none of a kind where it names none known to us."""

    encryption: frozenset[str]
    integrity: frozenset[str]

    def hold(self, sa: ChildSa) -> bool:
        """Whether an SA's algorithms are of the proposal, or may be."""
        if self.encryption and sa.encr_alg not in self.encryption:
            return False
        return not (self.integrity and sa.integ_alg) or sa.integ_alg in self.integrity


@lru_cache(maxsize=1024)
def _algorithms(proposal: str) -> _Algorithms:
    tokens = proposal.lower().split("-")
    encryption = {name for token in tokens if (name := _encryption(token))}
    return _Algorithms(frozenset(encryption), frozenset(_INTEGRITY[token] for token in tokens if token in _INTEGRITY))


def _encryption(token: str) -> str | None:
    if (other := _OTHER_ENCRYPTION.get(token)) or not (match := _ENCRYPTION.fullmatch(token)):
        return other
    cipher, mode = match["cipher"].upper(), (match["mode"] or "cbc").upper()
    if mode in {"GCM", "CCM"}:
        mode += "_" + _ICV_OCTETS.get(match["icv"], match["icv"])
    # GMAC encrypts nothing, and charon says so in its name for it.
    null = "NULL_" if mode == "GMAC" else ""
    return f"{null}{cipher}_{mode}_{match['size'] or '128'}"


def _printed_number(number: int | None) -> str:
    return "none" if number is None else f"{number:#x}"


def printed_identity(identity: str) -> tuple[str, ...]:
    """How list-sas may print an identity: an ID_KEY_ID's octets in hex with colons, or as they are where printable."""
    if not identity.startswith("@#"):
        return (identity,)
    octets = bytes.fromhex(identity.removeprefix("@#"))
    plain = (octets.decode(),) if octets.isascii() and octets.decode().isprintable() else ()
    return (octets.hex(":"), *plain)
