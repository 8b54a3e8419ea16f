"""What other people have is untouched; for everything else see tests/lab/test_ownership.py."""

from __future__ import annotations

from contextlib import closing

import pytest

from lab.life import Life
from lab.mesh import Direction, Mesh
from lab.others import Others, populate, populate_ipsec


@pytest.mark.timeout(600)
def test_a_life_among_others_with_ipsec_of_the_kernel() -> None:
    """XFRM interfaces, tunnels, states and policies of theirs, and both sides' ESP in the kernel."""
    with Mesh(Direction.FOUR_OVER_SIX, 2, libipsec=False) as mesh:
        afbr = mesh.afbrs[1]
        populate(afbr.namespace)
        populate_ipsec(afbr.namespace, afbr.endpoint)
        with closing(Others(afbr)) as others:
            Life(mesh, others).live()
