"""A fault is one: what is said to be stopped, killed, hung or cut off is, and what is mended works again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.bird import Bird
from lab.eventually import NotReached, eventually
from lab.fault import Fault, Part, Way, exabgp_pid, hook_pid
from lab.mesh import Direction, Mesh
from lab.namespace import has_ended
from tests.faults.wholeness import becomes_whole


@pytest.fixture(scope="module")
def mesh() -> Iterator[Mesh]:
    with Mesh(Direction.FOUR_OVER_SIX, 2, spare=0, reflectors=(Bird, Bird)) as mesh:
        mesh.start()
        becomes_whole(mesh, within=30)
        yield mesh


def has_stopped(pid: int) -> bool:
    """Not so of what is there no more: a hook that outlived its ExaBGP a little ends when it goes on."""
    return not has_ended(pid) and "\nState:\tT" in Path(f"/proc/{pid}/status").read_text()


@pytest.mark.parametrize("way", Way)
def test_a_cut_link_carries_nothing(mesh: Mesh, way: Way) -> None:
    fault = Fault(mesh, Part.LINK, way)
    ours, peer = mesh.afbrs[1].namespace, mesh.plan.endpoint(2)
    eventually(lambda: ours.ping(peer), within=5, what="the link carries")
    fault.inject()
    assert not ours.ping(peer, within=0.3)
    assert (("NO-CARRIER" in ours.ip("link", "show", "core0")), way is Way.STOP) in {(True, True), (False, False)}
    fault.mend()
    fault.mend()
    eventually(lambda: ours.ping(peer, within=0.3), within=5, what="the link carries again")


COME_BACK = {Part.HOOK: hook_pid, Part.EXABGP: exabgp_pid}


@pytest.mark.parametrize("part", COME_BACK)
@pytest.mark.parametrize("way", [Way.STOP, Way.KILL])
def test_what_comes_back_by_itself(mesh: Mesh, part: Part, way: Way) -> None:
    def pid() -> int:
        return COME_BACK[part](mesh.afbrs[1])

    before = eventually(pid, within=20, what=f"{part.value} runs")
    Fault(mesh, part, way).inject()
    assert not Path(f"/proc/{before}/exe").exists()
    eventually(lambda: pid() not in {0, before}, within=20, what=f"another {part.value} runs")


@pytest.mark.parametrize("part", COME_BACK)
def test_what_hangs_hangs_until_it_is_thawed(mesh: Mesh, part: Part) -> None:
    fault = Fault(mesh, part, Way.HANG)
    fault.inject()
    pid = COME_BACK[part](mesh.afbrs[1])
    assert has_stopped(pid)
    fault.mend()
    fault.mend()
    eventually(lambda: not has_stopped(pid), within=5, what=f"{part.value} goes on")


def test_a_mesh_without_one_of_its_parts_is_not_whole(mesh: Mesh) -> None:
    becomes_whole(mesh, within=30)
    for part in (Part.BRIDGE, Part.REFLECTOR, Part.LINK):
        fault = Fault(mesh, part, Way.KILL)
        fault.inject()
        with pytest.raises(NotReached, match="lacking: "):
            becomes_whole(mesh, within=0.5)
        fault.mend()
        becomes_whole(mesh, within=60)
