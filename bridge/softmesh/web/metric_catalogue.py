"""Every metric: its name, what it means, its labels, and where its values are found.

docs/reference/metrics.md is generated from this.
"""

from __future__ import annotations

import enum
import platform
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

from softmesh import __version__
from softmesh.bgp.route import SessionState
from softmesh.charon.failure import Cause
from softmesh.control.histogram import Histogram
from softmesh.control.lives import Life
from softmesh.control.measurements import Measurements
from softmesh.control.odometer import Traffic
from softmesh.control.progress import State
from softmesh.control.sessions import SessionGuard

MAX_PENDING = 1000
"""Softwires without key, or refused, that have series of their own: who may announce can make up any number."""

Row: TypeAlias = "tuple[tuple[str, ...], float | Histogram]"
"""Label values, in the order of the labels, and the value."""


class Kind(enum.StrEnum):
    """What Prometheus calls the type."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True)
class Moment:
    """What the values of one scrape are found in."""

    status: Mapping[str, Any]
    measurements: Measurements
    monotonic: float
    """Seconds, as the measurements have them."""
    wall: float
    """The same moment as seconds since the epoch."""

    @property
    def wanted(self) -> Iterator[Mapping[str, Any]]:
        """Rows of softwires that ought to stand."""
        return (row for row in self.status["softwires"] if "wanted_children" in row)

    @cached_property
    def softwires(self) -> list[Mapping[str, Any]]:
        """Rows of softwires that have series of their own: those that ought to stand, and the oldest of the others."""
        pending = [row for row in self.status["softwires"] if "wanted_children" not in row and row["type"] is not None]
        pending.sort(key=lambda row: -row["for"])
        return [*self.wanted, *pending[:MAX_PENDING]]

    @property
    def neighbors(self) -> list[Mapping[str, Any]]:
        """Rows of BGP neighbours."""
        return list(self.status["neighbors"])

    @cached_property
    def lives(self) -> Mapping[str, Life]:
        """Of softwires that ought to stand, by name."""
        return {wire.key: life for wire, life in self.measurements.lives.wanted.items()}

    @cached_property
    def traffic(self) -> Mapping[str, Traffic]:
        """The same."""
        totals = self.measurements.traffic.totals
        return {wire.key: totals.get(wire, Traffic()) for wire in self.measurements.lives.wanted}


@dataclass(frozen=True, slots=True)
class Described:
    """One metric."""

    kind: Kind
    name: str
    help: str
    labels: tuple[str, ...]
    rows: Callable[[Moment], Iterable[Row]]


# Told thousands of times in a scrape: a member's value is dear to ask for.
_STATES = tuple(state.value for state in State)
_SESSION_STATES = tuple(state.value for state in SessionState)
_PROTECTIONS = tuple(guard.value for guard in SessionGuard)


def _one(value: Callable[[Moment], float]) -> Callable[[Moment], Iterable[Row]]:
    """A metric without labels."""
    return lambda moment: [((), float(value(moment)))]


def _histogram(which: Callable[[Measurements], Histogram]) -> Callable[[Moment], Iterable[Row]]:
    return lambda moment: [((), which(moment.measurements))]


def _each_softwire(value: Callable[[Mapping[str, Any]], float]) -> Callable[[Moment], Iterable[Row]]:
    return lambda moment: [((row["id"],), float(value(row))) for row in moment.softwires]


def _each_wanted(value: Callable[[Mapping[str, Any]], float]) -> Callable[[Moment], Iterable[Row]]:
    return lambda moment: [((row["id"],), float(value(row))) for row in moment.softwires if "wanted_children" in row]


def _each_life(value: Callable[[Life], float]) -> Callable[[Moment], Iterable[Row]]:
    return lambda moment: [((key,), float(value(life))) for key, life in moment.lives.items()]


def _each_neighbor(value: Callable[[Mapping[str, Any]], float]) -> Callable[[Moment], Iterable[Row]]:
    return lambda moment: [((row["address"],), float(value(row))) for row in moment.neighbors]


def _states(name: str, value: str, states: Iterable[str]) -> list[Row]:
    """One sample a state, 1 for that which holds."""
    return [((name, state), float(state == value)) for state in states]


def _softwire_states(moment: Moment) -> Iterable[Row]:
    return [row for each in moment.softwires for row in _states(each["id"], each["state"], _STATES)]


def _softwire_infos(moment: Moment) -> Iterable[Row]:
    for row in moment.softwires:
        color = "" if row["color"] is None else str(row["color"])
        device = row.get("interface") or {"name": ""}
        yield (
            (row["id"], row["remote"], row["type"], color, row.get("mode", ""), row.get("level", ""), device["name"]),
            1.0,
        )


def _causes(moment: Moment) -> Iterable[Row]:
    return [((row["id"], cause), 1.0) for row in moment.softwires if (cause := _cause(row))]


def _cause(row: Mapping[str, Any]) -> str:
    """The rule that refuses it, or the kind of failure of the last attempt; empty where there is neither."""
    return str(row.get("rule") or row.get("cause") or "")


def _counts(moment: Moment) -> Iterable[Row]:
    counts = Counter({(state.value, ""): 0 for state in State})
    counts.update((row["state"], _cause(row)) for row in moment.status["softwires"] if row["type"] is not None)
    return [(key, float(count)) for key, count in counts.items()]


def _refused_routes(moment: Moment) -> Iterable[Row]:
    counts: Counter[str] = Counter()
    for row in moment.status["softwires"]:
        if "rule" in row:
            counts[row["rule"]] += len(row["routes"])
    return [((rule,), float(count)) for rule, count in counts.items()]


def _octets(moment: Moment) -> Iterable[Row]:
    for key, traffic in moment.traffic.items():
        yield (key, "in"), float(traffic.bytes_in)
        yield (key, "out"), float(traffic.bytes_out)


def _packets(moment: Moment) -> Iterable[Row]:
    for key, traffic in moment.traffic.items():
        yield (key, "in"), float(traffic.packets_in)
        yield (key, "out"), float(traffic.packets_out)


def _failures(moment: Moment) -> Iterable[Row]:
    return [((cause.value,), float(moment.measurements.lives.failures[cause])) for cause in Cause]


def _rekeyings(moment: Moment) -> Iterable[Row]:
    return [((sa,), float(moment.measurements.rekeyings[sa])) for sa in ("child", "ike")]


def _commands(moment: Moment) -> Iterable[Row]:
    return [((command,), histogram) for command, histogram in moment.measurements.vici.items()]


def _command_errors(moment: Moment) -> Iterable[Row]:
    return [(about, float(count)) for about, count in moment.measurements.vici_errors.items()]


def _session_states(moment: Moment) -> Iterable[Row]:
    return [row for each in moment.neighbors for row in _states(each["address"], each["state"], _SESSION_STATES)]


def _protections(moment: Moment) -> Iterable[Row]:
    for each in moment.neighbors:
        if each["protection"] is not None:
            yield from _states(each["address"], each["protection"]["kind"], _PROTECTIONS)


def _satisfied(moment: Moment) -> Iterable[Row]:
    for each in moment.neighbors:
        if each["protection"] is not None:
            yield (each["address"],), float(each["protection"]["satisfied"])


def _routes(moment: Moment) -> Iterable[Row]:
    for each in moment.neighbors:
        for family, count in each["routes"].items():
            yield (each["address"], family), float(count)


def _carriage(moment: Moment) -> Iterable[Row]:
    for each in moment.neighbors:
        for seen, count in each["carriage"]["routes"].items():
            yield (each["address"], seen), float(count)


def _dropped(moment: Moment) -> Iterable[Row]:
    return [((rule,), float(count)) for rule, count in moment.status["data_plane"]["dropped"].items()]


def _problems(moment: Moment) -> Iterable[Row]:
    return [((subject,), float(count)) for subject, count in moment.status["problem_subjects"].items()]


def _certificates(moment: Moment) -> Iterable[Row]:
    held = {(each["holder"], each["name"]): float(each["not_after"]) for each in moment.status["certificates"]}
    return list(held.items())


def _last_pass(moment: Moment) -> Iterable[Row]:
    at = moment.measurements.last_pass
    return [] if at is None else [((), moment.wall - (moment.monotonic - at))]


def _series_left_out(moment: Moment) -> float:
    return sum(row["type"] is not None for row in moment.status["softwires"]) - len(moment.softwires)


def _build(_moment: Moment) -> Iterable[Row]:
    return [((__version__, platform.python_version()), 1.0)]


_WIRE = ("softwire",)
_NEIGHBOR = ("neighbor",)

CATALOGUE: tuple[Described, ...] = (
    # The bridge itself.
    Described(Kind.GAUGE, "softmesh_build_info", "1, with what runs.", ("version", "python_version"), _build),
    Described(
        Kind.GAUGE,
        "softmesh_charon_connected",
        "Whether charon answers on its VICI socket.",
        (),
        _one(lambda moment: moment.status["charon"]["connected"]),
    ),
    Described(
        Kind.GAUGE,
        "softmesh_hook_connected",
        "Whether the hook in ExaBGP answers: else nothing is heard of BGP.",
        (),
        _one(lambda moment: moment.status["hook"]["connected"]),
    ),
    Described(
        Kind.GAUGE,
        "softmesh_announced_prefixes",
        "Prefixes we announce; 0 after softmesh withdraw.",
        (),
        _one(lambda moment: len(moment.status["announcing"])),
    ),
    Described(
        Kind.GAUGE,
        "softmesh_withdrawn",
        "Whether softmesh withdraw has taken us out of the mesh.",
        (),
        _one(lambda moment: moment.status["withdrawn"]),
    ),
    Described(
        Kind.GAUGE,
        "softmesh_neighbors_awaited",
        "BGP neighbours that have not told all since the bridge began; until then nothing is removed.",
        (),
        _one(lambda moment: len(moment.status["removal_awaits"])),
    ),
    Described(
        Kind.HISTOGRAM,
        "softmesh_pass_duration_seconds",
        "Passes of the bridge: look at charon, plan, apply.",
        (),
        _histogram(lambda measured: measured.passes),
    ),
    Described(
        Kind.GAUGE,
        "softmesh_last_pass_timestamp_seconds",
        "When the last pass ended that reached charon; one comes every ten seconds at least.",
        (),
        _last_pass,
    ),
    Described(
        Kind.GAUGE,
        "softmesh_configuration_loaded_timestamp_seconds",
        "When the configuration that counts was read.",
        (),
        _one(lambda moment: moment.measurements.configured_at),
    ),
    Described(
        Kind.GAUGE,
        "softmesh_configuration_reload_failed",
        "Whether mesh.yaml was refused when it was read last, so that the one before still counts.",
        (),
        _one(lambda moment: moment.measurements.reload_failed),
    ),
    Described(
        Kind.GAUGE,
        "softmesh_problems",
        "What somebody should mend (the list problems of softmesh status), by what it is about.",
        ("subject",),
        _problems,
    ),
    # Softwires.
    Described(
        Kind.GAUGE,
        "softmesh_softwires_desired",
        "Softwires that ought to stand: those with a key, and let through by policy.",
        (),
        _one(lambda moment: sum(1 for _ in moment.wanted)),
    ),
    Described(
        Kind.GAUGE,
        "softmesh_softwires",
        "Softwires by state and by cause: the rule that refuses them or the kind of failure of the last attempt; "
        "empty for neither.",
        ("state", "cause"),
        _counts,
    ),
    Described(
        Kind.GAUGE,
        "softmesh_softwire_state",
        "1 for the state a softwire is in, 0 for the others. It has series for as long as BGP, or the configuration, "
        "asks for it.",
        ("softwire", "state"),
        _softwire_states,
    ),
    Described(
        Kind.GAUGE,
        "softmesh_softwire_info",
        "1, with what a softwire is.",
        ("softwire", "remote", "type", "color", "mode", "level", "interface"),
        _softwire_infos,
    ),
    Described(
        Kind.GAUGE,
        "softmesh_softwire_cause",
        "1, with the rule that refuses a softwire or the kind of failure of its last attempt; absent without either.",
        ("softwire", "cause"),
        _causes,
    ),
    Described(
        Kind.GAUGE,
        "softmesh_softwire_state_age_seconds",
        "For how long a softwire has been in its state.",
        _WIRE,
        _each_softwire(lambda row: row["for"]),
    ),
    Described(
        Kind.GAUGE,
        "softmesh_softwire_stale",
        "Whether only lost BGP sessions ask for a softwire, so that its stale_time runs.",
        _WIRE,
        _each_softwire(lambda row: row["stale"]),
    ),
    Described(
        Kind.GAUGE,
        "softmesh_softwire_child_sas_wanted",
        "CHILD SAs that a softwire should have.",
        _WIRE,
        _each_wanted(lambda row: row["wanted_children"]),
    ),
    Described(
        Kind.GAUGE,
        "softmesh_softwire_child_sas",
        "CHILD SAs that carry a softwire.",
        _WIRE,
        _each_wanted(lambda row: len(row["children"])),
    ),
    Described(
        Kind.COUNTER,
        "softmesh_softwire_bytes_total",
        "Octets a softwire has carried since the bridge began, over all its CHILD SAs, as charon counts them.",
        ("softwire", "direction"),
        _octets,
    ),
    Described(
        Kind.COUNTER,
        "softmesh_softwire_packets_total",
        "Packets a softwire has carried since the bridge began, over all its CHILD SAs.",
        ("softwire", "direction"),
        _packets,
    ),
    Described(
        Kind.COUNTER,
        "softmesh_softwire_established_total",
        "How often a softwire came up while the bridge saw it.",
        _WIRE,
        _each_life(lambda life: life.established),
    ),
    Described(
        Kind.COUNTER,
        "softmesh_softwire_down_seconds_total",
        "For how long a softwire was wanted and not up.",
        _WIRE,
        _each_life(lambda life: life.down),
    ),
    Described(
        Kind.GAUGE,
        "softmesh_softwires_without_series",
        f"Softwires refused or without a key that have no series of their own, there being {MAX_PENDING} older ones.",
        (),
        _one(_series_left_out),
    ),
    Described(
        Kind.HISTOGRAM,
        "softmesh_softwire_convergence_seconds",
        "From the UPDATE that made a softwire wanted until it was up; each time it becomes wanted counts once.",
        (),
        _histogram(lambda measured: measured.lives.convergence),
    ),
    Described(
        Kind.COUNTER,
        "softmesh_attempts_total",
        "How often we began to set up what a softwire lacked.",
        (),
        _one(lambda moment: moment.measurements.lives.attempts),
    ),
    Described(
        Kind.COUNTER,
        "softmesh_attempts_failed_total",
        "Attempts after which another was needed, by kind of failure.",
        ("cause",),
        _failures,
    ),
    Described(
        Kind.COUNTER,
        "softmesh_rekeyings_total",
        "SAs of ours that were rekeyed by either end, as charon told.",
        ("sa",),
        _rekeyings,
    ),
    # charon.
    Described(
        Kind.HISTOGRAM,
        "softmesh_vici_command_duration_seconds",
        "VICI commands from being sent until charon's answer, or until it was given up.",
        ("command",),
        _commands,
    ),
    Described(
        Kind.COUNTER,
        "softmesh_vici_command_errors_total",
        "VICI commands that were refused, unknown, not answered or answered with nonsense.",
        ("command", "error"),
        _command_errors,
    ),
    # BGP.
    Described(
        Kind.GAUGE,
        "softmesh_bgp_session_state",
        "1 for the state of the session with a neighbour, 0 for the others.",
        ("neighbor", "state"),
        _session_states,
    ),
    Described(
        Kind.GAUGE,
        "softmesh_bgp_session_state_age_seconds",
        "For how long the session has been in its state.",
        _NEIGHBOR,
        _each_neighbor(lambda row: row["for"]),
    ),
    Described(
        Kind.GAUGE,
        "softmesh_bgp_session_protection",
        "1 for what protects the session, 0 for the others.",
        ("neighbor", "protection"),
        _protections,
    ),
    Described(
        Kind.GAUGE,
        "softmesh_bgp_session_satisfied",
        "Whether the session is protected as the configuration wants it: else its routes do not count.",
        _NEIGHBOR,
        _satisfied,
    ),
    Described(
        Kind.GAUGE,
        "softmesh_bgp_routes",
        "Routes in the Adj-RIB-In, by neighbour and family.",
        ("neighbor", "family"),
        _routes,
    ),
    Described(
        Kind.GAUGE,
        "softmesh_bgp_attribute_routes",
        "Routes by how attribute 23 came through the neighbour.",
        ("neighbor", "seen"),
        _carriage,
    ),
    Described(
        Kind.GAUGE,
        "softmesh_bgp_attribute_left_out",
        "Whether our announcements to the neighbour go without attribute 23.",
        _NEIGHBOR,
        _each_neighbor(lambda row: row["carriage"]["attribute"] == "left-out"),
    ),
    Described(
        Kind.GAUGE,
        "softmesh_bgp_withheld_prefixes",
        "Prefixes of ours that the neighbour is not told, because RFC 8950 was not negotiated.",
        _NEIGHBOR,
        _each_neighbor(lambda row: 0 if row["withheld"] is None else len(row["withheld"]["prefixes"])),
    ),
    Described(
        Kind.GAUGE,
        "softmesh_refused_routes",
        "Routes that lead to no softwire, by the rule that refuses them.",
        ("rule",),
        _refused_routes,
    ),
    # The hook.
    Described(
        Kind.HISTOGRAM,
        "softmesh_hook_delay_seconds",
        "From the hook's reading a route until the bridge has it: what waits in the hook for us, in time.",
        (),
        _histogram(lambda measured: measured.hook_delay),
    ),
    Described(
        Kind.GAUGE,
        "softmesh_hook_unread_bytes",
        "Octets from the hook that wait in the socket to be read.",
        (),
        _one(lambda moment: moment.status["hook"]["unread"]),
    ),
    Described(
        Kind.COUNTER,
        "softmesh_hook_resynchronizations_total",
        "How often the hook dropped what waited for us, because we read too slowly.",
        (),
        _one(lambda moment: moment.status["hook"]["resynchronized"]),
    ),
    Described(
        Kind.COUNTER,
        "softmesh_hook_lost_lines_total",
        "Lines that the hook found missing in what ExaBGP writes to it; it asks for the routes again each time.",
        (),
        _one(lambda moment: moment.status["hook"]["lost_lines"]),
    ),
    # The data plane.
    Described(
        Kind.COUNTER,
        "softmesh_guard_dropped_packets_total",
        "Packets that the guards dropped since their table was made, by rule.",
        ("rule",),
        _dropped,
    ),
    Described(
        Kind.GAUGE,
        "softmesh_blackhole_routes",
        "Blackhole routes that stand.",
        (),
        _one(lambda moment: len(moment.status["data_plane"]["blackholes"])),
    ),
    # Keys.
    Described(
        Kind.GAUGE,
        "softmesh_keys",
        "Peers' keys and certificates that the key directories hold.",
        (),
        _one(lambda moment: moment.status["keys_held"]),
    ),
    Described(
        Kind.GAUGE,
        "softmesh_certificate_not_after_timestamp_seconds",
        "Until when a certificate is valid: ours (name: its key's authenticator), an authority's (name: SHA-256, "
        "shortened), or one that a peer announced (name: the softwire).",
        ("holder", "name"),
        _certificates,
    ),
)
