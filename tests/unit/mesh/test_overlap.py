"""Prefixes that lie in each other, of different routers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from softmesh.mesh.overlap import Owned, overlapped, overlaps
from softmesh.mesh.softwire import Address, Network

ROUTERS = [ip_address(f"192.0.2.{number}") for number in range(1, 4)]
PREFIXES = [
    ip_network(text)
    for text in (
        "0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/9", "10.128.0.0/9", "10.0.0.0/24", "10.0.1.0/24", "::/0", "2001:db8::/32",
        "2001:db8:1::/48", "2001:db9::/32",
    )
]  # fmt: skip


def every_two(prefixes: Mapping[Address, Sequence[Network]]) -> set[frozenset[Owned]]:
    owned = [Owned(router, prefix) for router, announced in prefixes.items() for prefix in announced]
    return {
        frozenset(pair)
        for pair in combinations(owned, 2)
        if pair[0].router != pair[1].router
        and pair[0].prefix.version == pair[1].prefix.version
        and pair[0].prefix.overlaps(pair[1].prefix)
    }


@given(st.dictionaries(st.sampled_from(ROUTERS), st.lists(st.sampled_from(PREFIXES), unique=True)))
def test_as_if_every_two_were_compared(prefixes: dict[Address, list[Network]]) -> None:
    expected = every_two(prefixes)
    found = [frozenset(pair) for pair in overlaps(prefixes, ROUTERS)]
    assert len(found) == len(set(found))
    assert set(found) == expected
    assert overlapped(prefixes) == {owned for pair in expected for owned in pair}
    of_one = {pair for pair in expected if any(owned.router == ROUTERS[0] for owned in pair)}
    assert {frozenset(pair) for pair in overlaps(prefixes, ROUTERS[:1])} == of_one


def test_the_larger_comes_first() -> None:
    ((outer, inner),) = overlaps({ROUTERS[0]: [PREFIXES[4]], ROUTERS[1]: [PREFIXES[1]]}, ROUTERS)
    assert (outer.router, inner.router) == (ROUTERS[1], ROUTERS[0])
