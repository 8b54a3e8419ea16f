"""Whether what was built is what was asked for; charon itself does not say when it is not.

It falls back from transport to tunnel mode where it finds the selectors not host to host, and takes fewer
addresses than it asked for where the peer narrows them (RFC 7296 §2.9), both without a word.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import ip_network

from softmesh.charon.connection import Child, Connection
from softmesh.charon.observed import ChildSa, IkeSa
from softmesh.mesh.softwire import Mode, Network

_ESP = "ESP"

_PROTOCOL_NUMBERS = {
    "icmp": 1, "ipencap": 4, "ipv4": 4, "ipip": 4, "tcp": 6, "udp": 17, "ipv6": 41, "gre": 47, "esp": 50,
    "ah": 51, "ipv6-icmp": 58, "l2tp": 115, "mpls-in-ip": 137,
}  # fmt: skip
"""charon prints protocols by the names of /etc/protocols, which differ between systems."""

_ENCRYPTION = re.compile(
    r"(?P<cipher>aes|camellia)(?P<size>128|192|256)?(?:(?P<mode>gcm|ccm|gmac|ctr)(?P<icv>8|12|16|64|96|128)?)?"
)
_ICV_OCTETS = {None: "16", "64": "8", "96": "12", "128": "16"}
_OTHER_ENCRYPTION = {"chacha20poly1305": "CHACHA20_POLY1305", "null": "NULL", "3des": "3DES_CBC"}


def verify(child_sa: ChildSa, child: Child, ike_sa: IkeSa) -> str | None:
    """Why an installed CHILD SA is not what ``child`` asks for; None where it is.

    The reason is a phrase for status: what was asked and what was found.
    """
    if child_sa.mode != child.mode:
        return f"asked for {child.mode} mode, negotiated {child_sa.mode or 'none'}"
    if child_sa.protocol != _ESP:
        return f"asked for ESP, negotiated {child_sa.protocol or 'nothing'}"
    for side, asked, found in (
        ("local", child.local_ts, child_sa.local_ts),
        ("remote", child.remote_ts, child_sa.remote_ts),
    ):
        if {_selector(text) for text in found} != {_selector(asked)}:
            return f"asked for {side} selector {asked}, negotiated {', '.join(sorted(found)) or 'none'}"
    if child.mode is Mode.TRANSPORT:
        for side, host, selector in (
            ("local", ike_sa.local_host, child.local_ts),
            ("remote", ike_sa.remote_host, child.remote_ts),
        ):
            if _network(host) != _selector(selector)[0]:
                return f"transport mode for {side} {selector} between other hosts ({host})"
    return _verify_encryption(child_sa, child)


def verify_peer(ike_sa: IkeSa, connection: Connection) -> str | None:
    """Why an established IKE_SA is not with the peer of ``connection``; None where it is."""
    for side, asked, found in (
        ("local", connection.local_address, ike_sa.local_host),
        ("remote", connection.remote_address, ike_sa.remote_host),
    ):
        if _network(found) != _network(asked):
            return f"asked for {side} address {asked}, found {found or 'none'}"
    for side, asked, found in (
        ("local", connection.local_id, ike_sa.local_id),
        ("remote", connection.remote_id, ike_sa.remote_id),
    ):
        if found not in _printed_identity(asked):
            return f"asked for {side} identity {asked}, found {found or 'none'}"
    return None


def _verify_encryption(child_sa: ChildSa, child: Child) -> str | None:
    asked = [_encryption(proposal) for proposal in child.esp_proposals]
    # An empty set is a proposal of which we cannot tell the cipher ("default"): charon holds to it, so
    # anything goes but no cipher at all.
    if child_sa.encr_alg in {"", "NULL"} and not any("NULL" in ciphers for ciphers in asked):
        return f"asked for {', '.join(child.esp_proposals)}, negotiated no encryption"
    if all(asked) and not any(child_sa.encr_alg in ciphers for ciphers in asked):
        return f"asked for {', '.join(child.esp_proposals)}, negotiated {child_sa.encr_alg}"
    return None


@lru_cache(maxsize=1024)
def _encryption(proposal: str) -> frozenset[str]:
    """The ciphers of a proposal as ``ChildSa.encr_alg`` spells them; empty where one is unknown to us."""
    found = set()
    for token in proposal.lower().split("-"):
        if token in _OTHER_ENCRYPTION:
            found.add(_OTHER_ENCRYPTION[token])
        elif match := _ENCRYPTION.fullmatch(token):
            cipher, mode = match["cipher"].upper(), (match["mode"] or "cbc").upper()
            if mode in {"GCM", "CCM"}:
                mode += "_" + _ICV_OCTETS.get(match["icv"], match["icv"])
            # GMAC encrypts nothing, and charon says so in its name for it.
            null = "NULL_" if mode == "GMAC" else ""
            found.add(f"{null}{cipher}_{mode}_{match['size'] or '128'}")
    return frozenset(found)


# Every pass verifies every SA, and hardly any selector is new.
@lru_cache(maxsize=65536)
def _selector(text: str) -> tuple[Network | str, int | str | None]:
    """A selector's network and protocol, comparable whether Softmesh or charon wrote it."""
    network, bracket, protocol = text.removesuffix("]").partition("[")
    return _network(network), _protocol(protocol) if bracket else None


def _network(text: str) -> Network | str:
    try:
        return ip_network(text)
    except ValueError:
        return text  # a range, which equals no network; or %any


def _protocol(text: str) -> int | str:
    return int(text) if text.isdecimal() else _PROTOCOL_NUMBERS.get(text, text)


def _printed_identity(identity: str) -> tuple[str, ...]:
    """How list-sas prints an ID_KEY_ID: octets in hex with colons, or as they are where all are printable."""
    octets = bytes.fromhex(identity.removeprefix("@#"))
    plain = (octets.decode(),) if octets.isascii() and octets.decode().isprintable() else ()
    return (octets.hex(":"), *plain)
