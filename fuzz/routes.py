"""What neighbours announce, from ExaBGP's lines to what would be done to charon: a mesh beside strangers.

Whatever the strangers say, every softwire of the mesh is as it would be without them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from ipaddress import ip_network
from random import Random

from fuzz import exabgp_lines, mutation
from fuzz.attribute import tunnels
from fuzz.target import Target, demand
from softmesh.bgp.adj_rib_in import AdjRibIn
from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.exabgp_json import MAX_LINE, Acknowledgement, Malformed, Shutdown, UpdateReceived, parse_line
from softmesh.bgp.hook_protocol import VERSION, Hello, SnapshotComplete, decode_from_hook, encode
from softmesh.bgp.mirror import Mirror
from softmesh.bgp.route import Route
from softmesh.charon.actions import LoadConnection
from softmesh.charon.packet import write_message
from softmesh.cli import status as status_command
from softmesh.control.plan import Plan, plan
from softmesh.control.progress import Pace
from softmesh.control.view import View, explain, status
from softmesh.mesh.arrivals import Arrivals
from softmesh.mesh.desired import Desired, fold
from softmesh.mesh.policy import Fabric
from softmesh.mesh.softwire import InterfaceKind
from softmesh.mesh.trust import AnnouncedKeys
from tests.unit.bgp.exabgp_lines import about_neighbor, end_of_rib, state
from tests.unit.control.world import OWN, World
from tests.unit.mesh.routes import REFLECTOR, attribute, policy

OTHER = "2001:db8:f::fd"
"""Another reflector."""
STRANGER = 0x66
"""From which number on routers are no members of the mesh."""
MEMBERS = (2, 3, 4)
POLICIES = (
    policy(neighbors=frozenset({REFLECTOR, OTHER}), tunnel_types=tuple(TunnelType)[:8]),
    policy(
        neighbors=frozenset({REFLECTOR, OTHER}),
        fabric=Fabric(InterfaceKind.XFRM, any_selectors=True, interfaces=True),
        max_softwires=8,
        max_selectors=4,
    ),
)


def endpoint(number: int) -> str:
    """Where a router's tunnels end."""
    return f"2001:db8:f::{number:x}"


def announced(
    number: int,
    prefixes: Sequence[str],
    value: bytes | None,
    *,
    neighbor: str = REFLECTOR,
    next_hop: str | None = None,
    communities: Sequence[int] = (),
    path: str = "",
) -> bytes:
    """ExaBGP's line of what a router announced through a reflector."""
    tunnel = "" if value is None else f', "attribute-0x17-0xE0": "0x{value.hex()}"'
    listed = ", ".join(f'{{ "value": {community} }}' for community in communities)
    family = "ipv6" if ":" in prefixes[0] else "ipv4"
    nlri = ", ".join(f'{{ "nlri": "{prefix}"{path} }}' for prefix in prefixes)
    return about_neighbor(
        f'"message": {{ "update": {{ "attribute": {{ "origin": "igp", "originator-id": "10.255.0.{number}", '
        f'"extended-community": [ {listed} ]{tunnel} }}, '
        f'"announce": {{ "{family} unicast": {{ "{next_hop or endpoint(number)}": [ {nlri} ] }} }} }} }}',
        peer=neighbor,
    )


GOOD = tuple(
    announced(
        number, [f"10.{number}.0.0/24", f"10.{number}.1.0/24"], attribute(endpoint=endpoint(number), key=str(number))
    )
    for number in MEMBERS
)
_OWN_KEY = attribute(endpoint=endpoint(STRANGER), key="stranger")
STEPS = (
    announced(STRANGER, ["10.102.0.0/24", "10.102.1.0/24"], _OWN_KEY),
    announced(STRANGER, ["10.102.0.0/24"], _OWN_KEY, neighbor=OTHER),
    announced(STRANGER, ["10.103.0.0/24"], attribute(endpoint=endpoint(2), key="stranger")),
    announced(STRANGER, ["10.104.0.0/24"], attribute(endpoint=None, key="stranger", colors=(7,))),
    announced(STRANGER, ["10.2.0.0/25"], _OWN_KEY),
    announced(STRANGER, ["10.0.0.0/8"], _OWN_KEY),
    announced(STRANGER, ["2001:db8:1066::/64"], attribute(kind=5, endpoint=endpoint(STRANGER), key="stranger")),
    announced(STRANGER, ["2001:db8:1067::/64"], attribute(kind=3, endpoint=endpoint(STRANGER), key="stranger")),
    announced(STRANGER, ["10.105.0.0/24"], None, communities=(0x030C000000000004, 0x030B000000000007)),
    announced(STRANGER, ["10.106.0.0/24"], None, next_hop="10.105.0.1", communities=(0x030B000000000007,)),
    announced(STRANGER, ["10.107.0.0/24"], None, next_hop="10.106.0.1", path=', "path-information": "0.0.0.7"'),
    announced(STRANGER, ["10.108.0.0/24"], None, next_hop="10.108.0.1"),
    about_neighbor('"message": { "update": { "withdraw": { "ipv4 unicast": [ { "nlri": "10.102.0.0/24" } ] } } }'),
    state("down", peer=OTHER),
    end_of_rib(peer=OTHER),
)  # fmt: skip
CORPUS = (b"\n".join(STEPS), *STEPS)


def mutate(script: bytes, chance: Random) -> bytes:
    """Other lines, with other attributes, of other routers."""
    return mutation.lines(script, chance, _damaged, (*STEPS, hostile(chance)))


def _damaged(line: bytes, chance: Random) -> bytes:
    return (mutation.document if chance.random() < 0.5 else exabgp_lines.mutate)(line, chance)


