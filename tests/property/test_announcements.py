"""Whatever is wanted, one wish after the other, each neighbour ends with exactly what is wanted for it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from softmesh.bgp.announcement import Announcement
from softmesh.bgp.attribute_refusal import AttributeUse
from softmesh.bgp.exabgp_commands import ExaBgpCommands
from softmesh.bgp.exabgp_dialogue import ExaBgpDialogue
from tests.unit.bgp.exabgp_lines import open_read, state

NEIGHBORS = frozenset({"10.0.0.11", "10.0.0.12", "2001:db8::13"})

audience = st.none() | st.frozensets(st.sampled_from(sorted(NEIGHBORS)))
announcement = st.builds(
    Announcement,
    prefix=st.sampled_from(["10.1.0.0/16", "2001:db8:1::/48"]),
    next_hop=st.sampled_from(["10.0.0.1", "2001:db8::1"]),
    tunnel_encapsulation=st.sampled_from([b"\1", b"\2"]),
    neighbors=audience,
)
wish = st.lists(announcement, unique_by=lambda one: one.prefix, max_size=2)


class ExaBgp:
    """What each neighbour has been told, by the commands alone."""

    def __init__(self) -> None:
        self.told: dict[tuple[str, str], bytes] = {}
        self.spared: dict[tuple[str, str], int] = {}
        """How often a neighbour was withdrawn from."""

    def obey(self, command: str) -> None:
        selection, _, rest = command.partition("announce route " if "announce route" in command else "withdraw route ")
        neighbors = selection.replace("neighbor ", "").replace(" , ", " ").split() or sorted(NEIGHBORS)
        prefix = rest.split()[0]
        for neighbor in neighbors:
            if "announce route" in command:
                found = re.search("0xc0 0x([0-9a-f]+)", rest)
                self.told[neighbor, prefix] = bytes.fromhex(found[1]) if found else b""
            elif self.told.pop((neighbor, prefix), None) is not None:
                self.spared[neighbor, prefix] = self.spared.get((neighbor, prefix), 0) + 1


def expected(wanted: list[Announcement]) -> dict[tuple[str, str], bytes]:
    return {
        (neighbor, one.prefix): one.tunnel_encapsulation or b""
        for one in wanted
        for neighbor in (NEIGHBORS if one.neighbors is None else one.neighbors)
    }


@given(st.lists(st.tuples(wish, st.integers(0, 3)), min_size=1, max_size=6), st.integers(0, 5))
def test_neighbors_end_with_what_is_wanted_for_them(wishes: list[tuple[list[Announcement], int]], dies: int) -> None:
    """Each wish comes after so many commands of the one before; the hook dies once, and its successor goes on."""
    exabgp = ExaBgp()
    commands = ExaBgpCommands()
    for number, (wanted, patience) in enumerate(wishes):
        if number == dies:
            commands = ExaBgpCommands(commands.possibly_announced())
        before = dict(exabgp.told)
        settled = commands.settled
        commands.want(wanted)
        exabgp.spared.clear()
        last = number == len(wishes) - 1
        for _ in range(1000 if last else patience):
            command = commands.following(0.0, NEIGHBORS)
            if command is None:
                break
            exabgp.obey(command)
            commands.answered(True)
        if last:
            assert exabgp.told == expected(wanted)
            assert commands.settled
            if settled and number != dies:
                kept = before.keys() & exabgp.told.keys()
                assert not kept & exabgp.spared.keys(), "who keeps a route never sees it go"


REFUSES = "notification received (3,9)"
use = st.dictionaries(st.sampled_from(sorted(NEIGHBORS)), st.sampled_from(AttributeUse), max_size=2)
happening = st.one_of(
    st.tuples(st.just("want"), wish, use),
    st.tuples(st.just("reset"), st.sampled_from(sorted(NEIGHBORS))),
    st.tuples(st.just("retry"), st.sampled_from(sorted(NEIGHBORS))),
    st.tuples(st.just("open"), st.sampled_from(sorted(NEIGHBORS)), st.booleans(), st.booleans()),
    st.tuples(st.just("give"), st.integers(1, 4)),
    st.tuples(st.just("die")),
)


class Conversation:
    """A hook's dialogue with ExaBGP, which answers in its time; a hook that dies has a successor."""

    def __init__(self) -> None:
        self.exabgp = ExaBgp()
        self.dialogue = ExaBgpDialogue((), 300.0)
        self.wanted: list[Announcement] | None = None
        self.use: Mapping[str, AttributeUse] = {}
        self.lacking: frozenset[str] = frozenset()
        self._given: list[str] = []

    def give(self, answers: int) -> None:
        """Have the dialogue give what it will, and ExaBGP answer so many commands."""
        for _ in range(answers):
            self._given += self.dialogue.commands(0.0)
            if not self._given:
                return
            command = self._given.pop(0)
            if "route " in command:
                self.exabgp.obey(command)
            elif command == "show neighbor summary":
                for neighbor in sorted(NEIGHBORS):
                    self.dialogue.feed(f"{neighbor} 65000 0:00:04 established 4 9\n".encode(), 0.0)
            self.dialogue.feed(b"done\n", 0.0)

    def reset(self, neighbor: str) -> None:
        """Two sessions of a neighbour end over what they carried; the third is what matters."""
        # Sessions without OPENs, as some ExaBGPs have them.
        self.lacking -= {neighbor}
        for _ in range(2):
            self.dialogue.feed(state("up", peer=neighbor) + b"\n", 0.0)
            self.dialogue.feed(state("down", peer=neighbor, reason=REFUSES) + b"\n", 0.1)
        self.dialogue.feed(state("up", peer=neighbor) + b"\n", 0.2)

    def open(self, neighbor: str, *offers: bool) -> None:
        """A session of a neighbour begins; we, and it, offer IPv6 next hops for IPv4 prefixes."""
        for sent, offered in zip((True, False), offers, strict=True):
            conversions = ["ipv4/unicast/ipv6"] if offered else []
            self.dialogue.feed(open_read(*conversions, sent=sent, peer=neighbor) + b"\n", 0.0)
        self.dialogue.feed(state("up", peer=neighbor) + b"\n", 0.0)
        self.lacking = self.lacking - {neighbor} if all(offers) else self.lacking | {neighbor}

    def die(self) -> None:
        """Leave what a hook leaves; the bridge tells the next one what it wants."""
        left = self.dialogue
        self.dialogue = ExaBgpDialogue(left.possibly_announced(), 300.0, left.refused, left.lacking)
        self._given.clear()
        before = dict(self.exabgp.told)
        self.give(3)
        assert self.exabgp.told == before, "a hook changes nothing before the bridge has spoken"
        if self.wanted is not None:
            self.dialogue.want(self.wanted, 0.0, self.use)


