"""Signals that come before anybody is there to take them.

Until its handlers stand SIGTERM ends a program without a farewell, and so does SIGHUP, which asks it to read its file
again. Held back meanwhile, they count once it has started.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

_HELD = {signal.SIGHUP, signal.SIGINT, signal.SIGTERM}


@contextmanager
def held() -> Iterator[None]:
    """Hold back SIGHUP, SIGINT and SIGTERM until ``release``, or to the end."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
    try:
        yield
    finally:
        release()


def release() -> None:
    """Take them again, those that came meanwhile at once."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)
