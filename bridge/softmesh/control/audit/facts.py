"""What an audit looks at outside of the bridge's own memory: charon, the firewall, and files, as they are now."""

from __future__ import annotations

import asyncio
import datetime
import os
from collections.abc import Collection, Iterator
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from softmesh.bgp.announcement import Announcement
from softmesh.config import Config
from softmesh.control.audit import charon_account
from softmesh.control.audit.charon_account import Account
from softmesh.control.audit.node import Facts, FileFact, Firewall, Purpose
from softmesh.dataplane import nft_listing
from softmesh.dataplane.nft_ruleset import TABLE
from softmesh.errors import SoftmeshError
from softmesh.mesh.identity import Identity

_PATIENCE = 3.0
"""Seconds that charon may take to answer, and nft: whoever asked for the audit waits."""


async def gather(config: Config, own: Collection[Identity]) -> Facts:
    """Look at everything; what cannot be looked at is a fact as well, and raises nothing."""
    account, silence = await _account(config)
    return Facts(
        account=account,
        silence=silence,
        firewall=await firewall(),
        files=tuple(_files(config)),
        told=_told(config),
        self_signed=frozenset(identity.authenticator for identity in own if _signs(identity)),
        user=os.geteuid(),
    )


async def _account(config: Config) -> tuple[Account | None, str]:
    try:
        async with asyncio.timeout(_PATIENCE):
            return await charon_account.ask(config.charon.vici), ""
    except SoftmeshError as error:
        return None, str(error)
    except TimeoutError:
        return None, f"no answer within {_PATIENCE:g} s"


async def firewall() -> Firewall:
    """Look at the guards' table; why it cannot be seen is a fact as well."""
    try:
        process = await asyncio.create_subprocess_exec(
            *("nft", "--json", "list", "table", *TABLE.split()),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin", "LC_ALL": "C"},
        )
    except OSError as error:
        return Firewall(problem=f"nft does not run: {error.strerror}")
    try:
        async with asyncio.timeout(_PATIENCE):
            output, errors = await process.communicate()
    except TimeoutError:
        return Firewall(problem=f"nft did not end within {_PATIENCE:g} s")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        said = errors.decode(errors="replace").partition("\n")[0].rpartition("Error: ")[2].strip()
        return Firewall(problem=f"nft: {said or 'it ended without a word'}")
    try:
        return Firewall(nft_listing.table(output))
    except SoftmeshError as error:
        return Firewall(problem=str(error))


def _files(config: Config) -> Iterator[FileFact]:
    for private_key, _ in config.own_keys:
        yield _look(Purpose.SECRET, "private key", private_key)
    for neighbor in config.bgp.neighbors:
        if neighbor.password_file is not None:
            yield _look(Purpose.SECRET, "TCP-MD5 password", neighbor.password_file)
    for rules in (config.trust, *(group.trust for group in config.trust_groups)):
        if rules is not None and rules.secret_file is not None:
            yield _look(Purpose.SECRET, "group key", rules.secret_file)
    if config.bgp.managed:
        yield _look(Purpose.SECRET, "ExaBGP configuration with its passwords", config.sockets.directory / "exabgp.conf")
    yield _look(Purpose.SOCKET, "control socket", config.sockets.control)
    yield _look(Purpose.SOCKET, "hook socket", config.sockets.hook)
    yield _look(Purpose.VICI, "VICI socket", config.charon.vici)
    for source in config.trust.keys:
        if source.directory is not None:
            yield _look(Purpose.KEYS, "key directory", source.directory)


def _look(purpose: Purpose, what: str, path: Path) -> FileFact:
    try:
        found = path.stat()
    except OSError as error:
        return FileFact(purpose, what, str(path), problem=error.strerror or "cannot be looked at")
    return FileFact(purpose, what, str(path), found.st_mode, found.st_uid)


def _told(config: Config) -> tuple[Announcement, ...] | None:
    """What ExaBGP was told to announce, by the file that the hook keeps of it."""
    path = config.sockets.hook.with_name(f"{config.sockets.hook.name}.announced")
    try:
        return tuple(msgspec.json.decode(path.read_bytes(), type=list[Announcement]))
    except (OSError, msgspec.MsgspecError):
        return None


def _signs(identity: Identity) -> bool:
    """Whether a certificate can be signed by our key for itself: one is, and forgotten (RFC 5566 §4)."""
    name = x509.Name([])
    now = datetime.datetime.now(datetime.UTC)
    try:
        key = load_pem_private_key(identity.private_key_pem, password=None)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1)
        builder = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
        by_itself = isinstance(key, Ed25519PrivateKey | Ed448PrivateKey)
        builder.public_key(key.public_key()).sign(key, None if by_itself else SHA256())  # type: ignore[arg-type]
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True
