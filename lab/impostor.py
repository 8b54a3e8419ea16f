"""A router that lies: it speaks BGP and IKE like an AFBR, with an authenticator that is not of its own key.

It runs a real ExaBGP and a real charon, but not Softmesh, which would not announce such things.
"""

from __future__ import annotations

import base64
import socket
import sys

import vici
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from lab.charon import Charon
from lab.eventually import PATIENCE
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
        return self.ask(victim, f"@#{stolen.hex()}", Ed25519PrivateKey.generate())

    def ask(
        self,
        victim: int,
        identity: str,
        key: Ed25519PrivateKey | bytes,
        *,
        certificate: x509.Certificate | None = None,
        authority: x509.Certificate | None = None,
    ) -> str:
        """Ask a router for its softwire, as ``ask`` of this module does."""
        plan = self.mesh.plan
        ends, prefixes = (self.endpoint, plan.endpoint(victim)), (self.prefix, plan.island(victim))
        return ask(self.charon, ends, prefixes, identity, key, certificate=certificate, authority=authority)

    def established(self) -> bool:
        """Whether it has an IKE_SA with anybody."""
        return "ESTABLISHED" in self.charon.swanctl("--list-sas")

    def close(self) -> None:
        """Stop it."""
        self.namespace.close()


def ask(
    charon: Charon,
    ends: tuple[str, str],
    prefixes: tuple[str, str],
    identity: str,
    key: Ed25519PrivateKey | bytes,
    *,
    certificate: x509.Certificate | None = None,
    authority: x509.Certificate | None = None,
) -> str:
    """Have a charon ask another for a CHILD SA under an identity, with a private key or a pre-shared one.

    ``ends`` are the addresses and ``prefixes`` the selectors, ours first. ``certificate``: shown instead of nothing;
    ``authority``: the one that we take the other's certificate from. Returns charon's words on why that failed, or an
    empty string if it did not.
    """
    local: dict[str, object] = {"id": identity}
    remote: dict[str, object] = {"id": "%any"}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30 * PATIENCE)
        connection.connect(str(charon.vici))
        session = vici.Session(connection)
        if isinstance(key, bytes):
            session.load_shared({"id": "attack", "type": "IKE", "data": key, "owners": [identity]})
            local["auth"] = remote["auth"] = "psk"
        else:
            pkcs8 = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
            session.load_key({"type": "any", "data": pkcs8})
            public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            local["auth"] = remote["auth"] = "pubkey"
            if certificate is None:
                local["pubkeys"] = [public]
            else:
                local["certs"] = [certificate.public_bytes(Encoding.DER)]
        if authority is not None:
            remote["cacerts"] = [authority.public_bytes(Encoding.DER)]
        child = {
            "local_ts": [prefixes[0]],
            "remote_ts": [prefixes[1]],
            "esp_proposals": ["aes256gcm16-x25519"],
        }
        session.load_conn({"attack": {
            "version": "2",
            "local_addrs": [ends[0]],
            "remote_addrs": [ends[1]],
            "proposals": ["aes256gcm16-prfsha384-x25519"],
            "send_cert": "always",
            "local": local,
            "remote": remote,
            "children": {"all": child},
        }})  # fmt: skip
        heard = []
        try:
            for line in session.initiate({"ike": "attack", "child": "all", "timeout": str(int(8000 * PATIENCE))}):
                heard.append(text(line.get("msg")))
        except vici.exception.CommandException as error:
            return next((line for line in reversed(heard) if line.startswith("received ")), str(error))
    established = any("established" in line and "attack" in line for line in heard)
    return "" if established else "; ".join(heard)
