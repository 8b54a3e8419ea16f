"""What an audit looks at: the configuration, what the bridge knows, and what was found outside of it. Values only."""

from __future__ import annotations

import enum
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from softmesh.bgp.announcement import Announcement
from softmesh.bgp.extended_communities import tunnels_from
from softmesh.bgp.tunnel_encapsulation import Carrier, Tunnel, decode_repeated
from softmesh.charon.ability import Ability
from softmesh.charon.observed import ChildSa, IkeSa, Observed
from softmesh.config import Config
from softmesh.config.values import SessionProtection
from softmesh.control.audit.charon_account import Account
from softmesh.control.view import View
from softmesh.dataplane.nft_listing import Table
from softmesh.mesh.credential import Credential, GroupKey
from softmesh.mesh.identity import Identity
from softmesh.mesh.policy import Policy
from softmesh.mesh.softwire import Address, HostTraffic, Softwire, SoftwireId

_AUTHENTICATED = frozenset({"ESTABLISHED", "REKEYING"})


class Purpose(enum.Enum):
    """What a file is for, and so who may have to do with it."""

    SECRET = enum.auto()
    SOCKET = enum.auto()
    VICI = enum.auto()
    """charon's: not ours to make, and open to a group where its administrator wants that."""
    KEYS = enum.auto()
    """A directory of public keys."""


@dataclass(frozen=True, slots=True)
class FileFact:
    """A file as ``stat`` finds it."""

    purpose: Purpose
    what: str
    path: str
    mode: int | None = None
    """As ``st_mode``; None where it could not be looked at."""
    owner: int | None = None
    problem: str = ""
    """Why it could not be looked at."""

    @property
    def permissions(self) -> str:
        """Such as ``0600``."""
        return "unknown" if self.mode is None else f"{stat.S_IMODE(self.mode):04o}"


@dataclass(frozen=True, slots=True)
class Firewall:
    """The table of the guards, as nft lists it."""

    table: Table | None = None
    problem: str = ""
    """Why there is none to be seen."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found outside of the bridge."""

    account: Account | None = None
    """None where charon does not answer."""
    silence: str = ""
    """Why not."""
    firewall: Firewall = field(default_factory=Firewall)
    files: tuple[FileFact, ...] = ()
    told: tuple[Announcement, ...] | None = None
    """What ExaBGP was told to announce; None where that cannot be seen."""
    self_signed: frozenset[bytes] = frozenset()
    """Authenticators of our keys by which a certificate for themselves could be signed just now."""
    user: int = 0
    """Whom the bridge runs as."""


@dataclass(frozen=True, slots=True)
class Node:
    """One node at one moment."""

    config: Config
    policy: Policy
    own: tuple[Identity, ...]
    """Our keys, that which we prefer first."""
    announced: frozenset[Announcement]
    """What the bridge wants announced."""
    view: View
    observed: Observed
    """What charon held at the last look."""
    ability: Ability | None
    facts: Facts

    @property
    def silence(self) -> str:
        """Why nothing can be said of what charon holds; empty where it answers."""
        if self.view.charon:
            return f"charon does not answer: {self.view.charon}"
        if self.facts.account is None or self.ability is None:
            return f"charon does not answer: {self.facts.silence or 'not asked yet'}"
        return ""

    @property
    def protected(self) -> Mapping[SoftwireId, Softwire]:
        """Whatever ought to be protected: softwires, and BGP sessions under IPsec."""
        return self.view.desired.softwires

    @property
    def softwires(self) -> Mapping[SoftwireId, Softwire]:
        """The softwires that ought to exist."""
        return {wire: wanted for wire, wanted in self.protected.items() if not isinstance(wire.type, HostTraffic)}

    @property
    def named_peers(self) -> frozenset[Address]:
        """Peers that the configuration names one by one, whatever admission says of endpoints."""
        sessions = {each.address for each in self.config.bgp.neighbors if each.protection is SessionProtection.IPSEC}
        return frozenset(sessions | {wire.remote for wire in self.config.softwires})

    def sas(self) -> Iterator[tuple[Softwire, ChildSa]]:
        """The CHILD SAs that carry each softwire."""
        for wire, softwire in self.softwires.items():
            for sa in self.view.installed.get(wire, ()):
                yield softwire, sa

    def standing(self) -> list[SoftwireId]:
        """Softwires with at least one CHILD SA."""
        return [wire for wire in self.softwires if self.view.installed.get(wire)]

    def ike_sas(self) -> list[IkeSa]:
        """The IKE_SAs of ours in which both sides are authenticated."""
        return [sa for sa in self.observed.ike_sas if sa.state in _AUTHENTICATED]

    def offered(self, wire: SoftwireId) -> frozenset[bytes]:
        """The authenticators that the peer of a softwire advertised with the routes that it carries."""
        decisions = (self.view.desired.decisions.get(key) for key in self.view.desired.carried.get(wire, ()))
        offers = (decision.offer for decision in decisions if decision is not None)
        return frozenset(digest for offer in offers if offer is not None for digest in offer.authenticators)

    def credentials(self) -> Iterator[tuple[Softwire, Credential]]:
        """How the peer of each softwire, and of each BGP session under IPsec, may authenticate."""
        for softwire in self.protected.values():
            for credential in softwire.credentials:
                yield softwire, credential

    def group_keyed(self) -> list[SoftwireId]:
        """Softwires that rest on a key of a whole group."""
        return [softwire.id for softwire, credential in self.credentials() if isinstance(credential, GroupKey)]

    def announced_tunnels(self) -> list[tuple[str, Tunnel]]:
        """The tunnels that go with each prefix that we announce, be it as an attribute or as a community."""
        found: list[tuple[str, Tunnel]] = []
        for announcement in sorted(self.announced, key=lambda each: each.prefix):
            value, communities = announcement.tunnel_encapsulation, announcement.extended_communities
            attribute = () if value is None else decode_repeated(value, Carrier.UNICAST).tunnels
            found += [(announcement.prefix, tunnel) for tunnel in (*attribute, *tunnels_from(communities))]
        return found
