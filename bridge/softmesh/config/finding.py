"""What is found wrong with a configuration whose every value is well formed."""

from __future__ import annotations

from dataclasses import dataclass

from softmesh.config.problems import KeyPath, Severity
from softmesh.file_error import FileError


@dataclass(frozen=True, slots=True)
class Finding:
    """A contradiction, at the key where it is best mended."""

    severity: Severity
    path: KeyPath
    message: str
    remedy: str
    others: tuple[KeyPath, ...] = ()
    """Further keys it depends on."""


def error(path: KeyPath, message: str, remedy: str, *others: KeyPath) -> Finding:
    """What keeps the file from being used."""
    return Finding(Severity.ERROR, path, message, remedy, others)


def warning(path: KeyPath, message: str, remedy: str, *others: KeyPath) -> Finding:
    """What is allowed, but most likely not meant."""
    return Finding(Severity.WARNING, path, message, remedy, others)


def unusable(path: KeyPath, reason: FileError, *others: KeyPath) -> Finding:
    """A file that a key names and that is not what it must be."""
    return error(path, f"{reason.file}: {reason.message}", reason.remedy, *others)
