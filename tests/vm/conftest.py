"""Tests on a kernel with ESP and the tunnels, inside the guest of lab/guest. They share meshes: a guest is slow."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Generator, Iterator

import pytest

from lab.eventually import eventually
from lab.mesh import MIXED, Mesh, meshed
from lab.namespace import LAB, Namespace, link
from lab.proof import MARK, SHOWN
from tests.vm.router import Router

BY_SELECTORS = {"dataplane": {"mode": "policy", "interfaces": False, "guards": "routes"}}
"""This kernel has no nftables; interfaces are the tests' own."""


def pytest_sessionstart() -> None:
    """Refuse any other kernel: what it lacks would look like faults of ours, and what it has would prove nothing."""
    if os.environ.get("SOFTMESH_GUEST") != "1":
        pytest.exit(
            "these tests need a kernel of their own: sudo make test-vm, or "
            "sudo lab/guest PYTHON -m pytest -p no:cacheprovider -p no:hypothesispytest tests/vm",
            1,
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failure what every daemon said last, for the guest and its logs are gone afterwards."""
    report = yield
    if report.failed:
        for log in sorted(LAB.glob("*/*.log")):
            last = log.read_text(errors="replace").splitlines()[-40:]
            report.sections.append((str(log.relative_to(LAB)), "\n".join(last)))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was shown, a line each, for ``make evidence``."""
    if SHOWN.exists():
        for line in SHOWN.read_text().splitlines():
            terminalreporter.write_line(f"{MARK}{line}")


@pytest.fixture(scope="package", params=MIXED, ids=lambda direction: direction.value)
def mesh(request: pytest.FixtureRequest) -> Iterator[Mesh]:
    """Two AFBRs whose ESP is the kernel's, every softwire up."""
    with Mesh(request.param, 2, libipsec=False, settings=BY_SELECTORS) as mesh:
        mesh.start()
        eventually(lambda: meshed(mesh.afbrs.values()), within=60, what="every softwire is up", every=0.2)
        yield mesh


@pytest.fixture
async def routers() -> AsyncIterator[tuple[Router, Router]]:
    """Two routers and between them a bridge, ``core`` everywhere.

    On the bridge a capture sees what crosses and no more: on a router's own device it also sees what tunnel mode
    unwraps there.
    """
    with Namespace("core") as core:
        core.ip("link", "add", "core", "type", "bridge", "mcast_snooping", "0")
        core.ip("link", "set", "core", "up", "addrgenmode", "none")
        left, right = Router(1, core, events=["log"]), Router(2, core, events=["log"])
        with left.namespace, right.namespace:
            for router in (left, right):
                port = router.namespace.name
                link(router.namespace, "core", core, port)
                core.ip("link", "set", port, "master", "core", "addrgenmode", "none")
                router.start()
            async with left, right:
                yield left, right
