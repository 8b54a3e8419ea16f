"""Our own keys and certificates, and the directories of peers' keys, looked at before they are needed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from cryptography import x509

from softmesh.bgp.sub_tlv import MAX_CERTIFICATE
from softmesh.config.finding import Finding, error, unusable, warning
from softmesh.config.problems import KeyPath, Severity
from softmesh.config.values import Config
from softmesh.file_error import FileError
from softmesh.mesh.identity import Identity, load_identity
from softmesh.mesh.key_directory import KeyDirectory

MAX_ATTRIBUTE = 3500
"""Octets of keys and certificates that leave room for the rest of an UPDATE of 4096 (RFC 4271 §4)."""

_IDENTITY: KeyPath = ("identity",)


def own_keys(config: Config) -> Iterator[Finding]:
    """Look at ``identity``, and at whether what it names can be announced."""
    found: dict[bytes, KeyPath] = {}
    announced = 0
    for path, (private, certificate) in zip(key_paths(config), config.own_keys, strict=True):
        try:
            identity = load_identity(private, certificate)
        except FileError as unfit:
            key = "certificate" if unfit.file == str(certificate) else "private_key"
            yield unusable((*path, key), unfit)
            continue
        private_key: KeyPath = (*path, "private_key")
        if identity.authenticator in found:
            yield error(
                private_key, "is the same key again", "name another, or remove it", found[identity.authenticator]
            )
        found.setdefault(identity.authenticator, private_key)
        yield from _validity(identity, (*path, "certificate"))
        if config.announces_authenticator:
            yield from _announceable(config, identity, path)
            announced += _octets(config, identity)
    total = announced * len(config.announce.tunnels)
    if total > MAX_ATTRIBUTE:
        yield error(
            ("announce", "certificate"),
            f"our keys and certificates, with every tunnel, have {total} octets: too long for an UPDATE",
            "set it to false and give peers our certificates by directory or store, or announce fewer tunnels",
            _IDENTITY,
            ("announce",),
        )
    yield from _as_peers(config, found)


def key_paths(config: Config) -> tuple[KeyPath, ...]:
    """Where each of ``config.own_keys`` stands."""
    return _IDENTITY, *(("identity", "also", index) for index in range(len(config.identity.also)))


def _validity(identity: Identity, path: KeyPath) -> Iterator[Finding]:
    if identity.certificate is None:
        return
    certificate, now = x509.load_der_x509_certificate(identity.certificate), datetime.now(UTC)
    if certificate.not_valid_after_utc < now:
        yield warning(
            path, f"expired on {certificate.not_valid_after_utc:%Y-%m-%d}", "have the CA make a new one for this key"
        )
    elif certificate.not_valid_before_utc > now:
        yield warning(
            path,
            f"is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC",
            "look at this machine's clock",
        )


def _announceable(config: Config, identity: Identity, path: KeyPath) -> Iterator[Finding]:
    if config.announce.public_key and identity.kind.startswith("RSA"):
        yield error(
            ("announce", "public_key"),
            f"our key is {identity.kind}, too long for sub-TLV 126",
            "set it to false and give peers our public key by trust.keys directory, or make an Ed25519 key",
            (*path, "private_key"),
            ("announce", "authenticator"),
        )
    if config.announce.certificate and len(identity.certificate or b"") > MAX_CERTIFICATE:
        yield error(
            ("announce", "certificate"),
            f"our certificate has {len(identity.certificate or b'')} octets, too long for sub-TLV 254"
            f" ({MAX_CERTIFICATE})",
            "set it to false and give peers our certificate by trust.keys directory, or have a shorter one made",
            (*path, "certificate"),
            ("announce", "authenticator"),
        )


def _octets(config: Config, identity: Identity) -> int:
    """What a tunnel's announcement has of a key, sub-TLV headers included (RFC 9012 §2)."""
    spki = len(identity.spki) + 2 if config.announce.public_key else 0
    certificate = len(identity.certificate) + 3 if config.announce.certificate and identity.certificate else 0
    return 2 + 2 + len(identity.authenticator) + spki + certificate


def _as_peers(config: Config, ours: dict[bytes, KeyPath]) -> Iterator[Finding]:
    """Our own keys where those of others are meant."""
    for path, authenticators in _expected(config):
        for at, authenticator in enumerate(authenticators):
            if authenticator in ours:
                yield error(
                    (*path, at),
                    f"{authenticator.hex()} is our own",
                    "write what softmesh check prints on the peer",
                    ours[authenticator],
                )


def _expected(config: Config) -> Iterator[tuple[KeyPath, tuple[bytes, ...]]]:
    """Authenticators that the configuration itself names."""
    for index, neighbor in enumerate(config.bgp.neighbors):
        yield ("bgp", "neighbors", index, "authenticators"), neighbor.authenticators
    for index, entry in enumerate(config.softwires):
        yield ("softwires", index, "authenticators"), entry.authenticators


def peers_keys(config: Config) -> Iterator[Finding]:
    """Look at the directories of ``trust.keys``, and for the keys that the configuration itself asks for."""
    directories = []
    for index, source in enumerate(config.trust.keys):
        if source.directory is None:
            continue
        path: KeyPath = ("trust", "keys", index, "directory")
        directory = KeyDirectory(source.directory)
        directory.scan()
        directories.append(directory)
        for problem in directory.problems:
            severity = Severity.WARNING if directory.usable else Severity.ERROR
            message, _, remedy = problem.rpartition("; ")
            yield Finding(severity, path, message, remedy)
    if not directories or any(source.url is not None for source in config.trust.keys):
        return
    for path, authenticators in _expected(config):
        if authenticators and not any(directory.find(each) for directory in directories for each in authenticators):
            if path[0] == "softwires":
                who, what = config.softwires[int(path[1])].remote, "the softwire"
            else:
                who, what = config.bgp.neighbors[int(path[2])].address, "the session"
            yield warning(
                path,
                f"no key of {who} in the directories of trust.keys: {what} waits for it",
                "put the peer's public key there",
                ("trust", "keys"),
            )
