"""Lines as ExaBGP printed them, and the means to print more of the kind."""

from __future__ import annotations

UPDATE_50 = (
    b'{ "exabgp": "5.0.0", "time": 1795229287.100266, "host" : "vm", "pid" : 25043, "ppid" : 25002, "counter": 3, '
    b'"type": "update", "neighbor": { "address": { "local": "10.0.1.2", "peer": "10.0.1.1" }, "asn": { "local": 65000, '
    b'"peer": 65000 }, "router-id": "10.0.1.2" , "direction": "receive", "message": { "update": { "attribute": { '
    b'"origin": "igp", "local-preference": 100, "extended-community": [ { "value": 219269006857601124, "string": "" }, '
    b'{ "value": 219550481834311684, "string": "encap:encap:UNKNOWN-4" } ], "attribute-0x17-0xE0": '
    b'"0x00040022031600019069ca78e7450a285173431b3e52c5c25299e4730408030b000000000064" }, "announce": '
    b'{ "ipv4 unicast": '
    b'{ "10.0.1.1": [ { "nlri": "11.0.0.0/32" } ] } } } } } }'
)
"""5.0.15, verbatim."""

ATTRIBUTE_23 = bytes.fromhex("00040022031600019069ca78e7450a285173431b3e52c5c25299e4730408030b000000000064")

PEER = "10.0.1.1"


def about_neighbor(content: str, *, kind: str = "update", counter: int = 1, peer: str = PEER) -> bytes:
    """A line about a neighbour, received from it."""
    return (
        '{ "exabgp": "5.0.0", "time": 1.0, "host" : "vm", "pid" : 2, "ppid" : 1, '
        f'"counter": {counter}, "type": "{kind}", '
        f'"neighbor": {{ "address": {{ "local": "10.0.1.2", "peer": "{peer}" }}, '
        f'"asn": {{ "local": 65000, "peer": 65000 }}, "direction": "receive", {content} }} }}'
    ).encode()


def announce(prefix: str, *, counter: int = 1, peer: str = PEER, tunnel: str = "0x0004", extra: str = "") -> bytes:
    """An announcement of one IPv4 prefix; ``extra`` goes among the attributes."""
    return about_neighbor(
        f'"message": {{ "update": {{ "attribute": {{ "origin": "igp", {extra}"attribute-0x17-0xE0": "{tunnel}" }}, '
        f'"announce": {{ "ipv4 unicast": {{ "{peer}": [ {{ "nlri": "{prefix}" }} ] }} }} }} }}',
        counter=counter,
        peer=peer,
    )


def withdraw(prefix: str, *, counter: int = 1, peer: str = PEER) -> bytes:
    """A withdrawal of one IPv4 prefix."""
    return about_neighbor(
        f'"message": {{ "update": {{ "withdraw": {{ "ipv4 unicast": [ {{ "nlri": "{prefix}" }} ] }} }} }}',
        counter=counter,
        peer=peer,
    )


def end_of_rib(family: str = "ipv4", *, counter: int = 1, peer: str = PEER) -> bytes:
    """End-of-RIB of a unicast family."""
    return about_neighbor(
        f'"message": {{ "eor": {{ "afi" : "{family}", "safi" : "unicast" }} }}', counter=counter, peer=peer
    )


def state(name: str, *, counter: int = 1, peer: str = PEER, reason: str = "") -> bytes:
    """A session's change of state."""
    return about_neighbor(f'"state": "{name}", "reason": "{reason}"', kind="state", counter=counter, peer=peer)


def refresh(subtype: str, family: str = "ipv4", *, counter: int = 1, peer: str = PEER) -> bytes:
    """BoRR ("begin") or EoRR ("end") of a unicast family."""
    return about_neighbor(
        f'"route-refresh": {{ "afi": "{family}", "safi": "unicast", "subtype": "{subtype}" }}',
        kind="refresh",
        counter=counter,
        peer=peer,
    )
