"""Microseconds for one attribute 23: distinct octets and repeated ones, beside decoders that do less.

    python bench/decode.py [--attributes N] [--json]

Targets: 12 µs distinct, 0.5 µs repeated. The baselines show where the time goes: ``headers`` only walks type,
length and value and keeps slices, which any decoder in Python must do; ``exabgp`` is ExaBGP's generic
attribute, which does not look inside but spells the octets as hex.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import struct
import sys
import time
from collections.abc import Callable, Sequence
from ipaddress import IPv6Address

from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.sub_tlv import Authenticator, Color, EgressEndpoint, PublicKey
from softmesh.bgp.tunnel_encapsulation import (
    AttributeVerdict,
    Carrier,
    Tunnel,
    decode,
    decode_repeated,
    encode,
)

try:
    from exabgp.bgp.message.update.attribute.generic import GenericAttribute
except ImportError:  # ExaBGP 6 keeps it elsewhere
    GenericAttribute = None

ROUNDS = 5
ED25519_HEADER = bytes.fromhex("302a300506032b6570032100")
TARGETS = {"distinct": 12.0, "repeated": 0.5}


def typical(number: int) -> bytes:
    """What the ``number``-th AFBR announces: endpoint, colour, authenticator and public key."""
    mark = number.to_bytes(4, "big")
    sub_tlvs = (
        EgressEndpoint(IPv6Address((0xFD << 120) + number + 1)),
        Color(number),
        Authenticator(mark * 5),
        PublicKey(ED25519_HEADER + mark * 8),
    )
    return encode([Tunnel(TunnelType.IPSEC_TUNNEL, sub_tlvs)])


def headers(value: bytes) -> list[tuple[int, list[tuple[int, bytes]]]]:
    """Types and slices, unchecked and untyped: what the wire format itself costs."""
    tunnels = []
    offset, end = 0, len(value)
    while offset < end:
        number, size = struct.unpack_from("!HH", value, offset)
        offset += 4
        stop = offset + size
        inner = []
        while offset < stop:
            kind = value[offset]
            if kind < 128:
                length, start = value[offset + 1], offset + 2
            else:
                length, start = struct.unpack_from("!H", value, offset + 1)[0], offset + 3
            offset = start + length
            inner.append((kind, value[start:offset]))
        tunnels.append((number, inner))
    return tunnels


def exabgp_generic(value: bytes) -> str:
    """What ExaBGP does with an attribute it does not know."""
    return str(GenericAttribute(23, 0xC0, value))


def microseconds(function: Callable[[bytes], object], values: Sequence[bytes]) -> float:
    """Best of several rounds over ``values``, for one of them."""
    best = float("inf")
    gc.collect()
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for value in values:
            function(value)
        best = min(best, time.perf_counter() - start)
    return best / len(values) * 1e6


def main() -> int:
    """Print the table; exit 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attributes", type=int, default=20_000, metavar="N")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    distinct = [typical(number) for number in range(args.attributes)]
    # A copy each, as they come off a socket: the hash of the octets is part of the price.
    repeated = [bytes(bytearray(distinct[number % 100])) for number in range(args.attributes)]
    for value in distinct[:100]:
        decoded = decode(value, Carrier.UNICAST)
        if decoded.verdict is not AttributeVerdict.USABLE or encode(decoded.tunnels) != value:
            raise SystemExit("the typical attribute does not decode to a usable tunnel and back")
    runs: list[tuple[str, Callable[[bytes], object], Sequence[bytes]]] = [
        ("decode, distinct", lambda value: decode(value, Carrier.UNICAST), distinct),
        ("decode, repeated", lambda value: decode_repeated(value, Carrier.UNICAST), repeated),
        ("baseline: headers", headers, distinct),
    ]
    if GenericAttribute is not None:
        runs.append(("baseline: exabgp", exabgp_generic, distinct))
    results = {name: microseconds(function, values) for name, function, values in runs}
    met = {name: results[f"decode, {name}"] <= target for name, target in TARGETS.items()}
    if args.json:
        print(json.dumps({"microseconds": results, "octets": len(distinct[0]), "met": met}))
        return 0 if all(met.values()) else 1
    print(f"{args.attributes} attributes of {len(distinct[0])} octets, best of {ROUNDS} rounds, ", end="")
    print(f"Python {platform.python_version()} on {platform.machine()}")
    print(f"{'':20}{'µs':>8}{'target':>9}")
    for name, figure in results.items():
        target = TARGETS.get(name.removeprefix("decode, "))
        print(f"{name:20}{figure:8.2f}" + (f"{target:9.1f}" if target else ""))
    print("What limits: distinct, six value objects and an address in Python (the walk is the headers row);")
    print("repeated, hashing the octets and one look-up in the cache.")
    return 0 if all(met.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
