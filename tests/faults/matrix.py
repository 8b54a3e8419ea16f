"""Every part of a mesh stopped, killed and hung: which faults there are, and what each must leave."""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from typing import TypeAlias

from lab.fault import Fault, Part, Way
from lab.fault_table import TABLE, Moment
from tests.faults.wholeness import Held, Softwire, becomes_whole, kept

SHORT = os.environ.get("FAULTS") == "short"
Cell: TypeAlias = tuple[Part, Way, Moment]
CELLS: tuple[Cell, ...] = tuple(
    (part, way, moment)
    for part in Part
    for moment in Moment
    for way in Way
    # Reflectors are nobody's in particular.
    if moment is not Moment.OTHER or part not in {Part.REFLECTOR, Part.REFLECTORS}
)
"""Every fault that is to be survived."""
AWAY = 2.0
"""Seconds for which something stopped or killed is away, if it does not come back by itself."""
HANG = 4.0
"""Seconds for which something hangs."""
WITHIN = {
    Part.BRIDGE: 15.0,
    Part.HOOK: 10.0,
    Part.EXABGP: 15.0,
    # Peers that were just trying go on with their own retransmissions; then whoever is not to initiate waits its turn.
    Part.CHARON: 25.0,
    Part.REFLECTOR: 15.0,
    Part.REFLECTORS: 15.0,
    # TCP and IKE repeat what was lost, each at its time.
    Part.LINK: 20.0,
}
"""Seconds within which a mesh must be whole again."""
STAYS = 1.0
"""Seconds for which a mesh that is whole again must stay as it is."""


def chosen(moments: Collection[Moment], *, short: bool = SHORT) -> list[Cell]:
    """The cells of these moments; in the short form all at rest and, converging, what is killed at the newcomer."""
    cells = [cell for cell in CELLS if cell[2] in moments]
    if short:
        return [cell for cell in cells if cell[2] is Moment.REST or cell[1:] == (Way.KILL, Moment.NEWCOMER)]
    return cells


def name(value: Part | Way | Moment) -> str:
    return value.name.lower()


def survives(fault: Fault, moment: Moment, before: Held) -> None:
    """Have it happen, mend it, and wait until the mesh is whole; what that took goes into the table."""
    fault.inject()
    if fault.way is Way.HANG or fault.part not in {Part.HOOK, Part.EXABGP}:
        time.sleep(HANG if fault.way is Way.HANG else AWAY)
    mended = time.monotonic()
    fault.mend()
    bound = WITHIN[fault.part]
    after = becomes_whole(fault.mesh, within=bound + STAYS, stays=STAYS)
    took = time.monotonic() - mended - STAYS
    stay = kept(before, after)
    assert lost_by(fault, before) == before.keys() - stay
    figures = {fault.way.value: f"{took:.1f} s, {len(stay)} of {len(before)}", "bound": f"{bound:g} s"}
    TABLE.shown((fault.part.value, moment.value), figures)


def lost_by(fault: Fault, before: Held) -> set[Softwire]:
    """What a fault takes along, and must: charon's own SAs, which are in its memory. Nothing else takes any."""
    if fault.part is not Part.CHARON or fault.way is Way.HANG:
        return set()
    return {softwire for softwire in before if fault.router in softwire[:2]}
