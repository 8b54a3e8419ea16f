"""What this kernel can: found by asking it, for the modules may have to be loaded first."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Any

from pyroute2 import AsyncIPRoute, NetlinkError

from softmesh.mesh.softwire import INTERFACE_PREFIX

_PROBE = f"{INTERFACE_PREFIX}probe"
_NUMBER = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Ability:
    """Of one kernel, as this process may use it."""

    xfrm_interface: bool
    vti: bool
    reason: str
    """Why there are no XFRM interfaces; empty where there are."""


async def kernel_ability() -> Ability:
    """Make an interface of each kind, and remove it at once."""
    async with AsyncIPRoute() as netlink:
        xfrm = await _refusal(netlink, kind="xfrm", xfrm_if_id=_NUMBER)
        if not xfrm:
            return Ability(xfrm_interface=True, vti=True, reason="")
        # Two addresses for documentation (RFC 5737 §3): nobody has a tunnel between them.
        vti = await _refusal(netlink, kind="vti", vti_local="192.0.2.1", vti_remote="192.0.2.2", vti_ikey=1, vti_okey=1)
    if errno.EPERM in (xfrm, vti):
        return Ability(xfrm_interface=False, vti=False, reason="this process may make no interfaces (CAP_NET_ADMIN)")
    lacks = "neither XFRM interfaces nor VTI" if vti else "no XFRM interfaces"
    return Ability(xfrm_interface=False, vti=not vti, reason=f"this kernel has {lacks}")


async def _refusal(netlink: Any, **attributes: Any) -> int:
    """The error number with which the kernel refuses an interface; 0 where it does not."""
    try:
        await netlink.link("add", ifname=_PROBE, **attributes)
    except NetlinkError as error:
        return int(error.code)
    index = (await netlink.link_lookup(ifname=_PROBE))[0]
    await netlink.link("del", index=index)
    return 0
