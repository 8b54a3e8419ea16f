"""What the bridge may do, and who may speak to it: a user of its own, one capability, sockets of its own."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from lab.eventually import PATIENCE, eventually, holds
from lab.mesh import Afbr, Direction, Mesh, meshed
from lab.namespace import Process
from lab.unprivileged import CHARON, User
from softmesh.control.client import ask

UID = 64777
STRANGER = 64778
CAP_NET_ADMIN = 12
"""capabilities(7)."""


@pytest.fixture(scope="module")
def user() -> Iterator[User]:
    with User(UID) as made:
        yield made


@pytest.fixture
def mesh(user: User) -> Iterator[Mesh]:
    """Two routers, not started; charon's VICI socket is for the group as docs/install.md has it done."""
    with Mesh(Direction.FOUR_OVER_SIX, 2, charon=CHARON) as built:
        first = built.afbrs[1]
        (first.home / "run").mkdir(mode=0o700)
        user.own(first.home / "identity.key", first.home / "bgp.password", first.home / "run")
        yield built


def start(user: User, afbr: Afbr, *, capabilities: tuple[str, ...] = ("net_admin",), group: int | None = None) -> None:
    """Start the bridge as the user."""
    afbr.bridge = afbr.namespace.start(
        *user.softmesh("run", "-c", str(afbr.configuration), capabilities=capabilities, group=group),
        log=f"{afbr.namespace.name}/softmesh.log",
    )


def family(process: Process) -> dict[str, int]:
    """Process ids of a bridge, its ExaBGP and that one's hook, by what they are."""
    found = {"bridge": process.pid}
    for name, parent, word in (("exabgp", "bridge", b"exabgp"), ("hook", "exabgp", b"hook")):
        if parent in found:
            for pid in Path(f"/proc/{found[parent]}/task/{found[parent]}/children").read_text().split():
                # Others of its children, nft above all, end while we look.
                with suppress(OSError):
                    if word in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                        found[name] = int(pid)
    return found


