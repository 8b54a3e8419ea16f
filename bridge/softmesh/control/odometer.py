"""What softwires have carried since the bridge began: charon's counters begin anew with every SA, these never."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from softmesh.charon.observed import ChildSa, IkeSa
from softmesh.mesh.softwire import SoftwireId

_Sa: TypeAlias = tuple[str, str]
"""charon's number of a CHILD SA, which starts anew with charon, and its inbound SPI."""
_Child: TypeAlias = tuple[str, str]
"""A connection's name and a child's."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Octets and packets, within the tunnel."""

    bytes_in: int = 0
    bytes_out: int = 0
    packets_in: int = 0
    packets_out: int = 0

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(
            self.bytes_in + other.bytes_in,
            self.bytes_out + other.bytes_out,
            self.packets_in + other.packets_in,
            self.packets_out + other.packets_out,
        )

    def since(self, before: Traffic) -> Traffic:
        """What has been added; nothing where a counter is smaller than before."""
        return Traffic(
            max(0, self.bytes_in - before.bytes_in),
            max(0, self.bytes_out - before.bytes_out),
            max(0, self.packets_in - before.packets_in),
            max(0, self.packets_out - before.packets_out),
        )


class Odometer:
    """Adds up the counters of CHILD SAs that come and go.

    What an SA carries after the last look at it is in no sum: a look follows every event, and one comes every ten
    seconds at least.
    """

    def __init__(self) -> None:
        self.totals: dict[SoftwireId, Traffic] = {}
        self._carries: dict[_Child, SoftwireId] = {}
        """Which softwire a child has carried; one that stands in for its successor, or is being deleted, still does."""
        self._read: dict[_Sa, Traffic] | None = None
        """What was read last; None before the first look."""
        self._looked_at: tuple[IkeSa, ...] | None = None

    def look(self, ike_sas: tuple[IkeSa, ...], installed: Mapping[SoftwireId, Iterable[ChildSa]]) -> None:
        """Take in a look at charon, and which SAs carry each softwire."""
        if ike_sas is self._looked_at:
            return
        self._looked_at = ike_sas
        wires = {_key(sa): wire for wire, sas in installed.items() for sa in sas}
        listed = [(_key(sa), (ike.connection, sa.name), sa) for ike in ike_sas for sa in ike.children]
        named = {child for _, child, _ in listed}
        self._carries = {child: wire for child, wire in self._carries.items() if child in named}
        self._carries.update((child, wires[key]) for key, child, _ in listed if key in wires)
        before = self._read
        # Of an IKE_SA that charon says nothing of, what was read last counts on.
        self._read = dict(before or {}) if any(ike.unlisted for ike in ike_sas) else {}
        for key, child, sa in listed:
            reading = Traffic(sa.bytes_in, sa.bytes_out, sa.packets_in, sa.packets_out)
            wire = self._carries.get(child)
            # What SAs carried before the bridge began is not told: after a restart it would be counted twice.
            if before is not None and wire is not None:
                self.totals[wire] = self.totals.get(wire, Traffic()) + reading.since(before.get(key, Traffic()))
            if before is None or wire is not None or key in before:
                self._read[key] = reading


def _key(sa: ChildSa) -> _Sa:
    return sa.unique_id, sa.spi_in
