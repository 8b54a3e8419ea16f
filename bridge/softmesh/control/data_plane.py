"""What softwires stand on: guards, interfaces and routes, kept as fold and charon have it.

What is decided here is in what order; what is to be there, ``wanted_layout`` says. Whatever cannot be had blocks the
softwires that need it: without guard or interface there is no softwire (and no cleartext).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TypeAlias

from softmesh.charon.ability import Ability as CharonAbility
from softmesh.charon.observed import Observed
from softmesh.config import Config
from softmesh.config.values import DataPlane as Section
from softmesh.config.values import Guards
from softmesh.control.fabric import fabric_of
from softmesh.control.plan import Plan
from softmesh.control.settings import blackholes_of, guard_of
from softmesh.control.wanted_layout import bearing, devices_for, encapsulated, guarded, installed, led, routes_for
from softmesh.dataplane import difference
from softmesh.dataplane.ability import kernel_ability
from softmesh.dataplane.guard import Guard
from softmesh.dataplane.kernel import Kernel
from softmesh.dataplane.layout import KernelState, Layout
from softmesh.dataplane.nftables import Nftables
from softmesh.dataplane.plane import Plane
from softmesh.dataplane.steps import Step
from softmesh.dataplane.watch import LinkWatch
from softmesh.errors import SoftmeshError
from softmesh.mesh.desired import Desired
from softmesh.mesh.policy import Fabric, Policy
from softmesh.mesh.softwire import Address, HostTraffic, InterfaceKind, Network, SoftwireId

Report: TypeAlias = Callable[[str, str], None]
"""Called with a subject and what is the matter with it; empty: nothing any more."""


class DataPlane:
    """The data plane of one bridge."""

    def __init__(
        self, *, report: Report, on_change: Callable[[], None], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._plane = Plane(Kernel(), Nftables(), monotonic=monotonic)
        self._links = LinkWatch(lambda: self._plane.state.layout.devices, self._changed)
        self._report = report
        self._on_change = on_change
        self.fabric = Fabric()
        self._surveyed: tuple[CharonAbility, Section] | None = None
        """For which charon, since it was connected, and which configuration the data plane was chosen."""
        self._unsurveyed = "the data plane is not chosen yet"
        """Why not, as long as it is not."""
        self._looked = False
        self._guard: Guard | None = None
        """The guard that stands."""
        self._lacking = ""
        """Why there can be no softwire at all; empty where there can."""
        self._why_not: Mapping[str, str] = {}
        """By interface, why it could not be made."""
        self._passed_by: set[str] = set()
        """VTIs that charon was seen to route past. With the SA its route goes too, so this is not forgotten before
        charon or the configuration changes."""

    async def run(self) -> None:
        """Hear of what others do to our interfaces, until cancelled."""
        try:
            await self._links.run()
        except SoftmeshError as error:
            # The audit finds out as well, only later.
            self._report("watching interfaces", str(error))

    def _changed(self) -> None:
        self._plane.suspect()
        self._on_change()

    def configure(self, config: Config) -> None:
        """Take over a configuration."""
        self._config = config

    @property
    def look_due(self) -> float:
        """When the last look at the kernel will serve no more; monotonic seconds."""
        return self._plane.look_due

    @property
    def state(self) -> KernelState:
        """What the kernel holds of ours, by the last look and the steps since."""
        return self._plane.state

    @property
    def guard(self) -> Guard | None:
        """The firewall's guard that stands; None where none was made, or none is wanted."""
        return self._guard if self._config.dataplane.guards is Guards.FULL else None

    async def survey(self, charon: CharonAbility | None) -> bool:
        """Choose the data plane if the configuration was read, or charon connected, since; returns whether it was."""
        section = self._config.dataplane
        if charon is None:
            return False
        # By identity: a charon that was started anew may have other settings, and a file that was read anew may mean
        # that the kernel has been given what it lacked.
        if self._surveyed is not None and self._surveyed[0] is charon and self._surveyed[1] is section:
            return False
        try:
            self.fabric = fabric_of(section, await kernel_ability(), charon)
        except SoftmeshError as error:
            self._surveyed, self._unsurveyed = None, f"not without its data plane: {error}"
            return False
        self._surveyed = charon, section
        self._passed_by.clear()
        return True

    async def stand_guard(self, desired: Desired, policy: Policy) -> None:
        """See to the guards, whatever charon does: blackholes, which need nothing, and then the firewall."""
        guards, guard = self._config.dataplane.guards, guard_of(self._config, policy)
        try:
            state = await self._look(desired)
            refused = await self._take(self._blackholes())
            self._report("blackhole routes", "; ".join(refused.values()))
            if guards is Guards.FULL:
                await self._plane.guard(guard, guarded(desired, state))
                self._guard = guard
        except SoftmeshError as error:
            self._report("data plane", str(error))
            # What stood before still stands: only what was never seen to is missing.
            unseen = not self._looked or (guards is Guards.FULL and self._guard != guard)
            self._lacking = f"not without its data plane: {error}" if unseen else ""
        else:
            self._report("data plane", "")
            self._lacking = ""

    async def prepare(self, desired: Desired, observed: Observed) -> Mapping[SoftwireId, str]:
        """See to interfaces; returns the softwires that have to do without what they need, each with the reason."""
        self._why_not = await self._take(self._devices(desired, observed))
        return self.blocked(desired)

    async def refresh(self, desired: Desired) -> None:
        """Look at the kernel anew; raises as ``Kernel.observe``."""
        self._plane.suspect()
        await self._look(desired)

    async def lead(self, desired: Desired, plan: Plan, *, may_remove: bool) -> None:
        """Route into the softwires that stand, and out of those that do not, before their SAs are touched."""
        steps = self._routes(desired, plan, may_remove=may_remove)
        refused = await self._take(steps)
        self._report("routes", "; ".join(refused.values()))
        if steps and self.fabric.tunnel is InterfaceKind.VTI:
            # Where there are new SAs, charon may have made routes of its own.
            self._changed()

    async def clear(self, desired: Desired, observed: Observed, *, may_remove: bool) -> None:
        """Remove the interfaces that neither a softwire nor an SA has any more."""
        refused = await self._take(self._surplus(desired, observed, may_remove=may_remove))
        self._report("interfaces no more needed", "; ".join(refused.values()))

    def steps(self, desired: Desired, plan: Plan, observed: Observed, *, may_remove: bool) -> tuple[Step, ...]:
        """What the next pass would do, in its order; nothing of it is done."""
        return (
            *self._blackholes(),
            *self._devices(desired, observed),
            *self._routes(desired, plan, may_remove=may_remove),
            *self._surplus(desired, observed, may_remove=may_remove),
        )

    def blocked(self, desired: Desired) -> Mapping[SoftwireId, str]:
        """The softwires that must not be, and why: their interface could not be made, or would be passed by."""
        if self._surveyed is None:
            return dict.fromkeys(desired.softwires, self._unsurveyed)
        reasons: dict[SoftwireId, str] = {}
        guards = self._config.dataplane.guards
        for wire, softwire in desired.softwires.items():
            if self._lacking and (softwire.interface is not None or guards is not Guards.NONE):
                reasons[wire] = self._lacking
            if softwire.interface is None:
                continue
            name = softwire.interface.name
            why = self._why_not.get(name)
            if why is not None and name not in self._plane.state.layout.devices:
                reasons[wire] = f"no interface: {why}"
            elif name in self._passed_by:
                reasons[wire] = (
                    "charon routes its prefixes past the VTI: set charon.install_routes = no in strongswan.conf "
                    "and restart charon"
                )
        return reasons

    def led(self, desired: Desired) -> Mapping[SoftwireId, frozenset[Address]]:
        """By softwire, the endpoints that routes for its destinations lead to as yet, where that is not into it."""
        return led(desired, self._plane.state.layout)

    async def dropped(self) -> Mapping[str, int]:
        """Packets that the guards dropped, by rule; also where the configuration wants none and they still stand."""
        return await self._plane.counters()

    def _blackholes(self) -> tuple[Step, ...]:
        return difference.devices(Layout(blackholes=blackholes_of(self._config)), self._plane.state.layout)

    def _devices(self, desired: Desired, observed: Observed) -> tuple[Step, ...]:
        mtu = self._config.dataplane.core_mtu
        core = {remote: path.mtu if mtu is None else mtu for remote, path in self._plane.state.core.items()}
        wanted = Layout(devices_for(desired, core, encapsulated(observed)))
        return difference.devices(wanted, self._plane.state.layout)

    def _routes(self, desired: Desired, plan: Plan, *, may_remove: bool) -> tuple[Step, ...]:
        found = self._plane.state.layout
        carrying = (*plan.standing_in, *(sa for sas in plan.installed.values() for sa in sas))
        routes = routes_for(desired, plan.standing, plan.lacking, bearing(carrying, found), found)
        return difference.routes(Layout(routes=routes), found, may_remove=may_remove, source=self._source)

    def _surplus(self, desired: Desired, observed: Observed, *, may_remove: bool) -> tuple[Step, ...]:
        if not may_remove:
            return ()
        found = self._plane.state.layout
        named = {softwire.interface.name for softwire in desired.softwires.values() if softwire.interface is not None}
        needed = named | bearing(installed(observed), found)
        wanted = Layout({name: device for name, device in found.devices.items() if name in needed})
        return difference.surplus(wanted, found)

    async def _look(self, desired: Desired) -> KernelState:
        vti = self.fabric.tunnel is InterfaceKind.VTI
        state = await self._plane.look(
            # The way to a BGP neighbour need not be the way into the core.
            [wire.remote for wire in desired.softwires if not isinstance(wire.type, HostTraffic)],
            [prefix for softwire in desired.softwires.values() for prefix in softwire.prefixes] if vti else (),
        )
        self._looked = True
        if vti:
            for softwire in desired.softwires.values():
                if softwire.interface is not None and not state.captured.isdisjoint(softwire.prefixes):
                    self._passed_by.add(softwire.interface.name)
        return state

    async def _take(self, steps: tuple[Step, ...]) -> Mapping[str, str]:
        """Take steps; returns, by what they are about, why some were refused."""
        try:
            refused = await self._plane.apply(steps)
        except SoftmeshError as error:
            # How far it came a new look will tell; until then what was asked for counts as not there.
            self._plane.suspect()
            refused = [(step, str(error)) for step in steps]
        return {step.about: f"{step.describe()}: {why}" for step, why in refused}

    def _source(self, destination: Network) -> Address | None:
        """Where packets of this router's own come from: an address of ours that the peer's selectors admit."""
        ours = [prefix for prefix in self._config.announce.prefixes if prefix.version == destination.version]
        held = (held for held in self._plane.state.addresses if any(held in prefix for prefix in ours))
        return min(held, key=int, default=None)
