"""Families of the Encapsulation SAFI in the dialogue with ExaBGP: asked for where it has them, and nowhere else."""

from __future__ import annotations

import pytest

from softmesh.bgp.exabgp_dialogue import ExaBgpDialogue
from softmesh.bgp.route import ENCAPSULATION, UNICAST, Family
from softmesh.bgp.route_refresh import QUIET
from tests.unit.bgp.exabgp_lines import PEER, about_neighbor, announce, state

ALL = [family.value for family in Family]
TWO = [family.value for family in Family if family in UNICAST]


def asked(dialogue: ExaBgpDialogue, to: str = "") -> list[str]:
    """The families that routes are asked for, each command answered."""
    given = []
    while commands := dialogue.commands(0.0):
        given += commands
        dialogue.feed(b"done\n" * len(commands), 0.0)
    prefix = f"{to}announce route-refresh "
    return [command.removeprefix(prefix) for command in given if command.startswith(prefix)]


@pytest.mark.parametrize(("encapsulation", "families"), [(False, TWO), (True, ALL)])
def test_a_new_hook_asks_for_them(encapsulation: bool, families: list[str]) -> None:
    assert asked(ExaBgpDialogue((), 300.0, encapsulation=encapsulation)) == families


@pytest.mark.parametrize(("encapsulation", "families"), [(False, TWO), (True, ALL)])
def test_lost_lines_may_have_been_about_them(encapsulation: bool, families: list[str]) -> None:
    dialogue = ExaBgpDialogue((), 300.0, encapsulation=encapsulation)
    asked(dialogue)
    lines = (state("up", counter=1), announce("10.2.0.0/16", counter=2), announce("10.3.0.0/16", counter=5))
    dialogue.feed(b"".join(line + b"\n" for line in lines), 0.0)
    dialogue.elapse(0.0)
    assert asked(dialogue, to=f"neighbor {PEER} ") == families


def test_end_of_rib_is_owed_to_those_who_use_them() -> None:
    dialogue = ExaBgpDialogue((), 300.0, encapsulation=True)
    asked(dialogue)
    dialogue.want((), 0.0)
    marked = '"message": { "eor": { "afi" : "ipv4", "safi" : "encap" } }'
    dialogue.feed(state("up") + b"\n" + about_neighbor(marked, counter=2) + b"\n", 0.0)
    assert dialogue.commands(0.0) == [f"neighbor {PEER} announce eor ipv4 encap"]
    assert dialogue.rib.neighbors[PEER].end_of_rib == {Family.IPV4_ENCAPSULATION} < ENCAPSULATION


def test_who_says_nothing_of_them_has_said_all() -> None:
    """Else a reflector without SAFI 7 would be waited for as long as for one that is down."""
    dialogue = ExaBgpDialogue((), 300.0, encapsulation=True)
    dialogue.feed(state("up") + b"\n" + announce("10.2.0.0/16", counter=2) + b"\n", 0.0)
    dialogue.elapse(QUIET - 0.1)
    assert dialogue.rib.neighbors[PEER].end_of_rib == set()
    dialogue.elapse(QUIET)
    assert dialogue.rib.neighbors[PEER].end_of_rib == ENCAPSULATION
    dialogue.feed(state("down", counter=3) + b"\n" + state("up", counter=4) + b"\n", 10.0)
    assert dialogue.rib.neighbors[PEER].end_of_rib == set()


def test_silence_ends_nothing_else() -> None:
    dialogue = ExaBgpDialogue((), 300.0)
    dialogue.feed(state("up") + b"\n", 0.0)
    dialogue.elapse(100.0)
    assert dialogue.rib.neighbors[PEER].end_of_rib == set()
