"""TCP sockets to listen at; what is wrong with an address or a port is said in an operator's terms."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address

from softmesh.errors import OperatorError
from softmesh.mesh.softwire import Address

_BACKLOG = 64
_NOT_OURS = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator changes to have another port, and another address."""

    port: str = "http.port"
    addresses: str = "http.addresses"


def listen(addresses: Sequence[Address], port: int, settings: Settings) -> list[socket.socket]:
    """Listen at a port of each address.

    A loopback address this machine has not (many have no ``::1``) is left out where another can be listened at. Raises
    OperatorError, and listens nowhere, where the port is taken or may not be had, or an address is not ours.
    """
    listening: list[socket.socket] = []
    absent: list[OperatorError] = []
    try:
        for address in addresses:
            try:
                listening.append(_listen(address, port))
            except OSError as error:
                said = _said(error, address, port, settings)
                if not (address.is_loopback and error.errno in _NOT_OURS):
                    raise said from error
                absent.append(said)
        if not listening:
            raise absent[0]
    except OperatorError:
        for each in listening:
            each.close()
        raise
    return listening


def _listen(address: Address, port: int) -> socket.socket:
    six = isinstance(address, IPv6Address)
    listening = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if six:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind((str(address), port))
        listening.listen(_BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def _said(error: OSError, address: Address, port: int, settings: Settings) -> OperatorError:
    if error.errno in _NOT_OURS:
        return OperatorError(f"{settings.addresses}: {address} is no address of this machine; use one that it has")
    if error.errno == errno.EADDRINUSE:
        return OperatorError(
            f"{settings.port}: port {port} of {address} is taken; choose another, or stop what listens there: "
            f"ss -ltnp 'sport = :{port}'"
        )
    if error.errno == errno.EACCES:
        return OperatorError(
            f"{settings.port}: port {port} may only be had with CAP_NET_BIND_SERVICE; choose one from 1024 on"
        )
    return OperatorError(f"{settings.port}: cannot listen at port {port} of {address}: {error.strerror}")
