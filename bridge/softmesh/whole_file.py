"""Files that are replaced whole or not at all: whoever reads one never sees half of it."""

from __future__ import annotations

import os
from pathlib import Path


def replace_file(path: Path, content: bytes) -> None:
    """Write a file of mode 0600 in place of the one at ``path``, if any. Raises OSError, and then that one stands."""
    begun = path.with_name(f"{path.name}.new")
    # One that was begun and never finished; or a link that somebody has put there for us to follow.
    begun.unlink(missing_ok=True)
    descriptor = os.open(begun, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    begun.replace(path)