def hostile(chance: Random) -> bytes:
    """A line of what a stranger announces: many prefixes or few, with any tunnels, through any next hop."""
    number = chance.randrange(STRANGER, 0xA0)
    prefixes = [f"10.{number}.{chance.randrange(256)}.0/24" for _ in range(chance.choice((1, 1, 3, 300)))]
    colors = tuple(chance.randrange(2**32) for _ in range(chance.choice((0, 0, 1, 8))))
    values = (
        None,
        tunnels(chance),
        attribute(kind=chance.randrange(12), endpoint=endpoint(number), key=str(number), colors=colors),
        attribute(endpoint=endpoint(number), key=str(number)) * chance.choice((1, 2, 30)),
    )
    hops = (endpoint(number), endpoint(chance.randrange(1, 9)), f"10.{chance.randrange(1, 0xA0)}.0.1")
    return announced(
        number,
        prefixes,
        chance.choice(values),
        neighbor=chance.choice((REFLECTOR, OTHER)),
        next_hop=chance.choice(hops),
        communities=[0x030B << 48 | color for color in colors],
    )


def heard(lines: Iterable[bytes]) -> Mirror:
    """The bridge's routes after these lines, by way of the hook and its socket."""
    rib, mirror, now = AdjRibIn(), Mirror(), 0.0
    mirror.hello(Hello(VERSION, "one", 1, 300.0), now)
    mirror.apply(SnapshotComplete(), now)
    for line in lines:
        now += 1.0
        event = parse_line(line[:MAX_LINE])
        if isinstance(event, UpdateReceived) and _of_the_mesh(event):
            continue
        if not isinstance(event, Acknowledgement | Shutdown | Malformed):
            for change in rib.apply(event, now):
                mirror.apply(decode_from_hook(encode(change)), now)
    return mirror


def _of_the_mesh(event: UpdateReceived) -> bool:
    """Whether an UPDATE is about the members' own prefixes: another route to the same may be the better one."""
    prefixes = {key.prefix for key, _ in event.announced} | {key.prefix for key in event.withdrawn}
    return any(ip_network(prefix, strict=False).with_prefixlen in _good_prefixes() for prefix in prefixes)


@cache
def _good_prefixes() -> frozenset[str]:
    return frozenset(f"10.{number}.{site}.0/24" for number in MEMBERS for site in (0, 1))


@cache
def _members(number: int) -> tuple[tuple[Route, ...], Desired]:
    """The routes of the mesh, and what they come to by a policy when there is nobody else."""
    rib = AdjRibIn()
    for line in GOOD:
        event = parse_line(line)
        assert isinstance(event, UpdateReceived)  # noqa: S101
        rib.apply(event, 0.0)
    routes = tuple(rib.routes.values())
    desired = fold(routes, POLICIES[number], [AnnouncedKeys()], now=100.0)
    demand(len(desired.softwires) == len(MEMBERS), "the mesh has its softwires")
    return routes, desired


def check(script: bytes) -> str:
    """How many softwires there are, and how many routes are refused."""
    mirror = heard(script.split(b"\n"))
    outcome = ""
    for number, rules in enumerate(POLICIES):
        good, alone = _members(number)
        arrivals = Arrivals(0.0)
        # The mesh is there first, as in life: what comes later must not push it out.
        fold(good, rules, [AnnouncedKeys()], arrivals=arrivals, now=0.0)
        routes = [*good, *mirror.routes.values()]
        desired = fold(routes, rules, [AnnouncedKeys()], arrivals=arrivals, now=100.0)
        for wire, softwire in alone.softwires.items():
            beside = desired.softwires.get(wire, softwire)
            demand(wire in desired.softwires, f"the softwire {wire} is there beside strangers")
            # A route whose next hop is within a member's prefix is reached as that is (RFC 9012 §8).
            demand(beside.selectors >= softwire.selectors, "and carries all that it would without them")
            same = replace(beside, selectors=softwire.selectors, prefixes=softwire.prefixes)
            demand(same == softwire, "and is what it would be without them")
        demand(desired.decisions.keys() >= {route.key for route in routes}, "every route ends in a decision")
        demand(len(desired.softwires) <= rules.max_softwires, "no more softwires than are admitted")
        planned = plan(desired, World().observed(), {}, 100.0, own=(OWN,), pace=Pace(), may_remove=True)
        for action in planned.actions:
            demand(action.describe().isprintable(), f"an action can be shown: {action.describe()!r}")
            if isinstance(action, LoadConnection):
                write_message(action.connection.to_vici())
        _shown(desired, planned, mirror)
        outcome = f"{len(desired.softwires)} up, {len(desired.pending)} pending"
    return outcome


def _shown(desired: Desired, planned: Plan, mirror: Mirror) -> None:
    view = View(
        now=100.0,
        endpoint=endpoint(1),
        authenticators=("00",),
        announcing=True,
        prefixes=("10.1.0.0/24",),
        hook_connected=True,
        charon="",
        awaited=(),
        neighbors=mirror.neighbors,
        desired=desired,
        progress=planned.progress,
    )
    answer = json.loads(json.dumps(status(view)))
    for text in status_command.lines(answer):
        demand(text.replace("\n", "").isprintable(), f"status can be shown: {text!r}")
    for target in (endpoint(2), endpoint(STRANGER), "10.102.0.0/24", "10.105.0.1"):
        for row in explain(view, target)["routes"]:
            for step in row["steps"]:
                demand(step["text"].isprintable(), f"an explanation can be shown: {step['text']!r}")


# A line of 64 KiB announces 2,000 prefixes, each of which may be another softwire: 100 µs each, twice.
TARGET = Target(CORPUS, mutate, check, seconds=0.5)
