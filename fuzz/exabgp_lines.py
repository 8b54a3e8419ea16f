"""One line that ExaBGP printed, and what the hook makes of it for its readers."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from random import Random
from typing import get_args

from fuzz import mutation
from fuzz.attribute import tunnels
from fuzz.target import Target, demand
from softmesh.bgp.adj_rib_in import AdjRibIn
from softmesh.bgp.exabgp_json import Acknowledgement, Event, Malformed, Shutdown, UpdateReceived, parse_line
from softmesh.bgp.hook_protocol import decode_from_hook, encode
from tests.unit.bgp.exabgp_lines import UPDATE_50, about_neighbor, announce, end_of_rib, refresh, state, withdraw

SUMMARY = b"10.0.1.1 65000 0:00:11 established 4 2"
RICH = about_neighbor(
    '"message": { "update": { "attribute": { "origin": "egp", "as-path": { "0": { "element": "as-sequence", '
    '"value": [ 65001, 65002 ] } }, "med": 7, "originator-id": "10.255.0.2", "cluster-list": [ "10.255.255.254" ], '
    '"tunnel-encap": { "tunnel-type-4": "0x0316", "tunnel-type-5": "0x" } }, '
    '"announce": { "ipv6 unicast": { "2001:db8:f::2": [ { "nlri": "2001:db8:1002::/64", "path-information": "0.0.0.7" '
    '} ] } }, "withdraw": { "ipv4 unicast": [ { "nlri": "10.3.0.0/24" } ] } } }'
)
CORPUS = (
    UPDATE_50,
    RICH,
    announce("10.2.0.0/24"),
    withdraw("10.2.0.0/24"),
    end_of_rib(),
    refresh("begin"),
    refresh("end"),
    state("up"),
    state("down", reason="peer reset, message (closing connection) error(the TCP connection was closed)"),
    b"done",
    b"error",
    b'{ "exabgp": "5.0.0", "counter": 1, "type": "notification", "notification": "shutdown" }',
    SUMMARY,
)
_EVENTS = get_args(Event)


def mutate(line: bytes, chance: Random) -> bytes:
    """A damaged line; often another attribute 23 in a sound one."""
    if chance.random() < 0.2:
        return announce("10.2.0.0/24", tunnel=f"0x{tunnels(chance).hex()}")
    return (mutation.document if chance.random() < 0.7 else mutation.octets)(line, chance)


def check(line: bytes) -> str:
    """The kind of event."""
    event = parse_line(line)
    demand(isinstance(event, _EVENTS), "a line is an event")
    if isinstance(event, Malformed):
        demand(event.excerpt.isprintable() and len(event.excerpt) < 1000, "the excerpt can be logged")
    elif not isinstance(event, Acknowledgement | Shutdown):
        if isinstance(event, UpdateReceived):
            for key, next_hop in event.announced:
                ip_network(key.prefix, strict=False)
                ip_address(next_hop)
        for change in AdjRibIn().apply(event, 1.0):
            told = encode(change)
            demand(told.count(b"\n") == 1, "a message is a line")
            demand(decode_from_hook(told) == change, "readers are told what was heard")
    return type(event).__name__


TARGET = Target(CORPUS, mutate, check)
