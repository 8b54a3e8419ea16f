"""Packets of any protocol from any source, and counting where they come by: by nftables, as somebody else would."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import asdict, dataclass
from itertools import count

from lab.eventually import eventually
from lab.namespace import LAB, Namespace, program
from softmesh.dataplane.nftables import Nftables

_number = count(1)

SEND = """
import contextlib, json, socket, sys
for packet in json.loads(sys.argv[1]):
    family = socket.AF_INET6 if ":" in packet["destination"] else socket.AF_INET
    kind = socket.SOCK_DGRAM if packet["protocol"] == socket.IPPROTO_UDP else socket.SOCK_RAW
    transparent = (socket.IPPROTO_IPV6, 75) if family == socket.AF_INET6 else (socket.IPPROTO_IP, 19)
    # A packet that is dropped where it leaves is reported to its sender.
    with contextlib.suppress(PermissionError), socket.socket(family, kind, packet["protocol"]) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, packet["mark"].to_bytes(4, sys.byteorder))
        sock.setsockopt(*transparent, 1)
        sock.bind((packet["source"], packet["sport"]))
        sock.sendto(b"\\1" * packet["octets"], (packet["destination"], packet["dport"]))
"""
"""75 is IPV6_TRANSPARENT, 19 IP_TRANSPARENT: any source address will do."""


@dataclass(frozen=True)
class Packet:
    """An IP packet with nothing sensible in it; as MPLS, its label is 4112."""

    protocol: int
    source: str
    """Any address, also that of another."""
    destination: str
    sport: int = 0
    """Of UDP; 0: any. So is the next."""
    dport: int = 0
    mark: int = 0
    """With which it starts."""
    octets: int = 8
    """Behind the IP header and, if any, the UDP header."""


def send(namespace: Namespace, *packets: Packet) -> None:
    """Send packets out of a namespace; what its own guards drop is no error."""
    namespace.run(sys.executable, "-I", "-S", "-c", SEND, json.dumps([asdict(packet) for packet in packets]))


class Witness:
    """Counts packets that come by a place in a namespace: a table of somebody else's."""

    def __init__(self, namespace: Namespace, hook: str, match: str) -> None:
        self._namespace = namespace
        self._name = f"witness{next(_number)}"
        load(
            namespace,
            f"table inet {self._name} {{\n counter seen {{ }}\n chain look {{\n"
            f" type filter hook {hook} priority 200;\n {match} counter name seen\n }}\n}}\n",
        )

    @property
    def seen(self) -> int:
        """Packets so far."""
        listing = json.loads(nft(self._namespace, "-j", "list", "counter", "inet", self._name, "seen"))
        return int(next(item["counter"]["packets"] for item in listing["nftables"] if "counter" in item))

    def sees(self, packets: int) -> None:
        """Wait until that many have come by: on a busy machine they cross a cable after their sender has ended."""
        eventually(lambda: self.seen >= packets, within=5, what=f"{packets} packets have come by")
        assert self.seen == packets


def load(namespace: Namespace, script: str) -> None:
    """Have nft do a script in a namespace."""
    file = LAB / f"script{next(_number)}.nft"
    file.write_text(script)
    nft(namespace, "-f", str(file))


def nft(namespace: Namespace, *arguments: str) -> str:
    """Run nft in a namespace; returns what it printed."""
    return namespace.run(program("nft"), *arguments).stdout


class Nft:
    """The ``nft`` program as it is in a namespace, and what it was called with."""

    def __init__(self, namespace: Namespace, *wrapper: str) -> None:
        """Make it; ``wrapper`` is the beginning of a command line that runs the rest of it."""
        number = next(_number)
        self.path = LAB / f"nft{number}"
        self._calls = LAB / f"nft{number}.calls"
        self._calls.touch()
        command = shlex.join(namespace.argv(*wrapper, program("nft")))
        self.path.write_text(f'#!/bin/sh\necho "$@" >> {self._calls}\nexec {command} "$@"\n')
        self.path.chmod(0o755)

    def guards(self) -> Nftables:
        """The guards of that namespace, by this program; each has its own memory, as if the bridge started anew."""
        return Nftables(str(self.path))

    def calls(self) -> list[str]:
        """Its command lines since the last time, without the program."""
        made = self._calls.read_text().splitlines()
        self._calls.write_text("")
        return made
