"""A route reflector in a namespace: what all implementations have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import TypeAlias

from lab.eventually import eventually
from lab.namespace import LAB, Namespace, Process
from lab.release import HOST, Release

ASN = 65000


class Reflector(ABC):
    """The route reflector of AS 65000, with a passive client session for each router; it runs once it is made."""

    def __init__(
        self,
        namespace: Namespace,
        address: str,
        clients: Sequence[str],
        password: str | None = None,
        *,
        release: Release = HOST,
    ) -> None:
        """Configure and start it. ``password``: of TCP-MD5, None for none; ``release``: whose daemon it is."""
        self.namespace = namespace
        self.address = address
        self.clients = tuple(clients)
        self.password = password
        self.release = release
        self.home = LAB / namespace.name
        self.home.mkdir(parents=True, exist_ok=True)
        self.configure()
        self.process = self._start()

    @property
    def cluster_id(self) -> str:
        """CLUSTER_ID (RFC 4456 §7), and its router id: one for each reflector of a mesh."""
        return f"10.255.255.{int(ip_address(self.address)) & 0xFF}"

    @abstractmethod
    def configure(self) -> None:
        """Write its configuration; it counts from the next start."""

    @abstractmethod
    def argv(self) -> list[str]:
        """The command that runs the daemon in the foreground."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it is ready for its clients."""

    @abstractmethod
    def prefixes(self) -> set[str]:
        """The prefixes it has learned by BGP, of both families."""

    @abstractmethod
    def version(self) -> str:
        """Name and version of the daemon, for tables: ``BIRD 2.0.12``."""

    def _start(self) -> Process:
        process = self.namespace.start(*self.argv(), log=f"{self.namespace.name}/reflector.log")
        eventually(self.answers, within=15, what=f"the reflector in {self.namespace.name} answers")
        return process

    def stop(self) -> None:
        """SIGTERM: it says goodbye to its clients."""
        self.process.stop()

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()

    def start(self) -> None:
        """Start it again after it was stopped or killed."""
        self.process = self._start()

    def restart(self) -> None:
        """Stop it, if it runs, and start it again."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """SIGSTOP: it hangs with its sessions open."""
        self.process.freeze()

    def thaw(self) -> None:
        """SIGCONT."""
        self.process.thaw()


ReflectorMaker: TypeAlias = Callable[[Namespace, str, Sequence[str], str | None], Reflector]
"""What makes one: namespace, address, clients and password; a class of reflectors, or a partial of one."""
