"""Which data plane this machine gets: what was configured, met by what its kernel and its charon can. Pure."""

from __future__ import annotations

from dataclasses import replace

from softmesh.bgp.codepoints import TunnelType
from softmesh.charon.ability import Ability as CharonAbility
from softmesh.config.values import DataPlane, DataPlaneMode, Selectors
from softmesh.dataplane.ability import Ability as KernelAbility
from softmesh.mesh.policy import Fabric
from softmesh.mesh.softwire import HostTraffic, InterfaceKind, SoftwireType

_TRANSPORT: tuple[SoftwireType, ...] = (
    TunnelType.IP_IN_IP_IPSEC_TRANSPORT,
    TunnelType.MPLS_IN_IP_IPSEC_TRANSPORT,
    TunnelType.GRE,
    TunnelType.L2TPV3,
    HostTraffic.BGP,
)
_LIBIPSEC = "charon's ESP is kernel-libipsec's"


def fabric_of(wanted: DataPlane, kernel: KernelAbility, charon: CharonAbility) -> Fabric:
    """Choose the data plane; what cannot be had is refused type by type, with the remedy."""
    if charon.kernel_libipsec:
        unable = dict.fromkeys(_TRANSPORT, f"{_LIBIPSEC}, which has no transport mode")
        if wanted.mode is DataPlaneMode.ROUTE:
            unable[TunnelType.IPSEC_TUNNEL] = (
                f"dataplane.mode is route, but {_LIBIPSEC}, which knows no interfaces: set it to policy"
            )
            return Fabric(unable=unable, reason=f"none for type 4, for {_LIBIPSEC}")
        return Fabric(unable=unable, reason=f"policy, for {_LIBIPSEC}")
    anything = wanted.selectors is Selectors.ANY
    no_mpls: dict[SoftwireType, str] = {}
    if wanted.interfaces and not kernel.mpls:
        no_mpls[TunnelType.MPLS_IN_IP_IPSEC_TRANSPORT] = "this kernel has no MPLS (modprobe mpls_router mpls_iptunnel)"
    fabric = Fabric(interfaces=wanted.interfaces, unable=no_mpls)
    if wanted.mode is DataPlaneMode.POLICY:
        return replace(fabric, reason="policy, as configured")
    if kernel.xfrm_interface:
        return replace(fabric, tunnel=InterfaceKind.XFRM, any_selectors=anything, reason="route, by XFRM interfaces")
    if wanted.mode is DataPlaneMode.AUTO:
        return replace(fabric, reason=f"policy, for {kernel.reason}")
    if kernel.vti:
        reason = f"route, by VTI, for {kernel.reason}"
        return replace(fabric, tunnel=InterfaceKind.VTI, any_selectors=anything, reason=reason)
    refused: dict[SoftwireType, str] = {
        TunnelType.IPSEC_TUNNEL: f"dataplane.mode is route, but {kernel.reason}: set it to policy"
    }
    return replace(fabric, unable=no_mpls | refused, reason=f"none for type 4, for {kernel.reason}")
