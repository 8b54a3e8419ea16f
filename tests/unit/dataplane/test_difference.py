"""Differences of layouts: what they order, and that taking them arrives at what is wanted."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given

from softmesh.dataplane import difference
from softmesh.dataplane.layout import Hop, Layout
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
from softmesh.mesh.softwire import Address, InterfaceKind, Network
from tests.unit.dataplane import layouts
from tests.unit.dataplane.layouts import PREFIXES, SOURCES, device, layout

PREFIX = PREFIXES[0]


def source(prefix: Network) -> Address:
    return SOURCES[prefix.version]


def nowhere(_: Network) -> None:
    return None


def test_a_missing_device_is_made_and_a_wrong_mtu_set() -> None:
    assert difference.devices(layout(device()), Layout()) == (MakeDevice(device()),)
    assert difference.devices(layout(device(mtu=1400)), layout(device())) == (SetMtu(device().name, 1400),)
    assert difference.devices(layout(device()), layout(device())) == ()


def test_a_device_that_leads_elsewhere_is_made_anew() -> None:
    for other in (device(kind=InterfaceKind.GRE), replace(device(), remote=layouts.OTHER)):
        steps = difference.devices(layout(device()), layout(other))
        assert steps == (RemoveDevice(device().name), MakeDevice(device()))


def test_a_device_found_under_a_name_that_is_not_its_number_is_made_anew() -> None:
    damaged = Layout({device().name: device(number=0)})
    assert difference.devices(layout(device()), damaged) == (RemoveDevice(device().name), MakeDevice(device()))
    assert difference.surplus(Layout(), damaged) == (RemoveDevice(device().name),)


def test_with_a_device_made_anew_its_routes_are_set_again() -> None:
    found = replace(layout(device(kind=InterfaceKind.GRE)), routes={PREFIX: Hop(device().name)})
    wanted = replace(layout(device()), routes={PREFIX: Hop(device().name)})
    then = difference.after(found, difference.devices(wanted, found))
    assert difference.routes(wanted, then, may_remove=False, source=nowhere) == (SetRoute(PREFIX, Hop(device().name)),)


def test_blackholes_come_before_everything_and_only_a_flush_removes_them() -> None:
    wanted = replace(layout(device()), blackholes=frozenset(PREFIXES[:2]))
    steps = difference.devices(wanted, Layout())
    assert steps == (AddBlackhole(PREFIXES[0]), AddBlackhole(PREFIXES[1]), MakeDevice(device()))
    assert difference.devices(Layout(), wanted) == ()
    assert difference.surplus(Layout(), wanted) == (RemoveDevice(device().name),)
    assert difference.everything(wanted) == (
        RemoveDevice(device().name), RemoveBlackhole(PREFIXES[0]), RemoveBlackhole(PREFIXES[1]),
    )  # fmt: skip


def test_routes_are_removed_only_when_it_is_known_that_nobody_wants_them() -> None:
    found = Layout(routes={PREFIX: Hop("sm-00000001")})
    assert difference.routes(Layout(), found, may_remove=False, source=nowhere) == ()
    assert difference.routes(Layout(), found, may_remove=True, source=nowhere) == (RemoveRoute(PREFIX),)


def test_a_route_moves_without_leave_to_remove() -> None:
    found = Layout(routes={PREFIX: Hop("sm-00000001")})
    for hop in (Hop("sm-00000002"), Hop("sm-00000001", explicit_null=True)):
        steps = difference.routes(Layout(routes={PREFIX: hop}), found, may_remove=False, source=nowhere)
        assert steps == (SetRoute(PREFIX, hop),)


def test_a_route_from_another_source_is_set_again() -> None:
    hop = Hop("sm-00000001")
    without = Layout(routes={PREFIX: hop})
    with_one = replace(without, sources={PREFIX: SOURCES[4]})
    assert difference.routes(without, without, may_remove=True, source=source) == (SetRoute(PREFIX, hop, SOURCES[4]),)
    assert difference.routes(without, with_one, may_remove=True, source=source) == ()
    assert difference.routes(without, with_one, may_remove=True, source=nowhere) == (SetRoute(PREFIX, hop),)


@given(layouts.wanted, layouts.found())
def test_the_steps_of_a_pass_arrive_at_what_is_wanted(wanted: Layout, found: Layout) -> None:
    then = found
    for _ in range(2):
        steps: list[Step] = [*difference.devices(wanted, then)]
        then = difference.after(then, steps)
        routes = difference.routes(wanted, then, may_remove=True, source=source)
        then = difference.after(then, routes)
        surplus = difference.surplus(wanted, then)
        then = difference.after(then, surplus)
    assert then.devices == wanted.devices
    assert then.blackholes == wanted.blackholes | found.blackholes
    assert then.sources == {prefix: source(prefix) for prefix in then.routes}
    # A route cannot lead into a device that is not there; the kernel refuses such a one.
    assert {prefix: hop for prefix, hop in wanted.routes.items() if hop.device in wanted.devices} == {
        prefix: hop for prefix, hop in then.routes.items() if hop.device in wanted.devices
    }
    assert difference.devices(wanted, then) == ()
    assert difference.surplus(wanted, then) == ()


@given(layouts.found())
def test_what_is_as_wanted_needs_no_step(found: Layout) -> None:
    assert difference.devices(found, found) == ()
    assert difference.surplus(found, found) == ()
    assert difference.routes(found, found, may_remove=True, source=found.sources.get) == ()


@given(layouts.wanted, layouts.found())
def test_without_leave_nothing_is_removed_but_to_be_made_anew(wanted: Layout, found: Layout) -> None:
    steps = [
        *difference.devices(wanted, found),
        *difference.routes(wanted, found, may_remove=False, source=source),
    ]
    made = {step.device.name for step in steps if isinstance(step, MakeDevice)}
    for step in steps:
        assert not isinstance(step, RemoveRoute | RemoveBlackhole)
        assert not isinstance(step, RemoveDevice) or step.name in made


@given(layouts.found())
def test_a_flush_leaves_nothing(found: Layout) -> None:
    steps = difference.everything(found)
    assert difference.after(found, steps) == Layout()
    order = [RemoveRoute, RemoveDevice, RemoveBlackhole]
    assert sorted(steps, key=lambda step: order.index(type(step))) == list(steps)
