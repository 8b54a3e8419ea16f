"""Does one action at a time to charon and looks at what it holds; never waits for a peer."""

from __future__ import annotations

from dataclasses import replace

from softmesh.charon import ability, listing
from softmesh.charon.actions import (
    Action,
    Initiate,
    LoadConnection,
    LoadKey,
    LoadRevocationList,
    LoadSecret,
    TerminateChild,
    TerminateIke,
    UnloadConnection,
    UnloadKey,
    UnloadSecret,
)
from softmesh.charon.connection import OWNED, Connection, Secret
from softmesh.charon.observed import IkeSa, Observed
from softmesh.charon.render import load_key_message
from softmesh.charon.vici import CommandError, Vici, ViciConnection
from softmesh.errors import Unreachable

_NO_WAIT = -1
"""The ``timeout`` of initiate and terminate, in milliseconds: answer once the first packet is sent."""
_SECRETS_WITHIN = 2.0
"""Seconds for the reply to get-shared, which takes 6 ms where it is just not too long for a message."""
_NO_CHILD = "-"
"""No child of ours has this name: asked for it, charon lists IKE_SAs without any of their CHILD SAs."""


class Driver:
    """Applies actions over a VICI connection.

    Every method raises CommandError with charon's words where charon refuses, Unreachable where it does not
    answer, and returns without error where there is nothing left to do.
    """

    def __init__(self, vici: Vici | ViciConnection) -> None:
        self._vici = vici
        self.secrets_unlisted = False
        """Whether charon has so many pre-shared keys, of whomever, that it cannot list them."""
        self.keys_loaded: set[str] = set()
        """Identifiers of the private keys that charon has from us: whatever else it has is somebody else's."""

    async def apply(self, action: Action) -> None:
        """Do what the action says."""
        match action:
            case LoadConnection(connection):
                await self.load_connection(connection)
            case UnloadConnection(name):
                await self.unload_connection(name)
            case Initiate(connection_name, child):
                await self.initiate(connection_name, child)
            case TerminateIke(unique_id, _, force):
                await self.terminate_ike(unique_id, force=force)
            case TerminateChild(unique_id):
                await self.terminate_child(unique_id)
            case LoadKey(private_key):
                await self.load_key(private_key)
            case UnloadKey(key_id):
                await self._unload("unload-key", key_id)
            case LoadSecret(secret):
                await self.load_secret(secret)
            case UnloadSecret(name):
                await self.unload_secret(name)
            case LoadRevocationList(der):
                await self.load_revocation_list(der)

    async def observe(self, *, revocation_lists: bool = False, secrets: bool = True) -> Observed:
        """Look once at all that charon holds: five commands, however many softwires there are.

        ``revocation_lists``: a sixth, for the CRLs it has; ``secrets``: whether to ask for pre-shared keys.
        """
        conns = await self._vici.stream("list-conns", None, "list-conn", about=OWNED)
        sas = await self._ike_sas()
        keys = await self._vici.request("get-keys")
        names = await self.secrets() if secrets else None
        crls = await self._vici.stream("list-certs", {"type": "X509_CRL"}, "list-cert") if revocation_lists else []
        return Observed(listing.connections(conns), sas, listing.key_ids(keys), names, listing.certificates(crls))

    async def _ike_sas(self) -> tuple[IkeSa, ...]:
        """All of ours, those too of which charon says nothing because it would take more than a message can hold."""
        # Never with noblock, which leaves out SAs that are busy: those would look like gone.
        listed = await self._vici.stream("list-sas", None, "list-sa", about=OWNED)
        found = listing.ike_sas(listed)
        if listing.ike_sa_count(await self._vici.request("stats")) <= len(listed):
            return found
        known = {sa.unique_id for sa in found}
        alone = await self._vici.stream("list-sas", {"child": _NO_CHILD}, "list-sa", about=OWNED)
        for sa in listing.ike_sas(alone):
            if sa.unique_id not in known:
                # It may only have come a moment ago.
                whole = await self._vici.stream("list-sas", {"ike-id": sa.unique_id}, "list-sa")
                found += listing.ike_sas(whole) or (replace(sa, unlisted=True),)
        return found

    async def secrets(self) -> frozenset[str] | None:
        """Names of our pre-shared keys; None where charon holds more, of whomever, than it can list."""
        for _ in range(0 if self.secrets_unlisted else 2):
            try:
                return listing.secret_names(await self._vici.request("get-shared", within=_SECRETS_WITHIN))
            except Unreachable:
                # One that answers anything else, before and after, does not hang: it drops what is too long.
                await self._vici.request("version")
        self.secrets_unlisted = True
        return None

    async def ability(self) -> ability.Ability:
        """What this charon can: constant while it runs."""
        return ability.of(
            await self._vici.request("version"),
            await self._vici.request("stats"),
            await self._vici.request("get-algorithms"),
        )

    async def load_connection(self, connection: Connection) -> None:
        """Load it in place of the one that has its name; SAs that exist stay as they are."""
        _check_owned(connection.name)
        await self._vici.request("load-conn", connection.to_vici())

    async def unload_connection(self, name: str) -> None:
        """Unload it; SAs that exist stay as they are."""
        _check_owned(name)
        try:
            await self._vici.request("unload-conn", {"name": name})
        except CommandError as error:
            if "not found" not in error.errmsg:
                raise

    async def initiate(self, connection: str, child: str) -> None:
        """Begin to set up a child; how it goes on shows in the SAs and events.

        Raises CommandError where there is no such child, or not even the first packet could be sent.
        """
        _check_owned(connection)
        await self._vici.request("initiate", {"ike": connection, "child": child, "timeout": _NO_WAIT})

    async def terminate_ike(self, unique_id: str, *, force: bool = True) -> None:
        """Delete an IKE_SA: by force at once, the peer being told; otherwise when the peer has answered."""
        # By the number alone: given a name as well, charon deletes all that have the one or the other.
        await self._terminate({"ike-id": unique_id, "force": force, "timeout": _NO_WAIT})

    async def terminate_child(self, unique_id: str) -> None:
        """Begin to delete a CHILD SA; it goes when the peer has answered, after what is under way with it."""
        await self._terminate({"child-id": unique_id, "timeout": _NO_WAIT})

    async def load_key(self, private_key: bytes) -> None:
        """Load a private key in PEM or DER."""
        reply = await self._vici.request("load-key", load_key_message(private_key))
        self.keys_loaded.add(listing.text(reply.get("id")))

    async def load_secret(self, secret: Secret) -> None:
        """Load a pre-shared key, in place of the one that has its name."""
        _check_owned(secret.name)
        await self._vici.request("load-shared", secret.to_vici())

    async def unload_secret(self, name: str) -> None:
        """Unload a pre-shared key; SAs that it made stay as they are."""
        _check_owned(name)
        await self._unload("unload-shared", name)

    async def load_revocation_list(self, der: bytes) -> None:
        """Load a CRL in DER; charon keeps the newest of each issuer."""
        await self._vici.request("load-cert", {"type": "X509_CRL", "data": der})
        # It also caches CRLs with whom it found to have signed them, and would go on with an older one from there.
        await self._vici.request("flush-certs", {"type": "X509_CRL"})

    async def _unload(self, command: str, name: str) -> None:
        try:
            await self._vici.request(command, {"id": name})
        except CommandError as error:
            if "not found" not in error.errmsg:
                raise

    async def _terminate(self, message: dict[str, str | bool | int]) -> None:
        try:
            await self._vici.request("terminate", message)
        except CommandError as error:
            if "no matching SAs" not in error.errmsg:
                raise


def _check_owned(name: str) -> None:
    if not name.startswith(OWNED):
        raise ValueError(f"connection {name!r} is not ours to change")
