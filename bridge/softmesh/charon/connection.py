"""What is loaded into charon for a softwire: connections and their children, named by their own digest.

Same name means same content (the name carries a digest of everything that is sent), so what is to be loaded
or unloaded is a difference of sets of names. A connection's digest leaves its children out: these have names,
hence digests, of their own, and come and go under a connection that stays.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from softmesh.charon.packet import Request
from softmesh.mesh.softwire import Level, Mode

OWNED = "softmesh-"
"""Prefix of every connection of ours: nothing without it is ever changed."""


@dataclass(frozen=True, slots=True)
class Child:
    """A CHILD SA configuration (swanctl.conf: connections.<conn>.children.<child>)."""

    name: str
    mode: Mode
    local_ts: str
    remote_ts: str
    level: Level
    proposals: tuple[str, ...]
    """For AH at level ``ah``, for ESP otherwise."""
    if_id: int | None = None
    """The XFRM interface that its SAs and policies are bound to; None for none."""
    mark: int | None = None
    """The mark that binds them to a VTI; None for none."""

    def to_vici(self) -> dict[str, Request | str | int | list[str]]:
        """The child's section of load-conn."""
        return {
            "mode": str(self.mode),
            "local_ts": [self.local_ts],
            "remote_ts": [self.remote_ts],
            # Either excludes the other: one CHILD SA is of one protocol (RFC 7296 §3.3.1).
            "ah_proposals" if self.level is Level.AH else "esp_proposals": list(self.proposals),
            **self._binding(),
            "rekey_time": "1h",
            # RFC 4303 §3.4.3: 32 at least, 64 should be the default; charon's own is 32.
            "replay_window": 64,
            # The bridge initiates and repairs. With start or trap, changing or unloading the connection would
            # close the SAs of the children that stay.
            "start_action": "none",
            "close_action": "none",
            "dpd_action": "clear",
        }

    def _binding(self) -> dict[str, Request | str | list[str]]:
        if self.if_id is not None:
            return {"if_id_in": f"{self.if_id:#x}", "if_id_out": f"{self.if_id:#x}"}
        if self.mark is not None:
            # Without a mask all 32 bits count. A VTI looks for its SAs and policies by its key as the mark.
            return {"mark_in": f"{self.mark:#x}", "mark_out": f"{self.mark:#x}"}
        return {}


class Method(enum.StrEnum):
    """How one side authenticates (RFC 7296 §2.15), spelled as VICI spells it."""

    PUBLIC_KEY = "pubkey"
    PRE_SHARED_KEY = "psk"


@dataclass(frozen=True, slots=True)
class Authentication:
    """One side of a connection (swanctl.conf: connections.<conn>.local, .remote)."""

    method: Method
    identity: str
    public_keys: tuple[bytes, ...] = ()
    """DER SubjectPublicKeyInfo; of the peer: it must have one of them."""
    certificates: tuple[bytes, ...] = ()
    """DER; ours to show, or of the peer: it must have one of them."""
    authorities: tuple[bytes, ...] = ()
    """DER; of the peer: one of them must have signed its certificate."""
    unrevoked: bool = False
    """Of the peer: only a certificate that a valid CRL does not list."""

    def to_vici(self) -> dict[str, Request | str | list[str] | list[bytes]]:
        """The side's section of load-conn."""
        section: dict[str, Request | str | list[str] | list[bytes]] = {"auth": str(self.method), "id": self.identity}
        for key, values in (
            ("pubkeys", self.public_keys),
            ("certs", self.certificates),
            ("cacerts", self.authorities),
        ):
            if values:
                section[key] = list(values)
        if self.unrevoked:
            section["revocation"] = "strict"
        return section


@dataclass(frozen=True, slots=True)
class Secret:
    """A pre-shared key towards one peer."""

    name: str
    """Carries a digest, as those of connections do."""
    owner: str
    """The peer's identity. Ours is none of the owners: charon would try the key for each of our peers."""
    data: bytes = field(repr=False)

    def to_vici(self) -> Request:
        """The message of load-shared."""
        return {"id": self.name, "type": "IKE", "data": self.data, "owners": [self.owner]}


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection (swanctl.conf: connections.<conn>): one way in which one peer may authenticate."""

    name: str
    local_address: str
    remote_address: str
    local: Authentication
    remote: Authentication
    ike_proposals: tuple[str, ...]
    children: tuple[Child, ...]
    """In order of name."""
    secret: Secret | None = None
    """Without which it is of no use; loaded before it."""
    over_time: int | None = None
    """Seconds an IKE_SA may live after the time it should have been rekeyed; None: charon's default.

    charon takes a standing IKE_SA for any connection that is its own connection's equal but for the name. Where only
    what is not said in a connection has changed, this makes the difference, so that the peer authenticates anew.
    """

    def to_vici(self) -> dict[str, Request]:
        """The message of load-conn."""
        return {
            self.name: {
                "version": 2,
                # Bare: charon compares a /32 or /128 faster when it responds, but cannot initiate to one.
                "local_addrs": [self.local_address],
                "remote_addrs": [self.remote_address],
                "proposals": list(self.ike_proposals),
                "mobike": False,
                # A peer that lost its state says INITIAL_CONTACT (RFC 7296 §2.4): charon then drops what it
                # had, which "never" would keep. "replace" would also drop one of two crossing initiations.
                "unique": "no",
                "rekey_time": "4h",
                **({} if self.over_time is None else {"over_time": f"{self.over_time}s"}),
                # Neither applies a change of configuration, and reauthentication breaks before it makes.
                "reauth_time": "0s",
                "dpd_delay": "30s",
                # charon that knows no authority asks for no certificate, and "ifasked" would then show none.
                "send_cert": "always" if self.local.certificates else "never",
                "send_certreq": bool(self.remote.authorities),
                "local": self.local.to_vici(),
                "remote": self.remote.to_vici(),
                "children": {child.name: child.to_vici() for child in self.children},
            }
        }
