"""A terminal of the lab: a program on a real pty, and what its screen shows."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading
from collections.abc import Mapping, Sequence

from lab.eventually import eventually

_FRAME = "\x1b[H"
"""Where a program that draws the whole screen begins anew."""
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COLOR = re.compile(r"\x1b\[[0-9;]*m")
ALTERNATE = "\x1b[?1049h"
"""The program has the screen to itself."""
NORMAL = "\x1b[?1049l"
SHOW_CURSOR = "\x1b[?25h"


class Terminal:
    """Runs a command on a pty of a size, as its controlling terminal."""

    def __init__(
        self, command: Sequence[str], *, width: int = 80, height: int = 24, env: Mapping[str, str] | None = None
    ) -> None:
        self._ours, theirs = pty.openpty()
        self._set_size(theirs, width, height)
        environment = {
            name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES", "NO_COLOR"}
        }
        self._process = subprocess.Popen(
            ["setsid", "--ctty", *command], stdin=theirs, stdout=theirs, stderr=theirs,
            env={**environment, "TERM": "xterm-256color", "LANG": "C.UTF-8", **(env or {})},
        )  # fmt: skip
        os.close(theirs)
        self.written = ""
        """All that was written to it."""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        # EIO: the last that had the terminal open has ended.
        with contextlib.suppress(OSError):
            while octets := os.read(self._ours, 65536):
                self.written += octets.decode(errors="replace")

    @staticmethod
    def _set_size(terminal: int, width: int, height: int) -> None:
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def resize(self, width: int, height: int) -> None:
        """Give it another size; the program gets SIGWINCH."""
        self._set_size(self._ours, width, height)

    @property
    def frame(self) -> str:
        """The last whole frame as it was written; empty before there is one."""
        frames = self.written.split(_FRAME)
        # The last may be half written.
        return frames[-2].replace("\r", "") if len(frames) > 2 else ""

    @property
    def screen(self) -> list[str]:
        """The lines of the last whole frame, without colours; none before there is one."""
        return _CONTROL.sub("", self.frame).split("\n") if self.frame else []

    def shows(self, text: str) -> bool:
        """Whether the screen has this text on a line."""
        return any(text in line for line in self.screen)

    def shown_since(self, place: int) -> str:
        """All that has been shown since that place in ``written``, without colours: some of it is soon replaced."""
        return _CONTROL.sub("", self.written[place:])

    def press(self, keys: str) -> None:
        """Type something."""
        os.write(self._ours, keys.encode())

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program."""
        self._process.send_signal(number)

    def wait(self, *, within: float = 10.0) -> int:
        """Wait for its end; returns the exit status."""
        status = eventually(lambda: self._process.poll() is not None, within=within, what="the program ends")
        assert status
        self._reader.join(within)
        return self._process.returncode

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._reader.join(10)
        os.close(self._ours)
