"""The page's own files, as they lie in the package: read once, served from memory, nothing else ever."""

from __future__ import annotations

import hashlib
import importlib.resources
from dataclasses import dataclass

PAGE = "index.html"
_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the page."""

    content_type: str
    body: bytes
    etag: str


def load() -> dict[str, Asset]:
    """Every file by its name."""
    files = importlib.resources.files("softmesh.web").joinpath("assets").iterdir()
    return {file.name: _asset(file.name, file.read_bytes()) for file in files}


def _asset(name: str, body: bytes) -> Asset:
    return Asset(_TYPES[name[name.rindex(".") :]], body, hashlib.sha256(body).hexdigest()[:32])
