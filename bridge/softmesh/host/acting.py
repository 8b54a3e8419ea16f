"""Whom the bridge runs as, and looking at things with that one's rights."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from softmesh.host.facts import User
from softmesh.secret_file import user_name

SERVICE = "softmesh"
"""The user of systemd/softmesh.service."""
_CAP_NET_ADMIN = 12
"""capabilities(7)."""


def runner(file: Path) -> User:
    """Who runs the bridge with this configuration: we ourselves, or the service's user.

    The latter where we are root and the file's directory is that user's: what root may read it may not, and of what it
    owns root is told to stay away.
    """
    ours = os.geteuid()
    if ours == 0:
        try:
            service = pwd.getpwnam(SERVICE)
            if file.absolute().parent.stat().st_uid == service.pw_uid:
                return User(SERVICE, service.pw_uid, net_admin=None)
        except (KeyError, OSError):
            pass
    return User(user_name(ours), ours, net_admin=bool(_effective() >> _CAP_NET_ADMIN & 1))


@contextmanager
def acting_as(uid: int) -> Iterator[None]:
    """Have this process do what is within with the rights of a user, its groups included; nothing where that is us."""
    if uid == os.geteuid():
        yield
        return
    entry = pwd.getpwuid(uid)
    groups, group = os.getgroups(), os.getegid()
    os.setgroups(os.getgrouplist(entry.pw_name, entry.pw_gid))
    os.setegid(entry.pw_gid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


def _effective() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    return next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff:"))
