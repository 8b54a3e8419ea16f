"""Whether each BGP session is protected as the configuration wants it (RFC 5619 §4.4.1, RFC 5566 §4).

Whoever can forge BGP directs our softwires. So the session itself is looked at: the kernel tells of its TCP-MD5 key,
the planner of its IPsec. Not to know is not to be protected; but what was known stays so while there is nothing to look
at.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field

from softmesh.bgp.route import Neighbor as Session
from softmesh.bgp.route import SessionState
from softmesh.config import Config
from softmesh.config.values import Neighbor, SessionProtection
from softmesh.control.plan import Plan
from softmesh.dataplane.tcp_diag import TcpSession, established
from softmesh.errors import SoftmeshError
from softmesh.mesh.desired import Desired
from softmesh.mesh.softwire import Address, HostTraffic

_EVERY = 10.0
"""Seconds between looks while nothing happens: keys can be taken off a socket that stands."""
_SOON = 0.5
"""Seconds until the next look where a session was not found at any socket: it may have just gone."""
_ELUSIVE = 5.0
"""Seconds that a new session may be found at no socket before what was known of the one before is forgotten."""


class SessionGuard(enum.StrEnum):
    """What protects a BGP session."""

    MD5 = "md5"
    """TCP-MD5 (RFC 2385)."""
    AO = "ao"
    """TCP-AO (RFC 5925)."""
    IPSEC = "ipsec"
    NONE = "none"
    UNKNOWN = "unknown"
    """It could not be found out."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found of a session, held against what is asked for."""

    protection: SessionGuard
    satisfied: bool
    """Whether its routes count."""
    reason: str
    """A phrase: what was found, and the remedy where that is not enough."""
    gtsm: bool = False
    """Whether only packets with TTL 255 are taken (RFC 5082)."""
    since: float | None = field(default=None, compare=False)
    """When the session came up that this was found of, monotonic seconds; None: there has been none."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of all sessions at one moment."""

    sockets: tuple[TcpSession, ...] | None
    """Established connections of BGP; None: the kernel cannot be asked."""
    unknown: str = ""
    """Why not."""
    ipsec: frozenset[Address] | None = frozenset()
    """Neighbours to whom the SAs of the BGP session stand; None: charon has not been looked at."""
    guarded: frozenset[Address] = frozenset()
    """Neighbours to and from whom the firewall drops BGP outside IPsec."""
    near: frozenset[Address] = frozenset()
    """Neighbours from whom it drops BGP that came from further than the next hop."""


def verdicts(
    config: Config, sessions: Mapping[str, Session], evidence: Evidence, before: Mapping[str, Verdict], now: float
) -> Mapping[str, Verdict]:
    """Judge every configured neighbour's session, by its address. Pure.

    ``sessions``: as the hook has them; ``before``: the verdicts of the last time; ``now`` in monotonic seconds.
    """
    judged: dict[str, Verdict] = {}
    for neighbor in config.bgp.neighbors:
        name = str(neighbor.address)
        session, last = sessions.get(name), before.get(name)
        if session is None or session.state is SessionState.DOWN:
            judged[name] = last or Verdict(
                SessionGuard.UNKNOWN,
                neighbor.protection is SessionProtection.NONE,
                "its session has not been seen up yet",
                _gtsm(config, neighbor, evidence),
            )
        else:
            judged[name] = _judged(config, neighbor, session, evidence, last, now)
    return judged


