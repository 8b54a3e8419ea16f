"""XFRM interfaces by netlink; for everything else see tests/vm/test_devices.py."""

from __future__ import annotations

import sys
import time
from dataclasses import replace

import pytest

from lab.namespace import Namespace
from softmesh.dataplane import difference
from softmesh.dataplane.ability import kernel_ability
from softmesh.dataplane.kernel import Kernel
from softmesh.dataplane.layout import Hop, Layout
from softmesh.dataplane.steps import MakeDevice, RemoveDevice, SetMtu, SetRoute
from softmesh.mesh.softwire import InterfaceKind
from tests.vm.test_devices import PREFIX4, PREFIX6, device, found, router

__all__ = ["router"]

XFRM = InterfaceKind.XFRM
pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize("version", [4, 6])
async def test_an_xfrm_interface_is_made_found_changed_and_removed(router: Namespace, version: int) -> None:
    kernel, made = Kernel(), device(XFRM, version)
    wanted = Layout({made.name: made}, {PREFIX4: Hop(made.name), PREFIX6: Hop(made.name)})
    for _ in range(2):
        assert await kernel.apply([MakeDevice(made), *(SetRoute(*route) for route in wanted.routes.items())]) == []
        assert await found() == wanted
    shown = router.ip("-d", "link", "show", made.name)
    assert "xfrm if_id 0xabc" in shown
    assert "addrgenmode none" in shown
    assert f"alias softmesh xfrm {made.local} {made.remote}" in shown
    assert await kernel.apply([SetMtu(made.name, 1380)]) == []
    assert (await found()).devices == {made.name: replace(made, mtu=1380)}
    router.ip("link", "set", made.name, "down")
    steps = difference.devices(wanted, await found())
    assert steps == (RemoveDevice(made.name), MakeDevice(made))
    assert await kernel.apply(steps) == []
    assert await kernel.apply(difference.everything(await found())) == []
    assert await found() == Layout()


async def test_an_interface_of_somebody_elses_with_the_same_number_is_said(router: Namespace) -> None:
    router.ip("link", "add", "theirs", "type", "xfrm", "if_id", "0xabc")
    ((_, why),) = await Kernel().apply([MakeDevice(device(XFRM, 6))])
    assert why == "interface theirs has its if_id 2748: remove it (ip link delete theirs)"
    assert await found() == Layout()


async def test_what_this_kernel_can(router: Namespace) -> None:
    ability = await kernel_ability()
    assert (ability.xfrm_interface, ability.vti, ability.mpls, ability.reason) == (True, True, True, "")
    assert "sm-" not in router.ip("link", "show")


async def test_many(router: Namespace) -> None:
    kernel = Kernel()
    wanted = Layout({made.name: made for made in (device(XFRM, 6, number=n, last=n + 1) for n in range(1, 201))})
    began = time.monotonic()
    assert await kernel.apply(difference.devices(wanted, Layout())) == []
    made = time.monotonic()
    assert await found() == wanted
    sys.stdout.write(f"200 XFRM interfaces {made - began:.2f} s, a look {time.monotonic() - made:.2f} s\n")
