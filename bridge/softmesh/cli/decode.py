"""Path attributes in hex as a tree with verdicts."""

from __future__ import annotations

import argparse
import hashlib
import json
import string
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from softmesh.bgp.codepoints import sub_tlv_name
from softmesh.bgp.extended_communities import read_community
from softmesh.bgp.path_attributes import DecodedAttributes, decode_attributes
from softmesh.bgp.sub_tlv import Certificate, PublicKey, SubTlv
from softmesh.bgp.tunnel_encapsulation import (
    AttributeVerdict,
    Carrier,
    Tunnel,
    TunnelEncapsulation,
    TunnelVerdict,
)
from softmesh.errors import OperatorError
from softmesh.mesh.public_key import KeyFileError, find_keys

ANY = "any"
_SEPARATORS = string.whitespace + ":"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``softmesh decode``."""
    parser.add_argument(
        "hex",
        nargs="+",
        metavar="HEX",
        help="path attributes with their headers (flags, type, length, value), one after the other; spaces, "
        "colons and a leading 0x do no harm, several HEX are joined; - reads standard input, a list a line",
    )
    parser.add_argument("--json", action="store_true", help="print an object instead of a tree")
    parser.add_argument(
        "--carrier",
        choices=[*Carrier, ANY],
        default=ANY,
        help="judge by the rules for unicast families (RFC 9012: each tunnel needs its egress endpoint), by "
        "those for the encapsulation SAFI (RFC 5512, RFC 5566), or (the default) by the latter, with a note "
        "where the former differ",
    )


def run(args: argparse.Namespace) -> int:
    """Print a verdict on each list; 0 whatever it is. Raises OperatorError for what is not hexadecimal."""
    lists = _lines() if args.hex == ["-"] else iter([parse_hex(args.hex)])
    compact = args.hex == ["-"]
    for octets in lists:
        shown = describe(octets, args.carrier)
        if args.json:
            print(json.dumps(shown, indent=None if compact else 2, ensure_ascii=False))
        else:
            print("\n".join(tree(shown)))
    return 0


def describe(octets: bytes, carrier: str = ANY) -> dict[str, Any]:
    """What ``--json`` prints for the path attributes in ``octets``; never raises on any octets.

    ``carrier`` is a value of Carrier or "any".
    """
    decoded = decode_attributes(octets, Carrier.ENCAPSULATION if carrier == ANY else Carrier(carrier))
    strict = decode_attributes(octets, Carrier.UNICAST) if carrier == ANY else decoded
    encapsulation = decoded.encapsulation
    return {
        "verdict": encapsulation.verdict.value,
        "reason": encapsulation.reason or None,
        "section": encapsulation.section or None,
        "note": _note(encapsulation.verdict, strict.encapsulation),
        "carrier": carrier,
        "tunnels": [
            _tunnel(tunnel, on_unicast, from_community=index >= decoded.of_attribute)
            for index, (tunnel, on_unicast) in enumerate(
                zip(encapsulation.tunnels, strict.encapsulation.tunnels, strict=True)
            )
        ],
        "next_hop": _next_hop(decoded),
        "extended_communities": [
            {"value": f"0x{value:016x}", "text": str(read_community(value))} for value in decoded.extended_communities
        ],
        "attributes": [
            {"type": a.type, "flags": f"0x{a.flags:02x}", "length": len(a.value), "value": a.value.hex()}
            for a in decoded.attributes
        ],
        "discarded_duplicates": [a.type for a in decoded.discarded],
    }


def _note(verdict: AttributeVerdict, on_unicast: TunnelEncapsulation) -> str | None:
    if on_unicast.verdict is verdict:
        return None
    return f"on AFI/SAFI 1/1 and 2/1: {on_unicast.verdict}, {on_unicast.reason} ({on_unicast.section})"


def _tunnel(tunnel: Tunnel, on_unicast: Tunnel, *, from_community: bool) -> dict[str, Any]:
    note = None
    if on_unicast.verdict is TunnelVerdict.STRIPPED and tunnel.verdict is not TunnelVerdict.STRIPPED:
        note = f"on AFI/SAFI 1/1 and 2/1 it would be stripped: {on_unicast.reason} ({on_unicast.section})"
    endpoint = tunnel.egress_endpoint
    return {
        "type": tunnel.type,
        "name": tunnel.name,
        "verdict": tunnel.verdict.value,
        "reason": tunnel.reason or None,
        "section": tunnel.section or None,
        "note": note,
        "source": "Encapsulation community" if from_community else "attribute 23",
        "egress_endpoint": None if endpoint is None else str(endpoint),
        "color": tunnel.color,
        "colors": list(tunnel.colors),
        "authenticators": [authenticator.hex() for authenticator in tunnel.authenticators],
        "public_keys": [_public_key(spki, tunnel.authenticators) for spki in tunnel.public_keys],
        "certificates": [_certificate(der, tunnel.authenticators) for der in tunnel.certificates],
        "protocols": list(tunnel.protocols),
        "unknown": [
            {
                "type": s.type,
                "name": sub_tlv_name(s.type),
                "value": s.value.hex(),
                "why": s.why.value,
                "reason": s.reason or None,
            }
            for s in tunnel.unknown
        ],
        "sub_tlvs": [
            {
                "type": int(s.type),
                "name": sub_tlv_name(s.type),
                "value": s.octets().hex(),
                "text": _text(s, tunnel.authenticators),
            }
            for s in tunnel.sub_tlvs
        ],
    }


def _public_key(spki: bytes, authenticators: Sequence[bytes]) -> dict[str, Any]:
    # RFC 5566 §4 by way of RFC 7296 §3.7: a name for the key, where collisions gain an attacker nothing.
    digest = hashlib.sha1(spki, usedforsecurity=False).digest()
    return {"spki": spki.hex(), "sha1": digest.hex(), "matches_authenticator": digest in authenticators}


def _certificate(der: bytes, authenticators: Sequence[bytes]) -> dict[str, Any]:
    try:
        spkis = [key.spki for key in find_keys(der, "sub-TLV 254") if key.certificate == der]
    except KeyFileError:
        spkis = []
    # What cannot be read as a certificate has no key, and counts for nothing.
    key = _public_key(spkis[0], authenticators) if spkis else {"sha1": None, "matches_authenticator": False}
    return {"certificate": der.hex(), "sha1": key["sha1"], "matches_authenticator": key["matches_authenticator"]}


def _text(sub_tlv: SubTlv, authenticators: Sequence[bytes]) -> str:
    if isinstance(sub_tlv, PublicKey):
        matches = _public_key(sub_tlv.spki, authenticators)["matches_authenticator"]
        return f"{sub_tlv}, {'an' if matches else 'no'} authenticator is its SHA-1"
    if isinstance(sub_tlv, Certificate):
        matches = _certificate(sub_tlv.der, authenticators)["matches_authenticator"]
        return f"{sub_tlv}, {'an' if matches else 'no'} authenticator is its key's SHA-1"
    return str(sub_tlv)


def _next_hop(decoded: DecodedAttributes) -> str | None:
    return None if decoded.reach is None else str(decoded.reach.next_hop.address)


def tree(shown: Mapping[str, Any]) -> Iterator[str]:
    """The lines of the text form of what ``describe`` answered."""
    yield shown["verdict"] + _because(shown)
    items: list[tuple[str, list[str]]] = []
    if shown["note"]:
        items.append((f"note: {shown['note']}", []))
    for tunnel in shown["tunnels"]:
        head = f"tunnel type {tunnel['type']} {tunnel['name']} ({tunnel['source']}): "
        details = [f"{s['type']} {s['name']}: {s['text']}" for s in tunnel["sub_tlvs"]]
        if tunnel["note"]:
            details.append(f"note: {tunnel['note']}")
        items.append((head + tunnel["verdict"] + _because(tunnel), details))
    if shown["extended_communities"]:
        items.append(("extended communities", [c["text"] for c in shown["extended_communities"]]))
    if shown["next_hop"]:
        items.append((f"next hop {shown['next_hop']}", []))
    if shown["attributes"]:
        texts = [f"type {a['type']} flags {a['flags']} length {a['length']}" for a in shown["attributes"]]
        texts += [f"type {kind}, a duplicate: discarded (RFC 7606 §3 g)" for kind in shown["discarded_duplicates"]]
        items.append(("path attributes", texts))
    for i, (head, details) in enumerate(items):
        last = i == len(items) - 1
        yield ("└─ " if last else "├─ ") + head
        for j, detail in enumerate(details):
            yield ("   " if last else "│  ") + ("└─ " if j == len(details) - 1 else "├─ ") + detail


def _because(shown: Mapping[str, Any]) -> str:
    return f": {shown['reason']} ({shown['section']})" if shown["reason"] else ""


def parse_hex(arguments: Sequence[str], place: str = "") -> bytes:
    """The octets that the arguments spell in hexadecimal; raises OperatorError naming argument and character.

    ``place`` comes before the position in a message, for input that is not from the command line.
    """
    digits: list[str] = []
    for number, argument in enumerate(arguments, 1):
        where = place or (f"HEX {number}, " if len(arguments) > 1 else "HEX, ")
        start_of_word = True
        position = 0
        while position < len(argument):
            character = argument[position]
            if character in _SEPARATORS:
                start_of_word = character in string.whitespace
            elif start_of_word and argument[position : position + 2].lower() == "0x":
                position += 1
                start_of_word = False
            elif character in string.hexdigits:
                digits.append(character)
                start_of_word = False
            else:
                raise OperatorError(
                    f"{where}character {position + 1}: {character!r} is not a hexadecimal digit; "
                    "give path attributes as hex, such as c0170400040000"
                )
            position += 1
    if len(digits) % 2:
        raise OperatorError(
            f"{place or 'HEX, '}character {len(arguments[-1])}: an odd number of hexadecimal digits "
            f"({len(digits)}); two make an octet, one is missing"
        )
    return bytes.fromhex("".join(digits))


def _lines() -> Iterator[bytes]:
    for number, line in enumerate(sys.stdin, 1):
        if line.strip():
            yield parse_hex([line.rstrip()], f"standard input, line {number}, ")
