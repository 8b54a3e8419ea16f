"""When to tell a neighbour that it has all our routes (End-of-RIB, RFC 4724 §2).

ExaBGP would say so itself as soon as a session stands, before any hook had a chance to announce: a neighbour that kept
our routes over a restart then drops them (RFC 4724 §4.2), the mesh tears our softwires down, and half a second later
builds them again. So ExaBGP runs with ``manual-eor``, and the hook says it when what the bridge wants has been given.

A marker for a family that was not negotiated makes some neighbours reset the session. Not every ExaBGP tells what was
negotiated, so a family counts once the neighbour has used it: those that keep routes send markers of their own.
"""

from __future__ import annotations

from softmesh.bgp.route import Family


class EndOfRibDebt:
    """The markers we owe. Pure: it reads neither clock nor socket."""

    def __init__(self) -> None:
        self._owed: dict[tuple[str, Family], None] = {}
        self._paid: set[tuple[str, Family]] = set()

    def session_changed(self, neighbor: str) -> None:
        """Forget a neighbour's session: the next one is owed everything again."""
        self._owed = {debt: None for debt in self._owed if debt[0] != neighbor}
        self._paid = {debt for debt in self._paid if debt[0] != neighbor}

    def family_used(self, neighbor: str, family: Family) -> None:
        """Take note that a neighbour sent something in a family."""
        if (neighbor, family) not in self._paid:
            self._owed[neighbor, family] = None

    def pay(self) -> list[str]:
        """Return the commands that pay all that is owed; call it once every announcement has been given."""
        commands = [f"neighbor {neighbor} announce eor {family.value}" for neighbor, family in self._owed]
        self._paid.update(self._owed)
        self._owed.clear()
        return commands
