"""What the bridge knows at one moment, and what is told of it: status and explanation. Pure.

Times leave here as seconds of age, for monotonic readings mean nothing to a reader.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

from softmesh.bgp.carriage import Seen
from softmesh.bgp.route import ENCAPSULATION, Neighbor, Route, RouteKey
from softmesh.charon.observed import ChildSa
from softmesh.control.carriage import Carriage
from softmesh.control.expiry import Expiry
from softmesh.control.progress import Progress, State, pending_state
from softmesh.control.sessions import Verdict
from softmesh.control.wanted_layout import hop_of
from softmesh.control.withheld import Withheld
from softmesh.dataplane.layout import Layout
from softmesh.errors import OperatorError
from softmesh.mesh.admission import address
from softmesh.mesh.configured import CONFIGURATION
from softmesh.mesh.credential import Credential, authenticator_of, origin_of, trust_of
from softmesh.mesh.decision import Decision
from softmesh.mesh.desired import Desired
from softmesh.mesh.policy import Fabric, StaleTimes
from softmesh.mesh.refusal import Refusal, Rule
from softmesh.mesh.softwire import Softwire, SoftwireId, inside


@dataclass(frozen=True, slots=True)
class View:
    """One moment of the bridge."""

    now: float
    endpoint: str
    authenticators: tuple[str, ...]
    """Of our keys, that which we prefer first."""
    announcing: bool
    prefixes: tuple[str, ...]
    hook_connected: bool
    charon: str
    """Empty while charon answers, else why not."""
    awaited: tuple[str, ...]
    """Neighbours that have not told us all yet: until then nothing is removed."""
    neighbors: Mapping[str, Neighbor] = field(default_factory=dict)
    sessions: Mapping[str, Verdict] = field(default_factory=dict)
    """What protects the neighbours' sessions, by their addresses."""
    carriage: Mapping[str, Carriage] = field(default_factory=dict)
    """How attribute 23 fares with the neighbours, by their addresses."""
    withheld: Mapping[str, Withheld] = field(default_factory=dict)
    """What neighbours are not told, by their addresses."""
    desired: Desired = field(default_factory=Desired)
    progress: Mapping[SoftwireId, Progress] = field(default_factory=dict)
    installed: Mapping[SoftwireId, tuple[ChildSa, ...]] = field(default_factory=dict)
    pending_since: Mapping[SoftwireId, float] = field(default_factory=dict)
    stale_times: StaleTimes = field(default_factory=StaleTimes)
    fabric: Fabric = field(default_factory=Fabric)
    layout: Layout = field(default_factory=Layout)
    """What the kernel holds of ours."""
    guards: str = "none"
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Packets the guards dropped, by rule."""
    hook_unread: int = 0
    """Octets from the hook that wait to be read."""
    hook_lost_lines: int = 0
    """Lines the hook found missing in what ExaBGP writes to it."""
    hook_resynchronized: int = 0
    """How often the hook dropped what waited for us."""
    routes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """How many routes there are, by neighbour and family."""
    keys_held: int = 0
    """Peers' keys and certificates in the key directories."""
    certificates: tuple[Expiry, ...] = ()
    problem_subjects: Mapping[str, int] = field(default_factory=dict)
    """How many problems there are, by what they are about."""
    problems: tuple[str, ...] = ()
    """What an operator should mend: key files that are not keys, announcements ExaBGP refused."""


