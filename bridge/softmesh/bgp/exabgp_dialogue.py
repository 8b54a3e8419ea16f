"""The dialogue with ExaBGP: its lines in; commands for it, messages for the hook's readers and remarks out.

It routes each line and each tick of the clock to those that know: adj_rib_in the routes, exabgp_commands the order of
commands, route_refresh when to ask for routes again, end_of_rib when to say End-of-RIB, attribute_refusal who is to get
no attribute 23, extended_next_hop who no IPv4 prefix with an IPv6 next hop.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from softmesh.bgp.adj_rib_in import AdjRibIn, Change
from softmesh.bgp.announcement import Announcement, needs_extended_next_hop, without_attribute
from softmesh.bgp.attribute_refusal import AttributeRefusal, AttributeUse
from softmesh.bgp.end_of_rib import EndOfRibDebt
from softmesh.bgp.exabgp_commands import Answered, ExaBgpCommands
from softmesh.bgp.exabgp_json import (
    MAX_LINE,
    Acknowledgement,
    EndOfRib,
    Malformed,
    NeighborEvent,
    NeighborListed,
    OpenRead,
    RefreshMarked,
    SessionChanged,
    Shutdown,
    UpdateReceived,
    excerpt,
    parse_line,
)
from softmesh.bgp.extended_next_hop import ExtendedNextHop, Lacking
from softmesh.bgp.hook_protocol import (
    AttributeRefused,
    CommandFailed,
    ExtendedNextHopLacking,
    FromHook,
    LineBuffer,
    LinesLost,
    LineTooLong,
)
from softmesh.bgp.route import ENCAPSULATION, UNICAST, Family, SessionState
from softmesh.bgp.route_refresh import RouteRefresh

_SILENCE_AFTER_MALFORMED = 10.0
"""Seconds for which one remark stands for all lines that cannot be read."""


class ExaBgpDialogue:
    """What ExaBGP has said and what it is to be told. Pure: it reads neither clock nor pipe.

    ``before`` is what an earlier hook may have announced, ``refused`` who was seen to refuse attribute 23, ``lacking``
    with whom RFC 8950 was seen not to be negotiated; routes of a lost session are kept for ``stale_time`` seconds.
    ``encapsulation``: whether ExaBGP has the families of SAFI 7. ``now`` is always CLOCK_MONOTONIC in seconds.
    """

    def __init__(
        self,
        before: Iterable[Announcement],
        stale_time: float,
        refused: Mapping[str, str] | None = None,
        lacking: Mapping[str, Lacking] | None = None,
        *,
        encapsulation: bool = False,
    ) -> None:
        self.rib = AdjRibIn()
        self.ended = False
        """Whether ExaBGP has said that it is ending."""
        self.lost_lines = 0
        """How many of ExaBGP's lines never came."""
        self._stale_time = stale_time
        self._families = [family for family in Family if encapsulation or family in UNICAST]
        self._lines = LineBuffer(MAX_LINE)
        self._refresh = RouteRefresh()
        self._debt = EndOfRibDebt()
        self._commands = ExaBgpCommands(before)
        self._refusal = AttributeRefusal(refused or {})
        self._next_hop = ExtendedNextHop(lacking or {})
        self._wanted: Sequence[Announcement] | None = None
        """None before anybody has said what should be announced."""
        self._attribute_to: frozenset[frozenset[str] | None] = frozenset()
        """The audiences of announcements that have attribute 23."""
        self._remarks: list[str] = []
        self._malformed = 0
        self._malformed_since: float | None = None
        # A hook that was started again has missed whatever came before.
        self._commands.ask("show neighbor summary")
        for family in self._families:
            self._commands.ask(_refresh_command(None, family))

    @property
    def settled(self) -> bool:
        """Whether ExaBGP has been given, and has answered, all there is to say."""
        return self._commands.settled

    def possibly_announced(self) -> list[Announcement]:
        """Return all that ExaBGP may hold from us, now or as soon as ``commands`` have been given."""
        return self._commands.possibly_announced()

    @property
    def refused(self) -> dict[str, str]:
        """The neighbours that refuse attribute 23, each with how that was seen."""
        return self._refusal.refused

    @property
    def lacking(self) -> dict[str, Lacking]:
        """The neighbours RFC 8950 was not negotiated with, each with who does not offer it."""
        return self._next_hop.lacking

    def feed(self, data: bytes, now: float) -> list[FromHook]:
        """Take octets as ExaBGP wrote them; return what readers are to be told."""
        messages: list[FromHook] = []
        for line in self._lines.feed(data):
            messages += self._line(line, now)
        return messages

    def want(
        self, announcements: Iterable[Announcement], now: float, attribute: Mapping[str, AttributeUse] | None = None
    ) -> list[FromHook]:
        """Set what should be announced, and who is to get attribute 23; return what readers are to be told."""
        self._wanted = tuple(announcements)
        self._refusal.use(attribute or {})
        return self._announce(now)

    def try_attribute(self, neighbor: str, now: float) -> list[FromHook]:
        """Send a neighbour attribute 23 again, though it has refused it; return what readers are to be told."""
        if not self._refusal.try_again(neighbor):
            return []
        self._announce(now)
        return [AttributeRefused(self.refused)]

    def _announce(self, now: float) -> list[FromHook]:
        if self._wanted is None:
            return []
        given = list(_variants(self._wanted, self._refusal.left_out, self.lacking.keys(), self.rib.neighbors))
        failures = self._commands.want(given)
        self._attribute_to = frozenset(each.neighbors for each in given if each.tunnel_encapsulation is not None)
        standing = [neighbor for neighbor in self.rib.neighbors if self._is_established(neighbor)]
        self._refusal.announced(self._get_attribute(standing), now)
        return [self._failed(failure.command, failure.reason, now) for failure in failures]

    def _get_attribute(self, neighbors: Collection[str]) -> Collection[str]:
        """Those of these neighbours whose announcements have attribute 23."""
        return [each for each in neighbors if any(to is None or each in to for to in self._attribute_to)]

    def elapse(self, now: float) -> list[FromHook]:
        """Do what is due by ``now``; return what readers are to be told."""
        messages: list[FromHook] = []
        for answered in self._commands.overdue(now):
            self._remarks.append(f"ExaBGP did not answer: {answered.command[:80]}; is exabgp.api.ack false?")
            messages += self._answered(answered, now)
        for neighbor, missing in self._refresh.due(now):
            self._remarks.append(
                f"{missing} lines about {neighbor} were lost: asking it for its routes again "
                "(a second process on this neighbour, or debug logging, in ExaBGP has the same effect)"
            )
            self.lost_lines += missing
            messages.append(LinesLost(self.lost_lines))
            messages += self._await_refresh(neighbor, now)
            for family in self._families:
                self._commands.ask(_refresh_command(neighbor, family))
        for neighbor, family in self._refresh.silent(now):
            messages += self.rib.complete(neighbor, family, now, exact=False)
        messages += self.rib.expire(now, self._stale_time)
        if self._malformed_since is not None and now - self._malformed_since >= _SILENCE_AFTER_MALFORMED:
            if self._malformed > 1:
                self._remarks.append(f"{self._malformed - 1} more lines could not be read")
            self._malformed, self._malformed_since = 0, None
        return messages

    def deadline(self) -> float | None:
        """When ``elapse`` should be called next; for routes that expire, now and then is enough."""
        deadlines = (self._refresh.deadline(), self._commands.deadline())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def commands(self, now: float) -> list[str]:
        """Return the commands to give now, in order and without newlines, and take them as given."""
        if self._commands.settled and self._wanted is not None:
            for payment in self._debt.pay():
                self._commands.ask(payment)
        given = []
        while (command := self._commands.following(now, self.rib.neighbors)) is not None:
            given.append(command)
        return given

    def remarks(self) -> list[str]:
        """Return what the operator should read in the log since the last call."""
        remarks, self._remarks = self._remarks, []
        return remarks

    def _line(self, line: bytes | LineTooLong, now: float) -> Sequence[FromHook]:
        if isinstance(line, LineTooLong):
            self._complain(Malformed(excerpt(line.start), f"longer than {MAX_LINE} octets"), now)
            return ()
        event = parse_line(line)
        if isinstance(event, Acknowledgement):
            answered = self._commands.answered(event.done)
            return () if answered is None else self._answered(answered, now)
        if isinstance(event, Malformed):
            self._complain(event, now)
        elif isinstance(event, Shutdown):
            self.ended = True
        elif event.neighbor is not None:
            return self._about_neighbor(event.neighbor, event, now)
        return ()

    def _about_neighbor(self, neighbor: str, event: NeighborEvent | NeighborListed, now: float) -> list[FromHook]:
        known = neighbor in self.rib.neighbors
        changes: list[FromHook] = [*self.rib.apply(event, now)]
        if not isinstance(event, NeighborListed):
            self._refresh.heard(neighbor, now)
        if not known and (self._refusal.left_out or self.lacking):
            # What is wanted for all neighbours is given to each by name, while one of them gets it otherwise.
            self._announce(now)
        if not isinstance(event, NeighborListed) and event.counter is not None:
            self._refresh.counted(neighbor, event.counter, now)
        for family in _families(event):
            self._debt.family_used(neighbor, family)
        if isinstance(event, SessionChanged):
            self._debt.session_changed(neighbor)
            for family in Family:
                self._refresh.ended(neighbor, family)
                if event.up and family in self._families and family in ENCAPSULATION:
                    # Who does not speak the Encapsulation SAFI marks no end of it: silence does.
                    self._refresh.begun(neighbor, family, now, marked=False)
            changes += self._session_changed(neighbor, event, now)
        elif isinstance(event, OpenRead):
            by = Lacking.EXABGP if event.sent else Lacking.NEIGHBOR
            before = self.lacking
            self._next_hop.opened(neighbor, by, offered=event.extended_next_hop)
            changes += self._negotiated(before, now)
        elif isinstance(event, RefreshMarked) and event.begins and event.family is not None:
            self._refresh.begun(neighbor, event.family, now, marked=True)
        elif isinstance(event, EndOfRib | RefreshMarked):
            if event.family is not None:
                self._refresh.ended(neighbor, event.family)
        elif not known and self._is_established(neighbor):
            self._refusal.announced(self._get_attribute([neighbor]), now)
            # A session older than this process: the request made at the start brings what it announced.
            changes += self._await_refresh(neighbor, now)
        return changes

    def _negotiated(self, before: Mapping[str, Lacking], now: float) -> list[FromHook]:
        if self.lacking == before:
            return []
        return [*self._announce(now), ExtendedNextHopLacking(self.lacking)]

    def _session_changed(self, neighbor: str, event: SessionChanged, now: float) -> list[FromHook]:
        if event.up:
            self._refusal.began(neighbor)
            before = self.lacking
            self._next_hop.established(neighbor)
            changes = self._negotiated(before, now)
            if neighbor not in self.lacking or self._commands.settled:
                # Else it may be reset for what is being withdrawn from it just now.
                self._refusal.announced(self._get_attribute([neighbor]), now)
            return changes
        if self._refusal.ended(neighbor, event.reason, now):
            self._remarks.append(
                f"neighbour {neighbor} refuses attribute 23: {self.refused[neighbor]}; it gets our routes without "
                f"until softmesh announce --attribute {neighbor}; on FRR 10.3 set path-attribute discard 23 first"
            )
            self._announce(now)
            return [AttributeRefused(self.refused)]
        return []

    def _is_established(self, neighbor: str) -> bool:
        known = self.rib.neighbors.get(neighbor)
        return known is not None and known.state is SessionState.UP

    def _await_refresh(self, neighbor: str, now: float) -> list[Change]:
        changes: list[Change] = []
        for family in self._families:
            changes += self.rib.begin_refresh(neighbor, family)
            self._refresh.asked(neighbor, family, now)
        return changes

    def _answered(self, answered: Answered, now: float) -> list[CommandFailed]:
        requested = _refresh_requested(answered.command)
        if requested is not None:
            neighbor, family = requested
            if answered.done:
                self._refresh.sent(neighbor, family, now)
            # An error means that no such session stands: all its routes come with the next one.
            return []
        if answered.done or not answered.about_route:
            return []
        return [self._failed(answered.command, "ExaBGP answered: error; its log says why", now)]

    def _failed(self, command: str, reason: str, now: float) -> CommandFailed:
        self._remarks.append(f"{command[:200]}: {reason}")
        return CommandFailed(command[:1000], reason, now)

    def _complain(self, malformed: Malformed, now: float) -> None:
        self._malformed += 1
        if self._malformed_since is None:
            self._malformed_since = now
            self._remarks.append(f"ExaBGP sent a line that cannot be read: {malformed.reason}: {malformed.excerpt}")


