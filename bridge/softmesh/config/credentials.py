"""The files a configuration names, looked at before they are needed."""

from __future__ import annotations

import os
from collections.abc import Iterator

from softmesh.config.credentials_keys import own_keys, peers_keys
from softmesh.config.credentials_trust import trust_files
from softmesh.config.finding import Finding, error, unusable
from softmesh.config.shared_secrets import read_password
from softmesh.config.values import Config
from softmesh.file_error import FileError


def missing_or_unsafe(config: Config) -> Iterator[Finding]:
    """Look at every file the configuration names; findings as for contradictions."""
    yield from _passwords(config)
    yield from own_keys(config)
    yield from peers_keys(config)
    yield from trust_files(config)
    yield from _exabgp(config)


def _passwords(config: Config) -> Iterator[Finding]:
    for index, neighbor in enumerate(config.bgp.neighbors):
        if neighbor.password_file is not None:
            try:
                read_password(neighbor.password_file)
            except FileError as unfit:
                yield unusable(("bgp", "neighbors", index, "password_file"), unfit)


def _exabgp(config: Config) -> Iterator[Finding]:
    program = config.bgp.exabgp
    if config.bgp.managed and program is not None and not (program.is_file() and os.access(program, os.X_OK)):
        yield error(
            ("bgp", "exabgp"),
            f"{program} is not a program that can be run",
            "correct the path, or remove the key to use the one of this Python environment",
            ("bgp", "managed"),
        )
