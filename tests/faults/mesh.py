"""The mesh that faults befall: three routers, two reflectors.

rr, rr2 ── core ── afbr1, afbr2, afbr3 ── islands of several prefixes
"""

from __future__ import annotations

from typing import Any

from lab.bird import Bird
from lab.mesh import Direction, Mesh

NEWCOMER = 3
SITES = {1: 2, 2: 2, NEWCOMER: 4}
"""Prefixes of each island."""
FRESH = 30.0
"""Seconds within which a mesh that nothing befalls is whole."""


def build(**options: Any) -> Mesh:
    """The mesh, no bridge of which runs yet; ``options`` as ``Mesh`` takes them."""
    mesh = Mesh(Direction.FOUR_OVER_SIX, len(SITES), **{"spare": 0, "reflectors": (Bird, Bird), **options})
    for number, sites in SITES.items():
        afbr = mesh.afbrs[number]
        for site in range(1, sites):
            afbr.add_site(site)
        afbr.settings["announce"]["prefixes"] = [mesh.plan.island(number, site) for site in range(sites)]
        afbr.write_configuration()
    return mesh
