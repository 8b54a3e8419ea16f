"""ExaBGP as our own child, for ``bgp.managed: true``: its configuration, its life and its log."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ipaddress
import os
import pwd
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from softmesh.bgp import exabgp_encapsulation
from softmesh.bgp.hook_protocol import LineBuffer, LineTooLong
from softmesh.bgp.route import ENCAPSULATION, Family
from softmesh.errors import OperatorError
from softmesh.whole_file import replace_file

PROCESS = "softmesh"
"""Name of the hook's process stanza."""
MAX_PASSWORD = 80
"""Octets of a TCP-MD5 key that Linux takes (TCP_MD5SIG_MAXKEYLEN, RFC 2385)."""

_GTSM = 255
_MAX_LOG_LINE = 64 * 1024
_PATIENCE = 5.0
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_HEALTHY = 60.0
_CAP_SETPCAP = 8
"""capabilities(7)."""


@dataclass(frozen=True, slots=True)
class ExaBgpNeighbor:
    """A route reflector."""

    address: str
    asn: int
    password: str | None = field(default=None, repr=False)
    """TCP-MD5 key (RFC 2385)."""
    gtsm: bool = False
    """Whether to send with TTL 255, and take nothing with less (RFC 5082 §3)."""


@dataclass(frozen=True, slots=True)
class ExaBgpSettings:
    """All that goes into ExaBGP's configuration."""

    router_id: str
    local_address: str
    local_as: int
    neighbors: tuple[ExaBgpNeighbor, ...]
    hook_command: tuple[str, ...]
    """Absolute path of the program first."""
    families: tuple[Family, ...] = (Family.IPV4_UNICAST, Family.IPV6_UNICAST)
    hold_time: int = 90
    """Seconds (RFC 4271 §4.2)."""
    graceful_restart: int = 120
    """Restart time in seconds (RFC 4724 §3); 0 leaves the capability out."""
    add_path: bool = False
    """Whether to take several paths to one prefix (RFC 7911)."""
    next_hop: str | None = None
    """What our announcements have; None: the local address."""


def render(settings: ExaBgpSettings) -> str:
    """Return ExaBGP's configuration, valid for 4.2 and 5.0; it holds the passwords.

    Raises OperatorError, which does not, for a value that ExaBGP cannot be given.
    """
    router_id = _address("bgp.router_id", settings.router_id)
    if router_id.version != 4:
        raise OperatorError(f"bgp.router_id: {router_id} is not an IPv4 address; give one, it need not be in use")
    local = _address("bgp.local_address", settings.local_address)
    if not settings.neighbors:
        raise OperatorError("bgp.neighbors: is empty; name at least one route reflector")
    if not settings.families:
        raise OperatorError("bgp.families: is empty; name ipv4 unicast, ipv6 unicast or both")
    _number("bgp.asn", settings.local_as, 1, 0xFFFFFFFF)
    _number("bgp.graceful_restart", settings.graceful_restart, 0, 4095)
    if settings.hold_time:
        _number("bgp.hold_time", settings.hold_time, 3, 65535)
    process = (
        f"process {PROCESS} {{\n"
        f"    run {' '.join(_quoted('the hook command', word) for word in settings.hook_command)};\n"
        "    encoder json;\n"
        "}\n"
    )
    return process + "".join(
        _neighbor(settings, str(router_id), str(local), neighbor) for neighbor in settings.neighbors
    )


