"""A softwire mesh of AFBRs around a route reflector, or several, in either direction.

              rr (BIRD)
                 │
────────┬────────┴─ core ──────┬──────────      one family (the transit family, RFC 5565 §4.1)
        │                      │
  afbr1 (ExaBGP,         afbr2 …                one namespace each
  softmesh, charon)
        │                      │
   island 1               island 2 …            the other family
"""

from __future__ import annotations

import enum
import secrets
import shutil
import signal
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import yaml

from lab.bird import Bird
from lab.charon import Charon
from lab.namespace import LAB, Namespace, Process, link
from lab.reflector import Reflector, ReflectorMaker
from lab.release import HOST, Release
from softmesh.control.client import ask
from softmesh.errors import PeerError, Unreachable

SOFTMESH = [sys.executable, "-m", "softmesh"]


class Direction(enum.Enum):
    """Which family crosses which."""

    FOUR_OVER_SIX = "4-over-6"
    SIX_OVER_FOUR = "6-over-4"
    FOUR_OVER_FOUR = "4-over-4"
    SIX_OVER_SIX = "6-over-6"

    @property
    def core(self) -> int:
        """IP version of the core."""
        return 4 if self in {Direction.SIX_OVER_FOUR, Direction.FOUR_OVER_FOUR} else 6

    @property
    def island(self) -> int:
        """IP version of the islands."""
        return 4 if self in {Direction.FOUR_OVER_SIX, Direction.FOUR_OVER_FOUR} else 6


MIXED = (Direction.FOUR_OVER_SIX, Direction.SIX_OVER_FOUR)
"""The two of RFC 5565 §1: one family across a core of the other."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The addresses of a mesh."""

    direction: Direction

    @property
    def core_length(self) -> int:
        """Prefix length of the core's network."""
        return 64 if self.direction.core == 6 else 24

    def endpoint(self, number: int) -> str:
        """A router's address in the core."""
        return f"2001:db8:f::{number:x}" if self.direction.core == 6 else f"172.31.0.{number}"

    @property
    def core(self) -> str:
        """The core's network: where a peer's endpoint may be."""
        return "2001:db8:f::/64" if self.direction.core == 6 else "172.31.0.0/24"

    dual: bool = False
    """Whether islands have the core's family as well."""

    @property
    def families(self) -> tuple[int, ...]:
        """IP versions of the islands; that of the direction first."""
        first = self.direction.island
        return (first, 10 - first) if self.dual else (first,)

    @property
    def islands(self) -> list[str]:
        """The networks all islands are in: what a peer may bring."""
        return ["10.0.0.0/8" if family == 4 else "2001:db8:1000::/36" for family in self.families]

    def island(self, number: int, site: int = 0, *, family: int | None = None) -> str:
        """An island's prefix; ``site`` counts further prefixes of the same island."""
        if (family or self.direction.island) == 4:
            return f"10.{number}.{site}.0/24"
        return f"2001:db8:1{number:03x}:{site:x}::/64"

    def prefixes(self, number: int) -> list[str]:
        """An island's prefixes, one a family."""
        return [self.island(number, family=family) for family in self.families]

    def host(self, number: int, last: int, site: int = 0, *, family: int | None = None) -> str:
        """An address in an island; the router has 1, the host 10."""
        prefix = self.island(number, site, family=family).split("/")[0]
        return prefix.removesuffix("0") + str(last) if "." in prefix else f"{prefix}{last:x}"