def _variants(
    wanted: Iterable[Announcement], left_out: frozenset[str], lacking: Collection[str], known: Collection[str]
) -> Iterable[Announcement]:
    """What is wanted, as each neighbour is to have it; ``known``: those that ExaBGP has, as far as known."""
    everybody = left_out.union(lacking, known)
    for announcement in wanted:
        audience = everybody if announcement.neighbors is None else announcement.neighbors
        barred = audience.intersection(lacking if needs_extended_next_hop(announcement) else ())
        without = (audience & left_out) - barred if announcement.tunnel_encapsulation is not None else frozenset()
        if not barred and not without:
            yield announcement
        else:
            yield replace(announcement, neighbors=audience - barred - without)
            yield replace(without_attribute(announcement), neighbors=without)


def _families(event: NeighborEvent | NeighborListed) -> set[Family]:
    """The families a neighbour has used in what it sent."""
    if isinstance(event, UpdateReceived):
        return {key.family for key, _ in event.announced} | {key.family for key in event.withdrawn}
    return {event.family} if isinstance(event, EndOfRib) and event.family is not None else set()


def _refresh_command(neighbor: str | None, family: Family) -> str:
    to = "" if neighbor is None else f"neighbor {neighbor} "
    return f"{to}announce route-refresh {family.value}"


def _refresh_requested(command: str) -> tuple[str | None, Family] | None:
    """Return what ``_refresh_command`` was called with."""
    before, found, family = command.partition("announce route-refresh ")
    if not found:
        return None
    return (before.split()[1] if before else None), Family(family)
