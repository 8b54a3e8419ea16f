"""What ``nft -j list table`` prints of the table ``inet softmesh``, as values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

import msgspec

from softmesh.dataplane.nft_ruleset import SIGN, Elements, Shape, network_text
from softmesh.errors import PeerError


@dataclass(frozen=True, slots=True)
class Table:
    """A table as found."""

    shape: frozenset[Shape]
    """Of its chains."""
    elements: Elements
    """By set."""
    counted: Mapping[str, tuple[int, int]]
    """Packets and octets, by counter."""

    @property
    def ours(self) -> bool:
        """Whether it carries our signature."""
        return any(name == SIGN for name, *_ in self.shape)


def table(output: bytes) -> Table:
    """Read a listing; raises PeerError where it is none."""
    try:
        listing = msgspec.json.decode(output, type=_Listing)
        return _table(listing)
    except (msgspec.DecodeError, ValueError, KeyError, RecursionError) as error:
        raise PeerError(f"nft -j list table: cannot read what it printed: {error}") from error


class _Chain(msgspec.Struct):
    name: str
    hook: str | None = None
    prio: int = 0
    policy: str = "accept"


class _Rule(msgspec.Struct):
    chain: str
    comment: str = ""


class _Set(msgspec.Struct):
    name: str
    type: str | list[str]
    elem: list[Any] = []


class _Counter(msgspec.Struct):
    name: str
    packets: int
    bytes: int


class _Item(msgspec.Struct):
    chain: _Chain | None = None
    rule: _Rule | None = None
    set: _Set | None = None
    map: _Set | None = None
    counter: _Counter | None = None


class _Listing(msgspec.Struct):
    nftables: list[_Item]


def _table(listing: _Listing) -> Table:
    items = listing.nftables
    chains = [item.chain for item in items if item.chain is not None]
    comments: dict[str, list[str]] = {chain.name: [] for chain in chains}
    for item in items:
        if item.rule is not None:
            comments[item.rule.chain].append(item.rule.comment)
    sets = [found for item in items for found in (item.set, item.map) if found is not None]
    return Table(
        shape=frozenset((chain.name, _hook(chain), chain.prio, tuple(comments[chain.name])) for chain in chains),
        elements={found.name: frozenset(_text(element, found.type) for element in found.elem) for found in sets},
        counted={
            item.counter.name: (item.counter.packets, item.counter.bytes) for item in items if item.counter is not None
        },
    )


def _hook(chain: _Chain) -> str | None:
    return chain.hook if chain.policy == "accept" else f"{chain.hook}, policy {chain.policy}"


def _text(element: object, kind: str | list[str]) -> str:
    """An element as the ruleset spells it."""
    match element:
        case {"elem": {"val": value}}:
            return _text(value, kind)
        case {"concat": [*parts]} if isinstance(kind, list) and len(parts) == len(kind):
            return " . ".join(_text(part, each) for part, each in zip(parts, kind, strict=True))
        case {"prefix": {"addr": str(address), "len": int(length)}}:
            return network_text(ip_network((address, length)))
        case {"range": [str(first), str(last)]}:
            return f"{first}-{last}"
        case [key, value]:
            return f"{_text(key, kind)} : {_text(value, 'mark')}"
        case int(mark):
            return f"0x{mark:08x}"
        case str(name) if kind == "ifname":
            return f'"{name}"'
        case str(address):
            return str(ip_address(address))
    raise ValueError(f"an element of another kind: {element}")