def standing(pid: int) -> dict[str, set[str]]:
    """Whose a process is and what it may do, from /proc."""
    lines = (line.partition(":") for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {name: set(value.split()) for name, _, value in lines}


def test_a_whole_router_has_a_user_of_its_own_and_one_capability(mesh: Mesh, user: User) -> None:
    first, second = mesh.afbrs[1], mesh.afbrs[2]
    second.start()
    start(user, first)
    eventually(lambda: meshed(mesh.afbrs.values()), within=20, what="the softwire is up")
    status = eventually(
        lambda: told if (told := first.status()).get("problems") == [] else {}, within=10, what="there is no problem"
    )
    (neighbor,) = status["neighbors"]
    assert neighbor["protection"]["reason"] == "its socket has a TCP-MD5 key", "the kernel tells whoever has it"
    assert first.island.ping(mesh.plan.host(2, 10), within=5)

    # What needs the capability is there.
    assert "blackhole 10.0.0.0/8" in first.namespace.ip("route", "show", "proto", "194")
    assert "chain" in first.namespace.run("nft", "list", "table", "inet", "softmesh").stdout

    assert first.bridge is not None
    processes = family(first.bridge)
    assert processes.keys() == {"bridge", "exabgp", "hook"}
    one, none = f"{1 << CAP_NET_ADMIN:016x}", f"{0:016x}"
    for name, pid in processes.items():
        found = standing(pid)
        assert found["Uid"] == found["Gid"] == {str(UID)}, name
        assert found["Groups"] == set(), name
        assert found["NoNewPrivs"] == {"1"}, name
        held = {one if name == "bridge" else none}
        assert {kind: found[kind] for kind in ("CapPrm", "CapEff", "CapInh", "CapAmb")} == dict.fromkeys(
            ("CapPrm", "CapEff", "CapInh", "CapAmb"), held
        ), name
        assert found["CapBnd"] <= {one, none}, name

    # And it lasts: a charon that starts anew opens its socket to the group by itself.
    before = set(first.spis().values())
    first.charon.kill()
    first.charon.start()
    eventually(
        lambda: meshed(mesh.afbrs.values()) and not before & set(first.spis().values()),
        within=30, what="the softwire is up again, by other SAs", every=0.2,
    )  # fmt: skip
    assert first.bridge.stop() == 0
    assert "Traceback" not in first.bridge.log.read_text()


def test_without_the_capability_there_is_no_softwire_and_one_line_says_why(mesh: Mesh, user: User) -> None:
    first, second = mesh.afbrs[1], mesh.afbrs[2]
    second.start()
    start(user, first, capabilities=())
    lack = "run as root or with CAP_NET_ADMIN"
    eventually(
        lambda: (wire := first.wires().get(second.endpoint)) and wire["state"] == "refused" and lack in wire["reason"],
        within=20, what="the peer is heard of, and refused for want of the guards",
    )  # fmt: skip
    eventually(
        lambda: any("blackhole" in each and "CAP_NET_ADMIN" in each for each in first.status().get("problems", ())),
        within=10, what="and so are the guards' routes",
    )  # fmt: skip
    holds(lambda: not first.up() and not second.up(), during=2, what="nothing is built without its guards")
    assert first.bridge is not None
    log = first.bridge.log.read_text()
    assert "Traceback" not in log
    assert all(line.startswith("{") for line in log.splitlines()), log


def test_without_charons_group_status_names_the_socket(mesh: Mesh, user: User) -> None:
    first = mesh.afbrs[1]
    start(user, first, group=STRANGER)
    eventually(
        lambda: f"{first.charon.vici}: Permission denied" in first.status().get("charon", {}).get("reason", ""),
        within=20, what="status says what is the matter",
    )  # fmt: skip
    assert first.bridge is not None
    assert "Traceback" not in first.bridge.log.read_text()


@pytest.mark.parametrize("opened", [False, True], ids=["as it is made", "opened by mistake"])
def test_nobody_else_is_served(mesh: Mesh, user: User, opened: bool) -> None:
    first = mesh.afbrs[1]
    start(user, first)
    eventually(lambda: first.status().get("hook", {}).get("connected"), within=20, what="both sockets answer")
    run = first.home / "run"
    sockets = [run / "control.sock", run / "hook.sock"]
    assert stat.S_IMODE(run.stat().st_mode) == 0o700
    for path in [*sockets, run / "exabgp.conf"]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        assert path.stat().st_uid == UID, path
    if opened:
        run.chmod(0o711)
        for path in sockets:
            path.chmod(0o666)
    with User(STRANGER) as stranger:
        said = first.namespace.run(*stranger.softmesh("status", "--socket", str(sockets[0])), check=False)
        assert (said.returncode, said.stdout) == (1, "")
        lines = said.stderr.splitlines()
        assert len(lines) == 1, lines
        expected = f"serves root and user {UID}, not user {STRANGER}" if opened else "Permission denied; ask as root"
        assert expected in lines[0]
        look = f"import socket; s = socket.socket(socket.AF_UNIX); s.connect({str(sockets[1])!r}); print(s.recv(9))"
        heard = first.namespace.run(*stranger.python("-c", look), check=False)
        assert ("b''" in heard.stdout) if opened else ("PermissionError" in heard.stderr), heard
    # Root, and the user itself, are served.
    assert ask(sockets[0], "status")["endpoint"] == first.endpoint
    done = first.namespace.run(*user.softmesh("status", "--socket", str(sockets[0])))
    assert first.endpoint in done.stdout
    with socket.socket(socket.AF_UNIX) as reader:
        reader.settimeout(10 * PATIENCE)
        reader.connect(str(sockets[1]))
        assert reader.recv(1 << 16)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        pytest.param(lambda run: run.chmod(0o755), "is open to group or others (mode 0755); chmod 700", id="mode"),
        pytest.param(
            lambda run: os.chown(run, STRANGER, STRANGER), f"belongs to user {STRANGER}, and we are user {UID}; chown",
            id="owner",
        ),
        pytest.param(
            lambda run: run.rmdir(), "cannot be made: Permission denied", id="no right to make it",
        ),
        pytest.param(
            lambda run: os.chown(run.parent / "identity.key", STRANGER, -1), "cannot read the private key", id="key",
        ),
        pytest.param(
            lambda run: (run.parent / "identity.key").chmod(0o640), "chmod 600", id="key's mode",
        ),
    ],
)  # fmt: skip
def test_what_is_not_its_own_is_refused_at_the_start(user: User, spoil: object, says: str) -> None:
    assert callable(spoil)
    with Mesh(Direction.FOUR_OVER_SIX, 1) as mesh:
        first = mesh.afbrs[1]
        (first.home / "run").mkdir(mode=0o700)
        user.own(first.home / "identity.key", first.home / "bgp.password", first.home / "run")
        spoil(first.home / "run")
        command = user.softmesh("run", "-c", str(first.configuration), capabilities=("net_admin",))
        done = first.namespace.run(*command, check=False)
        assert done.returncode == 1
        lines = [line for line in done.stderr.splitlines() if line.startswith("softmesh:")]
        assert len(lines) == 1, done.stderr
        assert says in lines[0]
        assert "Traceback" not in done.stderr
