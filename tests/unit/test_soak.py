"""What a soak draws from its seed, and what it takes to be undisturbed: the judge is judged here."""

from __future__ import annotations

import random

import msgspec
import pytest

from lab.fault import Part, Way
from lab.soak.event import SITES, SPARED, Event, Kind, Model, Recording, draw, renews, undisturbed, withdrawn

EVERYBODY = {(1, 2), (1, 3), (2, 3)}


def rounds(seed: int, number: int = 400) -> list[list[Event]]:
    chance, model, drawn = random.Random(seed), Model(range(1, 5)), []
    for _ in range(number):
        events = draw(chance, model, 2)
        for event in events:
            model.apply(event)
            assert all(1 <= len(sites) <= SITES for sites in model.sites.values())
            assert len(model.present) >= 2
        drawn.append(events)
    return drawn


def test_a_seed_gives_the_same_events_and_another_gives_others() -> None:
    assert rounds(7) == rounds(7)
    assert rounds(7) != rounds(8)


def test_every_kind_of_event_and_of_fault_is_drawn() -> None:
    events = [event for events in rounds(1) for event in events]
    assert {event.kind for event in events} == set(Kind)
    assert {(event.part, event.way) for event in events if event.kind is Kind.FAULT} == {
        (part, way) for part in Part for way in Way
    }


def test_a_router_that_failed_takes_no_command_and_the_spared_one_is_never_ended() -> None:
    for events in rounds(2):
        failed: set[int] = set()
        for event in events:
            if event.kind is Kind.FAULT and event.part in {Part.BRIDGE, Part.HOOK, Part.EXABGP}:
                assert event.router not in failed
                assert event.router != SPARED or event.way is Way.HANG
                failed.add(event.router)
            elif event.kind not in {Kind.FAULT, Kind.PARTITION}:
                assert event.router not in failed


def test_the_model_wants_every_pair_of_prefixes_of_those_who_are_there() -> None:
    model = Model((1, 2, 3))
    model.apply(Event(0.0, Kind.ANNOUNCE, 2, 1))
    model.apply(Event(0.0, Kind.LEAVE, 3))
    assert model.pairs(1) == {(2, 0, 0), (2, 0, 1)}
    assert model.pairs(2) == {(1, 0, 0), (1, 1, 0)}
    assert model.pairs(3) == set()
    model.apply(Event(0.0, Kind.RETURN, 3))
    assert len(model.pairs(3)) == 3


@pytest.mark.parametrize(
    ("events", "disturbed"),
    [
        ([Event(0.0, Kind.ANNOUNCE, 1, 1)], set()),
        ([Event(0.0, Kind.FAULT, 1, part=Part.BRIDGE, way=Way.KILL)], set()),
        ([Event(0.0, Kind.FAULT, part=Part.REFLECTORS, way=Way.KILL)], set()),
        ([Event(0.0, Kind.FAULT, 1, part=Part.CHARON, way=Way.HANG)], set()),
        ([Event(0.0, Kind.FAULT, 1, part=Part.CHARON, way=Way.STOP)], {(1, 2), (1, 3)}),
        ([Event(0.0, Kind.KEY, 3)], {(1, 3), (2, 3)}),
        ([Event(0.0, Kind.PARTITION, routers=(2,))], set()),
        ([Event(0.0, Kind.PARTITION, routers=(2,)), Event(0.0, Kind.ANNOUNCE, 1, 1)], {(1, 2)}),
    ],
)
def test_what_must_keep_its_spis(events: list[Event], disturbed: set[tuple[int, int]]) -> None:
    assert EVERYBODY - undisturbed(events, (1, 2, 3)) == disturbed


def test_a_prefix_that_went_may_come_back_with_other_spis() -> None:
    events = [Event(0.0, Kind.WITHDRAW, 2, 1), Event(0.0, Kind.ANNOUNCE, 2, 1)]
    assert withdrawn(events) == {(2, 1)}
    assert not renews(events)


def test_a_recording_can_be_read_again() -> None:
    recording = Recording(7, "4-over-6", [[0, 2], [1]], [2], rounds(7, 20))
    again = msgspec.json.decode(msgspec.json.encode(recording), type=Recording)
    assert again == recording
    assert again.model().sites == {1: {0, 2}, 2: {1}}
    assert again.model().absent == {2}
