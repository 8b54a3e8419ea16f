"""What softwires have carried: sums that never go back, whatever becomes of the SAs."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from softmesh.bgp.codepoints import TunnelType
from softmesh.charon.observed import ChildSa, IkeSa
from softmesh.control.odometer import Odometer, Traffic
from softmesh.mesh.softwire import SoftwireId

WIRE = SoftwireId(ip_address("2001:db8:f::1"), ip_address("2001:db8:f::2"), TunnelType.IPSEC_TUNNEL)


def child(number: str, count: int = 0, *, name: str = "c", state: str = "INSTALLED") -> ChildSa:
    """A CHILD SA that has carried ``count`` octets in, twice that out, and a tenth of it in packets."""
    nothing: frozenset[str] = frozenset()
    return ChildSa(
        name, number, state, "tunnel", "ESP", nothing, nothing, spi_in=f"a{number}",
        bytes_in=count, bytes_out=2 * count, packets_in=count // 10, packets_out=count // 5,
    )  # fmt: skip


def ike(*children: ChildSa, unlisted: bool = False) -> tuple[IkeSa, ...]:
    ends = ("2001:db8:f::1", "2001:db8:f::2", "a", "b")
    return (IkeSa("softmesh-x", "1", "ESTABLISHED", True, *ends, children=children, unlisted=unlisted),)


def traffic(count: int) -> Traffic:
    return Traffic(count, 2 * count, count // 10, count // 5)


def begun() -> Odometer:
    """One that has looked once, at nothing."""
    odometer = Odometer()
    odometer.look((), {})
    return odometer


def test_counters_of_one_sa_are_followed() -> None:
    odometer = begun()
    for count in (10, 10, 250):
        sa = child("1", count)
        odometer.look(ike(sa), {WIRE: (sa,)})
        assert odometer.totals[WIRE] == traffic(count)


def test_a_successor_adds_to_what_its_predecessor_carried() -> None:
    odometer = begun()
    old = child("1", 100)
    odometer.look(ike(old), {WIRE: (old,)})
    new = child("2", 30)
    odometer.look(ike(replace(child("1", 120), state="REKEYED"), new), {WIRE: (new,)})
    assert odometer.totals[WIRE] == traffic(150), "with what the old one carried before it was replaced"
    later = child("2", 50)
    odometer.look(ike(later), {WIRE: (later,)})
    assert odometer.totals[WIRE] == traffic(170)


def test_a_softwire_that_was_down_goes_on_from_there() -> None:
    odometer = begun()
    old, new = child("1", 100), child("2", 10)
    odometer.look(ike(old), {WIRE: (old,)})
    odometer.look((), {WIRE: ()})
    odometer.look(ike(new), {WIRE: (new,)})
    assert odometer.totals[WIRE] == traffic(110)


@pytest.mark.parametrize("unknown_for", [0, 1, 2], ids=lambda looks: f"told whose after {looks} looks")
def test_what_was_carried_before_the_bridge_began_is_not_told_again(unknown_for: int) -> None:
    odometer = Odometer()
    for _ in range(unknown_for):
        odometer.look(ike(child("1", 1_000_000)), {})
    first, then = child("1", 1_000_000), child("1", 1_000_020)
    odometer.look(ike(first), {WIRE: (first,)})
    assert odometer.totals.get(WIRE, traffic(0)) == traffic(0)
    odometer.look(ike(then), {WIRE: (then,)})
    assert odometer.totals[WIRE] == traffic(20)


def test_the_same_number_from_another_charon_is_another_sa() -> None:
    odometer = begun()
    old = child("1", 100)
    odometer.look(ike(old), {WIRE: (old,)})
    new = replace(child("1", 40), spi_in="b1")
    odometer.look(ike(new), {WIRE: (new,)})
    assert odometer.totals[WIRE] == traffic(140)


def test_no_counter_goes_back() -> None:
    odometer = begun()
    for count in (100, 40, 60):
        sa = child("1", count)
        odometer.look(ike(sa), {WIRE: (sa,)})
    assert odometer.totals[WIRE] == traffic(120)


def test_sas_that_charon_cannot_list_for_a_while_are_not_counted_twice() -> None:
    odometer = begun()
    sa, later = child("1", 100), child("1", 130)
    odometer.look(ike(sa), {WIRE: (sa,)})
    odometer.look(ike(unlisted=True), {WIRE: ()})
    odometer.look(ike(later), {WIRE: (later,)})
    assert odometer.totals[WIRE] == traffic(130)


def test_what_carries_no_softwire_is_nobodys() -> None:
    odometer = begun()
    sa, other = child("1", 100), child("2", 70, name="d")
    odometer.look(ike(sa, other), {WIRE: (sa,)})
    assert odometer.totals == {WIRE: traffic(100)}
