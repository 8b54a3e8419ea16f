"""The softwires that stand, by charon's own account: nothing here asks Softmesh."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass

import vici

from lab.charon import Charon
from lab.eventually import PATIENCE

OURS = "softmesh-"
Key = tuple[str, str, str]
"""A CHILD SA: the peer's address, the local and the remote selector."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The softwires of a router, as its charon has them."""

    children: Mapping[Key, tuple[tuple[str, str], ...]]
    """The SPIs of every installed CHILD SA, in and out."""
    connections: Counter[str]
    """How many connections there are to each peer's address."""
    loose: tuple[str, ...]
    """IKE_SAs without an installed CHILD SA, each with its state."""

    def differences(self, wanted: Set[Key]) -> Iterator[str]:
        """What is wrong where these CHILD SAs are wanted, each once, and one connection to each of their peers."""
        yield from (f"lacks the CHILD SA {' '.join(key)}" for key in sorted(wanted - self.children.keys()))
        yield from (f"has the CHILD SA {' '.join(key)} too many" for key in sorted(self.children.keys() - wanted))
        yield from (
            f"has CHILD SA {' '.join(key)} {len(spis)} times" for key, spis in self.children.items() if spis[1:]
        )
        yield from (f"has an IKE_SA without CHILD SA: {loose}" for loose in self.loose)
        peers = {peer for peer, _, _ in wanted}
        if self.connections != Counter(peers):
            yield f"has connections {dict(self.connections)}, wanted is one to each of {sorted(peers)}"


@contextmanager
def connected(charon: Charon) -> Iterator[vici.Session]:
    """A VICI connection of one's own."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20 * PATIENCE)
        connection.connect(str(charon.vici))
        yield vici.Session(connection)


def standing(charon: Charon) -> Standing:
    """Ask a charon."""
    children: dict[Key, list[tuple[str, str]]] = {}
    loose: list[str] = []
    with connected(charon) as session:
        for found in session.list_sas():
            for name, sa in found.items():
                if not name.startswith(OURS):
                    continue
                installed = [each for each in sa["child-sas"].values() if each["state"] == b"INSTALLED"]
                if not installed:
                    loose.append(f"{name} {sa['state'].decode()}")
                for child in installed:
                    (near,), (far,) = child["local-ts"], child["remote-ts"]
                    key = sa["remote-host"].decode(), near.decode(), far.decode()
                    children.setdefault(key, []).append((child["spi-in"].decode(), child["spi-out"].decode()))
        connections = Counter(
            address.decode()
            for found in session.list_conns()
            for name, connection in found.items()
            if name.startswith(OURS)
            for address in connection["remote_addrs"]
        )
    return Standing({key: tuple(spis) for key, spis in children.items()}, connections, tuple(loose))
