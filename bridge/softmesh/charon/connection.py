"""What is loaded into charon for a softwire: connections and their children, named by their own digest.

Same name means same content (the name carries a digest of everything that is sent), so what is to be loaded
or unloaded is a difference of sets of names. A connection's digest leaves its children out: these have names,
hence digests, of their own, and come and go under a connection that stays.
"""

from __future__ import annotations

from dataclasses import dataclass

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

    def to_vici(self) -> dict[str, Request | str | list[str]]:
        """The child's section of load-conn."""
        return {
            "mode": str(self.mode),
            "local_ts": [self.local_ts],
            "remote_ts": [self.remote_ts],
            # Either excludes the other: one CHILD SA is of one protocol (RFC 7296 §3.3.1).
            "ah_proposals" if self.level is Level.AH else "esp_proposals": list(self.proposals),
            **self._binding(),
            "rekey_time": "1h",
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


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection (swanctl.conf: connections.<conn>): one peer with one pinned key."""

    name: str
    local_address: str
    remote_address: str
    local_id: str
    remote_id: str
    remote_spki: bytes
    ike_proposals: tuple[str, ...]
    children: tuple[Child, ...]
    """In order of name."""

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
                # Neither applies a change of configuration, and reauthentication breaks before it makes.
                "reauth_time": "0s",
                "dpd_delay": "30s",
                "send_cert": "never",
                "send_certreq": False,
                "local": {"auth": "pubkey", "id": self.local_id},
                "remote": {"auth": "pubkey", "id": self.remote_id, "pubkeys": [self.remote_spki]},
                "children": {child.name: child.to_vici() for child in self.children},
            }
        }
