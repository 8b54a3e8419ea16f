"""The files a configuration names: keys, passwords, key directories, looked at before they are needed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from softmesh.config.finding import Finding
from softmesh.config.problems import KeyPath, Severity
from softmesh.config.values import Config
from softmesh.file_error import FileError
from softmesh.mesh.identity import load_identity
from softmesh.mesh.key_directory import KeyDirectory
from softmesh.secret_file import SecretFileError, read_secret

MAX_PASSWORD_OCTETS = 80
"""Linux' TCP_MD5SIG_MAXKEYLEN."""


def read_password(path: Path) -> str:
    """Read a TCP-MD5 password: the first line of a file that only its owner may be able to read.

    Raises SecretFileError, whose text never has any of the content.
    """
    content = read_secret(path, 4096, "password")
    password, _, rest = content.partition(b"\n")
    password = password.removesuffix(b"\r")
    if rest.strip():
        raise SecretFileError(str(path), "the password file has more than one line", "keep the password only")
    if not password:
        raise SecretFileError(str(path), "the password file is empty", "write the password of the BGP session into it")
    if len(password) > MAX_PASSWORD_OCTETS:
        raise SecretFileError(
            str(path),
            f"the password has {len(password)} octets, {MAX_PASSWORD_OCTETS} are allowed",
            "use a shorter one",
        )
    if not all(0x21 <= octet <= 0x7E for octet in password):
        raise SecretFileError(
            str(path),
            "the password has blanks or characters outside ASCII",
            "use letters, digits and punctuation",
        )
    return password.decode("ascii")


def missing_or_unsafe(config: Config) -> Iterator[Finding]:
    """Look at every file the configuration names; findings as for contradictions."""
    yield from _passwords(config)
    yield from _identity(config)
    yield from _key_directories(config)
    yield from _exabgp(config)


def _passwords(config: Config) -> Iterator[Finding]:
    for index, neighbor in enumerate(config.bgp.neighbors):
        if neighbor.password_file is not None:
            try:
                read_password(neighbor.password_file)
            except FileError as error:
                yield _error(("bgp", "neighbors", index, "password_file"), error)


def _identity(config: Config) -> Iterator[Finding]:
    path: KeyPath = ("identity", "private_key")
    try:
        identity = load_identity(config.identity.private_key)
    except FileError as error:
        yield _error(path, error)
        return
    if config.announce.public_key and identity.kind.startswith("RSA"):
        yield Finding(
            Severity.ERROR,
            ("announce", "public_key"),
            f"our key is {identity.kind}, too long for sub-TLV 126",
            "set it to false and give peers our public key by trust.keys directory, or make an Ed25519 key",
            (path,),
        )
    for index, entry in enumerate(config.softwires):
        if identity.authenticator in entry.authenticators:
            at = entry.authenticators.index(identity.authenticator)
            yield Finding(
                Severity.ERROR,
                ("softwires", index, "authenticators", at),
                f"{identity.authenticator.hex()} is our own",
                "write what softmesh check prints on the peer",
                (path,),
            )


def _key_directories(config: Config) -> Iterator[Finding]:
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
    for index, entry in enumerate(config.softwires):
        found = any(directory.find(each) for directory in directories for each in entry.authenticators)
        if directories and not found:
            yield Finding(
                Severity.WARNING,
                ("softwires", index, "authenticators"),
                f"no key of {entry.remote} in the directories of trust.keys: the softwire waits for it",
                "put the peer's public key there",
                (("trust", "keys"),),
            )


def _exabgp(config: Config) -> Iterator[Finding]:
    program = config.bgp.exabgp
    if config.bgp.managed and program is not None and not (program.is_file() and os.access(program, os.X_OK)):
        yield Finding(
            Severity.ERROR,
            ("bgp", "exabgp"),
            f"{program} is not a program that can be run",
            "correct the path, or remove the key to use the one of this Python environment",
            (("bgp", "managed"),),
        )


def _error(path: KeyPath, error: FileError) -> Finding:
    return Finding(Severity.ERROR, path, f"{error.file}: {error.message}", error.remedy)
