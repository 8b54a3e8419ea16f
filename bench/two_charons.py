"""The ground of ``bench.converge``: one router under test, and one charon that is all of its peers.

    near ──────┐                        BIRD, the route reflector, holds every route but lets
    charon,    core ── rr (BIRD)        none through to near until release()
    softmesh   │
    run     far: charon with N endpoint addresses, and an ExaBGP that announces them

The peers' side is ready before anything is measured: far has a responder's connection for each softwire.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from pathlib import Path
from types import TracebackType

import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from lab.bird import Bird
from lab.charon import Charon
from lab.eventually import eventually
from lab.namespace import LAB, Namespace, Process, link
from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.sub_tlv import Authenticator, EgressEndpoint, PublicKey
from softmesh.bgp.tunnel_encapsulation import Tunnel, encode
from softmesh.charon.actions import Action, LoadConnection, LoadKey
from softmesh.charon.connection import Connection
from softmesh.charon.driver import Driver
from softmesh.charon.render import render
from softmesh.charon.vici import ViciConnection
from softmesh.config import load
from softmesh.control.client import ask
from softmesh.control.settings import policy_of
from softmesh.errors import Unreachable
from softmesh.mesh.credential import PinnedKey
from softmesh.mesh.identity import Identity, identity_from_pem
from softmesh.mesh.softwire import (
    Address,
    Level,
    Mode,
    Profile,
    Selector,
    SelectorPair,
    Softwire,
    SoftwireId,
)

NEAR, FAR, REFLECTOR = "2001:db8:f::1", "2001:db8:f::2", "2001:db8:f::fe"
ENDPOINTS = ip_network("2001:db8:ff::/64")
"""The peers' endpoints: above ``NEAR``, so that the router under test is elected to initiate."""
PREFIX = "10.1.0.0/24"
ISLANDS = "10.16.0.0/12"