def _judged(
    config: Config, neighbor: Neighbor, session: Session, evidence: Evidence, last: Verdict | None, now: float
) -> Verdict:
    gtsm = _gtsm(config, neighbor, evidence)
    wanted = neighbor.protection
    if wanted is SessionProtection.IPSEC:
        if evidence.ipsec is None:
            return last or Verdict(SessionGuard.UNKNOWN, False, "charon has not told its SAs yet", gtsm)
        found, reason = _ipsec(neighbor, session, evidence, last)
        return Verdict(found, found is SessionGuard.IPSEC, reason, gtsm, session.since)
    if evidence.sockets is None and last is not None and last.since == session.since:
        return last
    told = _at_socket(config, neighbor, evidence)
    if told is None:
        if last is not None and last.since is not None and now < session.since + _ELUSIVE:
            return last
        told = SessionGuard.UNKNOWN, _nowhere(config, neighbor, evidence)
    found, reason = told
    if wanted is SessionProtection.NONE:
        if found is not SessionGuard.MD5:
            reason = "protection: none is configured, so whoever forges BGP directs our softwires (RFC 5566 §4)"
        return Verdict(found, True, reason, gtsm, session.since)
    if wanted is SessionProtection.AO:
        reason = (
            "protection: ao is asked for, but the kernel tells nobody whether a socket has TCP-AO: "
            "use md5 or ipsec instead"
        )
        return Verdict(found, False, reason, gtsm, session.since)
    return Verdict(found, found is SessionGuard.MD5, reason, gtsm, session.since)


def _ipsec(neighbor: Neighbor, session: Session, evidence: Evidence, last: Verdict | None) -> tuple[SessionGuard, str]:
    if neighbor.address in (evidence.ipsec or ()):
        return SessionGuard.IPSEC, "its SAs stand, by a key that is pinned"
    protected = last is not None and last.protection is SessionGuard.IPSEC and last.since == session.since
    if protected and neighbor.address in evidence.guarded:
        return SessionGuard.IPSEC, "its SAs are being set up again; meanwhile the firewall lets none of it through"
    return (
        SessionGuard.NONE,
        "protection: ipsec is asked for, and its SAs do not stand: see the row 'BGP session' of softmesh status",
    )


def _at_socket(config: Config, neighbor: Neighbor, evidence: Evidence) -> tuple[SessionGuard, str] | None:
    """What protects a session by what the kernel says of its socket; None where it has none."""
    if evidence.sockets is None:
        return _by_configuration(config, neighbor, evidence.unknown)
    ends = (config.local_address, neighbor.address)
    found = {socket.md5 for socket in evidence.sockets if (socket.local, socket.remote) == ends}
    if not found:
        return None
    # Two connections that have just crossed (RFC 4271 §6.8): either may be the one that stays.
    if False in found:
        return (
            SessionGuard.NONE,
            f"no TCP-MD5 key on its socket: {_remedy(config, neighbor)} and the same password there, "
            "or write protection: none",
        )
    if None in found:
        return _by_configuration(
            config, neighbor, "the kernel tells of TCP-MD5 keys only to those who have CAP_NET_ADMIN"
        )
    return SessionGuard.MD5, "its socket has a TCP-MD5 key"


def _by_configuration(config: Config, neighbor: Neighbor, why: str) -> tuple[SessionGuard, str]:
    if config.bgp.managed and neighbor.password_file is not None:
        # ExaBGP gives a session up when the kernel does not take its key.
        return SessionGuard.MD5, f"password_file is set, without which the ExaBGP we manage has no session ({why})"
    return SessionGuard.UNKNOWN, f"it cannot be told whether it is protected: {why}"


def _nowhere(config: Config, neighbor: Neighbor, evidence: Evidence) -> str:
    others = {str(socket.local) for socket in evidence.sockets or () if socket.remote == neighbor.address}
    if others:
        ours = ", ".join(sorted(others))
        return f"its session is from {ours} and not from {config.local_address}: set bgp.local_address"
    return (
        f"there is no TCP connection from {config.local_address} to {neighbor.address}, port 179, here: "
        "ExaBGP must run in the same network namespace"
    )


def _remedy(config: Config, neighbor: Neighbor) -> str:
    if not config.bgp.managed:
        return "set md5-password in its neighbor section of ExaBGP"
    return "restart with password_file" if neighbor.password_file is not None else "set password_file here"


def _gtsm(config: Config, neighbor: Neighbor, evidence: Evidence) -> bool:
    return neighbor.gtsm and (config.bgp.managed or neighbor.address in evidence.near)


