"""Tests of the containers run them for real, in an engine of their own: lab/sandbox lab/engine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.container import Container, Router, docker, meshed
from lab.eventually import PATIENCE, eventually
from lab.namespace import program

CONTAINERS = Path(__file__).resolve().parents[2] / "containers"
COMPOSE = [
    *("--project-name", "softmesh", "--project-directory", str(CONTAINERS)),
    *("--file", str(CONTAINERS / "compose.yaml"), "--file", str(Path(__file__).with_name("quick.yaml"))),
]


def pytest_sessionstart() -> None:
    """Refuse to run in an engine that somebody uses."""
    if os.environ.get("SOFTMESH_SANDBOX") != "1" or not os.environ.get("DOCKER_HOST"):
        pytest.exit("these tests need an engine of their own: sudo make test-containers", 1)
    missing = [
        image
        for image in ("afbr", "bird", "frr")
        if docker("image", "inspect", f"softmesh-{image}", check=False).returncode
    ]
    if missing:
        pytest.exit(f"no image of {', '.join(missing)}: sudo make images", 1)


def compose(*arguments: str) -> None:
    """Run Docker Compose, of either generation; raises AssertionError with what it printed."""
    done = subprocess.run(
        [program("docker-compose"), *COMPOSE, *arguments],
        capture_output=True, text=True, check=False, timeout=120 * PATIENCE, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, f"docker-compose {arguments}: {done.stdout}{done.stderr}"


def named(service: str) -> Container:
    """The container of a service; the generations of Compose name them differently."""
    label = f"label=com.docker.compose.service={service}"
    (name,) = docker("ps", "--all", "--filter", label, "--format", "{{.Names}}").stdout.split()
    return Container(name)


@pytest.fixture(scope="session")
def routers() -> Iterator[list[Router]]:
    """The four routers of compose.yaml, with every softwire up."""
    compose("up", "--detach")
    try:
        made = [
            Router(named(f"afbr{number}").name, f"2001:db8:f::{number}", named(f"host{number}"), f"10.{number}.0.10")
            for number in range(1, 5)
        ]
        eventually(lambda: meshed(made), within=120, what="every softwire is up", every=1.0)
        yield made
    except AssertionError:
        for service in ("keys", "reflector", "afbr1", "afbr4"):
            print(f"--- {service}", *named(service).log().splitlines()[-25:], sep="\n")
        raise
    finally:
        compose("down", "--volumes", "--timeout", "3")