_LENIENT = """
  # All peers are one box here, and all that they answer comes from one address: a flood to charon's protections.
  dos_protection = no
  block_threshold = 0
  cookie_threshold = 0
  init_limit_half_open = 0
  filelog {
    stderr {
      # Seconds since the epoch: when an IKE_SA is initiated is read from this log.
      time_format = %s
      time_add_ms = yes
      time_precision = us
    }
  }
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """One of the peers that far plays."""

    endpoint: IPv6Address
    prefix: str
    identity: Identity

    @property
    def attribute(self) -> bytes:
        """Its attribute 23, value octets."""
        sub_tlvs = (
            EgressEndpoint(self.endpoint),
            Authenticator(self.identity.authenticator),
            PublicKey(self.identity.spki),
        )
        return encode([Tunnel(TunnelType.IPSEC_TUNNEL, sub_tlvs)])


class TwoCharons:
    """The whole ground for ``size`` softwires; a context manager."""

    def __init__(self, size: int) -> None:
        """Build it; neither charon holds anything yet, and softmesh does not run."""
        self.size = size
        self._identity = _new_identity()
        self.peers = [
            Peer(
                IPv6Address(int(ENDPOINTS.network_address) + number),
                f"10.{16 + (number >> 8)}.{number & 255}.0/24",
                _new_identity(),
            )
            for number in range(1, size + 1)
        ]
        self._core = Namespace("core")
        self._core.ip("link", "add", "br0", "type", "bridge")
        self._core.ip("link", "set", "br0", "up")
        self._near, self._far, self._rr = (
            self._router(name, address) for name, address in (("near", NEAR), ("far", FAR), ("rr", REFLECTOR))
        )
        self._near.ip("route", "add", str(ENDPOINTS), "via", FAR)
        # kernel-libipsec wants an address of its own inside each local selector.
        self._near.address("lo", f"{PREFIX.removesuffix('/24')}/32")
        self._loopbacks()
        self.reflector = Bird(self._rr, REFLECTOR, [NEAR, FAR])
        self._open = self._bird_configuration.read_text()
        self.hold_back()
        self.near = Charon(self._near, extra=_LENIENT)
        self.far = Charon(self._far, extra=_LENIENT)
        self.home = LAB / "near"
        self.configuration = self._configure()
        self.bridge: Process | None = None
        self._announce()

    def _router(self, name: str, address: str) -> Namespace:
        namespace = Namespace(name, forwarding=True)
        link(namespace, "core0", self._core, name)
        self._core.ip("link", "set", name, "master", "br0")
        namespace.address("core0", f"{address}/64")
        return namespace

    def _loopbacks(self) -> None:
        batch = LAB / "loopbacks"
        addresses = [f"{peer.endpoint}/128" for peer in self.peers]
        addresses += [f"{peer.prefix.removesuffix('/24')}/32" for peer in self.peers]
        batch.write_text("".join(f"address add {address} dev lo\n" for address in addresses))
        self._far.ip("-batch", str(batch))

    @property
    def _bird_configuration(self) -> Path:
        return LAB / "rr" / "bird.conf"

    def hold_back(self) -> None:
        """Keep the reflector from sending near anything."""
        held = self._open.replace(f"neighbor {NEAR} as 65000;", f"neighbor {NEAR} as 65000; ipv4 {{ export none; }};")
        self._reconfigure(held)

    def release(self) -> None:
        """Let the reflector send near all routes, which it does in one burst."""
        self._reconfigure(self._open)

    def _reconfigure(self, configuration: str) -> None:
        self._bird_configuration.write_text(configuration)
        answer = self.reflector.birdc("configure")
        assert "econfigured" in answer or "in progress" in answer, f"bird refuses its configuration: {answer}"

    def _configure(self) -> Path:
        """Write mesh.yaml: the defaults, but for what has none."""
        (self.home / "identity.key").write_bytes(self._identity.private_key_pem)
        (self.home / "identity.key").chmod(0o600)
        path = self.home / "mesh.yaml"
        path.write_text(
            yaml.safe_dump({
                "endpoint": NEAR,
                "bgp": {
                    "managed": True, "asn": 65000, "router_id": "10.255.0.1",
                    "neighbors": [{"address": REFLECTOR, "protection": "none"}],
                },
                "announce": {"prefixes": [PREFIX]},
                "identity": {"private_key": "identity.key"},
                # All peers are one router here, which else would be held to 30 endpoints a minute.
                "admission": {"endpoints": [str(ENDPOINTS)], "prefixes": [ISLANDS], "max_arrivals": 100000},
                "charon": {"vici": str(self.near.vici)},
                "sockets": {"directory": str(self.home / "run")},
            })
        )  # fmt: skip
        return path

    def _announce(self) -> None:
        """Start far's ExaBGP and wait until the reflector has all that it announces."""
        routes = "".join(
            f"    route {peer.prefix} next-hop {peer.endpoint} attribute [ 0x17 0xc0 0x{peer.attribute.hex()} ];\n"
            for peer in self.peers
        )
        configuration = LAB / "far" / "exabgp.conf"
        configuration.write_text(
            f"neighbor {REFLECTOR} {{\n"
            f"  router-id 10.255.0.2; local-address {FAR}; local-as 65000; peer-as 65000;\n"
            "  capability { nexthop enable; }\n  family { ipv4 unicast; ipv6 unicast; }\n"
            "  nexthop { ipv4 unicast ipv6; }\n"
            f"  static {{\n{routes}  }}\n}}\n"
        )
        self._far.start(
            *(sys.executable, "-m", "exabgp", "server", str(configuration)),
            log="far/exabgp.log",
            env={"exabgp_daemon_user": "root", "exabgp_api_cli": "false"},
        )
        expected = {peer.prefix for peer in self.peers}
        eventually(lambda: expected <= self.reflector.prefixes(), within=20, what="the reflector has all routes")

    def restart_charons(self) -> None:
        """Begin anew on both sides, far ready to respond and near without anything."""
        # Killed, for there is nothing to say goodbye to: both forget.
        self.near.kill()
        self.far.kill()
        self.near.restart()
        self.far.restart()
        loads: list[Action] = [LoadKey(peer.identity.private_key_pem) for peer in self.peers]
        loads += [LoadConnection(self._responding(peer)) for peer in self.peers]
        asyncio.run(_apply(self.far.vici, loads))

    def load_near_key(self) -> None:
        """Do what the bridge does when it starts, for when it does not run."""
        asyncio.run(_apply(self.near.vici, [LoadKey(self._identity.private_key_pem)]))

    def initiating(self) -> list[Connection]:
        """The connections near is to have, as the bridge makes them."""
        near = ip_address(NEAR)
        return [
            self._connection(near, peer.endpoint, PREFIX, peer.prefix, self._identity, peer.identity)
            for peer in self.peers
        ]

    def _responding(self, peer: Peer) -> Connection:
        return self._connection(peer.endpoint, ip_address(NEAR), peer.prefix, PREFIX, peer.identity, self._identity)

    def _connection(
        self, local: Address, remote: Address, local_prefix: str, remote_prefix: str, own: Identity, theirs: Identity
    ) -> Connection:
        softwire = Softwire(
            SoftwireId(local, remote, TunnelType.IPSEC_TUNNEL),
            Mode.TUNNEL,
            frozenset({SelectorPair(Selector(ip_network(local_prefix)), Selector(ip_network(remote_prefix)))}),
            (PinnedKey(theirs.authenticator, theirs.spki, "bench"),),
            self._profile,
        )
        (connection,) = render(softwire, (own.own_key,))
        return connection

    @property
    def _profile(self) -> Profile:
        return policy_of(load(self.configuration), announcing=True).protection.profiles[Level.ENCRYPT]

    def start_softmesh(self, command: Sequence[str]) -> Process:
        """Start ``softmesh run`` on near and wait until it is settled: charon known, all of BGP heard."""
        self.bridge = self._near.start(*command, "run", "-c", str(self.configuration), log="near/softmesh.log")
        eventually(self._settled, within=20, what="softmesh run is settled", every=0.05)
        return self.bridge

    def stop_softmesh(self) -> None:
        """Stop it with its ExaBGP."""
        assert self.bridge is not None
        self.bridge.stop()

    def _settled(self) -> bool:
        try:
            status = ask(self.home / "run" / "control.sock", "status")
        except Unreachable:
            return False
        return bool(status["hook"]["connected"] and status["charon"]["connected"] and not status["removal_awaits"])

    def close(self) -> None:
        """Remove everything."""
        for namespace in (self._near, self._far, self._rr, self._core):
            namespace.close()

    def __enter__(self) -> TwoCharons:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            for log in sorted(LAB.glob("*/*.log")):
                lines = log.read_text(errors="replace").splitlines()[-25:]
                print(f"--- {log.relative_to(LAB)}", *lines, sep="\n", file=sys.stderr)
        self.close()


def _new_identity() -> Identity:
    private = Ed25519PrivateKey.generate()
    return identity_from_pem(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), "bench")


async def _apply(vici: Path, actions: Sequence[Action]) -> None:
    connection = await ViciConnection.open(vici)
    driver = Driver(connection)
    for action in actions:
        await driver.apply(action)
    await connection.close()
