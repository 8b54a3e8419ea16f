"""Whatever is wanted, one wish after the other, each neighbour ends with exactly what is wanted for it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from softmesh.bgp.announcement import Announcement
from softmesh.bgp.exabgp_commands import ExaBgpCommands

NEIGHBORS = frozenset({"10.0.0.11", "10.0.0.12", "2001:db8::13"})

audience = st.none() | st.frozensets(st.sampled_from(sorted(NEIGHBORS)))
announcement = st.builds(
    Announcement,
    prefix=st.sampled_from(["10.1.0.0/16", "2001:db8:1::/48"]),
    next_hop=st.just("10.0.0.1"),
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
                self.told[neighbor, prefix] = bytes.fromhex(rest.split("0xc0 0x")[1].split()[0])
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
