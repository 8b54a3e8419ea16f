"""Steps as ``softmesh plan`` prints them."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from softmesh.dataplane.layout import Hop
from softmesh.dataplane.steps import (
    AddBlackhole,
    MakeDevice,
    RemoveBlackhole,
    RemoveDevice,
    RemoveRoute,
    SetMtu,
    SetRoute,
    Step,
)
from tests.unit.dataplane.layouts import device

PREFIX = ip_network("10.2.0.0/24")


@pytest.mark.parametrize(
    ("step", "about", "line"),
    [
        (
            MakeDevice(device()), "sm-00000001",
            "make interface sm-00000001 (xfrm, 2001:db8:f::1 - 2001:db8:f::2, MTU 1426)",
        ),
        (SetMtu("sm-00000001", 1400), "sm-00000001", "set MTU 1400 on interface sm-00000001"),
        (RemoveDevice("sm-00000001"), "sm-00000001", "remove interface sm-00000001"),
        (SetRoute(PREFIX, Hop("sm-00000001")), "10.2.0.0/24", "route 10.2.0.0/24 into sm-00000001"),
        (
            SetRoute(PREFIX, Hop("sm-00000001", explicit_null=True), ip_address("10.1.0.1")), "10.2.0.0/24",
            "route 10.2.0.0/24 into sm-00000001 under an MPLS explicit null label from 10.1.0.1",
        ),
        (RemoveRoute(PREFIX), "10.2.0.0/24", "remove the route to 10.2.0.0/24"),
        (AddBlackhole(PREFIX), "10.2.0.0/24", "add blackhole route 10.2.0.0/24"),
        (RemoveBlackhole(PREFIX), "10.2.0.0/24", "remove blackhole route 10.2.0.0/24"),
    ],
)  # fmt: skip
def test_a_step_says_in_one_line_what_it_does_and_to_what(step: Step, about: str, line: str) -> None:
    assert (step.about, step.describe()) == (about, line)
