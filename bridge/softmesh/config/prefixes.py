"""What a list of destinations must not hold, ours and a configured softwire's alike."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from softmesh.bgp.special_purpose import special_purpose
from softmesh.config.finding import Finding, error
from softmesh.config.problems import KeyPath
from softmesh.config.values import Config
from softmesh.mesh.softwire import Address, Network, inside


def unfit(config: Config, path: KeyPath, prefixes: tuple[Network, ...], verb: str, done: str) -> Iterator[Finding]:
    """Find what is wrong with the destinations listed at ``path``.

    ``verb`` says what is done with them there and ``done`` that it has been: "announce", "announced".
    """
    outside: list[tuple[str, Address, KeyPath]] = [("our endpoint", config.endpoint, ("endpoint",))]
    if config.bgp.local_address is not None:
        outside.append(("our end of the BGP sessions", config.bgp.local_address, ("bgp", "local_address")))
    for index, neighbor in enumerate(config.bgp.neighbors):
        outside.append(("the BGP neighbour", neighbor.address, ("bgp", "neighbors", index, "address")))
    for index, prefix in enumerate(prefixes):
        for what, address, key in outside:
            if address in prefix:
                yield captures((*path, index), prefix, f"{what} {address}", verb, key)
        if purpose := block_of(prefix):
            yield error((*path, index), f"{prefix} is special-purpose ({purpose})", "remove it")
    yield from _nested(path, prefixes, done)


def captures(path: KeyPath, prefix: Network, what: str, verb: str, *others: KeyPath) -> Finding:
    """The error of a destination that holds an address no softwire may carry."""
    return error(
        path,
        f"{prefix} holds {what}, which must stay reachable outside every softwire",
        f"{verb} more specific networks without it",
        *others,
    )


def block_of(network: Network) -> str:
    """Name the special-purpose block (RFC 6890 §2.2) that a network lies in; an empty string if in none."""
    first = special_purpose(network.network_address.packed)
    return first if first == special_purpose(network.broadcast_address.packed) else ""


def _nested(path: KeyPath, prefixes: tuple[Network, ...], done: str) -> Iterator[Finding]:
    for (index, network), outer in _with_outer(prefixes):
        if outer is not None:
            clash = "is given twice" if network == outer[1] else f"lies within {outer[1]}, which is {done} too"
            yield error((*path, index), f"{network} {clash}", "keep one of them", (*path, outer[0]))


_Numbered: TypeAlias = tuple[int, Network]


def _with_outer(networks: Iterable[Network]) -> Iterator[tuple[_Numbered, _Numbered | None]]:
    """Give the networks by position, each with the widest of them that it lies within."""
    ordered = sorted(enumerate(networks), key=lambda item: (_position(item[1]), item[1].prefixlen))
    outer: _Numbered | None = None
    # In this order a network follows directly upon whatever holds it, and all that lie within the same one.
    for item in ordered:
        if outer is None or not inside(item[1], outer[1]):
            outer = item
            yield item, None
        else:
            yield item, outer


class Overlaps:
    """Finds which of some networks another one overlaps."""

    def __init__(self, networks: Iterable[Network]) -> None:
        self._networks = [network for (_, network), outer in _with_outer(networks) if outer is None]

    def find(self, network: Network) -> Network | None:
        """The first that overlaps a network, of those that lie within no other."""
        at = bisect_right(self._networks, _position(network), key=_position)
        for neighbor in self._networks[max(0, at - 1) : at + 1]:
            if inside(neighbor, network) or inside(network, neighbor):
                return neighbor
        return None


def _position(network: Network) -> tuple[int, int]:
    return network.version, int(network.network_address)
