"""Programs of a lab under a user of their own, with the capabilities they are given and no others."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from lab.namespace import program

_REPOSITORY = Path(__file__).resolve().parent.parent
_GROUP = "softmesh"
"""As /etc/group has it in here: charon knows groups by name only."""
CHARON = f"}}\ninclude {_REPOSITORY / 'strongswan' / 'softmesh-user.conf'}\ncharon-systemd {{"
"""Further settings of a charon (``Mesh``): those the repository ships, by which its socket is for the group."""
_MOUNTED = Path("/run/unprivileged")
"""Not in a lab's own directory, which is cleared with all that is in it."""


class User:
    """A user who owns nothing, and who need not be in /etc/passwd; enter it to make what it needs.

    Python, its packages and Softmesh are mounted where everybody may look: they may all be in somebody's home.
    """

    def __init__(self, uid: int) -> None:
        self.uid = uid
        self._home = _MOUNTED / str(uid)
        self._mounted: list[Path] = []

    def __enter__(self) -> Self:
        self._home.mkdir(parents=True, exist_ok=True)
        self._python = self._shown(Path(sys.base_prefix), "python")
        packages = self._shown(Path(sysconfig.get_path("purelib")), "packages")
        ours = self._shown(_REPOSITORY / "bridge", "bridge")
        group = self._home / "group"
        group.write_text(f"{Path('/etc/group').read_text()}{_GROUP}:x:{self.uid}:\n")
        self._mount(group, Path("/etc/group"))
        self._environment = [f"PYTHONPATH={ours}:{packages}", f"LD_LIBRARY_PATH={self._python / 'lib'}"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for path in reversed(self._mounted):
            subprocess.run([program("umount"), "--lazy", str(path)], check=True, timeout=30)

    def _shown(self, what: Path, name: str) -> Path:
        where = self._home / name
        where.mkdir(exist_ok=True)
        self._mount(what, where)
        return where

    def _mount(self, what: Path, where: Path) -> None:
        # Read-only: whoever clears the directory by mistake must not clear what is mounted there.
        subprocess.run([program("mount"), "-o", "bind,ro", str(what), str(where)], check=True, timeout=30)
        self._mounted.append(where)
        assert os.statvfs(where).f_flag & os.ST_RDONLY, where

    def python(self, *arguments: str, capabilities: Sequence[str] = (), group: int | None = None) -> list[str]:
        """The command line that runs Python with these capabilities (``net_admin``), which it can never exceed."""
        of = ",".join(["-all", *(f"+{capability}" for capability in capabilities)])
        interpreter = self._python / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
        return [
            *("env", *self._environment, program("setpriv")),
            *(f"--reuid={self.uid}", f"--regid={self.uid if group is None else group}", "--clear-groups"),
            *(f"--inh-caps={of}", f"--ambient-caps={of}", f"--bounding-set={of}", "--no-new-privs"),
            *(str(interpreter), *arguments),
        ]

    def softmesh(self, *arguments: str, capabilities: Sequence[str] = (), group: int | None = None) -> list[str]:
        """The same for a ``softmesh`` command."""
        return self.python("-m", "softmesh", *arguments, capabilities=capabilities, group=group)

    def own(self, *paths: Path) -> None:
        """Make files and directories its own."""
        for path in paths:
            os.chown(path, self.uid, self.uid)
