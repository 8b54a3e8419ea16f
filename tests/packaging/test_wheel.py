"""The wheel: what is in it, and that it works where nothing of this checkout is."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from softmesh import __version__
from tests.packaging.conftest import run

pytestmark = pytest.mark.timeout(600)
"""pip has packages to fetch."""

SHARED = (
    "share/softmesh/strongswan/softmesh.conf",
    "share/softmesh/strongswan/softmesh-user.conf",
    "share/softmesh/exabgp/softmesh.conf",
    "share/softmesh/systemd/softmesh.service",
    "share/softmesh/systemd/softmesh.sysusers",
    "share/doc/softmesh/examples/minimal.yaml",
    "share/man/man1/softmesh.1",
    "share/bash-completion/completions/softmesh",
)


def test_contents(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"softmesh/config/mesh.schema.json", "softmesh/py.typed"} <= names
    assert any(name.startswith("softmesh/web/assets/") for name in names), "the page's"
    assert {f"softmesh-{__version__}.data/data/{name}" for name in SHARED} <= names
    assert not [name for name in names if name.startswith(("tests/", "lab/"))]


def test_installed(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "softmesh"
    run("/usr/bin/python3", "-m", "venv", home)
    run(home / "bin/pip", "install", "--quiet", wheel, environment={"PIP_DISABLE_PIP_VERSION_CHECK": "1"})
    softmesh = home / "bin/softmesh"
    assert run(softmesh, "--version").strip() == f"softmesh {__version__}"
    where = tmp_path / "etc"
    where.mkdir()
    run(softmesh, "keygen", "--out", f"{where}/")
    (where / "bgp.password").write_text("correct-horse-battery")
    (where / "bgp.password").chmod(0o600)
    example = home / "share/doc/softmesh/examples/minimal.yaml"
    (where / "mesh.yaml").write_text(example.read_text())
    assert ": fine" in run(softmesh, "check", where / "mesh.yaml")
    assert run(home / "bin/exabgp", "version")
    assert "softmesh" in (home / "share/man/man1/softmesh.1").read_text()
    for command in ("status", "plan", "explain", "audit", "decode", "flush", "reload"):
        assert command in run(softmesh, "--help")


def test_installed_by_pipx(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "pipx"
    run("/usr/bin/python3", "-m", "venv", home)
    run(home / "bin/pip", "install", "--quiet", "pipx")
    places = {"PIPX_HOME": str(home / "home"), "PIPX_BIN_DIR": str(home / "out"), "PIPX_MAN_DIR": str(home / "man")}
    run(home / "bin/pipx", "install", wheel, environment=places)
    assert run(home / "out/softmesh", "--version").strip() == f"softmesh {__version__}"
    assert (home / "man/man1/softmesh.1").exists()
