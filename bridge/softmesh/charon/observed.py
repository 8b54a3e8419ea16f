"""What charon holds, as found by one list-conns, list-sas, stats, get-keys and get-shared each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from softmesh.charon.actions import Action, LoadConnection, LoadSecret, UnloadConnection, UnloadSecret

INSTALLED = "INSTALLED"
_DELETING_CHILD = "CHILD_DELETE"
_CARRYING = frozenset({INSTALLED, "REKEYING"})


@dataclass(frozen=True, slots=True)
class ChildSa:
    """A CHILD SA as list-sas or an event describes it."""

    name: str
    unique_id: str
    state: str
    """REKEYED and DELETED stay listed for a while."""
    mode: str
    protocol: str
    local_ts: frozenset[str]
    remote_ts: frozenset[str]
    spi_in: str = ""
    spi_out: str = ""
    encr_alg: str = ""
    integ_alg: str = ""
    encap: bool = False
    bytes_in: int = 0
    bytes_out: int = 0
    packets_in: int = 0
    packets_out: int = 0
    installed_for: int = 0
    """Seconds since it was installed."""
    if_id_in: int | None = None
    """The XFRM interface it is bound to; None for none. So are the next."""
    if_id_out: int | None = None
    mark_in: int | None = None
    """The mark it is bound to, all 32 bits of it."""
    mark_out: int | None = None

    @property
    def carries(self) -> bool:
        """Whether it carries traffic: as it does while it is being rekeyed, until its successor is installed."""
        return self.state in _CARRYING


@dataclass(frozen=True, slots=True)
class IkeSa:
    """An IKE_SA made from a connection of ours."""

    connection: str
    unique_id: str
    state: str
    initiator: bool
    local_host: str
    remote_host: str
    local_id: str
    remote_id: str
    initiator_spi: str = ""
    responder_spi: str = ""
    established_for: int | None = None
    """Seconds since it was established; None before."""
    tasks: frozenset[str] = frozenset()
    """Names of its active and queued tasks: CHILD_CREATE while a CHILD SA is being negotiated."""
    children: tuple[ChildSa, ...] = ()
    unlisted: bool = False
    """It has more CHILD SAs than charon can tell of in one message: which, nobody knows, and ``children`` is empty."""

    @property
    def deletes_child(self) -> bool:
        """Whether a CHILD SA is being deleted.

        Deletions wait for the peer, one by one. Asked for again meanwhile, each would be one more in the queue.
        """
        return _DELETING_CHILD in self.tasks


@dataclass(frozen=True, slots=True)
class Observed:
    """One look at charon. Only what carries our prefix is in it, save for the key identifiers."""

    connections: Mapping[str, frozenset[str]]
    """Names of loaded connections, each with the names of its children."""
    ike_sas: tuple[IkeSa, ...]
    key_ids: frozenset[str]
    """Private keys charon holds, by VICI's own identifier: SHA-1 over the subjectPublicKey's bits, in hex."""
    secrets: frozenset[str] | None = frozenset()
    """Names of our pre-shared keys; None where charon holds more, of whomever, than it can tell of in one message."""
    revocation_lists: frozenset[bytes] = frozenset()
    """CRLs it holds, DER; only where they were asked for."""

    def after(self, actions: Iterable[Action]) -> Observed:
        """What a look would find once these actions have been applied, as far as that is certain: what is loaded.

        SAs take their time, so they are as they were.
        """
        connections = dict(self.connections)
        secrets = set(self.secrets or ())
        for action in actions:
            if isinstance(action, LoadConnection):
                children = frozenset(child.name for child in action.connection.children)
                connections[action.connection.name] = children
            elif isinstance(action, UnloadConnection):
                connections.pop(action.name, None)
            elif isinstance(action, LoadSecret):
                secrets.add(action.secret.name)
            elif isinstance(action, UnloadSecret):
                secrets.discard(action.name)
        return replace(self, connections=connections, secrets=None if self.secrets is None else frozenset(secrets))
