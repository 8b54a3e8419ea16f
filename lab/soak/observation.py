"""What there is beside softwires, by charon's own account and the kernel's: nothing here asks Softmesh."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.mesh import Afbr
from lab.standing import OURS, connected


def foreign(afbr: Afbr) -> dict[str, Any]:
    """What others have on a router: connections and SAs in charon, routes, rules, firewall."""
    with connected(afbr.charon) as session:
        connections = sorted(name for found in session.list_conns() for name in found if not name.startswith(OURS))
    return {
        "connections": connections,
        "routes": afbr.namespace.ip("route", "show", "proto", "77").splitlines(),
        "rules": [line for line in afbr.namespace.ip("rule", "show").splitlines() if "lookup 77" in line],
        "tables": [
            line
            for line in afbr.namespace.run("nft", "list", "tables").stdout.splitlines()
            if not line.endswith(" softmesh")
        ],
    }


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a process holds."""

    pid: int
    resident: int
    """KiB."""
    descriptors: int


def footprint(pid: int) -> Footprint:
    """Look at a process. Raises OSError when it is gone."""
    status = Path(f"/proc/{pid}/status").read_text()
    (resident,) = (int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
    return Footprint(pid, resident, len(list(Path(f"/proc/{pid}/fd").iterdir())))


def namespaces() -> int:
    """How many network namespaces have a name."""
    return len(list(Path("/run/netns").iterdir()))


def processes() -> int:
    """How many processes there are in this sandbox."""
    return sum(entry.name.isdigit() for entry in Path("/proc").iterdir())
