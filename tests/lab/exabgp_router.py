"""An AFBR that is only BGP: a namespace with ExaBGP and the hook, cabled to a BIRD route reflector.

far (ExaBGP) ── 2001:db8:f::2 ── rr (BIRD, ::fe) ── 2001:db8:f::1 ── near (ExaBGP + softmesh hook)
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from lab.bird import Bird
from lab.eventually import PATIENCE
from lab.namespace import LAB, Namespace, Process, link
from softmesh.bgp.announcement import Announcement
from softmesh.bgp.exabgp_process import ExaBgpNeighbor, ExaBgpSettings, render
from softmesh.bgp.hook_client import HookClient
from softmesh.bgp.route import ENCAPSULATION, Family

PASSWORD = "correct horse; battery # staple"
REFLECTOR = "2001:db8:f::fe"
NEAR = "2001:db8:f::1"
FAR = "2001:db8:f::2"
EXABGP = (sys.executable, "-m", "exabgp")

T = TypeVar("T")


def route(prefix: str, label: int, next_hop: str = FAR) -> str:
    """A static route of ExaBGP's configuration with an attribute 23 of its own."""
    return f"route {prefix} next-hop {next_hop} attribute [ 0x17 0xc0 0x{tunnel(label).hex()} ];"


def tunnel(label: int) -> bytes:
    """Attribute 23: IPsec in tunnel mode with a colour sub-TLV, told apart by the colour."""
    return bytes.fromhex("0004000a0408030b0000") + label.to_bytes(4)


@dataclass
class Router:
    """ExaBGP in a namespace; with a socket it has the hook as its child."""

    namespace: Namespace
    address: str
    number: int
    exabgp: Sequence[str] = EXABGP
    routes: Sequence[str] = ()
    stale_time: float = 300.0
    extra_process: bool = False
    """Whether ExaBGP has a second process on the neighbour, which makes its count of lines jump."""
    peer: str = REFLECTOR
    families: tuple[Family, ...] = (Family.IPV4_UNICAST, Family.IPV6_UNICAST)
    listens: bool = False
    """Whether the peer may connect."""

    def __post_init__(self) -> None:
        self.home = LAB / self.namespace.name
        self.home.mkdir(parents=True, exist_ok=True)
        self.socket = self.home / "run" / "hook.sock"
        self._configuration = self.home / "exabgp.conf"
        hook = [sys.executable, "-m", "softmesh", "hook", "--socket", str(self.socket)]
        hook += [] if ENCAPSULATION.isdisjoint(self.families) else ["--encapsulation"]
        settings = ExaBgpSettings(
            router_id=f"10.255.0.{self.number}",
            local_address=self.address,
            local_as=65000,
            neighbors=(ExaBgpNeighbor(self.peer, 65000, PASSWORD if self.peer == REFLECTOR else None),),
            hook_command=(*hook, "--stale-time", f"{self.stale_time:g}"),
            families=self.families,
        )
        text = render(settings)
        if self.extra_process:
            sink = 'process sink {\n run "/bin/sh" "-c" "while read -r line; do :; done";\n encoder json;\n}\n'
            text = sink + text.replace("processes [ softmesh ]", "processes [ softmesh sink ]")
        if self.routes:
            text = text[: text.rindex("}")] + "static {\n" + "\n".join(self.routes) + "\n}\n}\n"
        self._configuration.write_text(text)
        self.process = self._start()

    def _start(self) -> Process:
        environment = {
            "exabgp.daemon.user": "root",
            "exabgp.api.cli": "false",
            "exabgp.log.level": "INFO",
            "exabgp.tcp.bind": self.address if self.listens else "",
            "PYTHONPATH": str(Path("bridge").resolve()),
        }
        return self.namespace.start(
            *self.exabgp, str(self._configuration), log=f"{self.namespace.name}/exabgp.log", env=environment
        )

    def restart(self) -> None:
        """End ExaBGP and start it again."""
        self.process.stop()
        self.process = self._start()

    def hooks(self) -> list[int]:
        """Process ids of ExaBGP's children that are hooks."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in children if b"hook" in _command(int(pid))]


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


class Mirrored:
    """A HookClient of a router's hook, running."""

    def __init__(self, router: Router) -> None:
        self.client = HookClient(str(router.socket), on_change=lambda: None)
        self._router = router

    async def __aenter__(self) -> Mirrored:
        self._task = asyncio.ensure_future(self.client.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def prefixes(self) -> set[str]:
        """The prefixes in the mirror."""
        return {key.prefix for key in self.client.routes}

    async def until(self, condition: Callable[[], T], what: str, within: float = 20.0) -> T:
        """Await a condition while the client runs; a failure shows ExaBGP's last words."""
        deadline = time.monotonic() + within * PATIENCE
        while not (value := condition()):
            assert not self._task.done(), f"the client ended: {self._task}"
            assert time.monotonic() < deadline, (
                f"not within {within:g} s: {what}; {sorted(self.prefixes())[:20]} "
                f"{self.client.neighbors} {self.client.errors}\n{self._router.process.tail()}"
            )
            await asyncio.sleep(0.02)
        return value

    def announce(self, *prefixes: str, label: int = 1) -> None:
        """Have the router announce these and nothing else."""
        self.client.announce(
            frozenset(Announcement(prefix, self._router.address, tunnel(label)) for prefix in prefixes)
        )


@contextmanager
def reflected(
    exabgp: Sequence[str] = EXABGP,
    routes: Sequence[str] = (),
    *,
    stale_time: float = 300.0,
    extra_process: bool = False,
) -> Iterator[tuple[Router, Router, Bird]]:
    """Near, far and the reflector between them, gone afterwards; ``routes`` are announced by far."""
    tag = os.urandom(2).hex()
    with ExitStack() as stack:
        rr = stack.enter_context(Namespace(f"rr{tag}"))
        near = stack.enter_context(Namespace(f"near{tag}"))
        far = stack.enter_context(Namespace(f"far{tag}"))
        rr.ip("link", "add", "br0", "type", "bridge")
        rr.address("br0", f"{REFLECTOR}/64")
        for namespace, address in ((near, NEAR), (far, FAR)):
            link(rr, f"to{namespace.name}", namespace, "core")
            rr.ip("link", "set", f"to{namespace.name}", "master", "br0")
            namespace.address("core", f"{address}/64")
        bird = Bird(rr, REFLECTOR, [NEAR, FAR], PASSWORD)
        yield (
            Router(near, NEAR, 1, exabgp, stale_time=stale_time, extra_process=extra_process),
            Router(far, FAR, 2, exabgp, routes),
            bird,
        )


def attribute_23(bird: Bird, prefix: str) -> bytes | None:
    """The attribute BIRD holds for a prefix; None where it has no such route."""
    shown = bird.birdc("show", "route", "all", "for", prefix)
    # BIRD prints the number of an attribute it does not know in hexadecimal.
    found = re.search(r"BGP\.17 [^:]*: ([0-9a-f ]+)$", shown, re.MULTILINE)
    if prefix not in shown or found is None:
        return None
    return bytes.fromhex(found[1])
