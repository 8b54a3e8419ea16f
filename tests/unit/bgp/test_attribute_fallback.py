"""What ExaBGP is told when a neighbour refuses attribute 23."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from softmesh.bgp.announcement import Announcement, announce_command, without_attribute
from softmesh.bgp.attribute_refusal import AttributeUse
from softmesh.bgp.exabgp_dialogue import ExaBgpDialogue
from softmesh.bgp.hook_protocol import AttributeRefused, FromHook
from tests.unit.bgp.exabgp_lines import end_of_rib, state

A, B = "10.0.0.11", "10.0.0.12"
ENCAPSULATION = 0x030C << 48 | 4
RESET = "notification received (3,9)"


def route(to: Iterable[str] | None = (A, B), number: int = 1) -> Announcement:
    return Announcement(
        f"10.{number}.0.0/16",
        "10.0.0.1",
        b"\1",
        (7,),
        neighbors=None if to is None else frozenset(to),
        fallback_communities=(ENCAPSULATION,),
    )


def bare(of: Announcement, to: Iterable[str]) -> str:
    return f"{selected(to)}announce route {of.prefix} next-hop 10.0.0.1 extended-community [ 0x030c000000000004 ]"


def selected(to: Iterable[str]) -> str:
    return " , ".join(f"neighbor {neighbor}" for neighbor in to) + " "


class Talk:
    """A dialogue with an ExaBGP that answers at once, and has neighbours A and B."""

    def __init__(self, refused: Mapping[str, str] | None = None) -> None:
        self.dialogue = ExaBgpDialogue((), 300.0, refused)
        self.commands()
        for neighbor in (A, B):
            self.feed(state("up", peer=neighbor))

    def feed(self, *lines: bytes, at: float = 0.0) -> list[FromHook]:
        return self.dialogue.feed(b"".join(line + b"\n" for line in lines), at)

    def reset(self, neighbor: str = A) -> list[FromHook]:
        """A session ends over what it carried, and the next one stands."""
        return self.feed(state("down", peer=neighbor, reason=RESET), state("up", peer=neighbor), at=0.1)

    def commands(self) -> list[str]:
        given = []
        while commands := self.dialogue.commands(0.0):
            given += commands
            self.feed(*[b"done"] * len(commands))
        return given


def test_it_gets_the_same_routes_with_the_community_and_others_notice_nothing() -> None:
    talk = Talk()
    plain = Announcement("10.9.0.0/16", "10.0.0.1", neighbors=frozenset({A, B}))
    talk.dialogue.want([route(), route(number=2), plain], 0.0)
    assert len(talk.commands()) == 3
    assert not [message for message in talk.reset() if isinstance(message, AttributeRefused)]
    assert talk.commands() == [], "ExaBGP itself gives everything again"
    (told,) = [message for message in talk.reset() if isinstance(message, AttributeRefused)]
    assert told.reasons.keys() == {A}
    assert talk.commands() == [bare(route(), [A]), bare(route(number=2), [A])]
    (remark,) = talk.dialogue.remarks()
    assert f"neighbour {A} refuses attribute 23" in remark
    assert f"softmesh announce --attribute {A}" in remark
    assert "path-attribute discard 23" in remark
    assert {a.prefix: a.neighbors for a in talk.dialogue.possibly_announced() if a.tunnel_encapsulation} == {
        "10.1.0.0/16": frozenset({B}),
        "10.2.0.0/16": frozenset({B}),
    }
    talk.reset()
    assert talk.commands() == [], "whatever comes of it now, it is not for attribute 23"


def test_withdrawals_and_changes_reach_everybody() -> None:
    talk = Talk({A: "seen before"})
    talk.dialogue.want([route()], 0.0)
    assert talk.commands() == [announce_command(route([B])), bare(route(), [A])]
    changed = Announcement("10.1.0.0/16", "10.0.0.1", b"\2", neighbors=frozenset({A, B}))
    talk.dialogue.want([changed], 0.0)
    assert talk.commands() == [
        f"neighbor {B} announce route 10.1.0.0/16 next-hop 10.0.0.1 attribute [ 0x17 0xc0 0x02 ]",
        f"neighbor {A} announce route 10.1.0.0/16 next-hop 10.0.0.1",
    ]
    talk.dialogue.want([], 0.0)
    assert talk.commands() == [f"{selected([A, B])}withdraw route 10.1.0.0/16 next-hop 10.0.0.1"]


def test_end_of_rib_is_said_after_the_fallback() -> None:
    talk = Talk()
    talk.dialogue.want([route([A])], 0.0)
    talk.commands()
    talk.reset()
    talk.reset()
    talk.feed(end_of_rib(peer=A))
    assert talk.commands() == [bare(route(), [A]), f"neighbor {A} announce eor ipv4 unicast"]


def test_what_is_for_all_is_given_to_each_by_name() -> None:
    talk = Talk()
    talk.dialogue.want([route(None)], 0.0)
    assert talk.commands() == [announce_command(route(None))]
    talk.reset(B)
    talk.reset(B)
    assert talk.commands() == [bare(route(), [B])]
    talk.feed(state("up", peer="10.0.0.13"))
    assert talk.commands() == [announce_command(route(["10.0.0.13"]))], "one more that nobody had heard of"


def test_it_is_tried_again_when_told() -> None:
    talk = Talk({A: "seen before"})
    talk.dialogue.want([route()], 0.0)
    talk.commands()
    assert talk.dialogue.try_attribute(B, 0.0) == []
    assert talk.commands() == []
    assert talk.dialogue.try_attribute(A, 0.0) == [AttributeRefused({})]
    assert talk.commands() == [announce_command(route([A]))]
    talk.reset()
    assert any(isinstance(message, AttributeRefused) for message in talk.reset())
    assert talk.commands() == [bare(route(), [A])]


def test_what_is_configured_goes_before_what_is_seen() -> None:
    talk = Talk({A: "seen before"})
    talk.dialogue.want([route()], 0.0, {A: AttributeUse.ALWAYS, B: AttributeUse.NEVER})
    assert talk.commands() == [announce_command(route([A])), bare(route(), [B])]
    talk.dialogue.want([route()], 0.0, {})
    assert talk.commands() == [announce_command(route([B])), bare(route(), [A])]


def test_a_hook_that_remembers_says_nothing_before_the_bridge_does() -> None:
    before = [without_attribute(route([A]))]
    dialogue = ExaBgpDialogue(before, 300.0, {A: "seen before"})
    assert dialogue.commands(0.0) == ["show neighbor summary"]
    dialogue.feed(f"{A} 65000 0:00:04 established 4 9\ndone\ndone\ndone\n".encode(), 0.0)
    assert [command for command in dialogue.commands(0.0) if "route-refresh" not in command] == []
    assert dialogue.possibly_announced() == before
