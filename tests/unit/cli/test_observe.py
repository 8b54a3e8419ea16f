"""``softmesh observe``: what it prints, and what it ends with."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from softmesh import cli
from softmesh.bgp.adj_rib_in import NeighborChanged, RouteChanged
from softmesh.bgp.hook_protocol import VERSION, FromHook, Hello, SnapshotComplete, encode
from softmesh.bgp.route import UNICAST, Neighbor, Route, SessionState
from softmesh.cli.mesh_table import shown
from tests.unit.control.test_mesh_document import document
from tests.unit.mesh.routes import REFLECTOR, attribute
from tests.unit.mesh.test_observation import end, sent

UP = Neighbor(REFLECTOR, 65000, SessionState.UP, 0.0, end_of_rib=frozenset(UNICAST))


class Hook:
    """Tells one snapshot to whoever connects, and holds the connection until they leave."""

    def __init__(self, path: Path, messages: Sequence[FromHook]) -> None:
        self.path = path
        self.octets = b"".join(map(encode, messages))
        self.heard = b""
        self.closing = False
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen()
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self) -> None:
        while not self.closing:
            connection, _ = self.socket.accept()
            with connection, suppress(ConnectionError):
                connection.sendall(self.octets)
                while octets := connection.recv(65536):
                    self.heard += octets

    def close(self) -> None:
        self.closing = True
        with socket.socket(socket.AF_UNIX) as last:
            last.connect(str(self.path))
        self.thread.join()
        self.socket.close()
        self.path.unlink()


@pytest.fixture
def hooks(tmp_path: Path) -> Iterator[Any]:
    made: list[Hook] = []

    def make(*routes: Route, neighbor: Neighbor = UP, version: int = VERSION) -> Hook:
        told: list[FromHook] = [NeighborChanged(neighbor), *map(RouteChanged, routes)]
        hello = Hello(version, "an instance", 1, 300.0)
        path = tmp_path / f"hook{len(made)}.sock"
        made.append(Hook(path, [hello, *told, SnapshotComplete()]))
        return made[-1]

    yield make
    for hook in made:
        hook.close()


def observe(hook: Hook, *arguments: str) -> int:
    return cli.main(["observe", "--hook", str(hook.path), *arguments])


def test_the_document_and_nothing_said_to_the_hook(hooks: Any, capfd: pytest.CaptureFixture[str]) -> None:
    hook = hooks(sent(1), sent(2))
    assert observe(hook, "--json") == 0
    made = json.loads(capfd.readouterr().out)
    assert [afbr["endpoint"] for afbr in made["afbrs"]] == [end(1), end(2)]
    assert made["summary"]["possible"] == 1
    assert made["neighbors"][0]["state"] == "up"
    assert hook.heard == b""


def test_a_check_fails_where_anything_is_wrong(hooks: Any, capfd: pytest.CaptureFixture[str]) -> None:
    assert observe(hooks(sent(1), sent(2)), "--check") == 0
    assert observe(hooks(sent(1), sent(2, attribute(kind=5, endpoint=end(2)))), "--check") == 1
    assert "no tunnel type in common" in capfd.readouterr().out


def test_a_check_fails_where_not_all_is_heard(hooks: Any) -> None:
    missing = Neighbor(REFLECTOR, 65000, SessionState.UP, 0.0)
    assert observe(hooks(sent(1), sent(2), neighbor=missing), "--check") == 1


def test_watching_goes_on_until_interrupted(hooks: Any) -> None:
    command = [sys.executable, "-m", "softmesh", "observe", "--hook", str(hooks(sent(1)).path), "--watch", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        assert watching.stderr is not None
        assert json.loads(watching.stdout.readline())["summary"]["afbrs"] == 1
        watching.send_signal(signal.SIGINT)
        assert watching.wait(30) == 130
        assert watching.stderr.read() == ""


def test_a_hook_of_another_version(hooks: Any, capfd: pytest.CaptureFixture[str]) -> None:
    assert observe(hooks(version=VERSION + 1)) == 3
    assert "speaks version" in capfd.readouterr().err


def test_nobody_there(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["observe", "--hook", str(tmp_path / "none.sock")]) == 3
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert f"is ExaBGP running, with softmesh hook --socket {tmp_path}/none.sock?" in said


@pytest.mark.parametrize("listen", ["127.0.0.1", "127.0.0.1:0", "127.0.0.1:x", "localhost:80", ":80", "[::1:80"])
def test_what_is_no_address_and_port(listen: str, capfd: pytest.CaptureFixture[str]) -> None:
    if listen == "[::1:80":
        listen = "[::g]:80"
    with pytest.raises(SystemExit) as ended:
        cli.main(["observe", "--http", listen])
    assert ended.value.code == 2
    assert "invalid ADDRESS:PORT value" in capfd.readouterr().err


def printed(made: dict[str, Any], **further: Any) -> str:
    console = Console(width=200, markup=False, highlight=False, emoji=False, color_system=None)
    with console.capture() as captured:
        console.print(*shown(made, 200, **further), sep="\n")
    return captured.get()


def test_a_table_with_all_that_is_wrong() -> None:
    text = printed(document([sent(1), sent(2), sent(3, b"\0\4\0"), sent(9, b"")], neighbors=[UP]), with_matrix=True)
    lines = [line.rstrip() for line in text.splitlines()]
    assert f"neighbour  {REFLECTOR} up for 1m40s" in lines
    assert "routers    3 announce tunnels, 1 of them with a mismatch; 1 other next hops announce none" in lines
    assert "pairs      3: 1 could build a softwire, 2 could not" in lines
    assert any(line.startswith(f"3  {end(3)}  10.3.0.0/24  malformed (unusable)") for line in lines), text
    assert "mismatches" in lines
    assert any(line.startswith(f"  {end(3)}: attribute 23 withdraws its route") for line in lines)
    assert any(line.startswith(f"  {end(1)} - {end(3)}: ") for line in lines)
    assert any(line.split()[:3] == ["1", end(1), "·"] for line in lines), text


def test_words_of_others_are_no_more_than_words() -> None:
    down = Neighbor(REFLECTOR, None, SessionState.DOWN, 0.0, "[bold]no\x1b[31m")
    text = printed(document([sent(1)], neighbors=[down], connected=False))
    assert "([bold]no\\x1b[31m)" in text
    assert "not connected: this is what was seen before" in text


def test_nobody_is_seen() -> None:
    assert "has ExaBGP a session" in printed(document([]))
