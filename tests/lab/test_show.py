"""``make show``: a mesh with its page on this machine, which does what is typed, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.eventually import PATIENCE, eventually

ROOT = Path(__file__).resolve().parents[2]


class Shown:
    """``lab.show`` with two routers; what it prints is in ``said``."""

    def __init__(self, log: Path, *arguments: str) -> None:
        self.log = log
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        command = [sys.executable, "-m", "lab.show", "--routers", "2", "--port", str(self.port), *arguments]
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT,
                start_new_session=True, env={**os.environ, "TMPDIR": str(log.parent)},
            )  # fmt: skip

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def type(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()

    def page(self, path: str) -> bytes:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=15 * PATIENCE) as answer:
                body: bytes = answer.read()
                return body
        except OSError:
            return b""

    def wait_for(self, text: str, *, within: float = 40) -> None:
        eventually(lambda: text in self.said, within=within, what=f"it prints {text!r}")


@contextmanager
def shown(tmp_path: Path, *arguments: str) -> Iterator[Shown]:
    it = Shown(tmp_path / "show.log", *arguments)
    try:
        yield it
    finally:
        if it.process.poll() is None:
            it.process.kill()
            it.process.wait()
        assert it.process.stdin is not None
        it.process.stdin.close()


def test_a_mesh_is_shown_broken_and_mended_and_leaves_nothing(tmp_path: Path) -> None:
    with shown(tmp_path) as it:
        it.wait_for("Ctrl-C ends everything", within=90)
        assert f"http://127.0.0.1:{it.port}/" in it.said
        assert b"<html" in it.page("/").lower()
        assert b'"state":"up"' in it.page("/api/status").replace(b" ", b"")
        it.type("afbr1 softmesh explain 10.2.0.10")
        it.wait_for("10.2.0.0/24 from 2001:db8:f::fe: up")
        it.type("nobody softmesh status")
        it.wait_for("cannot do that; begin with one of core")
        it.type("")
        it.wait_for("afbr1: 2001:db8:f::2 connecting")
        it.type("")
        it.wait_for("charon on afbr2 is started")
        eventually(lambda: it.said.rstrip().endswith("afbr2         up         ·"), within=30, what="it is up again")
        os.killpg(it.process.pid, signal.SIGINT)
        assert it.process.wait(60 * PATIENCE) == 0
        assert it.said.endswith("namespaces, daemons and keys are gone.\n")
    assert [path.name for path in tmp_path.iterdir()] == ["show.log"]
    assert it.page("/") == b""


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with shown(tmp_path, "--port", str(port)) as it:
            assert it.process.wait(30 * PATIENCE) == 1
            assert it.said == f"lab.show: port {port} of 127.0.0.1: Address already in use; choose another: --port\n"
