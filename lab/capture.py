"""A packet capture on one interface, judged with tcpdump's own filters."""

from __future__ import annotations

import subprocess
from typing import Protocol

from lab.eventually import eventually
from lab.namespace import LAB, Process, program

_ESP_IN_UDP = "( udp port 4500 and ( ( ip and udp[8:4] != 0 ) or ( ip6 and ip6[48:4] != 0 ) ) )"
ESP = f"( proto 50 or {_ESP_IN_UDP} )"
"""ESP, bare or in UDP (RFC 3948 §2.2: an IKE message on port 4500 begins with four zero octets)."""

_NEIGHBOR_DISCOVERY = "arp or igmp or ( icmp6 and ip6[40] >= 133 and ip6[40] <= 136 ) or ( ip6[6] = 0 )"
_IKE_REFUSED = (
    "( icmp[icmptype] = 3 and icmp[17] = 17 and ( icmp[30:2] = 500 or icmp[30:2] = 4500 ) ) or "
    "( icmp6 and ip6[40] = 1 and ip6[54] = 17 and ( ip6[90:2] = 500 or ip6[90:2] = 4500 ) )"
)
"""That nobody listens for IKE: an ICMP error that quotes nothing but an IKE message (RFC 792, RFC 4443 §3.1)."""
_ALLOWED = f"udp port 500 or udp port 4500 or tcp port 179 or {_NEIGHBOR_DISCOVERY} or {_IKE_REFUSED}"
PLAINTEXT = f"not ( {ESP} or proto 51 or {_ALLOWED} )"
"""Whatever is neither ESP or AH nor one of the things a core may carry in the clear: IKE, that nobody listens for it,
BGP, neighbour discovery (and group membership: IGMP, MLD behind a hop-by-hop header)."""


class Place(Protocol):
    """Where a program can be started: a namespace, a container."""

    def start(self, *command: str, log: str) -> Process:
        """Start it, its output in ``LAB/log``."""


class Capture:
    """tcpdump writing to a file until ``stop``."""

    def __init__(self, place: Place, device: str, name: str) -> None:
        self._file = LAB / f"{name}.pcap"
        log = LAB / f"{name}.tcpdump.log"
        # What an earlier one of this name has left would pass for what this one says.
        for left in (self._file, log):
            left.unlink(missing_ok=True)
        self._process = place.start(
            *(program("tcpdump"), "-i", device, "-n", "-U", "-Z", "root", "-B", "16384", "-s", "128"),
            "--immediate-mode",
            *("-w", str(self._file)),
            log=log.name,
        )
        eventually(
            lambda: "listening on" in self._process.log.read_text(),
            within=10,
            what=f"capture on {device} has begun",
        )

    def count(self, expression: str) -> int:
        """How many captured packets match a capture filter."""
        return len(self.packets(expression))

    def packets(self, expression: str) -> list[str]:
        """The captured packets that match a capture filter, a line each."""
        done = subprocess.run(
            [program("tcpdump"), "-n", "-r", str(self._file), *expression.split()],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        if done.returncode != 0 and "truncated" not in done.stderr:
            raise AssertionError(f"tcpdump: {done.stderr.strip()}")
        return done.stdout.splitlines()

    def stop(self) -> None:
        """End the capture; it can still be counted."""
        self._process.stop()
