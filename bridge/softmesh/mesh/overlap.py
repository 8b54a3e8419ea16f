"""Prefixes that more than one router announces, in whole or in part."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from softmesh.mesh.softwire import Address, Network


class Owned(NamedTuple):
    """A prefix and the router that announces it."""

    router: Address
    prefix: Network


def overlapped(prefixes: Mapping[Address, Iterable[Network]]) -> frozenset[Owned]:
    """The prefixes that overlap one of another router."""
    found: set[Owned] = set()
    for around, own in _nested(prefixes):
        routers = {owned.router for owned in own}
        outside = {owned.router for owned in around}
        found.update(inner for inner in own if (routers | outside) - {inner.router})
        found.update(outer for outer in around if routers - {outer.router})
    return frozenset(found)


def overlaps(prefixes: Mapping[Address, Iterable[Network]], of: Collection[Address]) -> Iterator[tuple[Owned, Owned]]:
    """Every two overlapping prefixes of different routers, at least one of which is in ``of``; the larger first."""
    for around, own in _nested(prefixes):
        for position, inner in enumerate(own):
            for outer in (*around, *own[:position]):
                if outer.router != inner.router and (outer.router in of or inner.router in of):
                    yield outer, inner


def _nested(
    prefixes: Mapping[Address, Iterable[Network]],
) -> Iterator[tuple[list[Owned], list[Owned]]]:
    """Each prefix, once for each router that announces it; before it in the tuple, all that lies around it."""
    owners: dict[Network, list[Owned]] = {}
    for router, announced in prefixes.items():
        for prefix in announced:
            owners.setdefault(prefix, []).append(Owned(router, prefix))
    # Prefixes overlap only by lying within each other: in this order, what is around one has just gone by.
    order = sorted(owners, key=lambda prefix: (prefix.version, int(prefix.network_address), prefix.prefixlen))
    open_: list[Network] = []
    for prefix in order:
        while open_ and not (open_[-1].version == prefix.version and prefix.subnet_of(open_[-1])):  # type: ignore[arg-type]
            open_.pop()
        around = [owned for outer in open_ for owned in owners[outer]]
        yield around, owners[prefix]
        open_.append(prefix)
