"""Feed the decoder mutated attributes for a while: python -m fuzz.decode [MINUTES] [SEED].

The invariant, in one sentence: any octets get a verdict, no tunnel of a damaged attribute is usable, and
what was delimited encodes back to the same octets. The first failure ends the run with a traceback and the
octets as ``softmesh decode`` takes them.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time

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

SEEDS = (
    *VECTORS.values(),
    attribute(TYPICAL),
    EVERY_SUB_TLV,
    COMMUNITIES,
    attribute(b"\0", 1, 0x40) + attribute(TYPICAL) + COMMUNITIES + MP_REACH_V4_VIA_V6,
    VECTORS["C"] + MP_REACH_ENCAP_V4,
    VECTORS["D"] + MP_REACH_V6_VIA_V4,
)


def mutate(octets: bytes, chance: random.Random) -> bytes:
    """A damaged copy: octets changed, removed, repeated, inserted, cut off; often with the length mended."""
    changed = bytearray(octets)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        place = chance.randrange(len(changed) + 1)
        match chance.randrange(7):
            case 0 if place < len(changed):
                changed[place] = chance.randrange(256)
            case 1 if place < len(changed):
                changed[place] ^= 1 << chance.randrange(8)
            case 2:
                del changed[place : place + chance.randrange(1, 9)]
            case 3:
                changed[place:place] = chance.randbytes(chance.randrange(1, 9))
            case 4:
                changed[place:place] = changed[place : place + chance.randrange(1, 40)]
            case 5 if place < len(changed):
                changed[place] = chance.choice((0, 1, 4, 6, 10, 20, 22, 127, 128, 255))
            case 6 if chance.random() < 0.3:
                del changed[place:]
            case _:
                pass
    if chance.random() < 0.5 and 3 < len(changed) < 259 and not changed[0] & 0x10:
        changed[2] = len(changed) - 3
    return bytes(changed)


def check(octets: bytes) -> AttributeVerdict:
    """The verdict ``softmesh decode`` gives; raises AssertionError where the invariant fails."""
    for carrier in (*Carrier, ANY):
        shown = describe(octets, carrier)
        json.dumps(shown)
        _demand(any(tree(shown)), "a tree")
        verdict = AttributeVerdict(shown["verdict"])
        usable = [tunnel for tunnel in shown["tunnels"] if tunnel["verdict"] == "usable"]
        _demand(bool(usable) is (verdict is AttributeVerdict.USABLE), "tunnels are usable as the attribute is")
        explained = bool(shown["reason"]) and bool(shown["section"])
        _demand(explained is (verdict is not AttributeVerdict.USABLE), "a reason and a section")
    decoded = decode_attributes(octets, Carrier.UNICAST)
    consumed = sum(len(a.octets()) for a in (*decoded.attributes, *decoded.discarded))
    _demand(consumed <= len(octets), "attributes within the list")
    for found in decoded.attributes:
        if found.type == AttributeType.TUNNEL_ENCAPSULATION:
            for carrier in Carrier:
                alone = decode(found.value, carrier)
                _demand(decode_repeated(found.value, carrier) == alone, "the same answer when asked again")
                again = encode(alone.tunnels)
                whole = alone.verdict is not AttributeVerdict.TREAT_AS_WITHDRAW
                _demand(found.value.startswith(again), "what was read encodes to what was sent")
                _demand(again == found.value or not whole, "nothing is lost")
    return verdict


def _demand(holds: bool, what: str) -> None:
    if not holds:
        raise AssertionError(f"does not hold: {what}")


def main() -> int:
    """Run until the time is up or the invariant fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("minutes", nargs="?", type=float, default=1.0, help="how long (default 1)")
    parser.add_argument("seed", nargs="?", type=int, default=time.time_ns(), help="to repeat a run")
    args = parser.parse_args()
    print(f"seed {args.seed}, {args.minutes:g} minutes", flush=True)
    chance = random.Random(args.seed)
    counts = dict.fromkeys(AttributeVerdict, 0)
    pool = list(SEEDS)
    end = time.monotonic() + args.minutes * 60
    while time.monotonic() < end:
        octets = mutate(chance.choice(pool), chance)
        try:
            counts[check(octets)] += 1
        except Exception as error:
            error.add_note(f"softmesh decode {octets.hex()}")
            raise
        if chance.random() < 0.01 and len(octets) < 2000:
            # Damage upon damage reaches further; the vectors themselves stay in the pool.
            pool[len(SEEDS) :] = [*pool[len(SEEDS) :], octets][-500:]
    print(f"{sum(counts.values())} attributes:", ", ".join(f"{n} {verdict}" for verdict, n in counts.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