def left_out(conversation: Conversation) -> set[str]:
    refused = {n for n in conversation.dialogue.refused if conversation.use.get(n) is not AttributeUse.ALWAYS}
    return refused | {n for n, configured in conversation.use.items() if configured is AttributeUse.NEVER}


@given(st.lists(happening, max_size=12))
def test_who_refuses_the_attribute_or_ipv6_next_hops_ends_with_what_it_takes(
    happenings: list[tuple[object, ...]],
) -> None:
    talk = Conversation()
    for what, *arguments in [*happenings, ("give", 1000)]:
        match what, *arguments:
            case "want", list(wanted), dict(configured):
                talk.wanted, talk.use = wanted, configured
                talk.dialogue.want(wanted, 0.0, configured)
            case "reset", str(neighbor):
                talk.reset(neighbor)
            case "open", str(neighbor), bool(we), bool(it):
                talk.open(neighbor, we, it)
            case "retry", str(neighbor):
                talk.dialogue.try_attribute(neighbor, 0.0)
            case "give", int(answers):
                talk.give(answers)
            case _:
                talk.die()
    without = left_out(talk)
    crossing = {one.prefix for one in talk.wanted or () if ":" in one.next_hop and ":" not in one.prefix}
    assert talk.exabgp.told == {
        (neighbor, prefix): b"" if neighbor in without else value
        for (neighbor, prefix), value in expected(talk.wanted or []).items()
        if neighbor not in talk.lacking or prefix not in crossing
    }
    assert talk.dialogue.lacking.keys() == talk.lacking
    assert talk.dialogue.settled
