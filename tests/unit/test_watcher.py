"""What the lab's watcher makes of looks at a charon."""

from __future__ import annotations

from lab.watcher import Record
from softmesh.charon.observed import ChildSa, IkeSa


def ike(*states: str) -> IkeSa:
    children = tuple(
        ChildSa("c", str(n), state, "tunnel", "ESP", frozenset({"10.1.0.0/24"}), frozenset({"10.2.0.0/24"}))
        for n, state in enumerate(states)
    )
    return IkeSa("softmesh-c", "1", "ESTABLISHED", True, "192.0.2.1", "192.0.2.2", "", "", children=children)


def seen(*looks: list[IkeSa]) -> Record:
    """Looks a second apart."""
    record = Record()
    for second, sas in enumerate(looks):
        record.look(100.0 + second, sas)
    return record


def test_holes_count_from_the_last_look_before_to_the_first_after() -> None:
    assert seen([], [ike("INSTALLED")], [ike("INSTALLED")]).hole.longest == 0
    assert seen([ike("INSTALLED")], [], [ike()], [ike("INSTALLED")]).hole.longest == 3
    assert seen([ike("INSTALLED")], [ike("REKEYING")], [ike("INSTALLED")]).hole.longest == 0
    assert seen([ike("INSTALLED")], [ike("DELETED")]).hole.longest == 1


def test_duplicates_count_the_same_way() -> None:
    assert seen([ike("INSTALLED")], [ike("INSTALLED", "REKEYED")], [ike("INSTALLED")]).duplicate.longest == 0
    assert seen([ike("INSTALLED")], [ike("INSTALLED", "INSTALLED")], [ike("INSTALLED")]).duplicate.longest == 2
    assert seen([ike("INSTALLED")], [ike("INSTALLED"), ike("INSTALLED")], [ike("INSTALLED")]).duplicate.longest == 2
    assert seen([], [ike("INSTALLED", "INSTALLED")], [ike("INSTALLED", "INSTALLED")]).duplicate.longest == 2
    assert seen([ike("INSTALLED")], [], [ike("INSTALLED")]).duplicate.longest == 0
