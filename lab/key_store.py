"""A key store: a real HTTP or HTTPS server for a directory, and one that behaves as no store should.

    python -m lab.key_store ADDRESS PORT DIRECTORY [CHAIN.pem]

``DIRECTORY/NAME`` is given for a request of ``/NAME``. Where ``DIRECTORY/NAME.endless`` exists, the answer never ends;
where ``DIRECTORY/NAME.slow`` does, it comes octet by octet; where ``DIRECTORY/unknown.slow`` does, so it comes for all
that is not there.
"""

from __future__ import annotations

import http.server
import socket
import ssl
import sys
import time
from pathlib import Path
from typing import Any

from lab.eventually import eventually
from lab.namespace import LAB, Namespace, Process

_LISTENS = "the store listens"


class KeyStore:
    """The server in a namespace that has the address; it has to be started."""

    def __init__(self, namespace: Namespace, address: str, *, port: int = 8080, chain: Path | None = None) -> None:
        """``chain``: the server's private key and certificate, for HTTPS."""
        self.directory = LAB / "store"
        self.directory.mkdir(parents=True, exist_ok=True)
        host = f"[{address}]" if ":" in address else address
        self.url = f"{'http' if chain is None else 'https'}://{host}:{port}/{{sha1}}"
        self._namespace = namespace
        self._arguments = [address, str(port), str(self.directory), *([] if chain is None else [str(chain)])]
        self._process: Process | None = None

    def start(self) -> None:
        """Start the server."""
        before = self.requests.count(_LISTENS)
        self._process = self._namespace.start(
            *(sys.executable, "-m", "lab.key_store", *self._arguments),
            log="store.log",
            env={"PYTHONPATH": str(Path(__file__).parents[1])},
        )
        eventually(lambda: self.requests.count(_LISTENS) > before, within=10, what="the store listens")

    def stop(self) -> None:
        """Stop the server: nobody listens any more."""
        if self._process is not None:
            self._process.stop()

    @property
    def requests(self) -> str:
        """Its log."""
        log = LAB / "store.log"
        return log.read_text() if log.exists() else ""


class _Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if path.with_suffix(".endless").exists():
            self._drip(b"x" * 65536, 0.0)
        elif path.with_suffix(".slow").exists() or (path.with_name("unknown.slow").exists() and not path.exists()):
            self._drip(b"x", 0.2)
        else:
            super().do_GET()

    def _drip(self, drop: bytes, every: float) -> None:
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(drop)
            time.sleep(every)

    def handle(self) -> None:
        try:
            super().handle()
        except OSError as error:
            self.log_error("%s", error)


def main() -> None:
    """Serve until killed."""
    address, port, directory, *chain = sys.argv[1:]

    def handler(*arguments: Any) -> _Handler:
        return _Handler(*arguments, directory=directory)

    class Server(http.server.ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in address else socket.AF_INET

    server = Server((address, int(port)), handler)
    if chain:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain[0])
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print(_LISTENS, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
