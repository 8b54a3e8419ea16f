"""In what order the data plane does things, and which softwires must do without: on a model of the kernel."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from msgspec.structs import replace as with_changes

from softmesh.charon.ability import Ability as CharonAbility
from softmesh.charon.observed import ChildSa, IkeSa, Observed
from softmesh.config.values import DataPlaneMode, Guards
from softmesh.control import data_plane
from softmesh.control.data_plane import DataPlane
from softmesh.control.plan import Plan
from softmesh.dataplane import difference
from softmesh.dataplane.ability import Ability as KernelAbility
from softmesh.dataplane.guard import Guard, Guarded
from softmesh.dataplane.layout import CorePath, KernelState
from softmesh.dataplane.steps import AddBlackhole, MakeDevice, RemoveDevice, RemoveRoute, SetMtu, SetRoute, Step
from softmesh.errors import OperatorError, SoftmeshError
from softmesh.mesh.desired import Desired, fold
from softmesh.mesh.softwire import Address, InterfaceKind, Network, SoftwireId
from softmesh.mesh.trust import AnnouncedKeys
from tests.unit.config.conftest import site
from tests.unit.config.site import GOOD, Site
from tests.unit.mesh.routes import OURS, attribute, policy, route

__all__ = ["site"]

PEER, OTHER = "2001:db8:f::2", "2001:db8:f::3"
PREFIX = ip_network("10.2.0.0/24")
CHARON = CharonAbility("6.0.1", kernel_libipsec=False, ml_kem=True)
XFRM = KernelAbility(xfrm_interface=True, vti=True, reason="")
ONLY_VTI = KernelAbility(xfrm_interface=False, vti=True, reason="this kernel has no XFRM interfaces")
NOTHING = Observed({}, (), frozenset())


@dataclass
class ModelKernel:
    """A network namespace: what steps make of it, and which it refuses."""

    state: KernelState = field(
        default_factory=lambda: KernelState(core={ip_address(end): CorePath("core0", 1500) for end in (PEER, OTHER)})
    )
    ability: KernelAbility | SoftmeshError = XFRM
    taken: list[Step | Guard] = field(default_factory=list)
    """Steps, and the firewall's guard each time it was seen to."""
    refuses: dict[type, str] = field(default_factory=dict)
    """By kind of step, why."""
    fault: SoftmeshError | None = None
    """Why it does not answer at all."""

    async def observe(self, _endpoints: Collection[Address], _destinations: Collection[Network]) -> KernelState:
        self._answer()
        return self.state

    async def apply(self, steps: Iterable[Step]) -> list[tuple[Step, str]]:
        self._answer()
        steps = tuple(steps)
        refused = [(step, self.refuses[type(step)]) for step in steps if type(step) in self.refuses]
        done = [step for step in steps if type(step) not in self.refuses]
        self.taken += done
        self.state = replace(self.state, layout=difference.after(self.state.layout, done))
        return refused

    def _answer(self) -> None:
        if self.fault is not None:
            raise self.fault

    async def asked(self) -> KernelAbility:
        if isinstance(self.ability, SoftmeshError):
            raise self.ability
        return self.ability


@dataclass
class ModelFirewall:
    """nftables: the guard that it was given, in the order of the kernel's steps."""

    kernel: ModelKernel
    fault: SoftmeshError | None = None

    async def ensure(self, guard: Guard, _guarded: Guarded) -> None:
        if self.fault is not None:
            raise self.fault
        self.kernel.taken.append(guard)

    async def audit(self) -> bool:
        return False

    async def counters(self) -> Mapping[str, int]:
        return {}


class Router:
    """A data plane on a kernel, and what it reported."""

    def __init__(self, site: Site, monkeypatch: pytest.MonkeyPatch, **dataplane: Any) -> None:
        self.kernel = ModelKernel()
        self.firewall = ModelFirewall(self.kernel)
        self.problems: dict[str, str] = {}
        self.now = 0.0
        monkeypatch.setattr(data_plane, "Kernel", lambda: self.kernel)
        monkeypatch.setattr(data_plane, "Nftables", lambda: self.firewall)
        monkeypatch.setattr(data_plane, "kernel_ability", self.kernel.asked)
        self.plane = DataPlane(report=self.problems.__setitem__, on_change=lambda: None, monotonic=lambda: self.now)
        config = site.examine(GOOD).config
        assert config is not None
        self.config = with_changes(config, dataplane=with_changes(config.dataplane, **dataplane))
        self.plane.configure(self.config)

    def folded(self, *endpoints: str) -> Desired:
        """A softwire to each endpoint, the first with 10.2.0.0/24, the second with 10.3.0.0/24."""
        routes = [
            route(f"10.{number}.0.0/24", attribute(endpoint=end), next_hop=end)
            for number, end in enumerate(endpoints, 2)
        ]
        return fold(routes, policy(fabric=self.plane.fabric), [AnnouncedKeys()])

    async def goes_round(
        self, desired: Desired, sas: Observed = NOTHING, *, plan: Plan | None = None, may_remove: bool = True
    ) -> Mapping[SoftwireId, str]:
        """As the bridge's pass does; returns the softwires that are blocked, each with the reason."""
        await self.plane.stand_guard(desired, policy())
        blocked = await self.plane.prepare(desired, sas)
        await self.plane.lead(desired, plan or Plan(), may_remove=may_remove)
        await self.plane.clear(desired, sas, may_remove=may_remove)
        return blocked

    def has_taken(self) -> list[type]:
        """The kinds of steps since it was last asked."""
        kinds = [type(step) for step in self.kernel.taken]
        self.kernel.taken.clear()
        return kinds


