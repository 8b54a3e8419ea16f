"""The wheel and the Debian package as built (make wheel deb), and a Debian to put the latter into."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import pytest

from lab.namespace import program
from lab.release import REPOSITORY, ROOTS
from softmesh import __version__

DIST = REPOSITORY / "dist"
PLACE = Path("/run/packaging")
"""Not in a lab's own directory, which is cleared with all that is in it."""
OTHERS = ("bird", "bird6", "frr", "gobgpd", "openbgpd", "cron", "console-getty", "systemd-logind")
"""Services of the root that have nothing to do here."""


def pytest_sessionstart() -> None:
    """Refuse to litter the host: outside the sandbox nothing would clean up after a crash."""
    if os.environ.get("SOFTMESH_SANDBOX") != "1":
        pytest.exit("these tests need their sandbox, with a network: sudo make test-packages", 1)


def run(*command: str | Path, within: float = 300.0, environment: dict[str, str] | None = None) -> str:
    """Run a command to its end; returns what it printed. A failure raises with all of it."""
    done = subprocess.run(
        [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False, timeout=within, env={**os.environ, **(environment or {})},
    )  # fmt: skip
    assert done.returncode == 0, f"{command} ended with {done.returncode}: {done.stdout}"
    return done.stdout


def built(name: str) -> Path:
    """A file of dist/."""
    found = DIST / name
    assert found.is_file(), f"{found} is not there: make wheel deb"
    return found


@pytest.fixture(scope="session")
def wheel() -> Path:
    """The wheel of this version."""
    return built(f"softmesh-{__version__}-py3-none-any.whl")


@pytest.fixture(scope="session")
def deb() -> Path:
    """The Debian package of this version, for the Debian that this machine has."""
    architecture = run(program("dpkg"), "--print-architecture").strip()
    return built(f"softmesh_{__version__}_{architecture}.deb")


@pytest.fixture(scope="session")
def root() -> Path:
    """A Debian of this machine's release with systemd, in memory; Softmesh is not in it."""
    codename = platform.freedesktop_os_release()["VERSION_CODENAME"]
    below = ROOTS / codename
    assert below.is_dir(), f"no root file system of Debian {codename} in {below}: make {below}/usr"
    place = PLACE / "root"
    for name in ("above", "work", "all"):
        (place / name).mkdir(parents=True)
    # An overlay's upper directory must not be on another overlay, as in a container.
    layers = f"lowerdir={below},upperdir={place}/above,workdir={place}/work"
    run(program("mount"), "-t", "overlay", "overlay", "-o", layers, place / "all")
    where = place / "all"
    run(program("mount"), "-t", "proc", "proc", where / "proc")
    (where / "etc/resolv.conf").write_bytes(Path("/etc/resolv.conf").read_bytes())
    for service in OTHERS:
        (where / f"etc/systemd/system/{service}.service").symlink_to("/dev/null")
    environment = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    chroot = program("chroot")
    run(chroot, where, "apt-get", "update", "-qq", environment=environment)
    init = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "systemd-sysv", "dbus", "procps"]
    run(chroot, where, *init, environment=environment)
    return where
