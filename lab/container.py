"""Containers of an engine that ``lab/engine`` has started: what the tests and the topologies ask of them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

from lab.capture import ESP, PLAINTEXT, Capture
from lab.eventually import PATIENCE, eventually
from lab.namespace import LAB, Process, program

PINGS = 3


def docker(*arguments: str, check: bool = True, within: float = 60.0) -> subprocess.CompletedProcess[str]:
    """Run ``docker``; with ``check`` a failure raises and shows what it printed."""
    done = subprocess.run(
        [program("docker"), *arguments],
        capture_output=True, text=True, check=False, timeout=within * PATIENCE, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if check and done.returncode != 0:
        raise AssertionError(f"docker {' '.join(arguments)} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done


@dataclass(frozen=True, slots=True)
class Container:
    """A container by its name."""

    name: str

    def run(self, *command: str, check: bool = True) -> str:
        """What a command prints in here, as root."""
        done = docker("exec", "--user", "root", self.name, *command, check=check)
        return done.stdout + done.stderr

    def inspect(self) -> dict[str, Any]:
        """What Docker knows of it."""
        (found,) = json.loads(docker("inspect", self.name).stdout)
        return dict(found)

    def health(self) -> str:
        """``starting``, ``healthy`` or ``unhealthy``."""
        return str(self.inspect()["State"]["Health"]["Status"])

    def log(self) -> str:
        """What it has printed, in the order of printing."""
        return subprocess.run(
            [program("docker"), "logs", self.name],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True, timeout=60 * PATIENCE,
        ).stdout  # fmt: skip

    def start(self, *command: str, log: str) -> Process:
        """Start a program of this machine in its network, its output in ``LAB/log``."""
        network = f"--net=/proc/{self.inspect()['State']['Pid']}/ns/net"
        return Process([program("nsenter"), network, *command], LAB / log)


@dataclass(frozen=True, slots=True)
class Engine:
    """The network of the engine itself, which has the bridges of Docker's networks."""

    def start(self, *command: str, log: str) -> Process:
        """Start a program, its output in ``LAB/log``."""
        return Process([*command], LAB / log)


@dataclass(frozen=True, slots=True)
class Router(Container):
    """An AFBR."""

    endpoint: str
    host: Container
    """In its island."""
    address: str
    """That host's."""

    def status(self) -> dict[str, Any]:
        """What ``softmesh status --json`` prints; an empty mesh while the bridge does not answer."""
        done = docker("exec", self.name, "softmesh", "status", "--json", check=False)
        return dict(json.loads(done.stdout)) if done.returncode == 0 else {"softwires": []}

    def up(self) -> dict[str, dict[str, Any]]:
        """The softwires that are up, by the peer's endpoint."""
        return {wire["remote"]: wire for wire in self.status()["softwires"] if wire["state"] == "up"}

    def spis(self) -> dict[str, tuple[str, str]]:
        """Inbound and outbound SPI of every CHILD SA that is up, by "remote local_ts remote_ts"."""
        return {
            f"{remote} {child['local_ts']} {child['remote_ts']}": (child["spi_in"], child["spi_out"])
            for remote, wire in self.up().items()
            for child in wire["children"]
        }

    def pings(self, other: Router) -> str:
        """What ``ping`` prints from one island to the other."""
        return self.host.run("ping", "-n", "-q", "-i", "0.05", "-c", str(PINGS), "-W", "2", other.address, check=False)


def meshed(routers: Sequence[Router]) -> bool:
    """Whether each of these routers has every softwire to the others up."""
    endpoints = {router.endpoint for router in routers}
    return all(endpoints - {router.endpoint} <= router.up().keys() for router in routers)


def matrix(routers: Sequence[Router]) -> str:
    """Who has a softwire to whom."""
    names = [router.name.rpartition("-")[2] for router in routers]
    lines = ["".join(f"{name:>10}" for name in ["", *names])]
    for name, router in zip(names, routers, strict=True):
        up = router.up()
        cells = ["·" if other is router else "up" if other.endpoint in up else "no" for other in routers]
        lines.append("".join(f"{cell:>10}" for cell in [name, *cells]))
    return "\n".join(lines)


def crossed(routers: Sequence[Router], core: Container | Engine, device: str) -> tuple[int, int]:
    """Ping between all islands and return how many packets crossed the core as ESP, and how many in the clear.

    Raises AssertionError where pings are not answered, or where fewer packets than pings crossed as ESP.
    """
    capture = Capture(core, device, "islands")
    for left, right in permutations(routers, 2):
        # A mesh that has just come up may still close an SA that both ends made, and lose what was on its way in it.
        eventually(
            lambda left=left, right=right: " 0% packet loss" in left.pings(right),  # type: ignore[misc]
            within=20, what=f"{PINGS} pings from {left.name} to {right.name} are answered", every=0.5,
        )  # fmt: skip
    expected = len(routers) * (len(routers) - 1) * PINGS * 2
    eventually(
        lambda: capture.count(ESP) >= expected, within=10, what=f"the capture holds {expected} ESP packets or more"
    )
    capture.stop()
    return capture.count(ESP), capture.count(PLAINTEXT)
