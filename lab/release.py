"""Debian releases whose daemons a lab runs: those of this machine, and those of root file systems.

A root is made by ``lab/debian-root``, one for each release, this machine's own too: it has reflectors that nobody would
want installed. A daemon out of it runs by chroot, in a namespace like any other, and sees the lab's files where
everybody does.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lab.namespace import LAB, MissingProgram, program

REPOSITORY = Path(__file__).resolve().parent.parent
ROOTS = REPOSITORY / ".roots"

RELEASES = ("bookworm", "trixie", "forky")
"""Debian 12, 13 and testing: what the lab covers."""


@dataclass(frozen=True, slots=True)
class Release:
    """Where a daemon comes from."""

    name: str
    root: Path | None = None
    """Root file system; None: this machine's."""

    def argv(self, name: str) -> list[str]:
        """The command that starts a program of this release; raises MissingProgram where it has none.

        Where two have one name: ``frr/bgpd`` is FRR's, ``bgpd`` OpenBGPD's.
        """
        if self.root is None:
            return [program(name)]
        for directory in ("usr/sbin", "usr/bin", "usr/lib", "sbin", "bin"):
            if (self.root / directory / name).is_file():
                return [program("chroot"), str(self.root), f"/{directory}/{name}"]
        raise MissingProgram(f"{name} is not in {self.root}: rm -r {self.root} && make roots")


HOST = Release("this machine")


@cache
def release(name: str) -> Release:
    """The release of this codename out of its root, ready to run daemons of in this sandbox.

    Raises MissingProgram where the root has not been made.
    """
    root = ROOTS / name
    if not root.is_dir():
        raise MissingProgram(f"no root file system of Debian {name} in {root}: make roots")
    # The sandbox's mounts are its own: they go when it ends.
    for shared in ("/proc", "/sys", "/dev"):
        _mount("--rbind", shared, f"{root}{shared}")
    _mount("--bind", str(LAB), str(_directory(root / LAB.relative_to("/"))))
    _mount("--bind", str(REPOSITORY), str(_directory(root / REPOSITORY.relative_to("/"))))
    return Release(name, root)


def _directory(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def _mount(*arguments: str) -> None:
    subprocess.run([program("mount"), *arguments], check=True, timeout=30)
