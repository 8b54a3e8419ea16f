"""Looks at this machine: charon, kernel, addresses, routes, ports, units. Nothing is sent to anybody.

To see what the kernel can, an interface and an SA of each kind are made, for addresses that nobody has, and removed at
once.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from softmesh.charon.ability import Ability as CharonAbility
from softmesh.charon.driver import Driver
from softmesh.charon.vici import ViciConnection
from softmesh.config import Config
from softmesh.config.values import Guards
from softmesh.control.audit.facts import firewall
from softmesh.dataplane import link, route
from softmesh.dataplane.ability import kernel_ability, refused_kinds
from softmesh.dataplane.kernel import MAIN, Kernel
from softmesh.dataplane.netlink import opened
from softmesh.errors import SoftmeshError, printable
from softmesh.host.acting import acting_as
from softmesh.host.facts import Facts, ForeignRoute, Listener, Unit, User
from softmesh.mesh.softwire import InterfaceKind, Level

_PATIENCE = 5.0
"""Seconds for charon, and for any program."""
_USUAL_VICI = Path("/run/charon.vici")
_SETTINGS = Path("/etc/strongswan.d/softmesh.conf")
_SYSCTLS = (
    "net.ipv4.ip_forward",
    "net.ipv6.conf.all.forwarding",
    "net.ipv4.conf.all.rp_filter",
    "net.ipv4.conf.lo.rp_filter",
    "kernel.modules_disabled",
)
_KERNELS_OWN = 2
"""RTPROT_KERNEL: routes that come with an address."""
_SPI = "0x736d0001"
_ENDS = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8::1", "2001:db8::2")}
"""Addresses for documentation (RFC 5737 §3, RFC 3849 §2)."""
_TRANSFORMS = {
    "esp": ("aead", "rfc4106(gcm(aes))", f"0x{'00' * 36}", "128"),
    "ah": ("auth-trunc", "hmac(sha256)", f"0x{'00' * 32}", "128"),
}


async def gather(config: Config, user: User) -> Facts:
    """Look at everything; what cannot be looked at is a fact as well, and raises nothing."""
    ability, silence = await _charon(config, user)
    unit, systemd = await _unit()
    if user.net_admin is None and unit is not None and unit.user == user.name:
        user = replace(user, net_admin="cap_net_admin" in unit.capabilities)
    facts = Facts(
        user=user,
        charon=ability,
        silence=silence,
        settings_installed=_has_settings(config),
        firewall=await firewall(),
        sysctls=_sysctls(),
        listeners=tuple(_listeners()),
        unit=unit,
        systemd=systemd,
        exabgp=_exabgp(config),
        missing=tuple(_missing(config)),
        directory=_directory(config.sockets.directory),
    )
    return await _with_kernel(config, facts)


async def _charon(config: Config, user: User) -> tuple[CharonAbility | None, str]:
    try:
        with acting_as(user.uid):
            vici = await ViciConnection.open(config.charon.vici, within=_PATIENCE)
        try:
            async with asyncio.timeout(_PATIENCE):
                return await Driver(vici).ability(), ""
        finally:
            await vici.close()
    except SoftmeshError as error:
        return None, str(error)
    except TimeoutError:
        return None, f"charon's VICI socket {config.charon.vici}: no answer within {_PATIENCE:g} s"


def _has_settings(config: Config) -> bool:
    return config.charon.vici != _USUAL_VICI or _SETTINGS.exists()


async def _with_kernel(config: Config, facts: Facts) -> Facts:
    over = config.endpoint.version
    levels = {config.protection.default, *(rule.level for rule in config.protection.rules)}
    try:
        state = await Kernel().observe([neighbor.address for neighbor in config.bgp.neighbors])
        facts = replace(facts, addresses=state.addresses, paths=state.core, routes=await _foreign_routes())
        if os.geteuid() != 0 and not facts.user.net_admin:
            return replace(facts, kernel_problem="what it can is only told to whoever may make interfaces")
        refused = await refused_kinds([(InterfaceKind.IP_IN_IP, over), (InterfaceKind.GRE, over)])
        return replace(
            facts,
            kernel=await kernel_ability(),
            unkind={which: f"refused: {os.strerror(code)}" for which, code in refused.items()},
            transforms=dict([each for level in levels if (each := await _transform(level, over))]),
        )
    except SoftmeshError as error:
        return replace(facts, kernel_problem=str(error))


async def _transform(level: Level, over: int) -> tuple[str, str] | None:
    """Make an SA and remove it; returns its name, and why, where the kernel refuses."""
    name = "ah" if level is Level.AH else "esp"
    source, destination = _ENDS[over]
    ends = ["src", source, "dst", destination, "proto", name, "spi", _SPI]
    add = ["ip", "xfrm", "state", "add", *ends, "mode", "transport", *_TRANSFORMS[name]]
    code, said = await _run(*add)
    if code is None:
        return None
    if code == 0:
        await _run("ip", "xfrm", "state", "delete", *ends)
        return None
    return name, f"this kernel has none ({said})"


async def _foreign_routes() -> tuple[ForeignRoute, ...]:
    """Routes of the main table that neither we have made nor the kernel."""
    found: list[ForeignRoute] = []
    async with opened() as netlink:
        names = {message["index"]: str(message.get("ifname")) for message in await netlink.dump(link.every)}
        for over in (4, 6):
            for message in await netlink.dump(partial(route.held, over, MAIN)):
                each = route.parse(message)
                if message["proto"] in {_KERNELS_OWN, route.PROTOCOL}:
                    continue
                device = names.get(each.device, "")
                family = " -6" if over == 6 else ""
                kind = "blackhole " if each.blackhole else ""
                out = f" dev {device}" if device and not each.blackhole else ""
                command = f"ip{family} route delete {kind}{each.prefix}{out} metric {each.metric}"
                found.append(ForeignRoute(each.prefix, command, each.metric, each.blackhole, device))
    return tuple(found)


def _sysctls() -> Mapping[str, str]:
    found: dict[str, str] = {}
    for name in _SYSCTLS:
        try:
            found[name] = Path("/proc/sys", *name.split(".")).read_text(encoding="ascii").strip()
        except OSError:
            continue
    return found


def _listeners() -> Iterator[Listener]:
    """Who has IKE's ports; an inode is whose file descriptor refers to it (proc(5))."""
    inodes: list[tuple[int, str]] = []
    for table in ("udp", "udp6"):
        try:
            lines = Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            port = int(fields[1].rpartition(":")[2], 16)
            if port in {500, 4500}:
                inodes.append((port, fields[9]))
    owners = dict(_owners({f"socket:[{inode}]" for _, inode in inodes}))
    for port, inode in inodes:
        program, pid = owners.get(f"socket:[{inode}]", ("", None))
        yield Listener(port, program, pid)


