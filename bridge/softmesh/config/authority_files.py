"""The CA certificates that a configuration names."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from softmesh.mesh.certificate import authorities
from softmesh.public_file import read_public


def read_authorities(paths: Iterable[Path]) -> tuple[bytes, ...]:
    """Read CA certificates, PEM or DER, any number a file. Returns DER, each once; raises FileError."""
    found = (der for path in paths for der in authorities(read_public(path, "CA certificate")[0], str(path)))
    return tuple(dict.fromkeys(found))