def _neighbor(settings: ExaBgpSettings, router_id: str, local: str, neighbor: ExaBgpNeighbor) -> str:
    address = _address("bgp.neighbors: address", neighbor.address)
    if address.version != ipaddress.ip_address(local).version:
        raise OperatorError(
            f"bgp.neighbors: {address} is of another family than bgp.local_address {local}: "
            "a BGP session runs within one family"
        )
    _number(f"bgp.neighbors: asn of {address}", neighbor.asn, 1, 0xFFFFFFFF)
    # RFC 8950: only IPv4 prefixes with next hops of an IPv6 core need the capability; the other
    # direction has IPv4-mapped next hops, which are IPv6 to BGP.
    next_hop = _address("endpoint", settings.next_hop or local)
    extended_next_hop = next_hop.version == 6 and Family.IPV4_UNICAST in settings.families
    lines = [
        f"router-id {router_id};",
        f"local-address {local};",
        f"local-as {settings.local_as};",
        f"peer-as {neighbor.asn};",
        f"hold-time {settings.hold_time};",
        # The Adj-RIB-In is the hook's; ExaBGP's own copy takes 3 KB a route and is never asked.
        "adj-rib-in false;",
        # The hook says when all is announced: see softmesh.bgp.end_of_rib.
        "manual-eor true;",
    ]
    if neighbor.password is not None:
        lines += ["md5-base64 true;", f'md5-password "{_password(str(address), neighbor.password)}";']
    if neighbor.gtsm:
        # 4.2, and 5.0 at first, check incoming-ttl only where the neighbour connects; the guards check it always.
        lines += [f"outgoing-ttl {_GTSM};", f"incoming-ttl {_GTSM};"]
    lines += [
        "capability {",
        "    route-refresh enable;",
        *([f"    graceful-restart {settings.graceful_restart};"] if settings.graceful_restart else []),
        *(["    nexthop enable;"] if extended_next_hop else []),
        *(["    add-path receive;"] if settings.add_path else []),
        "}",
        "family {",
        *[f"    {family.value};" for family in settings.families],
        "}",
        *(["nexthop {", "    ipv4 unicast ipv6;", "}"] if extended_next_hop else []),
        "api {",
        f"    processes [ {PROCESS} ];",
        "    neighbor-changes;",
        # What was negotiated: see softmesh.bgp.extended_next_hop.
        "    send {",
        "        parsed;",
        "        open;",
        "    }",
        "    receive {",
        "        parsed;",
        "        open;",
        "        update;",
        "        refresh;",
        "    }",
        "}",
    ]
    return f"neighbor {address} {{\n" + "".join(f"    {line}\n" for line in lines) + "}\n"


