"""Every part of a mesh at rest stopped, killed and hung: nothing is lost that need not be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from lab.fault import Fault, Part, Way
from lab.fault_table import Moment
from lab.mesh import Mesh
from tests.faults.matrix import chosen, name, survives
from tests.faults.mesh import FRESH, build
from tests.faults.wholeness import becomes_whole


class Resting:
    """A mesh at rest that cells share, until one of them fails: then the next has a new one."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._mesh: Mesh | None = None

    def __enter__(self) -> Mesh:
        if self._mesh is None:
            self._mesh = self._stack.enter_context(build())
            self._mesh.start()
        return self._mesh

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is not None and self._mesh is not None:
            self._mesh.report()
            self.close()

    def close(self) -> None:
        """Remove the one there is."""
        self._mesh = None
        self._stack.close()


@pytest.fixture(scope="module")
def resting() -> Iterator[Resting]:
    found = Resting()
    yield found
    found.close()


@pytest.mark.parametrize(("part", "way", "moment"), chosen({Moment.REST}), ids=name)
def test_at_rest(resting: Resting, part: Part, way: Way, moment: Moment) -> None:
    with resting as mesh:
        before = becomes_whole(mesh, within=FRESH)
        # Its lower peer initiates to it, and it to the higher one.
        survives(Fault(mesh, part, way, router=2), moment, before)
