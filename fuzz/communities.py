"""Extended communities (attribute 16): what they say of tunnels and colours."""

from __future__ import annotations

import struct
from random import Random

from fuzz import mutation
from fuzz.target import Target, demand
from softmesh.bgp.extended_communities import (
    colors_from,
    decode_communities,
    encode_communities,
    read_community,
    tunnels_from,
)
from softmesh.bgp.tunnel_encapsulation import TunnelVerdict
from softmesh.bgp.wire import DecodeError

CORPUS = tuple(
    bytes.fromhex(text)
    for text in (
        "030c000000000004",
        "030c000000000004 030b000000000064 0002fde800000064",
        "030cffffffff0005 030bffff00000001 030b000000000001 030c000000000003",
    )
)


def mutate(octets: bytes, chance: Random) -> bytes:
    """Damaged octets, or whole communities more than there were."""
    if chance.random() < 0.5:
        kinds = (0x030C, 0x030B, 0x0002, chance.randrange(65536))
        return octets + b"".join(
            struct.pack("!HHI", chance.choice(kinds), chance.choice((0, 0xFFFF)), chance.randrange(2**32))
            for _ in range(chance.choice((1, 3, 500)))
        )
    return mutation.octets(octets, chance)


def check(octets: bytes) -> str:
    """What is usable of them."""
    try:
        values = decode_communities(octets)
    except DecodeError:
        demand(not octets or len(octets) % 8, "communities of whole octets are refused for nothing")
        return "refused"
    demand(encode_communities(values) == octets, "what was read encodes to what was sent")
    for value in values:
        demand(int(read_community(value)) == value, "a community is its number")
        demand(str(read_community(value)).isprintable(), "a community can be shown")
    colors = colors_from(values)
    demand(len(set(colors)) == len(colors), "each colour once")
    verdicts = {tunnel.verdict for tunnel in tunnels_from(values)}
    return "usable" if TunnelVerdict.USABLE in verdicts else ", ".join(sorted(verdicts)) or "nothing"


TARGET = Target(CORPUS, mutate, check)
