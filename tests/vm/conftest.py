"""Tests on a kernel with ESP and the tunnels, inside the guest of lab/guest. They share meshes: a guest is slow."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator

import pytest

from lab.eventually import eventually
from lab.mesh import Direction, Mesh, meshed
from lab.namespace import LAB


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


@pytest.fixture(scope="package", params=Direction, ids=lambda direction: direction.value)
def mesh(request: pytest.FixtureRequest) -> Iterator[Mesh]:
    """Two AFBRs whose ESP is the kernel's, every softwire up."""
    with Mesh(request.param, 2, libipsec=False) as mesh:
        mesh.start()
        eventually(lambda: meshed(mesh.afbrs.values()), within=60, what="every softwire is up", every=0.2)
        yield mesh