class Afbr:
    """One AFBR with its island: charon and ``softmesh run`` with an ExaBGP of its own."""

    def __init__(
        self,
        mesh: Mesh,
        number: int,
        *,
        overrides: Mapping[str, Any] | None = None,
        key_type: str = "ed25519",
        release: Release | None = None,
    ) -> None:
        """Lay the cables and start charon; ``overrides`` are merged into mesh.yaml, section by section.

        ``release``: whose charon it is; None stands for the mesh's.
        """
        plan = mesh.plan
        self.mesh = mesh
        self.number = number
        self.endpoint = plan.endpoint(number)
        self.namespace = Namespace(f"afbr{number}", forwarding=True)
        self.island = Namespace(f"island{number}")
        self.home = LAB / self.namespace.name
        self.home.mkdir(parents=True, exist_ok=True)
        link(self.namespace, "core0", mesh.core, f"afbr{number}")
        mesh.core.ip("link", "set", f"afbr{number}", "master", "br0")
        self.namespace.address("core0", f"{self.endpoint}/{plan.core_length}")
        link(self.namespace, "island0", self.island, "eth0")
        self.add_site(0)
        for family in plan.families:
            self.island.ip("route", "add", "default", "via", plan.host(number, 1, family=family))
        self.charon = Charon(
            self.namespace, libipsec=mesh.libipsec, extra=mesh.charon_settings, release=release or mesh.release
        )
        self.configuration = self.home / "mesh.yaml"
        self._settings = self._default_settings()
        self._merge(mesh.settings)
        self._merge(overrides or {})
        self.softmesh("keygen", "--type", key_type, "--out", str(self.home / "identity"))
        (self.home / "bgp.password").write_text(mesh.password)
        (self.home / "bgp.password").chmod(0o600)
        self.write_configuration()
        self.bridge: Process | None = None

    def _merge(self, overrides: Mapping[str, Any]) -> None:
        for section, values in overrides.items():
            if isinstance(values, Mapping):
                self._settings.setdefault(section, {}).update(values)
            else:
                self._settings[section] = values

    def add_site(self, site: int) -> None:
        """Give the island one more prefix: an address for the router, one for the host."""
        plan = self.mesh.plan
        for family in plan.families:
            length = plan.island(self.number, site, family=family).split("/")[1]
            ours, its = (plan.host(self.number, last, site, family=family) for last in (1, 10))
            self.namespace.address("island0", f"{ours}/{length}")
            self.island.address("eth0", f"{its}/{length}")

    def _default_settings(self) -> dict[str, Any]:
        plan = self.mesh.plan
        return {
            "endpoint": self.endpoint,
            "bgp": {
                "managed": True,
                "asn": 65000,
                "router_id": f"10.255.0.{self.number}",
                "neighbors": [
                    {"address": reflector.address, "password_file": "bgp.password"}
                    for reflector in self.mesh.reflectors
                ],
            },
            "announce": {"prefixes": plan.prefixes(self.number)},
            "identity": {"private_key": "identity.key"},
            "admission": {"endpoints": [plan.core], "prefixes": plan.islands},
            "charon": {"vici": str(self.charon.vici)},
            "sockets": {"directory": str(self.home / "run")},
        }

    @property
    def settings(self) -> dict[str, Any]:
        """What mesh.yaml holds; change it, then ``write_configuration``."""
        return self._settings

    def write_configuration(self) -> None:
        """Write mesh.yaml from ``settings``."""
        self.configuration.write_text(yaml.safe_dump(self._settings, sort_keys=False))

    def start(self) -> Process:
        """Start ``softmesh run``."""
        self.bridge = self.namespace.start(
            *SOFTMESH, "run", "-c", str(self.configuration),
            log=f"{self.namespace.name}/softmesh.log",
        )  # fmt: skip
        return self.bridge

    def reload(self) -> None:
        """Write mesh.yaml, and have ``softmesh run`` read it again."""
        self.write_configuration()
        assert self.bridge is not None
        self.bridge.signal(signal.SIGHUP)

    def softmesh(self, *arguments: str, check: bool = True) -> str:
        """Run a ``softmesh`` command on this router; returns its output."""
        return self.namespace.run(*SOFTMESH, *arguments, check=check).stdout

    def status(self) -> dict[str, Any]:
        """What ``softmesh status --json`` prints; an empty mesh while the bridge does not answer."""
        try:
            return ask(self.home / "run" / "control.sock", "status")
        except (Unreachable, PeerError):
            return {"softwires": []}

    def wires(self) -> dict[str, dict[str, Any]]:
        """What status says of each peer, by its endpoint; the best state where a peer has several rows."""
        order = ["up", "degraded", "connecting", "wanted", "pending-key", "refused"]
        rows = sorted(self.status()["softwires"], key=lambda wire: -order.index(wire["state"]))
        return {wire["remote"]: wire for wire in rows}

    def up(self) -> dict[str, dict[str, Any]]:
        """The softwires that are up, by the peer's endpoint."""
        return {remote: wire for remote, wire in self.wires().items() if wire["state"] == "up"}

    def spis(self) -> dict[str, tuple[str, str]]:
        """Inbound and outbound SPI of every CHILD SA that is up, by "remote local_ts remote_ts"."""
        return {
            f"{remote} {child['local_ts']} {child['remote_ts']}": (child["spi_in"], child["spi_out"])
            for remote, wire in self.up().items()
            for child in wire["children"]
        }

    def close(self) -> None:
        """Stop everything of this router and remove its namespaces."""
        self.namespace.close()
        self.island.close()


