"""Secrets stay where they belong, through the whole life of a mesh: planted, then looked for everywhere.

Where they may be: in files of mode 0600 that are ours, and in memory. Where they are looked for: every file of the
sandbox, the command line and environment of every process, what every command prints, and each program that the bridge
starts, however short it runs. In as many spellings as a careless line could have.
"""

from __future__ import annotations

import asyncio
import base64
import copy
import os
import secrets
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from lab.eventually import PATIENCE, eventually, until
from lab.fault import exabgp_pid, hook_pid
from lab.mesh import SOFTMESH, Afbr, Direction, Mesh, meshed
from lab.namespace import LAB, program
from softmesh.bgp.exabgp_process import ExaBgpNeighbor, ExaBgpSettings, ManagedExaBgp

PLACES = [Path(path) for path in ("/run", "/tmp", "/var/tmp", "/dev/shm", "/var/log", "/var/crash")]
EXECUTED = LAB / "executed"
MOST = 1 << 26
"""Octets of a file that is looked through."""


def spellings(secret: bytes) -> set[bytes]:
    """A secret as a log, a dump or a message may have it."""
    plain = {secret, secret.hex().encode(), secret.hex().upper().encode(), secret.hex(":").encode()}
    text = secret.decode("latin-1")
    plain |= {repr(secret)[2:-1].encode(), repr(text)[1:-1].encode()}
    # Beside a double quote single ones are escaped.
    plain |= {repr(b'"' + secret)[3:-1].encode(), repr('"' + text)[2:-1].encode()}
    # In base64 the same octets look otherwise behind one or two others; what is whole in each case is looked for.
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before in range(3):
            encoded = encode(bytes(before) + secret).rstrip(b"=")
            plain.add(encoded[(before * 8 + 5) // 6 : (before + len(secret)) * 8 // 6])
    return plain


class Search:
    """Collects all that can be seen, and says where a secret is."""

    def __init__(self) -> None:
        self._began = time.time() - 1
        self._seen: dict[str, bytes] = {}

    def keep(self, where: str, what: str | bytes) -> None:
        """Note what was printed somewhere; what was there before stays noted."""
        octets = what.encode() if isinstance(what, str) else what
        self._seen[where] = self._seen.get(where, b"") + b"\n" + octets

    def look(self, when: str) -> None:
        """Note what all processes show of themselves just now."""
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                for name in ("cmdline", "environ", "comm"):
                    with suppress(OSError):
                        self.keep(f"/proc/{entry.name}/{name} {when}", (entry / name).read_bytes())

    def files(self) -> Iterator[tuple[Path, bytes]]:
        """Every file that was written since this began, and everything below /run."""
        for place in PLACES:
            for directory, _, names in os.walk(place):
                for path in (Path(directory, name) for name in names):
                    with suppress(OSError):
                        status = path.lstat()
                        ours = place == Path("/run") or status.st_mtime >= self._began
                        if stat.S_ISREG(status.st_mode) and ours and status.st_size <= MOST:
                            yield path, path.read_bytes()

    def holding(self, secrets: Mapping[str, bytes]) -> dict[str, list[Path]]:
        """The files that hold each, by its name: one look at all files, of which a machine's /tmp may have many."""
        wanted = {name: spellings(secret) for name, secret in secrets.items()}
        held: dict[str, list[Path]] = {name: [] for name in secrets}
        for path, octets in self.files():
            for name, plain in wanted.items():
                if any(each in octets for each in plain):
                    held[name].append(path)
        return held

    def shown(self, secrets: Mapping[str, bytes], held: Mapping[str, list[Path]]) -> dict[str, list[str]]:
        """Where each is that is to be seen: printed, or in files that hold it and are not ours alone."""
        places: dict[str, list[str]] = {}
        for name, secret in secrets.items():
            wanted = spellings(secret)
            printed = [where for where, octets in self._seen.items() if any(each in octets for each in wanted)]
            if found := printed + [str(path) for path in held[name] if not _ours_alone(path)]:
                places[name] = found
        return places


def _ours_alone(path: Path) -> bool:
    status = path.stat()
    return stat.S_IMODE(status.st_mode) == 0o600 and status.st_uid == os.geteuid()


@pytest.mark.parametrize("before", range(4))
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode, bytes.hex, repr])
def test_spellings(encode: Callable[[bytes], bytes | str], before: int) -> None:
    secret = secrets.token_bytes(32)
    text = encode(secrets.token_bytes(before) + secret + b"after")
    octets = text.encode() if isinstance(text, str) else text
    assert any(each in octets for each in spellings(secret))
    assert not any(each in octets for each in spellings(secrets.token_bytes(32)))


