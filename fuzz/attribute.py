"""Path attributes, as ``softmesh decode`` takes them: attribute 23 above all.

The invariant, in one sentence: any octets get a verdict, no tunnel of a damaged attribute is usable, and what was
delimited encodes back to the same octets.
"""

from __future__ import annotations

import json
from random import Random

from fuzz import mutation
from fuzz.target import Target, demand
from softmesh.bgp.codepoints import AttributeType
from softmesh.bgp.path_attributes import decode_attributes
from softmesh.bgp.tunnel_encapsulation import AttributeVerdict, Carrier, decode, decode_repeated, encode
from softmesh.cli.decode import ANY, describe, tree
from tests.unit.bgp.vectors import (
    MP_REACH_ENCAP_V4,
    MP_REACH_V4_VIA_V6,
    MP_REACH_V6_VIA_V4,
    TYPICAL,
    VECTORS,
    attribute,
    endpoint,
    sub,
    tlv,
)

EVERY_SUB_TLV = attribute(
    tlv(1, endpoint(), sub(1, "1234abcd 01020304"), sub(2, "0800"), sub(5, "0018"), sub(7, "b8"))
    + tlv(8, endpoint(), sub(1, "c0 00002a 020000000001 0000"), sub(8, "12b5"), sub(9, "02"))
    + tlv(10, endpoint(), sub(10, "000641ff"), sub(11, "010007 00 0000 0000002a"))
    + tlv(999, sub(200, bytes(20)), sub(254, "3003 020100"))
)
COMMUNITIES = attribute(bytes.fromhex("030c000000000004 030b000000000064 0002fde800000064"), 16)
CORPUS = (
    *VECTORS.values(),
    attribute(TYPICAL),
    EVERY_SUB_TLV,
    COMMUNITIES,
    attribute(b"\0", 1, 0x40) + attribute(TYPICAL) + COMMUNITIES + MP_REACH_V4_VIA_V6,
    VECTORS["C"] + MP_REACH_ENCAP_V4,
    VECTORS["D"] + MP_REACH_V6_VIA_V4,
)
_CONTENTS = tuple(
    bytes.fromhex(text)
    for text in (
        "", "00", "0001", "0800", "030b0000 00000064", "00000000 0001 c0000202", "00000000 0000",
        "00000000 0002 20010db8000000000000000000000002", "0001 a566be19840173413a61048350eff23e8fe22266",
        "302a300506032b6570032100d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    )
)  # fmt: skip


def mutate(octets: bytes, chance: Random) -> bytes:
    """A damaged copy, often with the length mended; or another attribute whose every length is right."""
    if chance.random() < 0.3:
        return attribute(tunnels(chance), flags=chance.choice((0xC0, 0xC0, 0xE0, 0x80, 0x40)))
    changed = bytearray(mutation.octets(octets, chance))
    if chance.random() < 0.5 and 3 < len(changed) < 259 and not changed[0] & 0x10:
        changed[2] = len(changed) - 3
    return bytes(changed)


def tunnels(chance: Random) -> bytes:
    """The value of an attribute 23 that can be delimited, with anything in its sub-TLVs."""
    return b"".join(
        tlv(
            chance.choice((1, 2, 3, 4, 5, 6, 7, 8, 10, 999, chance.randrange(65536))),
            *(sub(*_sub_tlv(chance)) for _ in range(chance.choice((0, 1, 2, 3, 6)))),
        )
        for _ in range(chance.choice((1, 1, 2, 4, 20)))
    )


def _sub_tlv(chance: Random) -> tuple[int, bytes]:
    kind = chance.choice((*range(12), 3, 4, 6, 126, 127, 128, 254, chance.randrange(256)))
    content = chance.choice(_CONTENTS)
    if chance.random() < 0.5:
        content = mutation.octets(content, chance)
    if chance.random() < 0.02:
        content = chance.randbytes(2000 if kind > 127 else 255)
    return kind, content[:255] if kind < 128 else content


def check(octets: bytes) -> str:
    """The verdict ``softmesh decode`` gives."""
    for carrier in (*Carrier, ANY):
        shown = describe(octets, carrier)
        json.dumps(shown)
        demand(any(tree(shown)), "a tree")
        verdict = AttributeVerdict(shown["verdict"])
        usable = [tunnel for tunnel in shown["tunnels"] if tunnel["verdict"] == "usable"]
        demand(bool(usable) is (verdict is AttributeVerdict.USABLE), "tunnels are usable as the attribute is")
        explained = bool(shown["reason"]) and bool(shown["section"])
        demand(explained is (verdict is not AttributeVerdict.USABLE), "a reason and a section")
    decoded = decode_attributes(octets, Carrier.UNICAST)
    consumed = sum(len(a.octets()) for a in (*decoded.attributes, *decoded.discarded))
    demand(consumed <= len(octets), "attributes within the list")
    for found in decoded.attributes:
        if found.type == AttributeType.TUNNEL_ENCAPSULATION:
            for carrier in Carrier:
                alone = decode(found.value, carrier)
                demand(decode_repeated(found.value, carrier) == alone, "the same answer when asked again")
                again = encode(alone.tunnels)
                whole = alone.verdict is not AttributeVerdict.TREAT_AS_WITHDRAW
                demand(found.value.startswith(again), "what was read encodes to what was sent")
                demand(again == found.value or not whole, "nothing is lost")
    return verdict


TARGET = Target(CORPUS, mutate, check)
