"""What was configured meets what kernel and charon can."""

from __future__ import annotations

from dataclasses import replace

import pytest

from softmesh.bgp.codepoints import TunnelType
from softmesh.charon.ability import Ability as CharonAbility
from softmesh.config.values import DataPlane, DataPlaneMode, Selectors
from softmesh.control.fabric import fabric_of
from softmesh.dataplane.ability import Ability as KernelAbility
from softmesh.mesh.softwire import HostTraffic, InterfaceKind, SoftwireType

STOCK = CharonAbility("5.9.8", kernel_libipsec=False, ml_kem=False)
LIBIPSEC = CharonAbility("5.9.8", kernel_libipsec=True, ml_kem=False)
ALL = KernelAbility(xfrm_interface=True, vti=True, reason="")
ONLY_VTI = KernelAbility(xfrm_interface=False, vti=True, reason="this kernel has no XFRM interfaces")
NEITHER = KernelAbility(xfrm_interface=False, vti=False, reason="this kernel has neither XFRM interfaces nor VTI")
TRANSPORT = {
    TunnelType.IP_IN_IP_IPSEC_TRANSPORT, TunnelType.MPLS_IN_IP_IPSEC_TRANSPORT, TunnelType.GRE, TunnelType.L2TPV3,
    HostTraffic.BGP,
}  # fmt: skip


@pytest.mark.parametrize(
    ("mode", "kernel", "charon", "tunnel", "unable", "reason"),
    [
        (DataPlaneMode.AUTO, ALL, STOCK, InterfaceKind.XFRM, set(), "route, by XFRM interfaces"),
        (DataPlaneMode.AUTO, ONLY_VTI, STOCK, None, set(), "policy, for this kernel has no XFRM interfaces"),
        (DataPlaneMode.AUTO, ALL, LIBIPSEC, None, TRANSPORT, "policy, for charon's ESP is kernel-libipsec's"),
        (DataPlaneMode.ROUTE, ALL, STOCK, InterfaceKind.XFRM, set(), "route, by XFRM interfaces"),
        (
            DataPlaneMode.ROUTE, ONLY_VTI, STOCK, InterfaceKind.VTI, set(),
            "route, by VTI, for this kernel has no XFRM interfaces",
        ),
        (
            DataPlaneMode.ROUTE, NEITHER, STOCK, None, {TunnelType.IPSEC_TUNNEL},
            "none for type 4, for this kernel has neither XFRM interfaces nor VTI",
        ),
        (
            DataPlaneMode.ROUTE, ALL, LIBIPSEC, None, {*TRANSPORT, TunnelType.IPSEC_TUNNEL},
            "none for type 4, for charon's ESP is kernel-libipsec's",
        ),
        (DataPlaneMode.POLICY, ALL, STOCK, None, set(), "policy, as configured"),
    ],
)  # fmt: skip
def test_the_data_plane_and_why(
    mode: DataPlaneMode, kernel: KernelAbility, charon: CharonAbility, tunnel: InterfaceKind | None,
    unable: set[SoftwireType], reason: str,
) -> None:  # fmt: skip
    fabric = fabric_of(DataPlane(mode=mode), kernel, charon)
    assert fabric.tunnel == tunnel
    assert fabric.unable.keys() == unable
    assert fabric.reason == reason


@pytest.mark.parametrize("kernel", [ALL, ONLY_VTI])
def test_what_is_asked_beside_the_mode_is_taken_over(kernel: KernelAbility) -> None:
    wanted = DataPlane(mode=DataPlaneMode.ROUTE, selectors=Selectors.ANY, interfaces=False)
    fabric = fabric_of(wanted, kernel, STOCK)
    assert fabric.any_selectors
    assert not fabric.interfaces
    assert fabric_of(DataPlane(), kernel, STOCK).interfaces


def test_without_mpls_there_is_no_type_6_of_ours() -> None:
    kernel = replace(ALL, mpls=False)
    assert fabric_of(DataPlane(), kernel, STOCK).unable.keys() == {TunnelType.MPLS_IN_IP_IPSEC_TRANSPORT}
    assert not fabric_of(DataPlane(interfaces=False), kernel, STOCK).unable
