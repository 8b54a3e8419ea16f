"""What is not told to a neighbour that has not negotiated RFC 8950, as status tells it."""

from __future__ import annotations

import pytest

from softmesh.bgp.announcement import Announcement
from softmesh.bgp.extended_next_hop import Lacking
from softmesh.bgp.route import Neighbor, SessionState
from softmesh.cli.status import lines
from softmesh.control.view import View, status
from softmesh.control.withheld import Withheld, withheld_from

A, B = "2001:db8:f::fe", "2001:db8:f::fd"
OURS = [
    Announcement("10.1.0.0/24", "2001:db8:f::1"),
    Announcement("10.9.0.0/24", "2001:db8:f::1", neighbors=frozenset({A})),
    Announcement("2001:db8:1::/48", "2001:db8:f::1"),
]


def shown(withheld: dict[str, Withheld]) -> list[str]:
    view = View(
        now=100.0,
        endpoint="2001:db8:f::1",
        authenticators=("aa" * 20,),
        announcing=True,
        prefixes=(),
        hook_connected=True,
        charon="",
        awaited=(),
        neighbors={each: Neighbor(each, 65000, SessionState.UP, 40.0) for each in (A, B)},
        withheld=withheld,
    )
    told = status(view)
    assert [row["withheld"] is None for row in told["neighbors"]] == [each not in withheld for each in (A, B)]
    return [line for line in lines(told) if line.startswith("    withheld")]


@pytest.mark.parametrize(
    ("who", "remedy"),
    [
        (Lacking.NEIGHBOR, ("BIRD", "OpenBGPD", "FRR", "docs/reflectors.md")),
        (Lacking.EXABGP, ("our ExaBGP", "exabgp/softmesh.conf")),
    ],
)
def test_it_is_told_with_reason_and_remedy(who: Lacking, remedy: tuple[str, ...]) -> None:
    withheld = withheld_from([A, B], OURS, {A: who})
    assert withheld.keys() == {A}
    assert withheld[A].prefixes == ("10.1.0.0/24", "10.9.0.0/24")
    assert "RFC 8950" in withheld[A].reason
    assert all(part in withheld[A].remedy for part in remedy)
    (line,) = shown(withheld)
    assert line.startswith("    withheld   2 prefixes, such as 10.1.0.0/24: ")
    assert line.endswith(f"{withheld[A].reason}; {withheld[A].remedy}")


def test_one_prefix_is_named() -> None:
    (line,) = shown(withheld_from([A, B], OURS, {B: Lacking.NEIGHBOR}))
    assert line.startswith("    withheld   10.1.0.0/24: it does not offer")


def test_nothing_is_said_where_nothing_needs_it() -> None:
    assert withheld_from([A, B], OURS[2:], {A: Lacking.NEIGHBOR}) == {}
    assert withheld_from([A], OURS, {B: Lacking.NEIGHBOR}) == {}
    assert shown({}) == []
