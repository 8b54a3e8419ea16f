"""What the kernel says of IPsec, and the tunnel interfaces that a packet takes into it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from types import TracebackType
from typing import Self

from lab.capture import ESP, PLAINTEXT, Capture
from lab.eventually import eventually
from lab.namespace import Namespace

_number = count(1)
_ANY = f"{ESP} or proto 51"
_STATE = re.compile(
    r"^src (?P<source>\S+) dst (?P<destination>\S+)\n\tproto (?P<protocol>\w+) spi (?P<spi>0x[0-9a-f]+)\(.* "
    r"mode (?P<mode>\w+)\n(?P<rest>(?:\t.*\n?)*)",
    re.MULTILINE,
)
_PACKETS = re.compile(r"lifetime current:\n\s*\d+\(bytes\), (\d+)\(packets\)")


_ALGORITHM = re.compile(r"^\t(?:auth-trunc|enc|aead) (\S+)", re.MULTILINE)


@dataclass(frozen=True)
class KernelSa:
    """A security association as ``ip -s xfrm state`` shows it."""

    source: str
    destination: str
    protocol: str
    spi: str
    mode: str
    encapsulated: bool
    """Whether it is wrapped in UDP (RFC 3948)."""
    packets: int
    algorithms: tuple[str, ...]
    """By the kernel's names."""


def security_associations(namespace: Namespace) -> dict[tuple[str, str], KernelSa]:
    """The security associations of a namespace's kernel by source and destination; two of the same are an error."""
    found: dict[tuple[str, str], KernelSa] = {}
    for match in _STATE.finditer(namespace.ip("-s", "xfrm", "state")):
        packets = _PACKETS.search(match["rest"])
        assert packets is not None, match[0]
        sa = KernelSa(
            source=match["source"],
            destination=match["destination"],
            protocol=match["protocol"],
            spi=match["spi"],
            mode=match["mode"],
            encapsulated="\tencap type" in match["rest"],
            packets=int(packets[1]),
            algorithms=tuple(_ALGORITHM.findall(match["rest"])),
        )
        assert (sa.source, sa.destination) not in found, f"two SAs from {sa.source} to {sa.destination}"
        found[sa.source, sa.destination] = sa
    return found


class _Only:
    """Watches a cable on which nothing but one IPsec protocol may go, and proves that it would have seen other."""

    _protocol = ""
    """Bare, as a capture filter."""

    def __init__(self, namespace: Namespace, device: str) -> None:
        """Begin to watch a device."""
        self._capture = Capture(namespace, device, f"{type(self).__name__.lower()}-{next(_number)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._capture.stop()

    def saw(self, packets: int) -> None:
        """Assert that exactly ``packets`` crossed so far, all of them by the protocol and none of them in UDP."""
        # The capture lags, but keeps the order: with the last of these, all that went before is in the file.
        eventually(
            lambda: self._capture.count(_ANY) >= packets, within=5, what=f"{packets} IPsec packets captured", every=0.2
        )
        assert self._capture.count(self._protocol) == packets
        assert self._capture.count(_ANY) == packets
        assert self._capture.count(PLAINTEXT) == 0

    def sees(self, plaintext: int) -> None:
        """Assert that the same filter finds packets that are not protected, at least this many."""
        eventually(
            lambda: self._capture.count(PLAINTEXT) >= plaintext,
            within=5, what=f"{plaintext} packets in the clear captured", every=0.2,
        )  # fmt: skip


class EspOnly(_Only):
    """A cable for ESP."""

    _protocol = "ip proto 50 or ip6 proto 50"


class AhOnly(_Only):
    """A cable for AH."""

    _protocol = "ip proto 51 or ip6 proto 51"


@contextmanager
def interface(namespace: Namespace, kind: str, local: str, remote: str, *options: str) -> Iterator[str]:
    """A tunnel interface between two addresses, up; removed afterwards. Yields its name."""
    # The tunnel encapsulation limit (RFC 2473 §4.1.1) is a destination option: it would stand before ESP.
    if kind in {"ip6tnl", "ip6gre"}:
        options = (*options, "encaplimit", "none")
    namespace.ip("link", "add", "tunnel0", "type", kind, "local", local, "remote", remote, *options)
    try:
        # Without a link-local address it sends nothing of its own that would be counted.
        namespace.ip("link", "set", "tunnel0", "up", "addrgenmode", "none")
        yield "tunnel0"
    finally:
        namespace.ip("link", "delete", "tunnel0")


def accept_labels(namespace: Namespace, device: str, label: int) -> None:
    """Take MPLS packets from a device; those with ``label`` are popped and routed (RFC 3031 §3.18)."""
    settings = {"platform_labels": "1048575", f"conf/{device}/input": "1"}
    for path, value in settings.items():
        namespace.run("sh", "-c", f"echo {value} > /proc/sys/net/mpls/{path}")
    namespace.ip("-f", "mpls", "route", "replace", str(label), "dev", "lo")