class Mesh:
    """A core, a route reflector, and AFBRs 1 to ``size``."""

    def __init__(
        self,
        direction: Direction,
        size: int,
        *,
        spare: int = 1,
        libipsec: bool = True,
        dual: bool = False,
        settings: Mapping[str, Any] | None = None,
        charon: str = "",
        signed: bool = True,
        reflectors: Sequence[ReflectorMaker] = (Bird,),
        release: Release = HOST,
    ) -> None:
        """Build it; nothing of Softmesh runs yet.

        ``spare``: sessions the reflectors keep for routers added later. ``libipsec``: ESP in user space, for a kernel
        that has none. ``dual``: islands of both families. ``settings``: merged into every mesh.yaml, section by
        section. ``charon``: further settings of every charon. ``signed``: whether the reflectors want TCP-MD5;
        ``reflectors``: what makes them, in order. ``release``: whose charon the routers have.
        """
        self.plan = Plan(direction, dual)
        self.libipsec = libipsec
        self.settings = settings or {}
        self.charon_settings = charon
        self.release = release
        # With all that parsers stumble over; BIRD's own has no escape for a quote.
        self.password = f"{secrets.token_urlsafe(12)}[a,b;c'd]{{e}}#f\\"
        self.core = Namespace("core")
        # An address of its own: else it is that of one of its ports, and another when a router is added later.
        self.core.ip("link", "add", "br0", "address", "02:00:00:00:00:fd", "type", "bridge")
        self.core.ip("link", "set", "br0", "up")
        clients = [self.plan.endpoint(number) for number in range(1, size + spare + 1)]
        self.reflectors: list[Reflector] = []
        for count, maker in enumerate(reflectors):
            self.reflectors.append(self._reflector(count, maker, clients, self.password if signed else None))
        self.afbrs: dict[int, Afbr] = {}
        for number in range(1, size + 1):
            self.add(number)

    def _reflector(self, count: int, maker: ReflectorMaker, clients: Sequence[str], password: str | None) -> Reflector:
        namespace = Namespace("rr" if count == 0 else f"rr{count + 1}")
        address = self.plan.endpoint(254 - count)
        link(namespace, "core0", self.core, namespace.name)
        self.core.ip("link", "set", namespace.name, "master", "br0")
        namespace.address("core0", f"{address}/{self.plan.core_length}")
        return maker(namespace, address, clients, password)

    @property
    def reflector(self) -> Reflector:
        """The first route reflector, which most meshes have alone."""
        return self.reflectors[0]

    @property
    def bird(self) -> Bird:
        """The first route reflector, where it is BIRD."""
        assert isinstance(self.reflector, Bird)
        return self.reflector

    @property
    def reflector_address(self) -> str:
        """Address of the first route reflector."""
        return self.reflector.address

    @property
    def rr(self) -> Namespace:
        """Namespace of the first route reflector."""
        return self.reflector.namespace

    def add(
        self,
        number: int,
        *,
        overrides: Mapping[str, Any] | None = None,
        key_type: str = "ed25519",
        release: Release | None = None,
    ) -> Afbr:
        """Add a router; the arguments are its own."""
        afbr = self.afbrs[number] = Afbr(self, number, overrides=overrides, key_type=key_type, release=release)
        return afbr

    def start(self) -> None:
        """Start ``softmesh run`` on every router."""
        for afbr in self.afbrs.values():
            if afbr.bridge is None:
                afbr.start()

    def close(self) -> None:
        """Remove it all, and the files with it: a mesh built next starts from nothing."""
        for afbr in self.afbrs.values():
            if afbr.bridge is not None and afbr.bridge.running:
                # Each takes half a second to end, all of them no more.
                afbr.bridge.signal(signal.SIGTERM)
        for afbr in self.afbrs.values():
            afbr.close()
        for reflector in self.reflectors:
            reflector.namespace.close()
        self.core.close()
        for home in LAB.iterdir():
            if home.is_dir():
                shutil.rmtree(home)

    def __enter__(self) -> Mesh:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.report()
        self.close()

    def report(self) -> None:
        """Print what every daemon said last: the first thing wanted when a lab fails."""
        for log in sorted(LAB.glob("*/*.log")):
            lines = log.read_text(errors="replace").splitlines()[-25:]
            print(f"--- {log.relative_to(LAB)}", *lines, sep="\n", file=sys.stderr)


def meshed(afbrs: Collection[Afbr]) -> bool:
    """Whether each of these routers has every softwire to the others up."""
    endpoints = {afbr.endpoint for afbr in afbrs}
    return all(endpoints - {afbr.endpoint} <= afbr.up().keys() for afbr in afbrs)
