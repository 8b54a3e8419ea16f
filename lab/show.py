"""``make show``: a mesh that stays up, with its page in the browser of this machine, until Ctrl-C.

The mesh is that of the demo, in namespaces of its own. Its page is led out through a unix socket: the network of the
host is not touched, but for one port of 127.0.0.1 that is listened at. Whatever is typed is done:

    (nothing)                       stops charon on the last router, and starts it again the next time
    afbr1 softmesh explain 10.2.0.10   runs a command on a router
    island1 ping -c 3 10.2.0.10        or on a host of an island
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import select
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lab.demo import draw
from lab.eventually import NotReached, eventually
from lab.mesh import SOFTMESH, Afbr, Direction, Mesh, meshed
from lab.namespace import Namespace
from lab.relay import serve

PORT = 8180
SANDBOX = Path(__file__).resolve().parent / "sandbox"
_INTERRUPTED = 128 + signal.SIGINT
"""Exit status of a shell whose command Ctrl-C has ended, in order or not."""
_LOOK = 1.0
"""Seconds between two looks at every router."""


def main() -> int:
    """Show it; returns the exit status."""
    parser = argparse.ArgumentParser(prog="lab.show", description="A mesh that stays, with its page, until Ctrl-C.")
    parser.add_argument("--port", type=int, default=PORT, help=f"port of 127.0.0.1 for the page [{PORT}]")
    parser.add_argument("--routers", type=int, default=4, help="how many AFBRs [4]")
    parser.add_argument("--break", dest="broken", action="store_true", help="stop charon on the last one at once")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inside is not None:
        return inside(args.inside, args.port, args.routers, broken=args.broken)
    with tempfile.TemporaryDirectory(prefix="softmesh-show-") as shared:
        return asyncio.run(outside(Path(shared), args.port))


async def outside(shared: Path, port: int) -> int:
    """Start the sandbox and lead the port of this machine to the page in it; returns the sandbox's exit status."""
    try:
        server = await serve(f"tcp:127.0.0.1:{port}", f"unix:{shared}/page")
    except OSError as error:
        print(
            f"lab.show: port {port} of 127.0.0.1: {os.strerror(error.errno or 0)}; choose another: --port",
            file=sys.stderr,
        )
        return 1
    command = [str(SANDBOX), sys.executable, "-m", "lab.show", *sys.argv[1:], "--inside", str(shared)]
    process = await asyncio.create_subprocess_exec(*command)
    loop = asyncio.get_running_loop()
    # Ctrl-C reaches the mesh itself, which ends in order. With its process 1 everything in the sandbox is gone.
    interrupted = asyncio.Event()
    loop.add_signal_handler(signal.SIGINT, interrupted.set)
    loop.add_signal_handler(signal.SIGTERM, process.kill)
    async with server:
        status = await process.wait()
    return 0 if interrupted.is_set() and status == _INTERRUPTED else status


