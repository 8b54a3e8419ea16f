"""Longest-prefix lookup over routes."""

from __future__ import annotations

from collections.abc import Iterable

from softmesh.bgp.route import Route
from softmesh.mesh.admission import network
from softmesh.mesh.best_path import rank
from softmesh.mesh.softwire import Address


class RouteTable:
    """Longest-prefix lookup over routes, for recursion (RFC 9012 §8); built when first asked.

    By numbers, not networks: a hostile peer's routes may all be looked up, through as many lengths as there are.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = routes
        self._best: dict[tuple[int, int, int], Route] = {}
        """By IP version, length, and the bits of the prefix."""
        self._lengths: dict[int, list[int]] = {}

    def _build(self) -> None:
        lengths: dict[int, set[int]] = {4: set(), 6: set()}
        for route in self._routes:
            prefix = network(route.key.prefix)
            bits = int(prefix.network_address) >> (prefix.max_prefixlen - prefix.prefixlen)
            place = prefix.version, prefix.prefixlen, bits
            held = self._best.get(place)
            if held is None or rank(route) < rank(held):
                self._best[place] = route
            lengths[prefix.version].add(prefix.prefixlen)
        self._lengths = {version: sorted(found, reverse=True) for version, found in lengths.items()}

    def resolve(self, target: Address) -> Route | None:
        """The best route of the longest prefix that holds an address."""
        if not self._lengths:
            self._build()
        version, size, number = target.version, target.max_prefixlen, int(target)
        for length in self._lengths[version]:
            found = self._best.get((version, length, number >> (size - length)))
            if found is not None:
                return found
        return None