def status(view: View) -> dict[str, Any]:
    """The whole, as ``softmesh status --json`` prints it."""
    return {
        "endpoint": view.endpoint,
        "authenticator": view.authenticators[0],
        "further_authenticators": list(view.authenticators[1:]),
        "announcing": list(view.prefixes) if view.announcing else [],
        "withdrawn": not view.announcing,
        "hook": {
            "connected": view.hook_connected,
            "unread": view.hook_unread,
            "lost_lines": view.hook_lost_lines,
            "resynchronized": view.hook_resynchronized,
        },
        "charon": {"connected": not view.charon, "reason": view.charon},
        "data_plane": {
            "tunnels": view.fabric.reason,
            "guards": view.guards,
            "blackholes": sorted(map(str, view.layout.blackholes)),
            "dropped": dict(view.dropped),
        },
        "removal_awaits": list(view.awaited),
        "neighbors": [
            {
                "address": neighbor.address,
                "asn": neighbor.asn,
                "state": neighbor.state.value,
                "for": round(view.now - neighbor.since, 3),
                "reason": neighbor.reason,
                "end_of_rib": sorted(neighbor.end_of_rib),
                "routes": dict(view.routes.get(neighbor.address, {})),
                "protection": _protection(view.sessions.get(neighbor.address)),
                "carriage": _carriage(view.carriage.get(neighbor.address, Carriage())),
                "withheld": _withheld(view.withheld.get(neighbor.address)),
            }
            for neighbor in view.neighbors.values()
        ],
        "softwires": [
            *(_softwire(view, wire) for wire in view.desired.softwires),
            *(_pending(view, wire) for wire in view.desired.pending),
            *_refused(view),
        ],
        "keys_held": view.keys_held,
        "certificates": [
            {"holder": each.holder, "name": each.name, "not_after": each.not_after} for each in view.certificates
        ],
        "problem_subjects": dict(view.problem_subjects),
        "problems": list(view.problems),
    }


def _protection(verdict: Verdict | None) -> dict[str, Any] | None:
    """What protects a session; None for one that the configuration does not have."""
    if verdict is None:
        return None
    return {
        "kind": verdict.protection.value,
        "satisfied": verdict.satisfied,
        "reason": verdict.reason,
        "gtsm": verdict.gtsm,
    }


def _carriage(carriage: Carriage) -> dict[str, Any]:
    """How attribute 23 fares with a neighbour."""
    tally = carriage.tally
    return {
        "attribute": "left-out" if carriage.left_out else "announced",
        "seen": tally.worst.value,
        "routes": {seen.value: tally.routes[seen] for seen in (Seen.INTACT, Seen.STRIPPED, Seen.REWRITTEN)},
        "example": tally.examples.get(tally.worst),
        "reason": carriage.reason,
        "remedy": carriage.remedy,
    }


def _withheld(withheld: Withheld | None) -> dict[str, Any] | None:
    """What a neighbour is not told; None where that is nothing."""
    if withheld is None:
        return None
    return {"prefixes": list(withheld.prefixes), "reason": withheld.reason, "remedy": withheld.remedy}


def _softwire(view: View, wire: SoftwireId) -> dict[str, Any]:
    progress = view.progress.get(wire)
    if progress is None:
        reason = view.charon or "not planned yet"
        state, since, attempts, cause = State.WANTED, view.now, 0, None
    else:
        state, since, attempts, cause = progress.state, progress.since, progress.attempts, progress.cause
        # What charon holds is unknown while it does not answer; what was last seen is shown with that said.
        reason = "; ".join(part for part in (progress.reason, view.charon) if part)
    softwire = view.desired.softwires[wire]
    children = view.installed.get(wire, ())
    return {
        **_identity(wire),
        "state": state.value,
        "reason": reason,
        "for": round(view.now - since, 3),
        "cause": None if cause is None else cause.value,
        **_staleness(view, wire),
        "attempts": attempts,
        "mode": softwire.mode.value,
        "level": softwire.profile.level.value,
        "interface": _interface(view, softwire),
        "trust": sorted({trust_of(credential) for credential in softwire.credentials}),
        "authenticators": [digest.hex() for c in softwire.credentials if (digest := authenticator_of(c)) is not None],
        "key_from": [origin_of(credential) for credential in softwire.credentials],
        "wanted_children": len(softwire.selectors),
        "children": [_child(sa) for sa in children],
        "bytes_in": sum(sa.bytes_in for sa in children),
        "bytes_out": sum(sa.bytes_out for sa in children),
        "routes": [_route(key) for key in view.desired.carried.get(wire, ())],
    }


def _staleness(view: View, wire: SoftwireId) -> dict[str, Any]:
    """Whether only lost sessions ask for a softwire, and for how many seconds more it is kept then."""
    until = view.desired.stale.get(wire)
    return {"stale": until is not None, "kept_for": None if until is None else round(until - view.now, 3)}


