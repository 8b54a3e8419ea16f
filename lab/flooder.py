"""A router that says whatever it is told to, by the thousand: a real ExaBGP, commanded while it runs, and nothing else.

It joins a mesh's core either as a client of the reflector or, listening, as a neighbour of another AS that an AFBR
connects to. What it hears is kept.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lab.eventually import eventually
from lab.mesh import Mesh
from lab.namespace import LAB, Namespace, Process, link
from softmesh.bgp.announcement import Announcement, announce_command, withdraw_command
from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.sub_tlv import Authenticator, EgressEndpoint, PublicKey
from softmesh.bgp.tunnel_encapsulation import Tunnel, encode
from softmesh.mesh.admission import address
from softmesh.mesh.public_key import authenticator

ASN = 65000


def offer(endpoint: str) -> bytes:
    """Attribute 23 of a tunnel to ``endpoint``, with a new key that nobody has the private half of."""
    key = Ed25519PrivateKey.generate().public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    claims = (EgressEndpoint(address(endpoint)), Authenticator(authenticator(spki)), PublicKey(spki))
    return encode([Tunnel(TunnelType.IPSEC_TUNNEL, claims)])


class Flooder:
    """Router ``number`` of a mesh."""

    def __init__(self, mesh: Mesh, number: int, *, asn: int = ASN, peer: str | None = None) -> None:
        """Start it. ``peer``: listen for this router, which is of the mesh's AS, in place of joining the reflector."""
        plan = mesh.plan
        self.mesh = mesh
        self.number = number
        self.endpoint = plan.endpoint(number)
        self.asn = asn
        self.namespace = Namespace(f"flooder{number}")
        self.home = LAB / self.namespace.name
        self.home.mkdir(parents=True)
        link(self.namespace, "core0", mesh.core, f"flooder{number}")
        mesh.core.ip("link", "set", f"flooder{number}", "master", "br0")
        self.namespace.address("core0", f"{self.endpoint}/{plan.core_length}")
        self._heard = self.home / "heard.json"
        fifo = self.home / "commands"
        os.mkfifo(fifo, 0o600)
        # Open for both: neither end ever sees the other go.
        self._commands = os.open(fifo, os.O_RDWR)
        self._process = self._start(fifo, peer)
        eventually(lambda: self.session_up, within=30, what=f"the session of {self.namespace.name} is up")

    def _start(self, fifo: Path, peer: str | None) -> Process:
        over_v6 = self.mesh.plan.direction.core == 6
        password = self.mesh.password if peer else self.mesh.reflector.password
        signed = ""
        if password:
            signed = f'  md5-base64 true; md5-password "{base64.b64encode(password.encode()).decode()}";\n'
        nexthop = "nexthop { ipv4 unicast ipv6; }" if over_v6 else ""
        script = self.home / "pipe.sh"
        script.write_text(f"exec 3<&0\ncat <&3 >{self._heard} &\nexec cat {fifo}\n")
        configuration = self.home / "exabgp.conf"
        configuration.write_text(
            f"process pipe {{ run /bin/sh {script}; encoder json; }}\n"
            f"neighbor {peer or self.mesh.reflector_address} {{\n"
            f"  router-id 10.255.0.{self.number}; local-address {self.endpoint};\n"
            f"  local-as {self.asn}; peer-as {ASN};\n"
            f"{'  passive true;' if peer else ''}\n"
            f"{signed}"
            f"  capability {{ route-refresh enable; {'nexthop enable; ' if over_v6 else ''}}}\n"
            f"  family {{ ipv4 unicast; ipv6 unicast; }}\n  {nexthop}\n"
            "  api { processes [ pipe ]; neighbor-changes; receive { parsed; update; } }\n}\n"
        )
        listening = {"exabgp_tcp_bind": self.endpoint, "exabgp_tcp_port": "179"} if peer else {}
        return self.namespace.start(
            *(sys.executable, "-m", "exabgp", "server", str(configuration)),
            log=f"{self.namespace.name}/exabgp.log",
            env={"exabgp_daemon_user": "root", "exabgp_api_cli": "false", **listening},
        )

    @property
    def session_up(self) -> bool:
        """Whether its session stands."""
        states = [line["neighbor"]["state"] for line in self.heard() if line.get("type") == "state"]
        return bool(states) and states[-1] == "up"

    def heard(self) -> list[dict[str, Any]]:
        """What ExaBGP said, acknowledgements left out."""
        if not self._heard.exists():
            return []
        # The last line may be half written.
        whole = self._heard.read_text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    def prefixes(self) -> set[str]:
        """The destinations it has been told of and that were not taken back."""
        held: set[str] = set()
        for line in self.heard():
            update = line.get("neighbor", {}).get("message", {}).get("update", {})
            for routes in update.get("withdraw", {}).values():
                held -= {entry["nlri"] for entry in routes}
            for next_hops in update.get("announce", {}).values():
                held |= {entry["nlri"] for routes in next_hops.values() for entry in routes}
        return held

    def announce(self, routes: Iterable[tuple[str, bytes | None]], *, next_hop: str | None = None) -> None:
        """Announce prefixes, each with its value of attribute 23 or without; returns when ExaBGP has taken it all."""
        self.tell([
            announce_command(Announcement(prefix, next_hop or self.endpoint, attribute))
            for prefix, attribute in routes
        ])  # fmt: skip

    def withdraw(self, *prefixes: str) -> None:
        """Take prefixes back."""
        self.tell([withdraw_command(Announcement(prefix, self.endpoint)) for prefix in prefixes])

    def begin(self, routes: Iterable[tuple[str, bytes | None]]) -> threading.Thread:
        """Announce them while the caller goes on; join what is returned."""
        thread = threading.Thread(target=self.announce, args=(list(routes),))
        thread.start()
        return thread

    def tell(self, commands: Iterable[str]) -> None:
        """Give ExaBGP commands of its API."""
        data = "".join(f"{command}\n" for command in commands).encode()
        while data:
            data = data[os.write(self._commands, data) :]

    def close(self) -> None:
        """Stop it."""
        os.close(self._commands)
        self.namespace.close()