class Life:
    """Two routers from their first start to their end, with everything that goes wrong in between."""

    def __init__(self, mesh: Mesh, search: Search) -> None:
        self.mesh = mesh
        self.search = search
        self.first, self.second = mesh.afbrs[1], mesh.afbrs[2]
        self.key = (self.first.home / "identity.key").read_bytes()
        # The reflector is none of ours; the lab wrote its configuration for anybody to read.
        (LAB / "rr" / "bird.conf").chmod(0o600)
        _record("nft")
        _record("setpriv")
        self.mesh_yaml = self.first.configuration
        self.mesh_yaml.chmod(0o644)

    @property
    def planted(self) -> Mapping[str, bytes]:
        """All that nobody may see, by name."""
        key = load_pem_private_key(self.key, None)
        seed = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        return {
            "BGP password": self.mesh.password.encode(),
            "BGP password in a URL": quote(self.mesh.password, safe="").encode(),
            "private key": seed,
            "private key's file": self.key.splitlines()[1],
        }

    def start(self, afbr: Afbr, **environment: str) -> None:
        """Start a bridge, with all that it starts itself written down."""
        afbr.bridge = afbr.namespace.start(
            *SOFTMESH, "run", "-c", str(afbr.configuration),
            log=f"{afbr.namespace.name}/softmesh.log",
            env={"PATH": f"{EXECUTED}:{os.environ['PATH']}", **environment},
        )  # fmt: skip

    def say(self, *command: str) -> str:
        """Run a command of the first router, and note what it prints."""
        done = self.first.namespace.run(*SOFTMESH, *command, check=False)
        self.search.keep(f"softmesh {' '.join(command[:2])}", done.stdout + done.stderr)
        return done.stdout + done.stderr

    def ask_everything(self) -> None:
        """Every command that there is an answer to."""
        where = ("-c", str(self.mesh_yaml))
        for command in ("status", "plan"):
            self.say(command, *where)
            self.say(command, *where, "--json")
        for form in (("status", "--table"), ("status", "--matrix"), ("events", "--no-follow")):
            self.say(*form, *where)
        for target in (self.mesh.plan.host(2, 10), "nonsense"):
            self.say("explain", target, *where)
        self.say("check", str(self.mesh_yaml), "--json")
        self.say("keygen", "--show", str(self.first.home / "identity.key"))
        self.say("decode", "c0171c 0004 0018 0316 0001 a566be19840173413a61048350eff23e8fe22266")
        self.say("status", "--socket", "/nowhere")

    def reload(self) -> None:
        """Have the first bridge read its files, and wait until it has said what it thinks of them."""
        assert self.first.bridge is not None
        told = self._told()
        self.first.bridge.signal(signal.SIGHUP)
        eventually(lambda: self._told() > told, within=10, what="the bridge says whether it takes the file over")

    def _told(self) -> int:
        assert self.first.bridge is not None
        log = self.first.bridge.log.read_text()
        return log.count("configuration not taken over") + log.count("configuration taken over")

    def spoil(self, path: Path, content: bytes, *, mode: int = 0o600, says: str) -> None:
        """Put something wrong into a file, have it read, and put it right again."""
        before, right = path.read_bytes(), stat.S_IMODE(path.stat().st_mode)
        path.write_bytes(content)
        path.chmod(mode)
        assert says in self.say("check", str(self.mesh_yaml)), says
        self.reload()
        self.search.keep("the control socket", repr(self.first.status()))
        path.write_bytes(before)
        path.chmod(right)

    def spoil_settings(self, change: Callable[[dict[str, Any]], None], *, says: str) -> None:
        """Put something wrong into mesh.yaml; likewise."""
        settings = copy.deepcopy(self.first.settings)
        change(settings)
        self.spoil(self.mesh_yaml, yaml.safe_dump(settings).encode(), mode=0o644, says=says)


def _record(name: str) -> None:
    """Put a program in front of one that the bridge starts, to write down with what it is started."""
    EXECUTED.mkdir(exist_ok=True)
    shim = EXECUTED / name
    # No shell: that would drop the variables of ExaBGP, whose names have dots.
    shim.write_text(
        f"#!{sys.executable} -IS\n"
        "import os, sys\n"
        f"with open({str(EXECUTED / 'record')!r}, 'ab') as record:\n"
        "    for word in (*sys.argv, *(f'{name}={value}' for name, value in os.environ.items())):\n"
        "        record.write(os.fsencode(word) + b'\\n')\n"
        f"os.execv({program(name)!r}, sys.argv)\n"
    )
    shim.chmod(0o755)
    (EXECUTED / "record").touch()
    (EXECUTED / "record").chmod(0o644)


