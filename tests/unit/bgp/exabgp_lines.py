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

OPEN_50_SENT = (
    b'{ "exabgp": "5.0.0", "time": 1795290131.8558, "host" : "vm", "pid" : 30, "ppid" : 5, "counter": 2, '
    b'"type": "open", "neighbor": { "address": { "local": "2001:db8:f::1", "peer": "2001:db8:f::fe" }, '
    b'"asn": { "local": 65000, "peer": 65000 }, "router-id": "10.255.0.1" , "direction": "send", '
    b'"open": { "version": 4, "asn": 65000, '
    b'"hold_time": 90, "router_id": "10.255.0.1", "capabilities": { "multiprotocol": { "name": "multiprotocol", '
    b'"families": [ "ipv4/unicast", "ipv6/unicast" ] }, "asn4": { "name": "asn4", "asn4": 65000 }, "nexthop": '
    b'{ "name": "nexthop", "conversion": [ "ipv4/unicast/ipv6" ] }, "graceful-restart": { "name": "graceful restart", '
    b'"time": 120, "address-family-flags": { "ipv4/unicast": [ "restart" ] , "ipv6/unicast": [ "restart" ] }, '
    b'"restart-flags": [ "forwarding" ]  }, "route-refresh": { "name": "route-refresh", "variant": "RFC" }, '
    b'"enhanced-route-refresh": { "name": "enhanced-route-refresh" }, "extended-message": '
    b'{ "name": "extended-message", "size": 65535 }, "hostname": { "host-name": null, "domain-name": null } } } } }'
)
"""5.0.15: capabilities of ours by name. 4.2.25 has neither our router id nor the host's name."""

OPEN_50_RECEIVED = (
    b'{ "exabgp": "5.0.0", "time": 1795290139.3934147, "host" : "vm", "pid" : 63, "ppid" : 5, "counter": 2, '
    b'"type": "open", "neighbor": { "address": { "local": "2001:db8:f::1", "peer": "2001:db8:f::fe" }, "asn": '
    b'{ "local": 65000, "peer": 65000 }, "router-id": "10.255.0.1" , "direction": "receive", "open": { "version": 4, '
    b'"asn": 65000, "hold_time": 90, "router_id": "10.255.255.254", "capabilities": { "1": { "name": "multiprotocol", '
    b'"families": [ "ipv4/unicast", "ipv6/unicast" ] }, "2": { "name": "route-refresh", "variant": "RFC" }, "5": '
    b'{ "name": "nexthop", "conversion": [ "ipv4/unicast/ipv6" ] }, "64": { "name": "graceful restart", "time": 0, '
    b'"address-family-flags": { }, "restart-flags": [ "forwarding" ]  }, "65": '
    b'{ "name": "asn4", "asn4": 65000 } } } } }'
)
"""5.0.15 of OpenBGPD 8.8, verbatim: capabilities by number."""

OPEN_42_RECEIVED = (
    b'{ "exabgp": "4.0.1", "time": 1795290160.1441255, "host" : "vm", "pid" : 162, "ppid" : 5, "counter": 2, '
    b'"type": "open", "neighbor": { "address": { "local": "2001:db8:f::1", "peer": "2001:db8:f::fe" }, "asn": '
    b'{ "local": 65000, "peer": 65000 } , "direction": "receive", "open": { "version": 4, "asn": 65000, '
    b'"hold_time": 90, "router_id": "10.255.255.254", "capabilities": { "1": { "name": "multiprotocol", "families": '
    b'[ "ipv4/unicast", "ipv6/unicast" ] }, "2": { "name": "route-refresh", "variant": "RFC" }, "64": '
    b'{ "name": "graceful restart", "time": 0, "address-family-flags": { }, "restart-flags": [ "forwarding" ] }, '
    b'"65": { "name": "asn4", "asn4": 65000 } } } } }'
)
"""4.2.25 of OpenBGPD 7.7, verbatim."""

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


def announce(
    prefix: str,
    *,
    counter: int = 1,
    peer: str = PEER,
    tunnel: str = "0x0004",
    extra: str = "",
    next_hop: str | None = None,
) -> bytes:
    """An announcement of one IPv4 prefix; ``extra`` goes among the attributes. The next hop is the peer by default."""
    return about_neighbor(
        f'"message": {{ "update": {{ "attribute": {{ "origin": "igp", {extra}"attribute-0x17-0xE0": "{tunnel}" }}, '
        f'"announce": {{ "ipv4 unicast": {{ "{next_hop or peer}": [ {{ "nlri": "{prefix}" }} ] }} }} }} }}',
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


def open_read(*conversions: str, sent: bool = False, counter: int = 1, peer: str = PEER) -> bytes:
    """An OPEN that offers these for its capability of extended next hops (RFC 8950 §4)."""
    listed = ",".join(f' "{conversion}"' for conversion in conversions)
    capability = f'"{"nexthop" if sent else 5}": {{ "name": "nexthop", "conversion": [{listed} ] }}'
    line = about_neighbor(
        f'"open": {{ "version": 4, "capabilities": {{ {capability if conversions else ""} }} }}',
        kind="open",
        counter=counter,
        peer=peer,
    )
    return line.replace(b'"direction": "receive"', b'"direction": "send"') if sent else line


def refresh(subtype: str, family: str = "ipv4", *, counter: int = 1, peer: str = PEER) -> bytes:
    """BoRR ("begin") or EoRR ("end") of a unicast family."""
    return about_neighbor(
        f'"route-refresh": {{ "afi": "{family}", "safi": "unicast", "subtype": "{subtype}" }}',
        kind="refresh",
        counter=counter,
        peer=peer,
    )
