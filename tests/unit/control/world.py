"""A model of charon's state for tests of the planner: what each action makes of it. No daemon is imitated: the lab has
real ones; this only lets a pure function be called again on what its own actions lead to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, ip_address, ip_network
from typing import Any

from softmesh.bgp.codepoints import TunnelType
from softmesh.charon.actions import (
    Action,
    Initiate,
    LoadConnection,
    LoadKey,
    LoadSecret,
    TerminateChild,
    TerminateIke,
    UnloadConnection,
    UnloadKey,
    UnloadSecret,
)
from softmesh.charon.connection import Connection
from softmesh.charon.observed import ChildSa, IkeSa, Observed
from softmesh.control.plan import Plan, plan
from softmesh.control.progress import Pace, Progress
from softmesh.mesh.credential import Certified, Credential, GroupKey, PinnedCertificate, PinnedKey
from softmesh.mesh.desired import Desired
from softmesh.mesh.identity import Identity
from softmesh.mesh.softwire import (
    Interface,
    Level,
    Mode,
    Profile,
    Selector,
    SelectorPair,
    Softwire,
    SoftwireId,
)
from tests.unit.mesh.routes import hash_of, spki

OWN = Identity(spki("own"), hash_of("own"), b"k" * 20, "Ed25519", b"the private key", b"our certificate")
NEW = Identity(spki("new own"), hash_of("new own"), b"n" * 20, "Ed25519", b"the new private key", b"another")
"""What we are to be known by after a rollover."""
IKE = ("aes256gcm16-prfsha384-x25519",)
PROFILE = Profile(Level.ENCRYPT, IKE, ("aes256gcm16-x25519",))
INTEGRITY = Profile(Level.INTEGRITY, IKE, ("null-sha256-x25519",))
AH = Profile(Level.AH, IKE, ("sha256-x25519",))
PACE = Pace()
_NEGOTIATED = {
    Level.ENCRYPT: ("ESP", "AES_GCM_16_256", ""),
    Level.INTEGRITY: ("ESP", "NULL", "HMAC_SHA2_256_128"),
    Level.AH: ("AH", "", "HMAC_SHA2_256_128"),
}
LOCAL = "2001:db8:f::5"
LOWER, HIGHER = "2001:db8:f::2", "2001:db8:f::9"
"""Peers below us (they are elected) and above (we are)."""


def softwire(
    remote: str = HIGHER, *, keys: tuple[str, ...] = ("peer",), sites: int = 1, may_initiate: bool = True,
    profile: Profile = PROFILE, interface: Interface | None = None, color: int | None = None, anything: bool = False,
) -> Softwire:  # fmt: skip
    """A softwire of type 4 to a peer that has ``sites`` prefixes; ``anything``: with 0.0.0.0/0 for selectors."""
    prefixes = tuple(site_of(remote, site) for site in range(sites))
    every = ip_network("0.0.0.0/0")
    pairs = [(every, every)] if anything else [(ip_network("10.5.0.0/24"), prefix) for prefix in prefixes]
    return Softwire(
        SoftwireId(ip_address(LOCAL), ip_address(remote), TunnelType.IPSEC_TUNNEL, color),
        Mode.TUNNEL,
        frozenset(SelectorPair(Selector(near), Selector(far)) for near, far in pairs),
        tuple(PinnedKey(hash_of(key), spki(key), "test") for key in keys),
        profile,
        interface,
        prefixes,
        may_initiate=may_initiate,
    )


def transport(remote: str = HIGHER, *, sites: int = 1, profile: Profile = PROFILE) -> Softwire:
    """A softwire of type 5 for the same prefixes."""
    hosts = [Selector(ip_network(address), 4) for address in (LOCAL, remote)]
    wire = softwire(remote, sites=sites, profile=profile)
    return replace(
        wire,
        id=SoftwireId(wire.id.local, wire.id.remote, TunnelType.IP_IN_IP_IPSEC_TRANSPORT),
        mode=Mode.TRANSPORT,
        selectors=frozenset({SelectorPair(*hosts)}),
    )


def trusted(wire: Softwire, *credentials: Credential) -> Softwire:
    """The same softwire with a peer that may authenticate by other means."""
    return replace(wire, credentials=credentials)


def certified(wire: Softwire, authority: str = "ca", revocation: str = "") -> Certified:
    """By a certificate for the peer's endpoint."""
    return Certified(LOCAL, str(wire.id.remote), (authority.encode(),), revocation)


