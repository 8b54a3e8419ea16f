"""``make test-containerlab``: each topology of containers/containerlab is deployed, shown and destroyed, for real.

What it prints is kept as docs/containerlab.txt. Exit status 0 only if all of it was seen.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from lab.container import Container, Router, crossed, docker, matrix, meshed
from lab.demo import Failed, check
from lab.eventually import NotReached, eventually, holds
from lab.namespace import LAB, program
from lab.release import REPOSITORY

HERE = REPOSITORY / "containers" / "containerlab"
BUILT = REPOSITORY / ".containerlab"


@dataclass(frozen=True, slots=True)
class Topology:
    """One of them, deployed."""

    name: str

    @property
    def file(self) -> Path:
        """What containerlab reads."""
        return HERE / self.name / f"{self.name}.clab.yaml"

    def node(self, name: str) -> Container:
        """A node's container."""
        return Container(f"clab-{self.name}-{name}")

    def routers(self) -> list[Router]:
        """The AFBRs, with the host in each one's island."""
        nodes = yaml.safe_load(self.file.read_text())["topology"]["nodes"]
        found = []
        for number in range(1, sum(name.startswith("afbr") for name in nodes) + 1):
            configuration = yaml.safe_load((self.file.parent / f"afbr{number}.yaml").read_text())
            address = re.search(r"address add (\S+)/", nodes[f"host{number}"]["exec"][0])
            assert address is not None
            host = self.node(f"host{number}")
            found.append(Router(self.node(f"afbr{number}").name, configuration["endpoint"], host, address[1]))
        return found


def main() -> int:
    """Show all of them, or those that are named; returns the exit status."""
    protect()
    os.environ["PATH"] = f"{BUILT}:{os.environ['PATH']}"
    began = time.monotonic()
    try:
        for name, more in SHOWN.items():
            if not sys.argv[1:] or name in sys.argv[1:]:
                show(Topology(name), more)
    except (Failed, NotReached, AssertionError) as error:
        print(f"\nFAILED: {error}", file=sys.stderr)
        return 1
    print(f"\nAll shown, in {time.monotonic() - began:.0f} s; containers, networks and keys are gone.")
    return 0


def protect() -> None:
    """Containerlab writes the names of its nodes into two files of the machine: in here it gets copies."""
    hosts = LAB / "hosts"
    hosts.write_text(Path("/etc/hosts").read_text())
    subprocess.run([program("mount"), "--bind", str(hosts), "/etc/hosts"], check=True, timeout=30)
    if Path("/etc/ssh/ssh_config.d").is_dir():
        subprocess.run([program("mount"), "-t", "tmpfs", "tmpfs", "/etc/ssh/ssh_config.d"], check=True, timeout=30)


def show(topology: Topology, more: Callable[[Topology, list[Router]], None]) -> None:
    """Deploy one, see that its mesh comes up and carries traffic, see what is special about it, destroy it."""
    print(f"\n━━ {topology.name} " + "━" * (70 - len(topology.name)))
    print(f"$ ./deploy {topology.name}")
    try:
        print(run(str(HERE / "deploy"), topology.name))
        routers = topology.routers()
        began = time.monotonic()
        eventually(lambda: meshed(routers), within=90, what="every softwire is up", every=0.5)
        print(f"after {time.monotonic() - began:.0f} s\n{matrix(routers)}")
        pairs = len(routers) * (len(routers) - 1)
        print(f"✓ {pairs // 2} softwires up, both ends agreeing")
        first, second = routers[:2]
        print(f"\n$ docker exec {first.name} softmesh status")
        print(first.run("softmesh", "status").rstrip())
        print(f"\n$ docker exec {first.host.name} ping -c 3 {second.address}")
        print(first.host.run("ping", "-c", "3", "-i", "0.2", second.address).rstrip())
        esp, plaintext = crossed(routers, topology.node("core"), "br0")
        print(f"✓ {pairs} ways between islands: all pings answered")
        check("ESP packets in the core meanwhile", esp, lambda n: n > 0)
        check("plaintext packets in the core", plaintext, lambda n: n == 0)
        more(topology, routers)
    finally:
        run("containerlab", "destroy", "--cleanup", "--topo", str(topology.file))
        docker("run", "--rm", "--volume", f"{topology.file.parent}:/it", "--entrypoint", "rm", "softmesh-afbr", "-rf",
               "/it/secrets", f"/it/.{topology.file.name}.bak")  # fmt: skip
    print(f"\n$ containerlab destroy --cleanup --topo {topology.file.name}")


def run(*command: str) -> str:
    """Run it to its end; returns the table it printed, if any. Raises AssertionError with all it said if it failed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180, stdin=subprocess.DEVNULL)
    said = done.stdout + done.stderr
    if done.returncode != 0 or "level=error" in said:
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}: {said}")
    return "\n".join(line for line in done.stdout.splitlines() if line.startswith(("|", "+")))


def nothing_more(_topology: Topology, _routers: Sequence[Router]) -> None:
    """All there is to see has been."""


def loses_a_reflector(topology: Topology, name: str, routers: list[Router]) -> None:
    """One of two reflectors is stopped: no SPI changes; a router leaves and comes back by the other alone."""
    before = [router.spis() for router in routers]
    gone = topology.node(name)
    print(f"\n$ docker stop {gone.name}")
    docker("stop", gone.name)
    eventually(
        lambda: any(neighbor["state"] == "down" for neighbor in routers[0].status()["neighbors"]),
        within=30, what="the routers notice", every=0.5,
    )  # fmt: skip
    holds(lambda: [router.spis() for router in routers] == before, during=5, what="SPIs stay", every=1.0)
    print(matrix(routers))
    print("✓ no SPI has changed")
    leaver, others = routers[-1], routers[:-1]
    print(f"\n$ docker exec {leaver.name} softmesh withdraw")
    print(leaver.run("softmesh", "withdraw").strip())
    eventually(
        lambda: not any(leaver.endpoint in router.up() for router in others), within=30,
        what="the others have closed their softwires to it", every=0.5,
    )  # fmt: skip
    print(matrix(routers))
    print(f"$ docker exec {leaver.name} softmesh announce")
    print(leaver.run("softmesh", "announce").strip())
    eventually(lambda: meshed(routers), within=60, what="the leaver is back", every=0.5)
    print(matrix(routers))
    print("✓ it left, and came back, by the other reflector alone")
    eventually(lambda: " 0% packet loss" in leaver.pings(others[0]), within=20, what="pings are answered")
    print("✓ its island answers pings again")


SHOWN: dict[str, Callable[[Topology, list[Router]], None]] = {
    "four-over-six": nothing_more,
    "two-reflectors": lambda topology, routers: loses_a_reflector(topology, "reflector1", routers),
    "frr-reflector": lambda topology, routers: loses_a_reflector(topology, "bird", routers),
}

if __name__ == "__main__":
    sys.exit(main())
