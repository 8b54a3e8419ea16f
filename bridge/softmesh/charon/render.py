"""A softwire as connections. Pure: the same softwire always gives the same names and the same octets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from itertools import groupby
from operator import attrgetter
from string import hexdigits

from softmesh.charon.connection import OWNED, Authentication, Child, Connection, Method, Secret
from softmesh.charon.packet import Request, write_message
from softmesh.mesh.credential import Certified, Credential, GroupKey, OwnKey, PinnedCertificate, PinnedKey, trust_of
from softmesh.mesh.softwire import InterfaceKind, SelectorPair, Softwire

_DIGEST_OCTETS = 8
_TAG_OCTETS = 4


# Every pass wants every softwire's connections, of which hardly any has changed: 10 µs each instead of 200.
@lru_cache(maxsize=16384)
def render(softwire: Softwire, own: tuple[OwnKey, ...]) -> tuple[Connection, ...]:
    """The connections of a softwire: one for each of our keys with each of the peer's credentials, in their order.

    ``own``: our keys, that which we prefer first (others are there for a rollover). Softwires between the same two
    addresses with the same credentials share their connections: join them with ``merge`` before loading.
    """
    children = tuple(sorted((_child(softwire, pair) for pair in softwire.selectors), key=attrgetter("name")))
    connections = (
        _connection(softwire, credential, key, children) for key in own for credential in softwire.credentials
    )
    # A group key has nothing to do with which key of ours is the first.
    return tuple({connection.name: connection for connection in connections if connection is not None}.values())


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
    softwire: Softwire, credential: Credential, own: OwnKey, children: tuple[Child, ...]
) -> Connection | None:
    """None where this key of ours has no certificate to show to a peer that wants one."""
    sides = _sides(credential, own)
    if sides is None:
        return None
    unnamed = Connection(
        name="",
        local_address=str(softwire.id.local),
        remote_address=str(softwire.id.remote),
        local=sides[0],
        remote=sides[1],
        ike_proposals=softwire.profile.ike_proposals,
        children=(),
        secret=_secret(credential),
        over_time=_over_time(_besides(credential)),
    )
    content = {**unnamed.to_vici()[""], "besides": _besides(credential)}
    name = f"{OWNED}{softwire.id.remote}-{_tag(credential)}{_digest(content)}"
    return replace(unnamed, name=name, children=children)


def _sides(credential: Credential, own: OwnKey) -> tuple[Authentication, Authentication] | None:
    """How we authenticate and how the peer does."""
    match credential:
        case PinnedKey(authenticator, spki):
            return (
                Authentication(Method.PUBLIC_KEY, identity(own.authenticator)),
                Authentication(Method.PUBLIC_KEY, identity(authenticator), public_keys=(spki,)),
            )
        case GroupKey(local_identity, remote_identity):
            return (
                Authentication(Method.PRE_SHARED_KEY, local_identity),
                Authentication(Method.PRE_SHARED_KEY, remote_identity),
            )
        case PinnedCertificate(key, certified):
            pinned = () if key.certificate is None else (key.certificate,)
        case Certified() as certified:
            pinned = ()
    if own.certificate is None:
        return None
    return (
        Authentication(Method.PUBLIC_KEY, certified.local_identity, certificates=(own.certificate,)),
        Authentication(
            Method.PUBLIC_KEY,
            certified.identity,
            certificates=pinned,
            authorities=certified.authorities,
            unrevoked=bool(certified.revocation),
        ),
    )


def _secret(credential: Credential) -> Secret | None:
    if not isinstance(credential, GroupKey):
        return None
    return Secret(f"{OWNED}{credential.identity}-{credential.digest}", credential.identity, credential.secret)


def credential_tag(connection: str) -> str:
    """By what the peer of a connection authenticates, as its name has it; empty for a pinned key.

    A pinned key is told by the identities of an SA. By certificates and group keys others may have the same identity,
    and SAs that were made by one that does not count any more must be known.
    """
    *_, tag, _digest_of_all = f"-{connection}".rsplit("-", 2)
    return tag if len(tag) == 2 * _TAG_OCTETS and not set(tag) - set(hexdigits) else ""


def _tag(credential: Credential) -> str:
    """Of what a peer must not be able to outlive: the key it is held to, or the group's.

    Authorities are none of that, nor certificates: with others the peer authenticates anew, and what stands may stand
    in until it has, or has failed to.
    """
    match credential:
        case PinnedKey():
            return ""
        case PinnedCertificate(key, certified):
            held_to = [certified.local_identity, certified.identity, key.authenticator.hex()]
        case Certified(local_identity, remote_identity):
            held_to = [local_identity, remote_identity]
        case GroupKey(local_identity, remote_identity):
            held_to = [local_identity, remote_identity, credential.digest]
    return f"{_digest({'mode': trust_of(credential), 'held_to': held_to})[: 2 * _TAG_OCTETS]}-"


def _over_time(besides: str) -> int | None:
    """A tenth of the rekeying time, as charon has it by default, and up to as much again."""
    return 1440 + int(_digest({"besides": besides}), 16) % 1440 if besides else None


def _besides(credential: Credential) -> str:
    """What decides whether the peer may authenticate besides the connection: when it changes, it is to do so anew."""
    match credential:
        case GroupKey():
            return credential.digest
        case PinnedCertificate(_, certified) | (Certified() as certified):
            return certified.revocation
        case _:
            return ""


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
