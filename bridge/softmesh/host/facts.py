"""What a machine is found to be: values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from softmesh.charon.ability import Ability as CharonAbility
from softmesh.control.audit.node import Firewall
from softmesh.dataplane.ability import Ability as KernelAbility
from softmesh.dataplane.layout import CorePath
from softmesh.mesh.softwire import Address, InterfaceKind, Network


@dataclass(frozen=True, slots=True)
class User:
    """Whom the bridge runs as."""

    name: str
    uid: int
    net_admin: bool | None
    """Whether it has CAP_NET_ADMIN there; None where nobody can tell."""


@dataclass(frozen=True, slots=True)
class Unit:
    """``softmesh.service`` as systemd has it."""

    user: str
    capabilities: frozenset[str]
    """Ambient ones."""
    enabled: bool
    active: str
    """``active``, ``inactive``, ``failed``, …"""


@dataclass(frozen=True, slots=True)
class ForeignRoute:
    """A route of somebody else's in the main table."""

    prefix: Network
    command: str
    """What removes it."""
    metric: int
    blackhole: bool = False
    device: str = ""


@dataclass(frozen=True, slots=True)
class Listener:
    """Who has a UDP port."""

    port: int
    program: str
    """Empty where that cannot be seen."""
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """One machine at one moment."""

    user: User
    charon: CharonAbility | None = None
    silence: str = ""
    """Why charon does not answer."""
    settings_installed: bool = True
    """Whether strongSwan's directory has softmesh.conf; True where charon's socket is not the usual one."""
    kernel: KernelAbility | None = None
    unkind: Mapping[tuple[InterfaceKind, int], str] = field(default_factory=dict)
    """Interfaces that the kernel refuses, by the version of the outer header, and why."""
    transforms: Mapping[str, str] = field(default_factory=dict)
    """Of ``esp`` and ``ah``, those that the kernel refuses, and why."""
    kernel_problem: str = ""
    """Why nothing can be said of the kernel."""
    firewall: Firewall = field(default_factory=Firewall)
    addresses: frozenset[Address] = frozenset()
    """This machine's own, of global scope."""
    paths: Mapping[Address, CorePath] = field(default_factory=dict)
    """How BGP neighbours are reached; one to whom there is no route is missing."""
    routes: tuple[ForeignRoute, ...] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    """By name, such as ``net.ipv4.ip_forward``."""
    listeners: tuple[Listener, ...] = ()
    """Of UDP ports 500 and 4500."""
    unit: Unit | None = None
    """None where systemd does not run, or has no such unit."""
    systemd: bool = False
    exabgp: str = ""
    """Version of the managed ExaBGP; empty where there is none to be found."""
    missing: tuple[str, ...] = ()
    """Programs that are needed and not there."""
    directory: tuple[int, int] | None = None
    """Owner and mode of sockets.directory; None where it does not exist."""