@pytest.fixture
async def router(site: Site, monkeypatch: pytest.MonkeyPatch) -> Router:
    """One that goes by XFRM interfaces, with all guards."""
    made = Router(site, monkeypatch)
    await made.plane.survey(CHARON)
    return made


def sa_of(desired: Desired, **changes: Any) -> ChildSa:
    """A CHILD SA bound to the interface of the only softwire."""
    (softwire,) = desired.softwires.values()
    assert softwire.interface is not None
    number = softwire.interface.number
    plain = ChildSa("c", "7", "INSTALLED", "tunnel", "ESP", frozenset({"10.1.0.0/24"}), frozenset({str(PREFIX)}))
    return replace(plain, if_id_in=number, if_id_out=number, **changes)


def held(sa: ChildSa) -> Observed:
    """charon with that SA."""
    return Observed(
        {}, (IkeSa("softmesh-c", "1", "ESTABLISHED", True, OURS, PEER, "", "", children=(sa,)),), frozenset()
    )


def up(desired: Desired) -> Plan:
    """Every softwire has its SA."""
    return Plan(installed=dict.fromkeys(desired.softwires, (sa_of(desired),)))


async def test_guards_then_interfaces_then_routes(router: Router) -> None:
    desired = router.folded(PEER)
    assert await router.goes_round(desired) == {}
    assert router.has_taken() == [AddBlackhole, Guard, MakeDevice], "no SA yet, so no route"
    await router.goes_round(desired, held(sa_of(desired)), plan=up(desired))
    assert router.has_taken() == [Guard, SetRoute]
    await router.goes_round(desired, held(sa_of(desired)), plan=up(desired))
    assert router.has_taken() == [Guard], "all is as it should be"
    assert router.problems.keys() >= {"data plane", "blackhole routes", "routes"}
    assert not any(router.problems.values())


async def test_routes_go_before_interfaces_and_interfaces_after_the_last_sa(router: Router) -> None:
    desired, nobody = router.folded(PEER), router.folded()
    await router.goes_round(desired, held(sa_of(desired)), plan=up(desired))
    router.has_taken()
    await router.goes_round(nobody, held(sa_of(desired)))
    assert router.has_taken() == [Guard, RemoveRoute], "an SA is still bound to the interface"
    await router.goes_round(nobody)
    assert router.has_taken() == [Guard, RemoveDevice]


async def test_nothing_is_removed_on_ignorance(router: Router) -> None:
    desired, nobody = router.folded(PEER), router.folded()
    await router.goes_round(desired, held(sa_of(desired)), plan=up(desired))
    router.has_taken()
    await router.goes_round(nobody, may_remove=False)
    assert router.has_taken() == [Guard]
    assert PREFIX in router.plane.state.layout.routes


async def test_what_would_be_done_is_what_is_done(router: Router) -> None:
    desired = router.folded(PEER)
    await router.plane.refresh(desired)
    told = router.plane.steps(desired, up(desired), NOTHING, may_remove=True)
    assert router.has_taken() == []
    await router.goes_round(desired, plan=up(desired))
    assert [step for step in router.kernel.taken if not isinstance(step, Guard)] == list(told)