def certificate_of(key: str, serial: int = 1) -> PinnedCertificate:
    """By the certificate of one key."""
    certificate = f"certificate {serial} of {key}".encode()
    pinned = PinnedKey(hash_of(key), spki(key), "test", certificate)
    return PinnedCertificate(pinned, Certified(LOCAL, HIGHER, (b"ca",)))


def group_key(wire: Softwire, name: str = "group") -> GroupKey:
    """By a group key."""
    return GroupKey(LOCAL, str(wire.id.remote), name.encode(), hash_of(name).hex()[:16])


def site_of(remote: str, site: int) -> IPv4Network:
    """A prefix of a peer."""
    return IPv4Network(f"10.{int(ip_address(remote)) & 0xFF}.{site}.0/24")


def desired(*softwires: Softwire) -> Desired:
    return Desired(softwires={wire.id: wire for wire in softwires})


@dataclass
class World:
    """charon's connections, SAs and keys."""

    connections: dict[str, Connection] = field(default_factory=dict)
    sas: list[IkeSa] = field(default_factory=list)
    keys: set[str] = field(default_factory=lambda: {OWN.key_id.hex()})
    secrets: set[str] = field(default_factory=set)
    answering: bool = True
    """Whether peers accept what is initiated."""
    applied: list[Action] = field(default_factory=list)
    _next: int = 1

    def observed(self) -> Observed:
        return Observed(
            {name: frozenset(c.name for c in conn.children) for name, conn in self.connections.items()},
            tuple(self.sas),
            frozenset(self.keys),
            frozenset(self.secrets),
        )

    def apply(self, actions: tuple[Action, ...]) -> None:
        self.applied.extend(actions)
        for action in actions:
            match action:
                case LoadKey(private_key):
                    self.keys.update(own.key_id.hex() for own in (OWN, NEW) if own.private_key_pem == private_key)
                case LoadSecret(secret):
                    self.secrets.add(secret.name)
                case UnloadSecret(name):
                    self.secrets.discard(name)
                case UnloadKey(key_id):
                    self.keys.discard(key_id)
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
        assert connection.secret is None or connection.secret.name in self.secrets
        made = next(c for c in connection.children if c.name == child)
        protocol, encryption, integrity = _NEGOTIATED[made.level]
        sa = ChildSa(
            child, self._id(), "INSTALLED", made.mode.value, protocol,
            frozenset({made.local_ts}), frozenset({made.remote_ts}),
            encr_alg=encryption, integ_alg=integrity, installed_for=installed_for,
            if_id_in=made.if_id, if_id_out=made.if_id, mark_in=made.mark, mark_out=made.mark,
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
                _printed(connection.local.identity),
                _printed(connection.remote.identity),
                children=(sa,) if self.answering else (),
            )
        )

    def _id(self) -> str:
        self._next += 1
        return str(self._next)


def _printed(identity: str) -> str:
    return bytes.fromhex(identity.removeprefix("@#")).hex(":") if identity.startswith("@#") else identity


def planned(
    wanted: Desired,
    world: World,
    now: float = 0.0,
    progress: Mapping[SoftwireId, Progress] | None = None,
    **changes: Any,
) -> Plan:
    settings: dict[str, Any] = {"own": (OWN,), "pace": PACE, "may_remove": True} | changes
    return plan(wanted, world.observed(), progress or {}, now, **settings)


def settled(
    wanted: Desired,
    world: World,
    *,
    progress: Mapping[SoftwireId, Progress] | None = None,
    start: float = 0.0,
    **changes: Any,
) -> Plan:
    """Plan and apply until nothing is left to do; fails if that takes long."""
    outcome = Plan(progress=progress or {})
    for second in range(20):
        outcome = planned(wanted, world, start + second, outcome.progress, **changes)
        if not outcome.actions:
            return outcome
        world.apply(outcome.actions)
    raise AssertionError(f"does not settle: {outcome.actions}")


def kinds(actions: tuple[Action, ...]) -> list[type]:
    return [type(action) for action in actions]


def the(outcome: Plan) -> Progress:
    (progress,) = outcome.progress.values()
    return progress
