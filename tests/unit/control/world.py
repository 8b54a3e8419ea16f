"""A model of charon's state for tests of the planner: what each action makes of it. No daemon is imitated: the lab has
real ones; this only lets a pure function be called again on what its own actions lead to."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network

from softmesh.bgp.codepoints import TunnelType
from softmesh.charon.actions import (
    Action,
    Initiate,
    LoadConnection,
    LoadKey,
    TerminateChild,
    TerminateIke,
    UnloadConnection,
)
from softmesh.charon.connection import Connection
from softmesh.charon.observed import ChildSa, IkeSa, Observed
from softmesh.mesh.desired import Desired
from softmesh.mesh.identity import Identity
from softmesh.mesh.softwire import Mode, PinnedKey, Profile, Selector, SelectorPair, Softwire, SoftwireId
from tests.unit.mesh.routes import hash_of, spki

OWN = Identity(spki("own"), hash_of("own"), b"k" * 20, "Ed25519", b"the private key")
PROFILE = Profile(("aes256gcm16-prfsha384-x25519",), ("aes256gcm16-x25519",))
LOCAL = "2001:db8:f::5"
LOWER, HIGHER = "2001:db8:f::2", "2001:db8:f::9"
"""Peers below us (they are elected) and above (we are)."""


def softwire(
    remote: str = HIGHER, *, keys: tuple[str, ...] = ("peer",), sites: int = 1, may_initiate: bool = True,
    profile: Profile = PROFILE,
) -> Softwire:  # fmt: skip
    """A softwire to a peer that has ``sites`` prefixes."""
    third = int(ip_address(remote)) & 0xFF
    return Softwire(
        SoftwireId(ip_address(LOCAL), ip_address(remote), TunnelType.IPSEC_TUNNEL),
        Mode.TUNNEL,
        frozenset(
            SelectorPair(Selector(ip_network("10.5.0.0/24")), Selector(ip_network(f"10.{third}.{site}.0/24")))
            for site in range(sites)
        ),
        tuple(PinnedKey(hash_of(key), spki(key), "test") for key in keys),
        profile,
        may_initiate,
    )


def desired(*softwires: Softwire) -> Desired:
    return Desired(softwires={wire.id: wire for wire in softwires})


@dataclass
class World:
    """charon's connections, SAs and keys."""

    connections: dict[str, Connection] = field(default_factory=dict)
    sas: list[IkeSa] = field(default_factory=list)
    keys: set[str] = field(default_factory=lambda: {OWN.key_id.hex()})
    answering: bool = True
    """Whether peers accept what is initiated."""
    applied: list[Action] = field(default_factory=list)
    _next: int = 1

    def observed(self) -> Observed:
        return Observed(
            {name: frozenset(c.name for c in conn.children) for name, conn in self.connections.items()},
            tuple(self.sas),
            frozenset(self.keys),
        )

    def apply(self, actions: tuple[Action, ...]) -> None:
        self.applied.extend(actions)
        for action in actions:
            match action:
                case LoadKey():
                    self.keys.add(OWN.key_id.hex())
                case LoadConnection(connection):
                    self.connections[connection.name] = connection
                case UnloadConnection(name):
                    del self.connections[name]
                case Initiate(name, child):
                    self.establish(name, child)
                case TerminateIke(unique_id):
                    self.sas = [sa for sa in self.sas if sa.unique_id != unique_id]
                case TerminateChild(unique_id):
                    self.sas = [
                        replace(sa, children=tuple(c for c in sa.children if c.unique_id != unique_id))
                        for sa in self.sas
                    ]

    def establish(self, name: str, child: str, *, anew: bool = False, installed_for: int = 0) -> None:
        """Build a CHILD SA, on the IKE_SA there is unless ``anew``; half-open where nobody answers."""
        connection = self.connections[name]
        made = next(c for c in connection.children if c.name == child)
        sa = ChildSa(
            child, self._id(), "INSTALLED", made.mode.value, "ESP",
            frozenset({made.local_ts}), frozenset({made.remote_ts}),
            encr_alg="AES_GCM_16_256", installed_for=installed_for,
        )  # fmt: skip
        held = next((ike for ike in self.sas if ike.connection == name), None)
        if held is not None and not anew:
            self.sas[self.sas.index(held)] = replace(held, children=(*held.children, sa))
            return
        self.sas.append(
            IkeSa(
                name,
                self._id(),
                "ESTABLISHED" if self.answering else "CONNECTING",
                True,
                connection.local_address,
                connection.remote_address,
                _printed(connection.local_id),
                _printed(connection.remote_id),
                children=(sa,) if self.answering else (),
            )
        )

    def _id(self) -> str:
        self._next += 1
        return str(self._next)


def _printed(identity: str) -> str:
    return bytes.fromhex(identity.removeprefix("@#")).hex(":")
