"""A router with a charon and our driver on it, and no bridge: for tests of what charon does with what we say."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from lab.charon import Charon
from lab.eventually import PATIENCE, until
from lab.namespace import Namespace
from lab.release import HOST, Release
from softmesh.charon.connection import Connection
from softmesh.charon.driver import Driver
from softmesh.charon.failure import Failure, Failures, explain
from softmesh.charon.observed import ChildSa, IkeSa
from softmesh.charon.packet import Section
from softmesh.charon.render import render
from softmesh.charon.vici import Vici
from softmesh.mesh.credential import OwnKey, PinnedKey
from softmesh.mesh.softwire import Softwire

WITHIN = 15.0
"""Seconds in which charon does what is awaited of it, a slow guest's included."""


class Key:
    """A new key pair, as its owner and as its peers have it."""

    def __init__(self) -> None:
        key = Ed25519PrivateKey.generate()
        self.private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self.spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.authenticator = hashlib.sha1(self.spki, usedforsecurity=False).digest()
        self.pinned = PinnedKey(self.authenticator, self.spki, "lab")


class Peer:
    """One AFBR; give its namespace addresses, ``start`` it and enter it."""

    def __init__(
        self, name: str, *, libipsec: bool = True, events: Iterable[str] = (), release: Release = HOST
    ) -> None:
        """``libipsec``: ESP in user space, for kernels without; ``events``: what shall be ``heard``.

        ``release``: whose charon it is.
        """
        self.namespace = Namespace(name, forwarding=True)
        self.key = Key()
        self.heard: list[tuple[str, Section]] = []
        """Events, in order."""
        self.connected: list[bool] = []
        """Each time VICI's connection came or went."""
        self._libipsec = libipsec
        self._events = tuple(events)
        self._release = release

    def start(self) -> None:
        """Start charon."""
        self.charon = Charon(self.namespace, libipsec=self._libipsec, release=self._release)
        self.vici = Vici(
            self.charon.vici,
            self._events,
            lambda name, message: self.heard.append((name, message)),
            self.connected.append,
            within=5.0 * PATIENCE,
        )
        self.driver = Driver(self.vici)

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self.vici.run())
        await asyncio.wait_for(self.vici.wait_connected(), WITHIN * PATIENCE)
        await self.driver.load_key(self.key.private)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.cancel()
        with suppress(asyncio.CancelledError):
            await self._running

    def rendered(self, softwire: Softwire) -> Connection:
        """The connection of a softwire whose peer has one key."""
        (connection,) = render(softwire, (OwnKey(self.key.authenticator),))
        return connection

    async def initiate(self, connection: Connection) -> None:
        """Begin to set up all its children."""
        for child in connection.children:
            await self.driver.initiate(connection.name, child.name)

    async def ike_sas(self) -> tuple[IkeSa, ...]:
        """All of ours."""
        return (await self.driver.observe()).ike_sas

    async def installed(self) -> dict[str, ChildSa]:
        """The CHILD SAs that carry traffic, by name."""
        return {child.name: child for ike in await self.ike_sas() for child in ike.children if child.carries}

    async def up(self, connection: Connection) -> dict[str, ChildSa]:
        """Wait until exactly the children of ``connection`` carry traffic."""
        names = {child.name for child in connection.children}

        async def complete() -> dict[str, ChildSa]:
            installed = await self.installed()
            return installed if installed.keys() == names else {}

        return await until(complete, within=WITHIN, what=f"{names} installed at {self.namespace.name}")

    async def carrying(self, connection: Connection) -> tuple[IkeSa, ChildSa]:
        """Wait for a CHILD SA of ``connection``."""

        async def found() -> tuple[IkeSa, ChildSa] | None:
            for ike in await self.ike_sas():
                for child in ike.children:
                    if ike.connection == connection.name and child.carries:
                        return ike, child
            return None

        return await until(found, within=WITHIN, what=f"a CHILD SA of {connection.name} at {self.namespace.name}")

    async def no_ike_sa(self) -> None:
        """Wait until nothing of ours is left."""

        async def none() -> bool:
            return not await self.ike_sas()

        await until(none, within=WITHIN, what=f"no IKE_SA left at {self.namespace.name}")

    async def failure(self, connection: Connection) -> str:
        """Wait until charon has said why ``connection`` failed; listen to ``log`` before."""

        async def told() -> Failure | None:
            failures = Failures()
            for name, message in self.heard:
                failures.hear(name, message, [connection.name])
            return failures.told.get(connection.name)

        failure = await until(told, within=WITHIN, what=f"a reason at {self.namespace.name}")
        return explain(failure, connection)