def _interface(view: View, softwire: Softwire) -> dict[str, Any] | None:
    """The interface a softwire ought to have; without a MTU while it has none."""
    if softwire.interface is None:
        return None
    device = view.layout.devices.get(softwire.interface.name)
    hop = hop_of(softwire, softwire.interface)
    return {
        "name": softwire.interface.name,
        "kind": softwire.interface.kind.value,
        "mtu": None if device is None else device.mtu,
        "routes": [str(prefix) for prefix in softwire.prefixes if view.layout.routes.get(prefix) == hop],
    }


def _pending(view: View, wire: SoftwireId) -> dict[str, Any]:
    pending = view.desired.pending[wire]
    return {
        **_identity(wire),
        "state": pending_state(pending.refusal).value,
        "rule": pending.refusal.rule.value,
        "reason": pending.refusal.detail,
        "for": round(view.now - view.pending_since.get(wire, view.now), 3),
        **_staleness(view, wire),
        "children": [],
        "routes": [_route(key) for key in pending.routes],
    }


def _refused(view: View) -> list[dict[str, Any]]:
    """Routes that lead to no softwire, one row for each next hop and reason.

    Our own come back are no refusals, and those whose time is up are as good as gone.
    """
    rows: dict[tuple[str, Refusal], list[Decision]] = {}
    for decision in view.desired.decisions.values():
        if decision.offer is None and decision.refusals and decision.refusals[0].rule not in {Rule.OWN, Rule.STALE}:
            rows.setdefault((str(address(decision.route.next_hop)), decision.refusals[0]), []).append(decision)
    return [
        {
            "id": f"{next_hop}/refused-{refusal.rule.value}/{_digest(refusal.detail)}",
            "local": view.endpoint,
            "remote": next_hop,
            "type": None,
            "color": None,
            "state": State.REFUSED.value,
            "rule": refusal.rule.value,
            "reason": refusal.detail,
            "for": round(view.now - min(d.route.received_at for d in decisions), 3),
            "stale": all(d.route.stale_since is not None for d in decisions),
            "kept_for": None,
            "children": [],
            "routes": [_route(d.route.key) for d in decisions],
        }
        for (next_hop, refusal), decisions in rows.items()
    ]


def _digest(detail: str) -> str:
    """Tells refusals of one next hop by one rule apart."""
    return hashlib.blake2b(detail.encode(errors="backslashreplace"), digest_size=4).hexdigest()


def _identity(wire: SoftwireId) -> dict[str, Any]:
    return {
        "id": wire.key,
        "local": str(wire.local),
        "remote": str(wire.remote),
        "type": wire.type.label,
        "color": wire.color,
    }


def _child(sa: ChildSa) -> dict[str, Any]:
    return {
        "name": sa.name,
        "local_ts": " ".join(sorted(sa.local_ts)),
        "remote_ts": " ".join(sorted(sa.remote_ts)),
        "mode": sa.mode,
        "cipher": "/".join(filter(None, (sa.encr_alg, sa.integ_alg))),
        "spi_in": sa.spi_in,
        "spi_out": sa.spi_out,
        "bytes_in": sa.bytes_in,
        "bytes_out": sa.bytes_out,
        "packets_in": sa.packets_in,
        "packets_out": sa.packets_out,
        "for": sa.installed_for,
    }


def _route(key: RouteKey) -> dict[str, Any]:
    return {"prefix": key.prefix, "neighbor": key.neighbor, "path_id": key.path_id}


