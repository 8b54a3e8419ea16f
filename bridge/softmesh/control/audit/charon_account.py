"""What charon says of itself beyond what every pass needs: versions, ways to authenticate, algorithms.

An audit does not take our own word for what was loaded: it reads it back.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from softmesh.charon.connection import OWNED
from softmesh.charon.listing import text
from softmesh.charon.packet import Section, Value
from softmesh.charon.vici import ViciConnection

_ALGORITHMS = ("encryption", "integrity", "aead")
"""Sections of get-algorithms that matter to ESP and AH."""


@dataclass(frozen=True, slots=True)
class LoadedConnection:
    """A connection of ours as charon has it."""

    name: str
    version: str
    """``IKEv2``, ``IKEv1``, or ``IKEv1/2`` where it takes either."""
    local_addresses: tuple[str, ...]
    remote_addresses: tuple[str, ...]
    methods: frozenset[str]
    """How either side authenticates: ``public key``, ``pre-shared key``."""


@dataclass(frozen=True, slots=True)
class Account:
    """What one charon said."""

    algorithms: frozenset[str]
    """Ciphers and integrity algorithms that charon itself has; those of the kernel are not in it."""
    connections: tuple[LoadedConnection, ...]
    ike_versions: tuple[str, ...]
    """Of each IKE_SA made from a connection of ours: ``2``."""


def account(algorithms: Section, connections: Iterable[Section], sas: Iterable[Section]) -> Account:
    """From the replies to get-algorithms, list-conns and list-sas; only what carries our prefix is read."""
    named = [algorithms.get(section) for section in _ALGORITHMS]
    return Account(
        frozenset(name for section in named if isinstance(section, dict) for name in section),
        tuple(_connection(name, section) for name, section in _ours(connections)),
        tuple(text(section.get("version")) for _, section in _ours(sas)),
    )


async def ask(path: Path) -> Account:
    """Ask the charon that listens at ``path``; raises Unreachable, PeerError or CommandError."""
    vici = await ViciConnection.open(path)
    try:
        return account(
            await vici.request("get-algorithms"),
            await vici.stream("list-conns", None, "list-conn"),
            await vici.stream("list-sas", None, "list-sa"),
        )
    finally:
        await vici.close()


def _ours(events: Iterable[Section]) -> list[tuple[str, Section]]:
    return [
        (name, section)
        for event in events
        for name, section in event.items()
        if name.startswith(OWNED) and isinstance(section, dict)
    ]


def _connection(name: str, section: Section) -> LoadedConnection:
    sides = [side for key, side in section.items() if key.startswith(("local-", "remote-")) and isinstance(side, dict)]
    return LoadedConnection(
        name,
        text(section.get("version")),
        _texts(section.get("local_addrs")),
        _texts(section.get("remote_addrs")),
        frozenset(text(side.get("class")) for side in sides),
    )


def _texts(value: Value | None) -> tuple[str, ...]:
    return tuple(text(item) for item in value) if isinstance(value, list) else ()