@pytest.mark.timeout(480)  # It goes through a whole life, and looks at everything after every step.
def test_nobody_sees_a_secret() -> None:
    settings = {"log": {"level": "debug", "format": "json"}}
    # Within the test, so that a failure shows the logs.
    with Mesh(Direction.FOUR_OVER_SIX, 2, settings=settings) as mesh:
        _live(Life(mesh, Search()))


def test_nobody_sees_a_group_key() -> None:
    settings = {
        "log": {"level": "debug", "format": "json"},
        "trust": {"mode": "group-psk", "secret_file": "group.key"},
    }
    with Mesh(Direction.FOUR_OVER_SIX, 2, settings=settings) as mesh:
        life = Life(mesh, Search())
        secret = secrets.token_urlsafe(30).encode()
        for afbr in mesh.afbrs.values():
            (afbr.home / "group.key").touch(0o600)
            (afbr.home / "group.key").write_bytes(secret + b"\n")
            life.start(afbr)
        eventually(lambda: meshed(mesh.afbrs.values()), within=30, what="the softwire is up")
        life.search.look("up")
        life.ask_everything()
        group_key = life.first.home / "group.key"
        life.spoil(group_key, secret, mode=0o640, says="chmod 600")
        life.spoil(group_key, secret + b"\n" + secret, says="more than one line")
        # Another key than the peer's.
        life.spoil(group_key, secret[::-1], says="usable")
        eventually(lambda: not life.first.up(), within=20, what="it authenticates no more")
        life.say("status", "-c", str(life.mesh_yaml))
        life.reload()
        eventually(lambda: meshed(mesh.afbrs.values()), within=30, what="the softwire is up again", every=0.2)
        held = life.search.holding({"group key": secret})
        assert life.search.shown({"group key": secret}, held) == {}
        assert set(held["group key"]) == {afbr.home / "group.key" for afbr in mesh.afbrs.values()}


def _live(life: Life) -> None:
    mesh, search, first, second = life.mesh, life.search, life.first, life.second
    life.start(second)
    # asyncio then prints what its tasks hold, if any is slow.
    life.start(first, PYTHONASYNCIODEBUG="1")
    eventually(lambda: meshed(mesh.afbrs.values()), within=30, what="the softwire is up")
    search.look("up")
    life.ask_everything()
    assert first.bridge is not None
    for pid in (first.bridge.pid, exabgp_pid(first), hook_pid(first)):
        limits = Path(f"/proc/{pid}/limits").read_text()
        (core,) = (line.split()[4:6] for line in limits.splitlines() if line.startswith("Max core file size"))
        assert core == ["0", "0"], "a core dump would have every secret in it"

    key, password = first.home / "identity.key", first.home / "bgp.password"
    for content, mode, says in _spoiled_keys(life.key):
        life.spoil(key, content, mode=mode, says=says)
    for content, mode, says in _spoiled_passwords(mesh.password.encode()):
        life.spoil(password, content, mode=mode, says=says)
    for change, says in _misplaced(mesh.password, life.key.decode()):
        life.spoil_settings(change, says=says)

    # A private key among the public ones.
    keys = first.home / "keys"
    keys.mkdir()
    (keys / "peer.pem").write_bytes(life.key)
    (keys / "peer.pem").chmod(0o600)
    first.settings["trust"] = {"keys": [{"directory": "keys"}, {"announced": True}]}
    first.write_configuration()
    life.reload()
    assert "private key" in life.say("status", "-c", str(life.mesh_yaml))

    # charon and ExaBGP die, and come back.
    first.charon.kill()
    life.say("status", "-c", str(life.mesh_yaml))
    search.look("without charon")
    first.charon.start()
    os.kill(exabgp_pid(first), signal.SIGKILL)
    eventually(lambda: meshed(mesh.afbrs.values()), within=30, what="the softwire is up again", every=0.2)
    search.look("again")
    life.say("withdraw", "-c", str(life.mesh_yaml))

    # A crash, and what is left after it.
    first.bridge.signal(signal.SIGABRT)
    eventually(lambda: first.bridge is not None and not first.bridge.running, within=10, what="the bridge is gone")
    life.say("status", "-c", str(life.mesh_yaml))
    life.say("flush", "-c", str(life.mesh_yaml))

    assert "md5" not in (EXECUTED / "record").read_text()
    assert "nft" in (EXECUTED / "record").read_text(), "or nothing was recorded"
    _every_place_is_looked_at(life)
    held = search.holding(life.planted)
    assert search.shown(life.planted, held) == {}
    assert {key, password} <= {path for paths in held.values() for path in paths}, "or the search finds nothing"


