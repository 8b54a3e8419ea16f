"""A router that lies: it speaks BGP and IKE like an AFBR, with an authenticator that is not of its own key.

It runs a real ExaBGP and a real charon, but not Softmesh, which would not announce such things.
"""

from __future__ import annotations

import base64
import socket
import sys

import vici
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from lab.charon import Charon
from lab.mesh import Mesh
from lab.namespace import LAB, Namespace, Process, link
from softmesh.charon.listing import text


class Impostor:
    """Router ``number`` of a mesh, announcing what it is told to and trying to build SAs itself."""

    def __init__(self, mesh: Mesh, number: int) -> None:
        plan = mesh.plan
        self.mesh = mesh
        self.number = number
        self.endpoint = plan.endpoint(number)
        self.prefix = plan.island(number)
        self.namespace = Namespace(f"impostor{number}", forwarding=True)
        self.home = LAB / self.namespace.name
        link(self.namespace, "core0", mesh.core, f"impostor{number}")
        mesh.core.ip("link", "set", f"impostor{number}", "master", "br0")
        self.namespace.address("core0", f"{self.endpoint}/{plan.core_length}")
        inside = f"{plan.host(number, 1)}/{128 if ':' in self.prefix else 32}"
        self.namespace.address("lo", inside)
        self.charon = Charon(self.namespace)
        self._exabgp: Process | None = None

    def announce(self, attribute: bytes) -> None:
        """Announce its prefix with these value octets of attribute 23."""
        if self._exabgp is not None:
            self._exabgp.stop()
        plan = self.mesh.plan
        over_v6 = plan.direction.core == 6
        next_hop = self.endpoint if over_v6 else f"::ffff:{self.endpoint}"
        nexthop = "nexthop { ipv4 unicast ipv6; }" if over_v6 else ""
        configuration = self.home / "exabgp.conf"
        configuration.write_text(
            f"neighbor {self.mesh.reflector_address} {{\n"
            f"  router-id 10.255.0.{self.number}; local-address {self.endpoint}; local-as 65000; peer-as 65000;\n"
            f'  md5-base64 true; md5-password "{base64.b64encode(self.mesh.password.encode()).decode()}";\n'
            f"  capability {{ route-refresh enable; {'nexthop enable; ' if over_v6 else ''}}}\n"
            f"  family {{ ipv4 unicast; ipv6 unicast; }}\n  {nexthop}\n"
            f"  static {{ route {self.prefix} next-hop {next_hop} attribute [ 0x17 0xc0 0x{attribute.hex()} ]; }}\n}}\n"
        )
        self._exabgp = self.namespace.start(
            *(sys.executable, "-m", "exabgp", "server", str(configuration)),
            log=f"{self.namespace.name}/exabgp.log",
            env={"exabgp_daemon_user": "root", "exabgp_api_cli": "false"},
        )

    def attack(self, victim: int, stolen: bytes) -> str:
        """Ask a router for its softwire, under the identity ``stolen`` but with a key of our own.

        Returns charon's words on why that failed, or an empty string if it did not.
        """
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(30)
            connection.connect(str(self.charon.vici))
            session = vici.Session(connection)
            key = Ed25519PrivateKey.generate()
            session.load_key({
                "type": "any",
                "data": key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
            })  # fmt: skip
            plan = self.mesh.plan
            child = {
                "local_ts": [self.prefix],
                "remote_ts": [plan.island(victim)],
                "esp_proposals": ["aes256gcm16-x25519"],
            }
            session.load_conn({"attack": {
                "version": "2",
                "local_addrs": [self.endpoint],
                "remote_addrs": [plan.endpoint(victim)],
                "proposals": ["aes256gcm16-prfsha384-x25519"],
                "local": {"auth": "pubkey", "id": f"@#{stolen.hex()}", "pubkeys": [
                    key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
                ]},
                "remote": {"auth": "pubkey", "id": "%any"},
                "children": {"all": child},
            }})  # fmt: skip
            heard = []
            try:
                for line in session.initiate({"ike": "attack", "child": "all", "timeout": "8000"}):
                    heard.append(text(line.get("msg")))
            except vici.exception.CommandException as error:
                return next((line for line in reversed(heard) if line.startswith("received ")), str(error))
            return "" if self.established() else "; ".join(heard)

    def established(self) -> bool:
        """Whether it has an IKE_SA with anybody."""
        return "ESTABLISHED" in self.charon.swanctl("--list-sas")

    def close(self) -> None:
        """Stop it."""
        self.namespace.close()
