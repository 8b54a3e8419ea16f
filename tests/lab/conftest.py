"""Lab tests run real daemons in namespaces, inside lab/sandbox."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from lab.mesh import Direction, Mesh


def pytest_sessionstart() -> None:
    """Refuse to litter the host: outside the sandbox nothing would clean up after a crash."""
    if os.environ.get("SOFTMESH_SANDBOX") != "1":
        pytest.exit(
            "lab tests need their sandbox: sudo make test-lab, or sudo lab/sandbox PYTHON -m pytest tests/lab",
            1,
        )


@pytest.fixture
def pair() -> Iterator[Mesh]:
    """Two AFBRs over an IPv6 core, started."""
    with Mesh(Direction.FOUR_OVER_SIX, 2) as mesh:
        mesh.start()
        yield mesh
