"""Faults of a mesh: each part of it stopped, killed or hung, and mended again."""

from __future__ import annotations

import enum
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lab.eventually import eventually
from lab.mesh import Afbr, Mesh
from lab.namespace import Process, freeze, has_ended, program
from lab.reflector import Reflector

_DISABLED, _FORWARDING = 0, 3
"""BR_STATE_DISABLED and BR_STATE_FORWARDING of linux/if_bridge.h. A port in the state "blocking" forwards again at
once: without a spanning tree the bridge has nothing against it."""


class Part(enum.Enum):
    """What a fault strikes."""

    BRIDGE = "bridge"
    HOOK = "hook"
    EXABGP = "ExaBGP"
    CHARON = "charon"
    REFLECTOR = "one reflector"
    REFLECTORS = "both reflectors"
    LINK = "core link"


class Way(enum.Enum):
    """How it strikes.

    A process is stopped by SIGTERM, killed by SIGKILL, or hung by SIGSTOP. A core link goes down with its carrier, or
    is taken out of the core's bridge, or that bridge disables its port: these two without a change of the carrier.
    """

    STOP = "stop"
    KILL = "kill -9"
    HANG = "hang"


@dataclass
class Fault:
    """One fault of a mesh whose ExaBGPs are managed.

    ``router`` is the number of the AFBR it strikes, ``reflector`` the index of the route reflector.
    """

    mesh: Mesh
    part: Part
    way: Way
    router: int = 1
    reflector: int = 0
    _frozen: list[int] = field(default_factory=list, init=False)

    def describe(self) -> str:
        """What it does to what, for logs and tables: ``kill -9: charon of afbr1``."""
        if self.part is Part.REFLECTORS:
            return f"{self.way.value}: {self.part.value}"
        if self.part is Part.REFLECTOR:
            return f"{self.way.value}: reflector {self._reflector.namespace.name}"
        return f"{self.way.value}: {self.part.value} of {self._afbr.namespace.name}"

    def inject(self) -> None:
        """Have it happen; returns when it is in effect. A bridge takes its managed ExaBGP along, unless it hangs.

        Raises NotReached when the part does not even run.
        """
        if self.part is Part.LINK:
            self._cut()
        elif self.part in {Part.HOOK, Part.EXABGP}:
            find = hook_pid if self.part is Part.HOOK else exabgp_pid
            self._strike(eventually(lambda: find(self._afbr), within=20, what=f"{self.part.value} runs"))
        else:
            for process in self._processes():
                if self.way is Way.STOP:
                    process.stop()
                elif self.way is Way.KILL:
                    process.kill()
                else:
                    process.freeze()

    def mend(self) -> None:
        """Start, thaw or plug in again what does not come back by itself; nothing where there is nothing to do."""
        if self.part is Part.LINK:
            self._mend_link()
        elif self.part in {Part.HOOK, Part.EXABGP}:
            for pid in self._frozen:
                os.kill(pid, signal.SIGCONT)
            self._frozen.clear()
        elif self.way is Way.HANG:
            for process in self._processes():
                process.thaw()
        elif self.part is Part.BRIDGE:
            if not any(process.running for process in self._processes()):
                self._afbr.start()
        else:
            for daemon in [self._afbr.charon] if self.part is Part.CHARON else self._reflectors():
                if not daemon.process.running:
                    daemon.start()

    @property
    def _afbr(self) -> Afbr:
        return self.mesh.afbrs[self.router]

    @property
    def _reflector(self) -> Reflector:
        return self.mesh.reflectors[self.reflector]

    def _reflectors(self) -> list[Reflector]:
        return self.mesh.reflectors if self.part is Part.REFLECTORS else [self._reflector]

    def _processes(self) -> list[Process]:
        if self.part is Part.BRIDGE:
            return [self._afbr.bridge] if self._afbr.bridge is not None else []
        if self.part is Part.CHARON:
            return [self._afbr.charon.process]
        return [reflector.process for reflector in self._reflectors()]

    def _strike(self, pid: int) -> None:
        """A process that is another's child, which starts it again when it has ended."""
        if self.way is Way.HANG:
            self._frozen.append(pid)
            freeze(pid)
            return
        os.kill(pid, signal.SIGTERM if self.way is Way.STOP else signal.SIGKILL)
        eventually(lambda: has_ended(pid), within=10, what=f"{self.describe()}: process {pid} has ended", every=0.005)

    def _cut(self) -> None:
        port, core = self._afbr.namespace.name, self.mesh.core
        if self.way is Way.STOP:
            core.ip("link", "set", port, "down")
        elif self.way is Way.KILL:
            core.ip("link", "set", port, "nomaster")
        else:
            self._port_state(_DISABLED)

    def _mend_link(self) -> None:
        port, core = self._afbr.namespace.name, self.mesh.core
        if self.way is Way.STOP:
            core.ip("link", "set", port, "up")
        elif self.way is Way.KILL:
            core.ip("link", "set", port, "master", "br0")
        else:
            self._port_state(_FORWARDING)

    def _port_state(self, state: int) -> None:
        self.mesh.core.run(program("bridge"), "link", "set", "dev", self._afbr.namespace.name, "state", str(state))


def hook_pid(afbr: Afbr) -> int:
    """The process id of the router's hook; 0 while none runs."""
    socket = str(afbr.home / "run" / "hook.sock").encode()
    return next((pid for pid, words in _processes() if b"hook" in words and socket in words), 0)


def exabgp_pid(afbr: Afbr) -> int:
    """The process id of the router's managed ExaBGP; 0 while none runs."""
    directory = str(afbr.home / "run").encode()
    # Its hook is its child, and for a moment a copy of it: the older of the two is meant.
    return min((pid for pid, words in _processes() if words[-1:] == [directory + b"/exabgp.conf"]), default=0)


def _processes() -> Iterator[tuple[int, list[bytes]]]:
    """Process id and command line of all there are."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().removesuffix(b"\0").split(b"\0")
            except OSError:
                continue
            yield int(entry.name), words
