"""An ExaBGP of the operator's own, with the configuration that exabgp/ ships."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.eventually import eventually, holds
from lab.mesh import SOFTMESH, Afbr, Direction, Mesh, meshed
from lab.namespace import Process

SHIPPED = Path("exabgp/softmesh.conf")


@pytest.fixture
def mesh() -> Iterator[Mesh]:
    """Two routers, the first without a managed ExaBGP."""
    with Mesh(Direction.FOUR_OVER_SIX, 0, spare=2) as built:
        built.add(1, overrides={"bgp": {"managed": False}})
        built.add(2)
        built.start()
        yield built


def exabgp(mesh: Mesh, afbr: Afbr) -> Process:
    """ExaBGP with the shipped file: its example addresses are the lab's; programs, paths and the secret are put in."""
    text = SHIPPED.read_text()
    for example, ours in (
        ("/usr/bin/softmesh", " ".join(SOFTMESH)),
        ("/run/softmesh/hook.sock", str(afbr.home / "run" / "hook.sock")),
        (
            'md5-password "change me";',
            f'md5-base64 true; md5-password "{base64.b64encode(mesh.password.encode()).decode()}";',
        ),
    ):
        assert example in text, f"exabgp/softmesh.conf no longer has {example}"
        text = text.replace(example, ours)
    configuration = afbr.home / "exabgp.conf"
    configuration.write_text(text)
    return afbr.namespace.start(
        *(sys.executable, "-m", "exabgp", "server", str(configuration)),
        log=f"{afbr.namespace.name}/exabgp.log",
        env={"exabgp_daemon_user": "root"},
    )


def spis(mesh: Mesh) -> list[dict[str, tuple[str, str]]]:
    return [afbr.spis() for afbr in mesh.afbrs.values()]


def test_restarts_of_either_change_no_spi(mesh: Mesh) -> None:
    first = mesh.afbrs[1]
    running = exabgp(mesh, first)
    eventually(lambda: meshed(mesh.afbrs.values()), within=20, what="the softwire is up")
    before = spis(mesh)

    assert first.bridge is not None
    first.bridge.kill()
    first.start()
    eventually(lambda: spis(mesh) == before, within=20, what="the bridge is back and the SPIs are the same")
    eventually(lambda: bgp_is_whole(first), within=30, what="it has the hook again")

    for end in (Process.kill, Process.stop):
        end(running)
        eventually(lambda: not first.status()["hook"]["connected"], within=10, what="the loss of the hook is shown")
        running = exabgp(mesh, first)
        eventually(
            lambda: bgp_is_whole(first) and not mesh.bird.restarting(),
            within=30, what="BGP is back, with all its routes, ours too",
        )  # fmt: skip
        holds(lambda: spis(mesh) == before, during=2, what="no SPI changes")


def bgp_is_whole(afbr: Afbr) -> bool:
    """Whether the hook serves again and each neighbour has sent all it has."""
    status = afbr.status()
    neighbors = status["neighbors"]
    return bool(status["hook"]["connected"] and neighbors) and all(
        row["state"] == "up" and len(row["end_of_rib"]) == 2 for row in neighbors
    )