def under_ipsec(desired: Desired, plan: Plan) -> frozenset[Address]:
    """The BGP neighbours to whom all SAs of the session stand, as far as a plan saw. Pure."""
    return frozenset(
        wire.remote
        for wire, softwire in desired.softwires.items()
        if wire.type is HostTraffic.BGP and len(plan.installed.get(wire, ())) == len(softwire.selectors)
    )


class Sessions:
    """The verdicts on all sessions, kept up to date."""

    def __init__(
        self,
        *,
        ask: Callable[[], Awaitable[tuple[TcpSession, ...]]] = established,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``ask`` tells of the established connections of BGP, as ``tcp_diag.established`` does."""
        self._ask = ask
        self._monotonic = monotonic
        self._neighbors: Mapping[str, Neighbor] = {}
        self._seen: object = None
        """What the last look was for."""
        self.look_due = 0.0
        """When to look again if nothing happens before; monotonic seconds."""
        self.verdicts: Mapping[str, Verdict] = {}
        """By neighbour's address."""
        self.problem = ""
        """Why the kernel could not be asked, empty if it could."""

    @property
    def unprotected(self) -> Mapping[str, str]:
        """Neighbours whose routes do not count, each with the reason."""
        return {name: verdict.reason for name, verdict in self.verdicts.items() if not verdict.satisfied}

    def configure(self, config: Config) -> None:
        """Take over a configuration; what was found of neighbours of which it says something else is forgotten."""
        self._config = config
        neighbors = {str(neighbor.address): neighbor for neighbor in config.bgp.neighbors}
        same = {name for name, neighbor in neighbors.items() if self._neighbors.get(name) == neighbor}
        kept = {name: verdict for name, verdict in self.verdicts.items() if name in same}
        self._neighbors, self._seen = neighbors, None
        self.verdicts = verdicts(config, {}, Evidence(()), kept, self._monotonic())

    def recall(self, found: Mapping[str, str]) -> None:
        """Take over what an earlier bridge found to protect the last sessions, where that is what is asked for."""
        for name, kind in found.items():
            neighbor = self._neighbors.get(name)
            if neighbor is not None and kind == (neighbor.protection or SessionProtection.MD5).value:
                reason = "its last session was protected so, before the bridge was started again"
                gtsm = _gtsm(self._config, neighbor, Evidence(()))
                self.verdicts = {**self.verdicts, name: Verdict(SessionGuard(kind), True, reason, gtsm)}

    async def look(
        self,
        sessions: Mapping[str, Session],
        *,
        ipsec: Collection[Address] | None = (),
        guarded: Collection[Address] = (),
        near: Collection[Address] = (),
    ) -> bool:
        """Judge anew if there is a reason to; returns whether that has changed anything.

        ``sessions``: as the hook has them; ``ipsec``: neighbours to whom the SAs of the BGP session stand, None while
        charon has not been looked at; ``guarded`` and ``near``: those whose BGP the firewall drops outside IPsec, and
        from further than the next hop.
        """
        now = self._monotonic()
        live = {name: each.since for name, each in sessions.items() if each.state is not SessionState.DOWN}
        basis = live, None if ipsec is None else frozenset(ipsec), frozenset(guarded), frozenset(near)
        if basis == self._seen and now < self.look_due:
            return False
        sockets = await self._sockets()
        found = verdicts(
            self._config, sessions, Evidence(sockets, self.problem, *basis[1:]), self.verdicts, self._monotonic()
        )
        changed = found != self.verdicts
        self.verdicts = found
        self._seen, self.look_due = basis, now + (_SOON if self.unjudged(sessions) else _EVERY)
        return changed

    def unjudged(self, sessions: Mapping[str, Session]) -> tuple[str, ...]:
        """Neighbours whose sessions, the ones that stand now, are yet to be judged: nothing is torn down for that."""
        return tuple(
            name
            for name, session in sessions.items()
            if session.state is not SessionState.DOWN
            and name in self.verdicts
            and self.verdicts[name].since != session.since
        )

    async def _sockets(self) -> tuple[TcpSession, ...] | None:
        try:
            sockets = await self._ask()
        except SoftmeshError as error:
            self.problem = str(error)
            return None
        self.problem = ""
        return sockets