def explain(view: View, target: str) -> dict[str, Any]:
    """The chain of decisions for a prefix, for an address in one, or for an egress endpoint.

    Raises OperatorError where ``target`` is neither.
    """
    try:
        wanted = ip_network(target, strict=False)
    except ValueError as error:
        raise OperatorError(
            f"{target!r} is neither a prefix nor an address, such as 10.2.0.0/24 or 2001:db8::2"
        ) from error
    host = wanted.prefixlen == wanted.max_prefixlen
    decisions = view.desired.decisions.values()
    holding = [
        (d.prefix, d) for d in decisions if d.prefix and (inside(wanted, d.prefix) if host else wanted == d.prefix)
    ]
    longest = max((prefix.prefixlen for prefix, _ in holding), default=0)
    matching = [decision for prefix, decision in holding if prefix.prefixlen == longest]
    if host:
        endpoint = ip_address(target.split("/", maxsplit=1)[0])
        towards = [d for d in decisions if _leads_to(d, str(endpoint)) and d not in matching]
        matching = [*towards, *matching]
    return {"target": target, "routes": [_explained(view, decision) for decision in matching]}


def _leads_to(decision: Decision, endpoint: str) -> bool:
    offered = None if decision.offer is None else str(decision.offer.endpoint)
    return endpoint in (offered, str(address(decision.route.next_hop)))


def _explained(view: View, decision: Decision) -> dict[str, Any]:
    route = decision.route
    steps: list[dict[str, Any]] = [
        {
            "step": "route",
            "text": _provenance(view, route),
        }
    ]
    if route.stale_since is not None:
        steps.append({"step": "stale", "text": _aging(view, decision, route.stale_since)})
    steps.extend({"step": "refused", "rule": r.rule.value, "text": r.detail} for r in decision.refusals)
    offer = decision.offer
    result = State.REFUSED.value
    if offer is not None:
        color = "" if offer.color is None else f", colour {offer.color}"
        steps.append(
            {
                "step": "tunnel",
                "text": f"{offer.type.label} to {offer.endpoint}{color}, advertised by {offer.carried_by}",
            }
        )
        steps.extend(
            {
                "step": "key",
                "text": _vouched(credential),
            }
            for credential in decision.credentials
        )
        if route.key.family in ENCAPSULATION and not _is_carried(view, decision):
            steps.append(
                {
                    "step": "endpoint",
                    "text": f"taken by routes with next hop {offer.endpoint} and no tunnel of their own (RFC 5512 §3)",
                }
            )
            result = "endpoint"
        elif decision.best:
            softwire = _explained_softwire(view, decision)
            steps.append(softwire)
            result = softwire["state"]
        else:
            result = Rule.NOT_BEST.value
    return {"prefix": route.key.prefix, "neighbor": route.key.neighbor, "result": result, "steps": steps}


def _aging(view: View, decision: Decision, since: float) -> str:
    """What is said of a route of a lost session, or one that its neighbour did not send again."""
    text = f"its session was lost, or refreshed without it, {view.now - since:.1f} s ago"
    if decision.offer is None:
        return text
    return f"{text}; kept for {since + view.stale_times.of(decision.offer.endpoint) - view.now:.0f} s more"


def _vouched(credential: Credential) -> str:
    digest = authenticator_of(credential)
    if digest is None:
        return f"the peer is to authenticate by {origin_of(credential)}"
    return f"authenticator {digest.hex()} is matched by the key from {origin_of(credential)}"


def _provenance(view: View, route: Route) -> str:
    if route.key.neighbor == CONFIGURATION:
        return f"{route.key.prefix} from the configuration, to {route.next_hop}"
    path = "" if route.key.path_id is None else f", path {route.key.path_id}"
    return (
        f"{route.key.prefix} from neighbour {route.key.neighbor}{path}, next hop {route.next_hop}, "
        f"received {view.now - route.received_at:.1f} s ago"
    )


def _is_carried(view: View, decision: Decision) -> bool:
    return any(decision.route.key in keys for keys in view.desired.carried.values())


def _explained_softwire(view: View, decision: Decision) -> dict[str, Any]:
    for wire, keys in view.desired.carried.items():
        if decision.route.key in keys:
            row = _pending(view, wire) if wire in view.desired.pending else _softwire(view, wire)
            reason = f": {row['reason']}" if row["reason"] else ""
            return {
                "step": "softwire",
                "state": row["state"],
                "text": f"softwire {wire} is {row['state']} for {row['for']:.1f} s{reason}",
            }
    raise AssertionError(f"a best route is carried by a softwire: {decision.route.key}")
