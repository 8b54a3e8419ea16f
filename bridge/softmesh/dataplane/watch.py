"""Hears of what others do to our interfaces, so that it is put right before the next audit."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Mapping

from pyroute2.netlink.rtnl import RTM_DELLINK, RTMGRP_LINK
from pyroute2.netlink.rtnl.marshal import MarshalRtnl

from softmesh.dataplane import link
from softmesh.dataplane.layout import Device
from softmesh.errors import OperatorError
from softmesh.mesh.softwire import INTERFACE_PREFIX

_SETTLING = 0.2
"""Seconds in which the several messages about one change arrive, and our own steps are accounted for."""
_BUFFER = 2**20
_DATAGRAM = 2**18
"""Octets; no message of the kernel's is larger."""


class LinkWatch:
    """Calls ``on_change``, from the event loop, when an interface is not, or no more, as ``expected`` has it."""

    def __init__(self, expected: Callable[[], Mapping[str, Device]], on_change: Callable[[], None]) -> None:
        self._expected = expected
        self._on_change = on_change
        self._marshal = MarshalRtnl()
        self._seen: dict[str, Device | None] = {}
        """By name, as last heard of; None: gone, or not ours."""
        self._lost = False
        self._settling: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Listen until cancelled; raises OperatorError where there is no netlink to be had."""
        try:
            sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            sock.bind((0, RTMGRP_LINK))
        except OSError as error:
            raise OperatorError(f"no netlink socket: {error.strerror or error}") from error
        loop = asyncio.get_running_loop()
        try:
            loop.add_reader(sock, self._read, sock)
            await asyncio.Event().wait()
        finally:
            loop.remove_reader(sock)
            sock.close()
            if self._settling is not None:
                self._settling.cancel()

    def _read(self, sock: socket.socket) -> None:
        try:
            self._note(sock.recv(_DATAGRAM))
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            # More happened than there was room for.
            self._lost = True
        if (self._seen or self._lost) and self._settling is None:
            self._settling = asyncio.get_running_loop().call_later(_SETTLING, self._settle)

    def _note(self, data: bytes) -> None:
        for message in self._marshal.parse(data):
            name = str(message.get("ifname") or "")
            if name.startswith(INTERFACE_PREFIX):
                gone = message["header"]["type"] == RTM_DELLINK
                self._seen[name] = None if gone else link.parse(message)

    def _settle(self) -> None:
        self._settling = None
        expected = self._expected()
        differs = self._lost or any(expected.get(name) != device for name, device in self._seen.items())
        self._seen, self._lost = {}, False
        if differs:
            self._on_change()
