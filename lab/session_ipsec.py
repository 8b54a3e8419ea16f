"""IPsec for a route reflector's BGP sessions."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Mapping
from contextlib import suppress

import vici

from lab.charon import Charon
from lab.namespace import Namespace
from lab.peer import Key


class SessionIpsec:
    """A charon of the reflector's own, set up as an operator would: it answers each client for its BGP session."""

    def __init__(self, namespace: Namespace, address: str, clients: Mapping[str, bytes], *, ah: bool = False) -> None:
        """``clients``: by address, the SubjectPublicKeyInfo of the key that each is to authenticate with.

        ``ah``: by AH, not ESP.
        """
        self._proposals = {"ah_proposals": ["sha256-x25519"]} if ah else {"esp_proposals": ["aes256gcm16-x25519"]}
        self.key = Key()
        self.charon = Charon(namespace, libipsec=False)
        self._address = address
        self._clients = clients
        with self._connected() as connection:
            vici.Session(connection).load_key({"type": "any", "data": self.key.private})
        self.load()

    def load(self) -> None:
        """Load the connections."""
        with self._connected() as connection:
            session = vici.Session(connection)
            for number, (client, spki) in enumerate(self._clients.items()):
                session.load_conn({f"client{number}": self._connection(client, spki)})

    def unload(self) -> None:
        """End all SAs, and refuse new ones."""
        with self._connected() as connection:
            session = vici.Session(connection)
            for number in range(len(self._clients)):
                session.unload_conn({"name": f"client{number}"})
                # charon says "no" where there is none.
                with suppress(vici.exception.CommandException):
                    list(session.terminate({"ike": f"client{number}", "force": "yes", "timeout": "5000"}))

    def _connection(self, client: str, spki: bytes) -> Mapping[str, object]:
        length = 128 if ":" in client else 32
        # Two, for either end may have the port; the client has the same, seen from its side.
        ports = {"ours": ("tcp/179", "tcp"), "theirs": ("tcp", "tcp/179")}
        return {
            "version": "2",
            "local_addrs": [self._address],
            "remote_addrs": [client],
            "proposals": ["aes256gcm16-prfsha384-x25519"],
            "local": {"auth": "pubkey", "id": _named(self.key.spki)},
            "remote": {"auth": "pubkey", "id": _named(spki), "pubkeys": [spki]},
            "children": {
                name: {
                    "mode": "transport",
                    "local_ts": [f"{self._address}/{length}[{near}]"],
                    "remote_ts": [f"{client}/{length}[{far}]"],
                    **self._proposals,
                }
                for name, (near, far) in ports.items()
            },
        }

    def _connected(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(60)
        connection.connect(str(self.charon.vici))
        return connection


def _named(spki: bytes) -> str:
    """The identity by which routers of a mesh know each other's keys."""
    return f"@#{hashlib.sha1(spki, usedforsecurity=False).hexdigest()}"
