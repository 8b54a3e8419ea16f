"""Endpoints stay outside: no softwire may carry the packets another softwire is made of.

RFC 9012 §7.2 forbids a tunnel that would be reached through itself. Through another's is no better: one AFBR could
draw in the IKE and ESP of any pair. Of an endpoint and a prefix that holds it, what was there first stays.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from ipaddress import ip_network

from softmesh.mesh.softwire import Address, Network


class Core:
    """Endpoints and destinations of the softwires so far, in order of arrival."""

    def __init__(self) -> None:
        self._endpoints: dict[int, list[Address]] = {4: [], 6: []}
        self._destinations: dict[int, dict[int, set[Network]]] = {4: {}, 6: {}}

    def add(self, endpoint: Address, destinations: Iterable[Network]) -> None:
        """Take a softwire in."""
        insort(self._endpoints[endpoint.version], endpoint)
        for prefix in destinations:
            self._destinations[prefix.version].setdefault(prefix.prefixlen, set()).add(prefix)

    def destination_over(self, endpoint: Address) -> Network | None:
        """A destination of a softwire so far that an endpoint lies in."""
        for length, prefixes in self._destinations[endpoint.version].items():
            network = ip_network((endpoint, length), strict=False)
            if network in prefixes:
                return network
        return None

    def endpoint_in(self, prefix: Network) -> Address | None:
        """An endpoint of a softwire so far that lies in a prefix."""
        endpoints = self._endpoints[prefix.version]
        at = bisect_left(endpoints, prefix.network_address)
        return endpoints[at] if at < len(endpoints) and endpoints[at] in prefix else None
