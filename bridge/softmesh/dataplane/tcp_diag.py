"""What the kernel says of TCP connections: between whom they are, and whether a TCP-MD5 key signs them (RFC 2385).

By sock_diag(7), the interface that ``ss`` uses. The kernel tells of keys to CAP_NET_ADMIN alone, and it tells the keys
themselves: nothing here reads them, and the buffer they came in is wiped. Of TCP-AO (RFC 5925) it tells nothing.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from softmesh.errors import OperatorError, PeerError, Unreachable
from softmesh.mesh.softwire import Address, Network

BGP = 179
"""TCP port (RFC 4271 §8)."""

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_REQUEST_DUMP = 0x301
_ERROR, _DONE = 2, 3
_ESTABLISHED = 1
_INFO = 2
"""INET_DIAG_INFO: without asking for it no keys are told of."""
_BYTECODE, _MARK, _MD5SIG = 1, 15, 18
"""Attributes (linux/inet_diag.h). Of a socket the mark is told to whoever would be told of keys."""
_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBxI48x")
_SOCKET = struct.Struct("!BBxxHH16s16s")
_SOCKET_OCTETS = 72
_ATTRIBUTE = struct.Struct("=HH")
_KEY = struct.Struct("=BBH16s80x")
"""struct tcp_diag_md5sig but for the key, which is padding to us."""
_ADDRESS_OCTETS = {socket.AF_INET: 4, socket.AF_INET6: 16}
_ANSWER_OCTETS = 65536
_PATIENCE = 10.0
"""Seconds; the kernel answers at once, but the machine may be slow."""


@dataclass(frozen=True, slots=True)
class TcpSession:
    """An established TCP connection of this network namespace."""

    local: Address
    remote: Address
    md5: bool | None
    """Whether the kernel signs what it sends to the other end, and drops what comes from there unsigned; None where it
    does not tell us."""


async def established(port: int = BGP) -> tuple[TcpSession, ...]:
    """The established connections with a port at either end.

    Raises OperatorError where the kernel cannot be asked, PeerError for an answer that makes no sense, Unreachable
    where there is none.
    """
    found: list[TcpSession] = []
    for family in _ADDRESS_OCTETS:
        found += await _dumped(family, port)
    return tuple(found)


async def _dumped(family: int, port: int) -> list[TcpSession]:
    loop = asyncio.get_running_loop()
    buffer = bytearray(_ANSWER_OCTETS)
    found: list[TcpSession] = []
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as netlink:
            netlink.setblocking(False)
            async with asyncio.timeout(_PATIENCE):
                await loop.sock_sendall(netlink, request(family, port))
                more = True
                while more:
                    octets = await loop.sock_recv_into(netlink, buffer)
                    sessions, more = read(memoryview(buffer)[:octets])
                    found += sessions
    except TimeoutError:
        raise Unreachable(f"the kernel has not answered over netlink for {_PATIENCE:.0f} s") from None
    except OSError as error:
        raise OperatorError(
            f"the kernel does not tell of TCP sockets: {error.strerror or error}: modprobe tcp_diag"
        ) from error
    finally:
        buffer[:] = bytes(_ANSWER_OCTETS)
    return found


def request(family: int, port: int) -> bytes:
    """The dump request for established connections of an address family with a port at either end."""
    filtering = _with_port(port)
    body = _REQUEST.pack(family, socket.IPPROTO_TCP, 1 << (_INFO - 1), 1 << _ESTABLISHED)
    body += _ATTRIBUTE.pack(_ATTRIBUTE.size + len(filtering), _BYTECODE) + filtering
    return _HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP, 1, 0) + body


def read(datagram: memoryview) -> tuple[list[TcpSession], bool]:
    """The connections of one datagram of the answer, and whether another follows.

    Raises OSError with the kernel's error number where it refused, PeerError for what makes no sense.
    """
    found: list[TcpSession] = []
    try:
        for kind, body in _parts(datagram, _HEADER):
            if kind == _DONE:
                return found, False
            if kind == _ERROR:
                (code,) = struct.unpack_from("=i", body)
                raise OSError(-code, os.strerror(-code))
            if kind == _SOCK_DIAG_BY_FAMILY:
                found.append(_session(body))
    except (struct.error, ValueError) as error:
        raise PeerError(f"the kernel's account of TCP sockets makes no sense: {error}") from None
    return found, True


def _session(message: memoryview) -> TcpSession:
    family, _state, _sport, _dport, source, destination = _SOCKET.unpack_from(message)
    if family not in _ADDRESS_OCTETS:
        raise ValueError(f"address family {family}")
    local, remote = (_address(family, octets) for octets in (source, destination))
    told, md5 = False, False
    for kind, value in _parts(message[_SOCKET_OCTETS:], _ATTRIBUTE):
        if kind == _MARK:
            told = True
        elif kind == _MD5SIG:
            told = True
            md5 = any(remote in covered for covered in _covered(value))
    return TcpSession(local, remote, md5 if told else None)


def _covered(keys: memoryview) -> Iterator[Network]:
    """The networks that keys are for: a socket may hold keys for others than the one it is connected to."""
    for offset in range(0, len(keys) - _KEY.size + 1, _KEY.size):
        family, length, octets, address = _KEY.unpack_from(keys, offset)
        if octets and family in _ADDRESS_OCTETS:
            yield ip_network((_address(family, address), length), strict=False)


def _address(family: int, octets: bytes) -> Address:
    address = ip_address(octets[: _ADDRESS_OCTETS[socket.AddressFamily(family)]])
    return getattr(address, "ipv4_mapped", None) or address


def _parts(octets: memoryview, header: struct.Struct) -> Iterator[tuple[int, memoryview]]:
    """Netlink messages, or attributes: each with its length and its type in front, and aligned to four octets."""
    while len(octets) >= header.size:
        length, kind = header.unpack_from(octets)[:2]
        if not header.size <= length <= len(octets):
            raise ValueError(f"length {length} of {len(octets)} octets")
        yield kind, octets[header.size : length]
        octets = octets[(length + 3) & ~3 :]


def _with_port(port: int) -> bytes:
    """The kernel's own filter, so that it tells of no other socket: its programme of comparisons and jumps.

    Each comparison goes on 8 octets further where it holds, else by its second number; to arrive at the end is to
    accept, and 4 octets behind it to reject. There is a test for equality only since Linux 5.9.
    """
    jump, source_ge, source_le, destination_ge, destination_le = 1, 2, 3, 4, 5

    def step(code: int, otherwise: int) -> bytes:
        return struct.pack("=BBH", code, 8, otherwise) + struct.pack("=BBH", 0, 0, port)

    return (
        step(source_ge, 20)
        + step(source_le, 12)
        + struct.pack("=BBH", jump, 4, 20)
        + step(destination_ge, 20)
        + step(destination_le, 12)
    )
