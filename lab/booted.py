"""A Debian with its own systemd as process 1, in a network namespace of the lab: units run as on a machine."""

from __future__ import annotations

import os
import subprocess
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from types import TracebackType
from typing import Self

from lab.eventually import PATIENCE, eventually
from lab.namespace import LAB, Namespace, Process, program
from lab.release import REPOSITORY


class Booted:
    """A root file system, booted; it ends when it is left."""

    def __init__(self, namespace: Namespace, root: Path) -> None:
        """``namespace``: its network. ``root`` is written to, as a machine does with its disk."""
        self._cgroup = Path(mkdtemp(prefix="softmesh-lab-", dir=_cgroups()))
        log = LAB / namespace.name / "boot.log"
        # Before it is in the namespace, where /sys is another.
        join = ["sh", "-c", f'echo $$ > {self._cgroup}/cgroup.procs && exec "$@"', "boot"]
        apart = ["unshare", "--cgroup", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child"]
        boot = str(REPOSITORY / "lab" / "boot")
        self._process = Process([*join, *namespace.argv(*apart, boot, str(root))], log)
        try:
            eventually(self._is_up, within=60, what=f"systemd is up in {namespace.name}", every=0.2)
        except BaseException:
            self.close()
            raise

    def _is_up(self) -> bool:
        assert self._process.running, self._process.tail()
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        if not children:
            return False
        self.init = int(children[0])
        state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        return state in {"running", "degraded"}

    def run(self, *command: str, check: bool = True, within: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a command in there to its end; with ``check`` a failure raises and shows what it printed."""
        done = subprocess.run(
            [program("nsenter"), "--target", str(self.init), "--all", "--", *command],
            capture_output=True, text=True, check=False, timeout=within * PATIENCE, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(command)} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def show(self, unit: str, *properties: str) -> list[str]:
        """What ``systemctl show`` says of a unit's properties, in their order."""
        found = (self.run("systemctl", "show", unit, "--property", each, "--value") for each in properties)
        return [done.stdout.strip() for done in found]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it."""
        self._process.kill()
        # Its processes go with process 1; the cgroups they leave behind are empty.
        for directory, _, _ in os.walk(self._cgroup, topdown=False):
            eventually(partial(_removed, Path(directory)), within=10, what=f"{directory} is empty")


def _removed(cgroup: Path) -> bool:
    try:
        cgroup.rmdir()
    except OSError:
        return not cgroup.exists()
    return True


def _cgroups() -> Path:
    """Where cgroup 2 is mounted: on its own, or beside the older ones."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, kind = line.partition(" - ")
        if kind.startswith("cgroup2 "):
            return Path(fields.split()[4])
    raise AssertionError("this machine has no cgroup 2 mounted, which systemd needs")