async def test_no_softwire_before_the_data_plane_is_chosen(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    router = Router(site, monkeypatch)
    desired = router.folded(PEER)
    assert not await router.plane.survey(None)
    assert set(router.plane.blocked(desired).values()) == {"the data plane is not chosen yet"}
    router.kernel.ability = OperatorError("no netlink socket")
    assert not await router.plane.survey(CHARON)
    assert set(router.plane.blocked(desired).values()) == {"not without its data plane: no netlink socket"}
    router.kernel.ability = XFRM
    assert await router.plane.survey(CHARON)
    assert router.plane.fabric.tunnel is InterfaceKind.XFRM
    assert router.plane.blocked(desired) == {}


async def test_it_is_chosen_anew_for_another_charon_and_another_file(router: Router) -> None:
    assert not await router.plane.survey(CHARON)
    assert await router.plane.survey(replace(CHARON)), "the same settings, but it was started anew"
    policy_mode = with_changes(router.config.dataplane, mode=DataPlaneMode.POLICY)
    router.plane.configure(with_changes(router.config, dataplane=policy_mode))
    router.kernel.ability = OperatorError("no netlink socket")
    assert not await router.plane.survey(CHARON)
    assert router.plane.blocked(router.folded(PEER)), "what was chosen counts no more"


async def test_an_interface_that_is_refused_blocks_its_softwire_alone(router: Router) -> None:
    first, both = router.folded(PEER), router.folded(PEER, OTHER)
    await router.goes_round(first)
    router.kernel.refuses[MakeDevice] = "not permitted"
    blocked = await router.goes_round(both)
    assert {str(wire.remote): why.partition(": make")[0] for wire, why in blocked.items()} == {OTHER: "no interface"}
    assert "not permitted" in "".join(blocked.values())
    router.kernel.refuses.clear()
    assert await router.goes_round(both) == {}


async def test_an_mtu_that_is_refused_blocks_nothing(router: Router) -> None:
    desired = router.folded(PEER)
    await router.goes_round(desired)
    router.kernel.state = replace(router.kernel.state, core={ip_address(PEER): CorePath("core0", 1400)})
    router.kernel.refuses[SetMtu] = "not permitted"
    router.now += 3600
    assert await router.goes_round(desired) == {}


async def test_no_softwire_without_its_guard(router: Router) -> None:
    router.firewall.fault = OperatorError("nft is not installed")
    desired = router.folded(PEER)
    blocked = await router.goes_round(desired)
    assert set(blocked.values()) == {"not without its data plane: nft is not installed"}
    assert router.problems["data plane"] == "nft is not installed"
    assert router.plane.guard is None
    router.firewall.fault = None
    assert await router.goes_round(desired) == {}
    assert router.problems["data plane"] == ""


async def test_a_guard_that_stands_goes_on_standing(router: Router) -> None:
    """A firewall that does not answer any more has not lost its rules."""
    desired = router.folded(PEER)
    await router.goes_round(desired)
    stood = router.plane.guard
    assert stood is not None
    router.firewall.fault = OperatorError("nft hangs")
    assert await router.goes_round(desired) == {}
    assert router.problems["data plane"] == "nft hangs"
    elsewhere = with_changes(router.config, endpoint=ip_address("2001:db8:f::7"))
    router.plane.configure(elsewhere)
    blocked = await router.goes_round(desired)
    assert set(blocked.values()) == {"not without its data plane: nft hangs"}, "it is not the guard that is wanted now"
    assert router.plane.guard == stood


@pytest.mark.parametrize("guards", [Guards.ROUTES, Guards.NONE])
async def test_no_firewall_where_none_is_wanted(site: Site, monkeypatch: pytest.MonkeyPatch, guards: Guards) -> None:
    router = Router(site, monkeypatch, guards=guards)
    await router.plane.survey(CHARON)
    router.firewall.fault = OperatorError("nft is not installed")
    assert await router.goes_round(router.folded(PEER)) == {}
    assert router.has_taken() == ([AddBlackhole, MakeDevice] if guards is Guards.ROUTES else [MakeDevice])
    assert router.problems["data plane"] == ""
    assert router.plane.guard is None


async def test_a_kernel_that_does_not_answer(router: Router) -> None:
    """What it held counts as unknown: all is looked at anew as soon as it does."""
    desired = router.folded(PEER)
    router.kernel.fault = OperatorError("no netlink socket")
    blocked = await router.goes_round(desired)
    (why,) = blocked.values()
    assert why.startswith("no interface")
    assert why.endswith("no netlink socket")
    router.kernel.fault = None
    assert await router.goes_round(desired) == {}
    router.kernel.fault = OperatorError("no netlink socket")
    await router.plane.lead(desired, up(desired), may_remove=True)
    assert router.problems["routes"].endswith("no netlink socket")
    assert router.plane.look_due == 0.0
    router.kernel.fault = None
    await router.goes_round(desired, plan=up(desired))
    assert PREFIX in router.kernel.state.layout.routes


async def test_a_vti_that_charon_routes_past(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the SA charon's route goes too; that must not bring the softwire back."""
    router = Router(site, monkeypatch, mode=DataPlaneMode.ROUTE)
    router.kernel.ability = ONLY_VTI
    await router.plane.survey(CHARON)
    desired = router.folded(PEER)
    assert await router.goes_round(desired) == {}
    router.kernel.state = replace(router.kernel.state, captured=frozenset({PREFIX}))
    await router.plane.refresh(desired)
    (why,) = (await router.goes_round(desired)).values()
    assert why.startswith("charon routes its prefixes past the VTI")
    router.kernel.state = replace(router.kernel.state, captured=frozenset())
    await router.plane.refresh(desired)
    assert await router.goes_round(desired) != {}
    await router.plane.survey(replace(CHARON))
    assert await router.goes_round(desired) == {}, "another charon has other settings"
