"""Packets of any protocol from any source, and counting where they come by: by nftables, as somebody else would."""

from __future__ import annotations

import json
import shlex
import sys
from itertools import count

from lab.namespace import LAB, Namespace, program
from softmesh.dataplane.nftables import Nftables

_number = count(1)

SEND = """
import contextlib, socket, sys
family, protocol, source, destination, sport, dport, mark, octets = sys.argv[1:]
family = socket.AF_INET6 if family == "6" else socket.AF_INET
protocol, dport = int(protocol), int(dport)
kind = socket.SOCK_DGRAM if protocol == 17 else socket.SOCK_RAW
sock = socket.socket(family, kind, protocol)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, int(mark).to_bytes(4, sys.byteorder))
# What the address of another sends needs no address here.
sock.setsockopt(*((socket.IPPROTO_IPV6, 75) if family == socket.AF_INET6 else (socket.IPPROTO_IP, 19)), 1)
sock.bind((source, int(sport)))
# A packet that is dropped where it leaves is reported to its sender.
with contextlib.suppress(PermissionError):
    sock.sendto(bytes(int(octets)), (destination, dport))
"""
"""75 is IPV6_TRANSPARENT, 19 IP_TRANSPARENT: any source address will do."""


def send(
    namespace: Namespace,
    protocol: int,
    source: str,
    destination: str,
    *,
    sport: int = 0,
    dport: int = 0,
    mark: int = 0,
    octets: int = 8,
) -> None:
    """Send zeroes under an IP protocol, from any source address."""
    arguments = ("6" if ":" in destination else "4", protocol, source, destination, sport, dport, mark, octets)
    namespace.run(sys.executable, "-I", "-S", "-c", SEND, *map(str, arguments))


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
