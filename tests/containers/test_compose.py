"""The mesh of containers/compose.yaml: four AFBRs, a host in each island, a BIRD reflector.

       reflector
           │
───────────┴── core, IPv6 ──────────────
 │          │          │          │
afbr1      afbr2      afbr3      afbr4
 │          │          │          │        10.1.0.0/24 to 10.4.0.0/24
host1      host2      host3      host4
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.container import Container, Engine, Router, crossed, docker, meshed
from lab.eventually import eventually, holds
from tests.containers.conftest import named

SOFTMESH, CHARON = "5619", "5620"
"""Users of the image."""
CAP_NET_ADMIN = 12
"""capabilities(7)."""


@dataclass(frozen=True, slots=True)
class Found:
    """A process of a container, as this machine's kernel tells of it."""

    pid: int
    command: str
    uids: frozenset[str]
    """Real, effective, saved and file system's."""
    capabilities: int
    """The effective ones."""


def processes(container: Container) -> list[Found]:
    """The processes of a container; the engine's processes are this sandbox's."""
    found, awaited = [], [int(container.inspect()["State"]["Pid"])]
    while awaited:
        pid = awaited.pop()
        at = Path(f"/proc/{pid}")
        # Daemons start programs that end while we look.
        with suppress(FileNotFoundError, ProcessLookupError):
            fields = dict(line.split(":\t", 1) for line in (at / "status").read_text().splitlines() if ":\t" in line)
            command = (at / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
            found.append(Found(pid, command, frozenset(fields["Uid"].split()), int(fields["CapEff"], 16)))
            for children in at.glob("task/*/children"):
                awaited += map(int, children.read_text().split())
    return found


def process(container: Container, words: str) -> Found:
    """The process that was started with these words."""

    def only() -> Found | None:
        # The supervisor's own, and what wraps a daemon, name it too; a child, until it is the program it is to run.
        named = [one for one in processes(container) if words in one.command and "afbr run" not in one.command]
        return named[0] if len(named) == 1 else None

    found = eventually(only, within=10, what=f"one process is {words}")
    assert found is not None
    return found


def started(container: Container) -> tuple[str, int]:
    """When the container was started, and how often since it was made."""
    found = container.inspect()
    return found["State"]["StartedAt"], found["RestartCount"]


def test_islands_reach_each_other_and_the_core_sees_only_esp(routers: Sequence[Router]) -> None:
    core = docker("network", "inspect", "--format", "{{.Id}}", "softmesh_core").stdout[:12]
    esp, plaintext = crossed(routers, Engine(), f"br-{core}")
    assert esp >= 72
    assert plaintext == 0


def test_every_container_is_healthy(routers: Sequence[Router]) -> None:
    containers = (*routers, named("reflector"))
    eventually(
        lambda: {container.health() for container in containers} == {"healthy"},
        within=30, what="every container is healthy", every=0.5,
    )  # fmt: skip


def test_no_daemon_is_root(routers: Sequence[Router]) -> None:
    for words, uid, capabilities in (
        ("softmesh run", SOFTMESH, {1 << CAP_NET_ADMIN}),
        ("-m exabgp", SOFTMESH, {0}),
        ("softmesh hook", SOFTMESH, {0}),
    ):
        daemon = process(routers[0], words)
        assert daemon.uids == {uid}, daemon
        assert daemon.capabilities in capabilities, daemon
    charon = process(routers[0], "charon-systemd")
    assert charon.uids == {CHARON}
    assert charon.capabilities >> CAP_NET_ADMIN & 1
    root = [one.command for one in processes(routers[0]) if "0" in one.uids]
    assert all("afbr run" in command for command in root), root
    (bird,) = [one for one in processes(named("reflector")) if one.command.startswith("bird -f")]
    assert "0" not in bird.uids
    assert bird.capabilities == 0


def test_a_bridge_that_is_killed_is_started_again_and_no_spi_changes(routers: Sequence[Router]) -> None:
    first = routers[0]
    before, life = [router.spis() for router in routers], started(first)
    killed = process(first, "softmesh run").pid
    os.kill(killed, signal.SIGKILL)
    eventually(
        lambda: first.spis() == before[0], within=30, what="the bridge answers, and has its softwires", every=0.5
    )
    assert process(first, "softmesh run").pid != killed
    assert started(first) == life
    holds(lambda: [router.spis() for router in routers] == before, during=3, what="SPIs stay", every=1.0)


def test_a_charon_that_is_killed_is_started_again_and_the_mesh_is_mended(routers: Sequence[Router]) -> None:
    second = routers[1]
    before, life = second.spis(), started(second)
    os.kill(process(second, "charon-systemd").pid, signal.SIGKILL)
    eventually(
        lambda: meshed(routers) and not before.items() & second.spis().items(),
        within=60, what="every softwire is up anew", every=1.0,
    )  # fmt: skip
    eventually(lambda: " 0% packet loss" in second.pings(routers[2]), within=20, what="pings are answered", every=0.5)
    assert started(second) == life
    assert "charon has ended with status 137, again in 1 s" in second.log()


@pytest.mark.parametrize(("service", "daemon"), [("afbr4", "charon-systemd"), ("reflector", "bird -f")])
def test_health_follows_a_daemon_that_hangs(routers: Sequence[Router], service: str, daemon: str) -> None:
    container = named(service)
    hung = process(container, daemon).pid
    os.kill(hung, signal.SIGSTOP)
    try:
        eventually(lambda: container.health() == "unhealthy", within=60, what="it is unhealthy", every=0.5)
    finally:
        os.kill(hung, signal.SIGCONT)
    eventually(lambda: container.health() == "healthy", within=30, what="it is healthy again", every=0.5)
    eventually(lambda: meshed(routers), within=30, what="every softwire is up", every=1.0)


def test_hup_has_the_configuration_read_again(routers: Sequence[Router]) -> None:
    first = routers[0]
    before, life = first.spis(), started(first)
    docker("kill", "--signal", "HUP", first.name)
    eventually(lambda: "configuration taken over" in first.log(), within=15, what="the bridge says so", every=0.3)
    holds(lambda: first.spis() == before, during=3, what="SPIs stay", every=1.0)
    assert started(first) == life


def test_a_container_that_is_restarted_keeps_its_key(routers: Sequence[Router]) -> None:
    third = routers[2]
    before = third.status()["authenticator"]
    docker("restart", "--time", "50", third.name)
    said = third.log()
    bridge, charon = said.index('"event": "stopped"'), said.index("SIGTERM received, shutting down")
    assert bridge < charon, "the bridge ends first, in order"
    eventually(lambda: meshed(routers), within=60, what="every softwire is up", every=1.0)
    assert third.status()["authenticator"] == before
