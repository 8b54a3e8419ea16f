"""Errors about the content or the mode of one file."""

from __future__ import annotations

from softmesh.errors import OperatorError


class FileError(OperatorError):
    """A file is not what it must be; ``str()`` is "file: what is wrong; remedy"."""

    def __init__(self, file: str, message: str, remedy: str) -> None:
        super().__init__(f"{file}: {message}; {remedy}")
        self.file = file
        self.message = message
        self.remedy = remedy