def inside(shared: Path, port: int, routers: int, *, broken: bool) -> int:
    """Build the mesh, say what becomes of it, and do what is typed; returns the exit status."""
    try:
        with Mesh(Direction.FOUR_OVER_SIX, routers, settings={"http": {"port": port}}) as mesh:
            with contextlib.suppress(KeyboardInterrupt):
                Show(mesh, shared, port).run(broken=broken)
            print("\nending …")
    except NotReached as error:
        print(f"lab.show: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print("namespaces, daemons and keys are gone.")
    return 0


class Show:
    """A mesh that is watched, and what can be done to it."""

    def __init__(self, mesh: Mesh, shared: Path, port: int) -> None:
        self.mesh = mesh
        self.afbrs = list(mesh.afbrs.values())
        self._page = shared / "page"
        self._port = port
        self._drawn = ""
        self._listening = True
        """Whether there is anybody who could type."""
        self._begun = b""
        """Of a line that is not at its end."""

    def run(self, *, broken: bool) -> None:
        """Go on until KeyboardInterrupt. Raises NotReached where the mesh or its page does not come up."""
        began = time.monotonic()
        first = self.afbrs[0]
        self.mesh.start()
        first.namespace.start(
            sys.executable, "-m", "lab.relay", f"unix:{self._page}", f"tcp:127.0.0.1:{self._port}",
            log=f"{first.namespace.name}/relay.log",
        )  # fmt: skip
        eventually(self._served, within=60, what=f"{first.namespace.name} serves its page")
        print(f"the page of {first.namespace.name}: http://127.0.0.1:{self._port}/", flush=True)

        def settled() -> bool:
            self._look(began)
            return meshed(self.afbrs)

        eventually(settled, within=60, what="all softwires are up", every=0.2)
        print(
            f"Enter stops charon on {self.afbrs[-1].namespace.name}, and again starts it; Ctrl-C ends everything.\n"
            f"A command on a router: {first.namespace.name} softmesh explain {self.mesh.plan.host(2, 10)}",
            flush=True,
        )
        if broken:
            self._break_or_mend()
        while True:
            self._look(began)
            self._obey(_LOOK)

    def _served(self) -> bool:
        """Whether the page answers, asked as a browser does: through the socket."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as browser:
            browser.connect(str(self._page))
            browser.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nConnection: close\r\n\r\n".encode())
            return browser.recv(64).startswith(b"HTTP/1.1 200")
        return False

    def _look(self, began: float) -> None:
        """Print the matrix if it has changed, and why softwires are not up."""
        matrix = draw(self.afbrs)
        if matrix == self._drawn:
            return
        self._drawn = matrix
        print(f"after {time.monotonic() - began:.1f} s\n{matrix}", flush=True)
        if meshed(self.afbrs):
            return
        for afbr in self.afbrs:
            wires = afbr.wires().values()
            for wire in [wire for wire in wires if wire["state"] != "up" and wire["reason"]][:1]:
                print(f"    {afbr.namespace.name}: {wire['remote']} {wire['state']}: {wire['reason']}", flush=True)

    def _obey(self, seconds: float) -> None:
        """Wait for so long for lines, and do what they say."""
        if not self._listening:
            time.sleep(seconds)
        elif select.select([sys.stdin], [], [], seconds)[0]:
            typed = os.read(sys.stdin.fileno(), 4096)
            self._listening = bool(typed)
            *lines, self._begun = (self._begun + typed).split(b"\n")
            for line in lines:
                if line.strip():
                    self._command(line.decode(errors="replace"))
                else:
                    self._break_or_mend()

    def _break_or_mend(self) -> None:
        last = self.afbrs[-1]
        if last.charon.process.running:
            print(f"charon on {last.namespace.name} is stopped", flush=True)
            last.charon.stop()
        else:
            print(f"charon on {last.namespace.name} is started", flush=True)
            last.charon.start()

    def _command(self, line: str) -> None:
        """Run ``ROUTER COMMAND …``, and print what it prints."""
        places: dict[str, Namespace] = {"core": self.mesh.core, "rr": self.mesh.rr}
        for afbr in self.afbrs:
            places |= {afbr.namespace.name: afbr.namespace, afbr.island.name: afbr.island}
        try:
            place, *command = shlex.split(line)
            done = places[place].run(*self._completed(place, command), check=False)
        except (ValueError, KeyError, subprocess.TimeoutExpired):
            print(f"cannot do that; begin with one of {', '.join(places)}, then a command", flush=True)
            return
        print(f"\n$ {shlex.join(command)}        (on {place})\n{done.stdout}{done.stderr}", flush=True)

    def _completed(self, place: str, command: list[str]) -> list[str]:
        """Our own command, with the configuration of the router that it is about."""
        afbr: Afbr | None = next((afbr for afbr in self.afbrs if afbr.namespace.name == place), None)
        if afbr is None or command[:1] != ["softmesh"]:
            return command
        return [*SOFTMESH, *command[1:], *(["-c", str(afbr.configuration)] if command[1:] else [])]


if __name__ == "__main__":
    sys.exit(main())