def _address(where: str, text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise OperatorError(f"{where}: {text!r} is not an IP address; write one, without prefix length") from None
    if "%" in text:
        raise OperatorError(f"{where}: {text} has a zone; use an address that is valid in the whole core")
    return address


def _number(where: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise OperatorError(f"{where}: {value} must be from {least} to {most}")


def _quoted(where: str, word: str) -> str:
    if not word.isprintable() or any(char in word for char in "\"'\\"):
        raise OperatorError(
            f"{where}: {word!r} has a quote, a backslash or a control character, which ExaBGP cannot take; "
            "use another path"
        )
    return f'"{word}"'


def _password(neighbor: str, password: str) -> str:
    """In base64: ExaBGP's parser mangles brackets, commas and backslashes, and takes no quote."""
    where = f"bgp.neighbors: the password of {neighbor}"
    if not password:
        raise OperatorError(f"{where} is empty; write it into its file, or remove password_file")
    octets = password.encode()
    if len(octets) > MAX_PASSWORD:
        raise OperatorError(f"{where} has {len(octets)} octets; TCP-MD5 takes {MAX_PASSWORD}")
    return base64.b64encode(octets).decode()


class ManagedExaBgp:
    """Runs ExaBGP with a configuration in ``directory``; starts it again when it ends; stops it with us.

    ``on_log`` gets each line ExaBGP prints, without passwords; ``on_end`` what there is to say when it has ended.
    ``program`` is a path of ExaBGP's command; None takes the ``exabgp`` package of this Python.
    """

    def __init__(
        self,
        settings: ExaBgpSettings,
        directory: Path,
        *,
        on_log: Callable[[str], None],
        on_end: Callable[[str], None],
        program: str | None = None,
        log_level: str = "INFO",
    ) -> None:
        self._configuration = render(settings)
        passwords = [neighbor.password for neighbor in settings.neighbors if neighbor.password]
        self._secrets = [*passwords, *(base64.b64encode(password.encode()).decode() for password in passwords)]
        self._path = directory / "exabgp.conf"
        self._on_log = on_log
        self._on_end = on_end
        self._last_line = ""
        self._program = program
        self._encapsulation = not ENCAPSULATION.isdisjoint(settings.families)
        self._log_level = log_level
        self.pid: int | None = None
        """Process id of ExaBGP while it runs."""

    async def run(self) -> None:
        """Keep ExaBGP running until cancelled; when this returns, by cancellation too, ExaBGP has ended.

        Raises OperatorError when it cannot be started at all.
        """
        pause = _FIRST_PAUSE
        self._write_configuration()
        while True:
            started = time.monotonic()
            status = await self._run_once()
            if time.monotonic() - started >= _HEALTHY:
                pause = _FIRST_PAUSE
            self._on_end(f"ended with status {status}, last said: {self._last_line}; started again in {pause:g} s")
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _run_once(self) -> int:
        try:
            process = await asyncio.create_subprocess_exec(
                *self.argv(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=self.environment(os.environ),
                # An interrupt from the terminal is for us alone; ExaBGP is ended when we are done.
                start_new_session=True,
            )
        except OSError as error:
            raise OperatorError(f"{error.filename or self.argv()[0]}: cannot be started: {error.strerror}") from error
        self.pid = process.pid
        try:
            if process.stdout is not None:
                await self._follow(process.stdout)
            return await process.wait()
        finally:
            self.pid = None
            await _end(process)

    def argv(self) -> list[str]:
        """Return the command line; the kernel ends ExaBGP with SIGTERM should we die without a word."""
        if shutil.which("setpriv") is None:
            raise OperatorError("setpriv: is not installed; apt-get install util-linux")
        return ["setpriv", "--pdeathsig", "TERM", *_powerless(), *self._command(), str(self._path)]

    def _command(self) -> list[str]:
        if self._program is None:
            return [sys.executable, "-m", exabgp_encapsulation.__name__ if self._encapsulation else "exabgp"]
        # setpriv would only exit with a status, over and over.
        found = shutil.which(self._program)
        if found is None:
            raise OperatorError(f"{self._program}: no such program; correct bgp.exabgp or remove it")
        return [*_python_of(found), exabgp_encapsulation.__file__] if self._encapsulation else [self._program]

    def environment(self, ours: Mapping[str, str]) -> dict[str, str]:
        """Return ExaBGP's environment: ours, without settings for another ExaBGP, and those it needs."""
        inherited = {name: value for name, value in ours.items() if not name.lower().startswith("exabgp")}
        return {
            **inherited,
            "exabgp.api.ack": "true",
            "exabgp.api.cli": "false",
            "exabgp.api.compact": "false",
            "exabgp.api.respawn": "true",
            "exabgp.api.terminate": "false",
            "exabgp.daemon.daemonize": "false",
            "exabgp.daemon.drop": "false",
            "exabgp.daemon.user": _user(),
            "exabgp.log.all": "false",
            "exabgp.log.destination": "stdout",
            "exabgp.log.enable": "true",
            "exabgp.log.level": self._log_level,
            "exabgp.log.short": "true",
            "exabgp.log.statistics": "false",
            "exabgp.tcp.bind": "",
            "PYTHONUNBUFFERED": "1",
        }

    def _write_configuration(self) -> None:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_file(self._path, self._configuration.encode("ascii"))
        except OSError as error:
            raise OperatorError(f"{self._path}: cannot be written: {error.strerror}; see sockets.directory") from error

    async def _follow(self, output: asyncio.StreamReader) -> None:
        lines = LineBuffer(_MAX_LOG_LINE)
        while data := await output.read(_MAX_LOG_LINE):
            for line in lines.feed(data):
                octets = line.start if isinstance(line, LineTooLong) else line
                text = octets.decode("utf-8", "backslashreplace").rstrip()
                for secret in self._secrets:
                    text = text.replace(secret, "********")
                if text:
                    self._last_line = text
                    self._on_log(text)


def _python_of(script: str) -> list[str]:
    """The Python that runs a script, from its first line. Raises OperatorError where there is none."""
    try:
        with Path(script).open(encoding="utf-8", errors="replace") as file:
            first = file.readline(1024)
    except OSError as error:
        raise OperatorError(f"{script}: cannot be read: {error.strerror}; see bgp.exabgp") from error
    if not first.startswith("#!") or "python" not in first:
        raise OperatorError(
            f"{script}: does not begin with the Python that runs it, so it cannot be given SAFI 7; "
            "remove bgp.exabgp, or take ipv4 encap and ipv6 encap out of bgp.families"
        )
    return shlex.split(first[2:])


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(_PATIENCE):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _powerless() -> list[str]:
    """Options of setpriv: BGP and the hook need no capability, and shall gain none.

    Without CAP_SETPCAP the bounding set cannot be changed, nor need it be: nothing is gained past no_new_privs but by
    being root.
    """
    options = ["--inh-caps=-all", "--ambient-caps=-all", "--no-new-privs"]
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    (effective,) = (int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:"))
    return [*options, "--bounding-set=-all"] if effective & 1 << _CAP_SETPCAP else options


def _user() -> str:
    """Our user's name, which ExaBGP must be given; it never becomes another: without one, any that exists will do."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return "root"
