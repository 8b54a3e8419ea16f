"""What may be done to charon: each action is a value that prints itself and can be repeated without harm."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from softmesh.charon.connection import Connection, Secret


@dataclass(frozen=True, slots=True)
class LoadConnection:
    """Load a connection, or change the children of the one that has its name."""

    connection: Connection

    def describe(self) -> str:
        """One line for ``softmesh plan``."""
        children = ", ".join(child.name for child in self.connection.children) or "none"
        return f"load connection {self.connection.name} (children: {children})"


@dataclass(frozen=True, slots=True)
class UnloadConnection:
    """Unload a connection; its SAs stay until they are terminated."""

    name: str

    def describe(self) -> str:
        """One line for ``softmesh plan``."""
        return f"unload connection {self.name}"


@dataclass(frozen=True, slots=True)
class Initiate:
    """Begin to set up a CHILD SA, and its IKE_SA where there is none; how it ends shows in the SAs."""

    connection: str
    child: str

    def describe(self) -> str:
        """One line for ``softmesh plan``."""
        return f"initiate {self.child} of {self.connection}"


@dataclass(frozen=True, slots=True)
class TerminateIke:
    """Delete an IKE_SA with all its CHILD SAs."""

    unique_id: str
    connection: str = field(compare=False, default="")
    """For whoever reads it."""
    force: bool = True
    """Without waiting for the peer to agree."""

    def describe(self) -> str:
        """One line for ``softmesh plan``."""
        force = " by force" if self.force else ""
        return f"terminate IKE_SA {self.unique_id} of {self.connection or '?'}{force}"


@dataclass(frozen=True, slots=True)
class TerminateChild:
    """Delete a CHILD SA; the IKE_SA and its other CHILD SAs stay."""

    unique_id: str
    child: str = field(compare=False, default="")
    """For whoever reads it."""

    def describe(self) -> str:
        """One line for ``softmesh plan``."""
        return f"terminate CHILD_SA {self.unique_id} of {self.child or '?'}"


@dataclass(frozen=True, slots=True)
class LoadKey:
    """Give charon our private key."""

    private_key: bytes = field(repr=False)
    """PEM or DER."""

    def describe(self) -> str:
        """One line for ``softmesh plan``; nothing of the key is in it."""
        return "load our private key"


@dataclass(frozen=True, slots=True)
class UnloadKey:
    """Take a private key of ours from charon."""

    key_id: str
    """VICI's identifier of it, in hex."""

    def describe(self) -> str:
        """One line for ``softmesh plan``."""
        return f"unload our private key {self.key_id}"


@dataclass(frozen=True, slots=True)
class LoadSecret:
    """Give charon a pre-shared key, or replace the one of its name."""

    secret: Secret

    def describe(self) -> str:
        """One line for ``softmesh plan``; nothing of the key is in it."""
        return f"load pre-shared key {self.secret.name}"


@dataclass(frozen=True, slots=True)
class UnloadSecret:
    """Take a pre-shared key of ours from charon."""

    name: str

    def describe(self) -> str:
        """One line for ``softmesh plan``."""
        return f"unload pre-shared key {self.name}"


@dataclass(frozen=True, slots=True)
class LoadRevocationList:
    """Give charon a CRL; it keeps the newest of each issuer."""

    der: bytes = field(repr=False)

    def describe(self) -> str:
        """One line for ``softmesh plan``."""
        return f"load revocation list of {len(self.der)} octets"


Action: TypeAlias = (
    LoadConnection
    | UnloadConnection
    | Initiate
    | TerminateIke
    | TerminateChild
    | LoadKey
    | UnloadKey
    | LoadSecret
    | UnloadSecret
    | LoadRevocationList
)
