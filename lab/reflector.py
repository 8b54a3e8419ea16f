"""A BIRD route reflector in a namespace."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from lab.eventually import eventually
from lab.namespace import LAB, Namespace, Process, program


class Bird:
    """BIRD as the route reflector of AS 65000, one passive client session for each router."""

    def __init__(self, namespace: Namespace, address: str, clients: Sequence[str], password: str | None = None) -> None:
        self.namespace = namespace
        self.address = address
        self._home = LAB / namespace.name
        self._home.mkdir(parents=True, exist_ok=True)
        self._control = self._home / "bird.ctl"
        v6 = ":" in address
        secret = f'  password "{password}";\n' if password else ""
        sessions = "".join(
            f"protocol bgp client{number} from afbr {{ neighbor {client} as 65000; }}\n"
            for number, client in enumerate(clients, 1)
        )
        # RFC 8950 over an IPv6 core, IPv4-mapped next hops over an IPv4 one: BIRD has one switch for both, and wants it
        # in the channel whose next hops are of the other family.
        (self._home / "bird.conf").write_text(
            "router id 10.255.255.254;\n"
            "protocol device {}\n"
            "protocol direct { ipv4; ipv6; }\n"
            "template bgp afbr {\n"
            f"  local {address} as 65000;\n  rr client;\n  rr cluster id 10.255.255.254;\n  passive;\n"
            f"{secret}  graceful restart on;\n  error wait time 1,2;\n  error forget time 1;\n"
            f"  ipv4 {{ import all; export where source = RTS_BGP;{' extended next hop on;' if v6 else ''} }};\n"
            f"  ipv6 {{ import all; export where source = RTS_BGP;{'' if v6 else ' extended next hop on;'} }};\n"
            f"}}\n{sessions}"
        )
        self.process = self._start()

    def _start(self) -> Process:
        process = self.namespace.start(
            *(program("bird"), "-f", "-c", str(self._home / "bird.conf")),
            *("-s", str(self._control), "-P", str(self._home / "bird.pid")),
            log=f"{self.namespace.name}/bird.log",
        )
        eventually(lambda: "BIRD" in self.birdc("show", "status"), within=10, what="bird answers birdc")
        return process

    def birdc(self, *command: str) -> str:
        """What ``birdc`` prints."""
        done = subprocess.run(
            [program("birdc"), "-s", str(self._control), *command],
            capture_output=True, text=True, check=False, timeout=10,
        )  # fmt: skip
        return done.stdout

    def prefixes(self) -> set[str]:
        """The prefixes it has learned by BGP."""
        lines = self.birdc("show", "route", "where", "source", "=", "RTS_BGP").splitlines()
        return {line.split()[0] for line in lines if "/" in line.split(" ")[0]}

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()

    def restart(self) -> None:
        """Start it again."""
        self.process.stop()
        self.process = self._start()
