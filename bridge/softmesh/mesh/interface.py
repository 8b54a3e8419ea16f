"""Which interface a softwire has, named by what it is for: the same after every restart, with nothing remembered."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from softmesh.bgp.codepoints import TunnelType
from softmesh.mesh.policy import Fabric
from softmesh.mesh.softwire import Interface, InterfaceKind, SoftwireId, SoftwireType

_KIND: Mapping[SoftwireType, InterfaceKind] = {
    TunnelType.IP_IN_IP_IPSEC_TRANSPORT: InterfaceKind.IP_IN_IP,
    TunnelType.MPLS_IN_IP_IPSEC_TRANSPORT: InterfaceKind.IP_IN_IP,
    TunnelType.GRE: InterfaceKind.GRE,
}
"""L2TPv3 carries frames: whoever switches them makes its interface."""


class Interfaces:
    """Interfaces given out in one fold; ask in the same order every time."""

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric
        self._owner: dict[int, str] = {}

    def give(self, wire: SoftwireId) -> Interface | None:
        """The interface of a softwire, None where it has none of ours."""
        kind = self._kind(wire.type)
        if kind is None:
            return None
        purpose = _purpose(wire, kind)
        for salt in range(2**16):
            number = _number(purpose, salt)
            if number and self._owner.setdefault(number, purpose) == purpose:
                return Interface(kind, number)
        raise AssertionError("32 bits hold more softwires than there are")

    def _kind(self, tunnel_type: SoftwireType) -> InterfaceKind | None:
        if tunnel_type == TunnelType.IPSEC_TUNNEL:
            return self._fabric.tunnel
        return _KIND.get(tunnel_type) if self._fabric.interfaces else None


def _purpose(wire: SoftwireId, kind: InterfaceKind) -> str:
    # The kernel tells XFRM interfaces apart by if_id; of the others there is one between two addresses, which
    # softwires of several types and colours share.
    own = f" {int(wire.type)} {wire.color}" if kind is InterfaceKind.XFRM else ""
    return f"{kind} {wire.local} {wire.remote}{own}"


def _number(purpose: str, salt: int) -> int:
    return int.from_bytes(hashlib.blake2b(f"{salt} {purpose}".encode(), digest_size=4).digest())
