"""A router gets another key, with the kernel's ESP."""

from __future__ import annotations

import pytest

from lab.mesh import MIXED, Direction, Mesh
from lab.rollover import roll_over


@pytest.mark.parametrize(
    ("direction", "rolling"), list(zip(MIXED, (1, 2), strict=True)), ids=["initiator", "responder"]
)
def test_rollover_goes_on(direction: Direction, rolling: int) -> None:
    # This kernel has neither XFRM interfaces nor nftables.
    settings = {"dataplane": {"mode": "policy", "guards": "routes"}}
    with Mesh(direction, 2, libipsec=False, settings=settings) as mesh:
        done = roll_over(mesh, mesh.afbrs[rolling], mesh.afbrs[3 - rolling])
    assert done.sent > 400
    # IKE has the responder send by an SA that the initiator has not installed yet: some milliseconds.
    assert done.lost <= 3