def _spoiled_keys(pem: bytes) -> Iterable[tuple[bytes, int, str]]:
    """Key files that are refused: content, mode and what is said. Further ones: tests/unit/test_secrets_shown.py."""
    yield pem, 0o640, "chmod 600"
    yield pem[:-30], 0o600, "not a PEM private key"


def _spoiled_passwords(password: bytes) -> Iterable[tuple[bytes, int, str]]:
    yield password, 0o644, "chmod 600"
    yield password + b"\n" + password, 0o600, "more than one line"


def _misplaced(password: str, pem: str) -> Iterable[tuple[Callable[[dict[str, Any]], None], str]]:
    """A secret itself in mesh.yaml, which anybody may read: what says so must not repeat it."""
    url = f"https://softmesh:{quote(password, safe='')}@keys.example/{{sha1}}"
    yield lambda settings: settings["bgp"]["neighbors"][0].update(password=password), "unknown key 'password'"
    yield lambda settings: settings["identity"].update(private_key=pem), "identity.private_key"
    yield lambda settings: settings.update(trust={"keys": [{"url": url}]}), "a secret must not stand in this file"


def _every_place_is_looked_at(life: Life) -> None:
    """Plant canaries where a secret could have got, each in its own place: the search must find all of them."""
    search = Search()
    places: dict[str, bytes] = {}

    def canary(place: str) -> str:
        text = f"canary-{secrets.token_hex(12)}"
        places[place] = text.encode()
        return text

    for name, path in (("a log", LAB / "afbr1" / "softmesh.log"), ("charon's log", LAB / "afbr1" / "charon.log")):
        with path.open("a") as log:
            log.write(canary(name))
    readable = LAB / "afbr1" / "run" / "left"
    readable.write_text(canary("a file that others may read"))
    readable.chmod(0o640)
    ours = LAB / "afbr1" / "run" / "kept"
    ours.touch(0o600)
    ours.write_text(canary("a file of ours alone"))
    somewhere = Path(f"/tmp/softmesh-canary-{os.getpid()}")
    somewhere.write_text(base64.b64encode(b"?" + canary("a temporary file, in base64").encode()).decode())
    argument, variable = canary("a command line"), canary("an environment")
    with subprocess.Popen(
        [sys.executable, "-c", "input()", argument], stdin=subprocess.PIPE, env={**os.environ, "CANARY": variable}
    ) as process:
        eventually(lambda: argument.encode() in Path(f"/proc/{process.pid}/cmdline").read_bytes(), within=5, what="it")
        search.look("with canaries")
        process.communicate(b"\n")
    life.search, kept = search, life.search
    life.say("check", f"/nowhere/{canary('what a command prints')}")
    life.search = kept
    subprocess.run(
        [EXECUTED / "nft", "--version", canary("a program that was started")], check=False, timeout=10 * PATIENCE
    )
    try:
        held = search.holding(places)
        assert places.keys() - search.shown(places, held).keys() == {"a file of ours alone"}
        assert held["a file of ours alone"] == [ours]
    finally:
        for path in (readable, ours, somewhere):
            path.unlink()


async def test_exabgps_own_log_is_shown_without_passwords() -> None:
    # With all that a parser might print of it otherwise than it is written.
    password = f"{secrets.token_urlsafe(12)}[a,b;c'd]{{e}}#f\\"
    settings = ExaBgpSettings(
        "192.0.2.1", "127.0.0.1", 65000, (ExaBgpNeighbor("127.0.0.2", 65000, password),), ("/bin/cat",)
    )
    lines: list[str] = []
    managed = ManagedExaBgp(settings, LAB / "alone", on_log=lines.append, on_end=lines.append, log_level="DEBUG")

    async def configured() -> str | None:
        return next((line for line in lines if "md5-password" in line), None)

    running = asyncio.create_task(managed.run())
    try:
        line = await until(configured, within=20, what="ExaBGP says at DEBUG what its configuration has")
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    assert "********" in line, "it does print the password, in place of which there are stars"
    assert not [line for line in lines for each in spellings(password.encode()) if each.decode("latin-1") in line]
    assert stat.S_IMODE((LAB / "alone" / "exabgp.conf").stat().st_mode) == 0o600
