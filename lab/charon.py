"""A strongSwan daemon in a namespace, with the settings the repository ships in strongswan/."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

from lab.eventually import PATIENCE, eventually
from lab.namespace import LAB, Namespace, Process, program
from lab.release import HOST, Release

SETTINGS = Path(__file__).resolve().parent.parent / "strongswan" / "softmesh.conf"

_PLUGINS = (
    "random nonce openssl aes sha1 sha2 hmac kdf pem pkcs1 pkcs8 pubkey x509 revocation constraints "
    "{kernel} socket-default counters updown vici"
)

_PROMPTLY = (program("nice"), "-n", "-10") if os.environ.get("SOFTMESH_GUEST") == "1" else ()
"""In a guest all routers share one processor, and whoever has it keeps it for 10 ms or more. Waiting for their turns
the two ends of an IKE exchange would change over that far apart, where routers of their own need a millisecond. Not by
``chrt --fifo``: under load charon then keeps the processor for itself."""


class Charon:
    """charon-systemd in a namespace; its VICI socket is ``vici``."""

    def __init__(
        self, namespace: Namespace, *, libipsec: bool = True, extra: str = "", release: Release = HOST
    ) -> None:
        """Start it. ``libipsec``: real ESP in user space, for kernels without; ``extra``: further settings.

        ``release``: whose strongSwan it is.
        """
        self.namespace = namespace
        self.release = release
        self.vici = LAB / namespace.name / "charon.vici"
        self._configuration = LAB / namespace.name / "strongswan.conf"
        self._configuration.parent.mkdir(parents=True, exist_ok=True)
        self._libipsec = libipsec
        self.configure(extra)
        self.process = self._start()

    def configure(self, extra: str) -> None:
        """Give it further settings in place of those it had; they count from its next start."""
        kernel = "kernel-libipsec kernel-netlink" if self._libipsec else "kernel-netlink"
        self._configuration.write_text(
            f"include {SETTINGS}\n"
            "charon-systemd {\n"
            f"  load = {_PLUGINS.format(kernel=kernel)}\n"
            # A lab is in a hurry: give an absent peer up after seconds, not minutes.
            "  retransmit_tries = 4\n  retransmit_timeout = 1.0\n  retransmit_base = 1.5\n"
            f"  plugins {{\n    vici {{\n      socket = unix://{self.vici}\n    }}\n  }}\n"
            "  filelog {\n    stderr {\n      default = 1\n      time_format = %H:%M:%S\n    }\n  }\n"
            f"{extra}\n}}\n"
        )

    def _start(self, *wrapper: str) -> Process:
        process = self.namespace.start(
            *_PROMPTLY,
            *wrapper,
            *self.release.argv("charon-systemd"),
            log=f"{self.namespace.name}/charon.log",
            env={"STRONGSWAN_CONF": str(self._configuration)},
        )
        eventually(self._answers, within=10, what=f"charon of {self.namespace.name} answers on {self.vici}")
        return process

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.vici))
            except OSError:
                return False
        return True

    def kill(self) -> None:
        """SIGKILL: no DELETE reaches any peer."""
        self.process.kill()

    def stop(self) -> None:
        """Stop it in order: its peers receive DELETEs."""
        self.process.stop()

    def start(self, *wrapper: str) -> None:
        """Start it again after it was killed or stopped, with nothing in its memory.

        ``wrapper``: the beginning of a command line that runs the rest of it.
        """
        self.process = self._start(*wrapper)

    def restart(self) -> None:
        """Stop it, and start it again."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """SIGSTOP: it hangs with its sockets open."""
        self.process.freeze()

    def thaw(self) -> None:
        """SIGCONT."""
        self.process.thaw()

    def swanctl(self, *arguments: str) -> str:
        """What ``swanctl`` prints."""
        done = subprocess.run(
            [program("swanctl"), *arguments, "--uri", f"unix://{self.vici}"],
            capture_output=True, text=True, check=True, timeout=30 * PATIENCE,
        )  # fmt: skip
        return done.stdout
