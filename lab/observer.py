"""Somebody who watches a mesh from beside its route reflector: the shipped ExaBGP configuration, and the hook."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from lab.mesh import SOFTMESH, Mesh
from lab.namespace import LAB, Namespace, Process, link

SHIPPED = Path(__file__).parent.parent / "exabgp" / "observe.conf"


class ObserverHost:
    """Client ``number`` of a mesh's route reflectors. No charon, no mesh.yaml."""

    def __init__(self, mesh: Mesh, number: int) -> None:
        """Start ExaBGP with the hook."""
        plan = mesh.plan
        self.endpoint = plan.endpoint(number)
        self.namespace = Namespace(f"observer{number}")
        self.home = LAB / self.namespace.name
        self.home.mkdir(parents=True, mode=0o700)
        link(self.namespace, "core0", mesh.core, self.namespace.name)
        mesh.core.ip("link", "set", self.namespace.name, "master", "br0")
        self.namespace.address("core0", f"{self.endpoint}/{plan.core_length}")
        self.hook = self.home / "hook.sock"
        configuration = self.home / "observe.conf"
        configuration.write_text(self._configuration(mesh, number))
        self.process: Process = self.namespace.start(
            *(sys.executable, "-m", "exabgp", "server", str(configuration)),
            log=f"{self.namespace.name}/exabgp.log",
            env={"exabgp_daemon_user": "root", "exabgp_api_cli": "false"},
        )

    def _configuration(self, mesh: Mesh, number: int) -> str:
        """The shipped file with the addresses of this mesh, and a neighbour for each reflector."""
        process, _, neighbor = SHIPPED.read_text().partition("\nneighbor ")
        command = f"run {' '.join(SOFTMESH)} hook --socket {self.hook}"
        process = re.sub(r"run \S+ hook --socket \S+", lambda _: command, process)
        if mesh.plan.direction.core == 4:
            neighbor = re.sub(r"    nexthop \{.*?\}\n|.*nexthop enable;\n", "", neighbor, flags=re.DOTALL)
        password = base64.b64encode(mesh.password.encode()).decode()
        signed = f'md5-base64 true;\n    md5-password "{password}"' if mesh.reflector.password else "passive false"
        parts = [process]
        for reflector in mesh.reflectors:
            its = re.sub(r"^\S+", reflector.address, neighbor)
            its = re.sub(r"local-address \S+;", f"local-address {self.endpoint};", its)
            its = re.sub(r"router-id \S+;", f"router-id 10.255.0.{number};", its)
            parts.append("\nneighbor " + re.sub(r'md5-password "[^"]*"', lambda _: signed, its))
        return "".join(parts)

    def softmesh(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``softmesh observe`` here, whatever it ends with."""
        return self.namespace.run(*SOFTMESH, "observe", "--hook", str(self.hook), *arguments, check=False)

    def document(self, *arguments: str) -> dict[str, Any]:
        """What ``softmesh observe --json`` prints; a mesh of nobody while no hook answers."""
        done = self.softmesh("--json", *arguments)
        if done.returncode == 3:
            return {"afbrs": [], "softwires": [], "neighbors": []}
        assert done.returncode == 0, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def close(self) -> None:
        """Stop it."""
        self.namespace.close()
