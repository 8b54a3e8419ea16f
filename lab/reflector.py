"""A BIRD route reflector in a namespace, and IPsec for its sessions."""

from __future__ import annotations

import hashlib
import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress

import vici

from lab.charon import Charon
from lab.eventually import eventually
from lab.namespace import LAB, Namespace, Process, program
from lab.peer import Key


class Bird:
    """BIRD as the route reflector of AS 65000, one passive client session for each router."""

    def __init__(
        self,
        namespace: Namespace,
        address: str,
        clients: Sequence[str],
        password: str | None = None,
        *,
        ttl_security: bool = False,
    ) -> None:
        """Start it. ``password``: of TCP-MD5, None for none; ``ttl_security``: GTSM (RFC 5082)."""
        self.namespace = namespace
        self.address = address
        self._home = LAB / namespace.name
        self._home.mkdir(parents=True, exist_ok=True)
        self._control = self._home / "bird.ctl"
        v6 = ":" in address
        secret = f'  password "{password}";\n' if password else ""
        # Where it checks how many routers a packet has passed, it has to be told that there are none.
        near = "  direct;\n  ttl security on;\n" if ttl_security else ""
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
            f"{secret}{near}  graceful restart on;\n  error wait time 1,2;\n  error forget time 1;\n"
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


class SessionIpsec:
    """A charon of the reflector's own, set up as an operator would: it answers each client for its BGP session."""

    def __init__(self, namespace: Namespace, address: str, clients: Mapping[str, bytes], *, ah: bool = False) -> None:
        """``clients``: by address, the SubjectPublicKeyInfo of the key that each is to authenticate with.

        ``ah``: by AH, not ESP.
        """
        self._proposals = {"ah_proposals": ["sha256-x25519"]} if ah else {"esp_proposals": ["aes256gcm16-x25519"]}
        self.key = Key()
        self.charon = Charon(namespace, libipsec=False)
        self._address = address
        self._clients = clients
        with self._connected() as connection:
            vici.Session(connection).load_key({"type": "any", "data": self.key.private})
        self.load()

    def load(self) -> None:
        """Load the connections."""
        with self._connected() as connection:
            session = vici.Session(connection)
            for number, (client, spki) in enumerate(self._clients.items()):
                session.load_conn({f"client{number}": self._connection(client, spki)})

    def unload(self) -> None:
        """End all SAs, and refuse new ones."""
        with self._connected() as connection:
            session = vici.Session(connection)
            for number in range(len(self._clients)):
                session.unload_conn({"name": f"client{number}"})
                # charon says "no" where there is none.
                with suppress(vici.exception.CommandException):
                    list(session.terminate({"ike": f"client{number}", "force": "yes", "timeout": "5000"}))

    def _connection(self, client: str, spki: bytes) -> Mapping[str, object]:
        length = 128 if ":" in client else 32
        # Two, for either end may have the port; the client has the same, seen from its side.
        ports = {"ours": ("tcp/179", "tcp"), "theirs": ("tcp", "tcp/179")}
        return {
            "version": "2",
            "local_addrs": [self._address],
            "remote_addrs": [client],
            "proposals": ["aes256gcm16-prfsha384-x25519"],
            "local": {"auth": "pubkey", "id": _named(self.key.spki)},
            "remote": {"auth": "pubkey", "id": _named(spki), "pubkeys": [spki]},
            "children": {
                name: {
                    "mode": "transport",
                    "local_ts": [f"{self._address}/{length}[{near}]"],
                    "remote_ts": [f"{client}/{length}[{far}]"],
                    **self._proposals,
                }
                for name, (near, far) in ports.items()
            },
        }

    def _connected(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(60)
        connection.connect(str(self.charon.vici))
        return connection


def _named(spki: bytes) -> str:
    """The identity by which routers of a mesh know each other's keys."""
    return f"@#{hashlib.sha1(spki, usedforsecurity=False).hexdigest()}"