def _owners(sockets: set[str]) -> Iterator[tuple[str, tuple[str, int]]]:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            for descriptor in (process / "fd").iterdir():
                target = os.readlink(descriptor)  # noqa: PTH115
                if target in sockets:
                    yield target, ((process / "comm").read_text(errors="replace").strip(), int(process.name))
        except OSError:
            # It has ended, or is not ours to look into.
            continue


def _systemd_runs() -> bool:
    """As sd_booted(3) has it."""
    return Path("/run/systemd/system").is_dir()


async def _unit() -> tuple[Unit | None, bool]:
    """The unit, and whether systemd runs here at all."""
    if not _systemd_runs():
        return None, False
    shown = ("LoadState", "User", "AmbientCapabilities", "UnitFileState", "ActiveState")
    code, said = await _run("systemctl", "show", "softmesh.service", *(f"--property={name}" for name in shown))
    values = dict(line.partition("=")[::2] for line in said.splitlines())
    if code != 0 or values.get("LoadState") != "loaded":
        return None, code == 0
    unit = Unit(
        user=values.get("User", "") or "root",
        capabilities=frozenset(values.get("AmbientCapabilities", "").split()),
        enabled=values.get("UnitFileState") == "enabled",
        active=values.get("ActiveState", ""),
    )
    return unit, True


def _exabgp(config: Config) -> str:
    if not config.bgp.managed:
        return ""
    if config.bgp.exabgp is not None:
        return str(config.bgp.exabgp)
    try:
        return version("exabgp")
    except PackageNotFoundError:
        return ""


def _missing(config: Config) -> Iterator[str]:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    needed = ["ip", "nft"] if config.dataplane.guards is Guards.FULL else ["ip"]
    if config.bgp.managed:
        needed += ["setpriv", *([] if config.bgp.exabgp is None else [str(config.bgp.exabgp)])]
    yield from (name for name in needed if shutil.which(name, path=path) is None)


def _directory(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_uid, stat.S_IMODE(found.st_mode)


async def _run(*command: str) -> tuple[int | None, str]:
    """A program's exit status, None where it did not run, and what it said, its errors where it failed."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin", "LC_ALL": "C"},
        )
    except OSError:
        return None, ""
    try:
        async with asyncio.timeout(_PATIENCE):
            output, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return None, ""
    said = output if process.returncode == 0 else errors
    return process.returncode, _printable(said)


def _printable(said: bytes) -> str:
    """What a program said, with what cannot be printed escaped."""
    return "\n".join(printable(line) for line in said.decode(errors="replace").strip().splitlines())
