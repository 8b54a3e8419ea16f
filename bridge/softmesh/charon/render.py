"""A softwire as connections. Pure: the same softwire always gives the same names and the same octets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from itertools import groupby
from operator import attrgetter

from softmesh.charon.connection import OWNED, Child, Connection
from softmesh.charon.packet import Request, write_message
from softmesh.mesh.softwire import InterfaceKind, PinnedKey, SelectorPair, Softwire

_DIGEST_OCTETS = 8


# Every pass wants every softwire's connections, of which hardly any has changed: 10 µs each instead of 200.
@lru_cache(maxsize=16384)
def render(softwire: Softwire, own_authenticator: bytes) -> tuple[Connection, ...]:
    """The connections of a softwire: one for each key its peer may authenticate with, in their order.

    ``own_authenticator``: SHA-1 over our SubjectPublicKeyInfo, 20 octets. Softwires between the same two
    addresses with the same keys share their connections: join them with ``merge`` before loading.
    """
    children = tuple(sorted((_child(softwire, pair) for pair in softwire.selectors), key=attrgetter("name")))
    return tuple(_connection(softwire, key, own_authenticator, children) for key in softwire.keys)


def merge(connections: Iterable[Connection]) -> tuple[Connection, ...]:
    """One connection a name, with the children of all that bear it; in order of name.

    Connections of the same name are equal but for their children. Two of them loaded side by side would be a
    mistake: charon picks either when it responds, and would look for a child in the wrong one.
    """
    ordered = sorted(connections, key=attrgetter("name"))
    return tuple(_joined(list(group)) for _, group in groupby(ordered, key=attrgetter("name")))


def identity(authenticator: bytes) -> str:
    """The IKE identity of a key's holder, as charon takes it: an ID_KEY_ID (RFC 7296 §3.5)."""
    return f"@#{authenticator.hex()}"


def load_key_message(private_key: bytes) -> Request:
    """The load-key message for a private key in PEM or DER."""
    return {"type": "any", "data": private_key}


def _connection(
    softwire: Softwire, key: PinnedKey, own_authenticator: bytes, children: tuple[Child, ...]
) -> Connection:
    unnamed = Connection(
        name="",
        local_address=str(softwire.id.local),
        remote_address=str(softwire.id.remote),
        local_id=identity(own_authenticator),
        remote_id=identity(key.authenticator),
        remote_spki=key.spki,
        ike_proposals=softwire.profile.ike_proposals,
        children=(),
    )
    name = f"{OWNED}{softwire.id.remote}-{_digest(unnamed.to_vici()[''])}"
    return replace(unnamed, name=name, children=children)


def _child(softwire: Softwire, pair: SelectorPair) -> Child:
    interface = softwire.interface
    unnamed = Child(
        name="",
        mode=softwire.mode,
        local_ts=str(pair.local),
        remote_ts=str(pair.remote),
        level=softwire.profile.level,
        proposals=softwire.profile.proposals,
        # Other interfaces encapsulate before IPsec: it knows the packets by their addresses and protocol.
        if_id=interface.number if interface is not None and interface.kind is InterfaceKind.XFRM else None,
        mark=interface.number if interface is not None and interface.kind is InterfaceKind.VTI else None,
    )
    return replace(unnamed, name=f"{pair.local}={pair.remote}-{_digest(unnamed.to_vici())}")


def _joined(connections: list[Connection]) -> Connection:
    children = {child.name: child for connection in connections for child in connection.children}
    return replace(connections[0], children=tuple(sorted(children.values(), key=attrgetter("name"))))


def _digest(content: Request) -> str:
    """Over the octets that will be sent, so that a changed default of ours changes the name too."""
    return hashlib.sha256(write_message(content)).hexdigest()[: 2 * _DIGEST_OCTETS]
