"""What may be done to the kernel: each step is a value that prints itself and can be repeated without harm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from softmesh.dataplane.layout import Device, Hop
from softmesh.mesh.softwire import Address, Network


@dataclass(frozen=True, slots=True)
class MakeDevice:
    """Make a tunnel interface and bring it up."""

    device: Device

    @property
    def about(self) -> str:
        """The interface's name."""
        return self.device.name

    def describe(self) -> str:
        """One line for ``softmesh plan``."""
        device = self.device
        kind = device.interface.kind
        return f"make interface {device.name} ({kind}, {device.local} - {device.remote}, MTU {device.mtu})"


@dataclass(frozen=True, slots=True)
class SetMtu:
    """Change the MTU of an interface; octets."""

    name: str
    mtu: int

    @property
    def about(self) -> str:
        """The interface's name."""
        return self.name

    def describe(self) -> str:
        """One line for ``softmesh plan``."""
        return f"set MTU {self.mtu} on interface {self.name}"


@dataclass(frozen=True, slots=True)
class RemoveDevice:
    """Remove an interface, with whatever still leads into it."""

    name: str

    @property
    def about(self) -> str:
        """The interface's name."""
        return self.name

    def describe(self) -> str:
        """One line for ``softmesh plan``."""
        return f"remove interface {self.name}"


@dataclass(frozen=True, slots=True)
class SetRoute:
    """Send a prefix into an interface, wherever of ours it went before."""

    prefix: Network
    hop: Hop
    source: Address | None = None
    """Where packets of this router's own come from; None leaves it to the kernel."""

    @property
    def about(self) -> str:
        """The prefix."""
        return str(self.prefix)

    def describe(self) -> str:
        """One line for ``softmesh plan``."""
        label = " under an MPLS explicit null label" if self.hop.explicit_null else ""
        source = "" if self.source is None else f" from {self.source}"
        return f"route {self.prefix} into {self.hop.device}{label}{source}"


@dataclass(frozen=True, slots=True)
class RemoveRoute:
    """Send a prefix into no interface of ours any more."""

    prefix: Network

    @property
    def about(self) -> str:
        """The prefix."""
        return str(self.prefix)

    def describe(self) -> str:
        """One line for ``softmesh plan``."""
        return f"remove the route to {self.prefix}"


@dataclass(frozen=True, slots=True)
class AddBlackhole:
    """Let a prefix go nowhere unless a better route knows where."""

    prefix: Network

    @property
    def about(self) -> str:
        """The prefix."""
        return str(self.prefix)

    def describe(self) -> str:
        """One line for ``softmesh plan``."""
        return f"add blackhole route {self.prefix}"


@dataclass(frozen=True, slots=True)
class RemoveBlackhole:
    """Undo AddBlackhole."""

    prefix: Network

    @property
    def about(self) -> str:
        """The prefix."""
        return str(self.prefix)

    def describe(self) -> str:
        """One line for ``softmesh plan``."""
        return f"remove blackhole route {self.prefix}"


Step: TypeAlias = MakeDevice | SetMtu | RemoveDevice | SetRoute | RemoveRoute | AddBlackhole | RemoveBlackhole
