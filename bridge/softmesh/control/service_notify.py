"""What systemd is told of the bridge: ready, alive, reloading, stopping, and a line for ``systemctl status``.

sd_notify(3): datagrams of assignments to the socket that ``NOTIFY_SOCKET`` names.
"""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from typing import Self


class ServiceNotify:
    """The service manager's socket."""

    def __init__(self, path: str | None = None) -> None:
        """``path`` that begins with ``@`` is abstract (unix(7)); None: there is nobody to tell."""
        self._path = path
        self._ready = False

    @classmethod
    def from_environment(cls) -> Self:
        """As the service manager has it; what names no unix socket counts as none."""
        named = os.environ.get("NOTIFY_SOCKET", "")
        return cls(named if named.startswith(("/", "@")) else None)

    def passed(self, status: str) -> None:
        """Say that the bridge has gone round once more: with the first time it is ready, and each time it lives.

        Nothing but a round counts as life. Told by a timer, the watchdog would know that an event loop runs, and not
        that anybody looks after the softwires. ``status`` is one line.
        """
        self._ready = True
        self._tell("READY=1", "WATCHDOG=1", f"STATUS={status}")

    def reloading(self) -> None:
        """Say that a reload begins; ``reloaded`` ends it. One before the first round is part of the start."""
        if self._ready:
            self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def reloaded(self) -> None:
        """Say that a reload is over, however it went."""
        if self._ready:
            self._tell("READY=1")

    def stopping(self) -> None:
        """Say that the end begins."""
        self._tell("STOPPING=1")

    def _tell(self, *assignments: str) -> None:
        if self._path is None:
            return
        address = f"\0{self._path[1:]}" if self._path.startswith("@") else self._path
        # Whoever manages us may be gone, or have no room for more just now: no reason to stop, or to wait.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
            sender.sendto("\n".join(assignments).encode(), address)
