"""How peers come to be trusted, as the configuration has it: a mode for each pair of routers, and what it rests on."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from softmesh.mesh.certificate import RevocationLists
from softmesh.mesh.softwire import Address, Network


class TrustMode(enum.StrEnum):
    """How a peer comes to be trusted."""

    PINNED = "pinned"
    """By its key, the hash of which it announced (RFC 5566 §4.1)."""
    PKI = "pki"
    """By a certificate of an authority of ours; by its key as well where it announced a hash."""
    PINNED_PKI = "pinned+pki"
    """By both, always."""
    GROUP_PSK = "group-psk"
    """By the key that the whole group has (RFC 5619 §4.4.2)."""


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """What a pair of routers asks of each other."""

    mode: TrustMode = TrustMode.PINNED
    authorities: tuple[bytes, ...] = ()
    """DER."""
    identity: str = "{endpoint}"
    """Template of the name in a certificate."""
    revocation: RevocationLists = field(default_factory=RevocationLists)
    secret: bytes = field(default=b"", repr=False)
    secret_digest: str = ""

    def identity_of(self, endpoint: Address) -> str:
        """What the router of an endpoint is called in its certificate, or by its group key."""
        return self.identity.replace("{endpoint}", str(endpoint)).replace("{label}", _label(endpoint))


@dataclass(frozen=True, slots=True)
class TrustGroup:
    """Routers that trust each other in a way of their own."""

    name: str
    endpoints: tuple[Network, ...]
    policy: TrustPolicy

    def joins(self, local: Address, remote: Address) -> bool:
        """Whether both routers are in it: then both come to the same policy, from the same groups."""
        return all(any(end in network for network in self.endpoints) for end in (local, remote))


def _label(endpoint: Address) -> str:
    """An address as a DNS label (RFC 1123 §2.1): never with a hyphen at either end, as ``::`` would give."""
    if endpoint.version == 4:
        return str(endpoint).replace(".", "-")
    return "-".join(format(int(group, 16), "x") for group in endpoint.exploded.split(":"))
