"""A BGP speaker for octets that no daemon can be made to say; a fake, and good for nothing else.

``python -m lab.speaker ADDRESS UPDATE…`` listens at port 179 and says its UPDATEs (in hexadecimal, without headers).
One that begins with ``!`` is to end its session: it is said alone, on one session after the other until a NOTIFICATION
has come. The others are said on each session after that. It prints the NOTIFICATIONs that it gets.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address

ASN = 65000
PORT = 179
ROUTER_ID = "10.255.0.2"
HOLD_TIME = 90
"""Seconds."""

_OPEN, _UPDATE, _NOTIFICATION, _KEEPALIVE = 1, 2, 3, 4
_FAMILIES = ((1, 1), (1, 7), (2, 7))


def message(kind: int, body: bytes = b"") -> bytes:
    """RFC 4271 §4.1."""
    return b"\xff" * 16 + struct.pack("!HB", 19 + len(body), kind) + body


def reach(afi: int, nlri: bytes) -> bytes:
    """An UPDATE's body with ORIGIN, AS_PATH, LOCAL_PREF and MP_REACH_NLRI of SAFI 7 (RFC 4760 §3)."""
    next_hop = ip_address("192.0.2.2" if afi == 1 else "2001:db8::2").packed
    value = struct.pack("!HBB", afi, 7, len(next_hop)) + next_hop + b"\0" + nlri
    return _update(bytes.fromhex("40010100 400200 40050400000064") + bytes((0x80, 14, len(value))) + value)


def unreach(afi: int, nlri: bytes) -> bytes:
    """An UPDATE's body with MP_UNREACH_NLRI of SAFI 7 (RFC 4760 §4)."""
    value = struct.pack("!HB", afi, 7) + nlri
    return _update(bytes((0x80, 15, len(value))) + value)


def _update(attributes: bytes) -> bytes:
    return b"\0\0" + struct.pack("!H", len(attributes)) + attributes


def _open() -> bytes:
    capabilities = b"".join(struct.pack("!BBHBB", 1, 4, afi, 0, safi) for afi, safi in _FAMILIES)
    capabilities += struct.pack("!BBI", 65, 4, ASN)
    parameters = bytes((2, len(capabilities))) + capabilities
    return struct.pack("!BHH4sB", 4, ASN, HOLD_TIME, ip_address(ROUTER_ID).packed, len(parameters)) + parameters


def _messages(connection: socket.socket) -> Iterator[tuple[int, bytes]]:
    stream = connection.makefile("rb")
    while len(header := stream.read(19)) == 19:
        length, kind = struct.unpack("!HB", header[16:])
        yield kind, stream.read(length - 19)


def main() -> None:
    """Speak until killed."""
    address, *updates = sys.argv[1:]
    ending = [bytes.fromhex(update[1:]) for update in updates if update.startswith("!")]
    others = [bytes.fromhex(update) for update in updates if not update.startswith("!")]
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, PORT), family=family) as server:
        while True:
            connection, _ = server.accept()
            with connection, suppress(ConnectionError):
                connection.sendall(message(_OPEN, _open()))
                due = ending[:1] or others
                for kind, body in _messages(connection):
                    if kind == _OPEN:
                        connection.sendall(message(_KEEPALIVE))
                    elif kind == _KEEPALIVE:
                        connection.sendall(b"".join(message(_UPDATE, update) for update in due) + message(_KEEPALIVE))
                        due = []
                    elif kind == _NOTIFICATION:
                        print("notification", body[0], body[1], flush=True)
                        del ending[:1]


if __name__ == "__main__":
    main()
