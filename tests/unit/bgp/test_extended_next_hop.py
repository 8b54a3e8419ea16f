"""What ExaBGP is told where RFC 8950 is not negotiated with a neighbour."""

from __future__ import annotations

from dataclasses import replace

import pytest

from softmesh.bgp.announcement import Announcement, announce_command, needs_extended_next_hop, withdraw_command
from softmesh.bgp.attribute_refusal import ENDS
from softmesh.bgp.exabgp_dialogue import ExaBgpDialogue
from softmesh.bgp.extended_next_hop import Lacking
from softmesh.bgp.hook_protocol import ExtendedNextHopLacking
from tests.unit.bgp.exabgp_lines import open_read, state
from tests.unit.bgp.test_attribute_fallback import RESET, A, B, Talk

OFFERED = "ipv4/unicast/ipv6"
CROSSING = Announcement("10.1.0.0/16", "2001:db8:f::1", b"\1", neighbors=frozenset({A, B}))
PLAIN = Announcement("2001:db8:1::/48", "2001:db8:f::1", b"\1", neighbors=frozenset({A, B}))


def only(announcement: Announcement, *neighbors: str) -> Announcement:
    return replace(announcement, neighbors=frozenset(neighbors))


def opened(talk: Talk, *conversions: str, sent: str | None = OFFERED, neighbor: str = A) -> list[dict[str, Lacking]]:
    """A session of a neighbour opens and stands; what readers are told of it."""
    ours = [] if sent is None else [open_read(*filter(None, [sent]), sent=True, peer=neighbor)]
    messages = talk.feed(*ours, open_read(*conversions, peer=neighbor), state("up", peer=neighbor))
    return [message.neighbors for message in messages if isinstance(message, ExtendedNextHopLacking)]


@pytest.mark.parametrize(
    ("prefix", "next_hop", "needs"),
    [
        ("10.1.0.0/16", "2001:db8:f::1", True),
        ("10.1.0.0/16", "::ffff:10.0.0.1", True),
        ("10.1.0.0/16", "10.0.0.1", False),
        ("2001:db8:1::/48", "2001:db8:f::1", False),
        ("2001:db8:1::/48", "10.0.0.1", False),
        ("2001:db8:1::/48", "::ffff:10.0.0.1", False),
    ],
)
def test_ipv4_prefixes_with_ipv6_next_hops_need_it(prefix: str, next_hop: str, needs: bool) -> None:
    assert needs_extended_next_hop(Announcement(prefix, next_hop)) == needs


def test_who_did_not_offer_it_loses_those_prefixes_and_no_others() -> None:
    talk = Talk()
    talk.dialogue.want([CROSSING, PLAIN], 0.0)
    assert talk.commands() == [announce_command(CROSSING), announce_command(PLAIN)]
    assert opened(talk) == [{A: Lacking.NEIGHBOR}]
    assert talk.commands() == [withdraw_command(only(CROSSING, A))]
    assert opened(talk) == [], "and not again at the next session"
    assert talk.commands() == []
    assert opened(talk, OFFERED) == [{}]
    assert talk.commands() == [announce_command(only(CROSSING, A))]


def test_it_takes_two() -> None:
    talk = Talk()
    talk.dialogue.want([CROSSING], 0.0)
    talk.commands()
    assert opened(talk, OFFERED, sent="") == [{A: Lacking.EXABGP}]
    assert talk.commands() == [withdraw_command(only(CROSSING, A))]
    assert opened(talk, OFFERED) == [{}]
    assert opened(talk, OFFERED, sent=None) == [], "an ExaBGP that prints what it receives only"
    assert opened(talk, sent="")[-1] == {A: Lacking.NEIGHBOR}


def test_our_open_alone_takes_nothing_back() -> None:
    """The neighbour's follows within a millisecond, and then there must be nothing to send."""
    talk = Talk()
    talk.dialogue.want([CROSSING], 0.0)
    opened(talk)
    talk.commands()
    talk.feed(state("down", peer=A), open_read(OFFERED, sent=True, peer=A))
    assert talk.commands() == []
    talk.feed(open_read(peer=A), state("up", peer=A))
    assert talk.commands() == []


def test_a_session_without_opens_is_given_everything() -> None:
    talk = Talk()
    talk.dialogue.want([CROSSING], 0.0)
    opened(talk)
    talk.commands()
    messages = talk.feed(state("down", peer=A), state("up", peer=A))
    assert ExtendedNextHopLacking({}) in messages
    assert talk.commands() == [announce_command(only(CROSSING, A))]


def test_what_is_for_all_is_given_to_the_others_by_name() -> None:
    talk = Talk()
    talk.dialogue.want([replace(CROSSING, neighbors=None)], 0.0)
    assert talk.commands() == [announce_command(replace(CROSSING, neighbors=None))]
    opened(talk)
    assert talk.commands() == [withdraw_command(only(CROSSING, A))]
    opened(talk, OFFERED, neighbor="10.0.0.13")
    assert talk.commands() == [announce_command(only(CROSSING, "10.0.0.13"))]


def test_a_new_hook_remembers_while_the_session_stands() -> None:
    dialogue = ExaBgpDialogue((), 300.0, lacking={A: Lacking.NEIGHBOR})
    dialogue.want([only(CROSSING, A), only(PLAIN, A)], 0.0)
    dialogue.commands(0.0)
    dialogue.feed(f"{A} 65000 0:00:04 established 4 9\ndone\n".encode(), 0.0)
    for _ in range(2):
        dialogue.commands(0.0)
        dialogue.feed(b"done\n", 0.0)
    assert dialogue.commands(0.0) == [announce_command(only(PLAIN, A))]


def test_a_reset_over_what_is_being_withdrawn_is_no_refusal_of_attribute_23() -> None:
    talk = Talk()
    talk.dialogue.want([CROSSING, PLAIN], 0.0)
    talk.commands()
    for _ in range(ENDS + 1):
        opened(talk)
        # ExaBGP has not answered the withdrawal yet.
        talk.dialogue.commands(0.0)
        talk.feed(state("down", peer=A, reason=RESET))
    assert talk.dialogue.refused == {}
    talk.feed(b"done")
    for _ in range(ENDS):
        opened(talk)
        talk.feed(state("down", peer=A, reason=RESET))
    assert talk.dialogue.refused.keys() == {A}, "over what it still gets"


def test_who_gets_nothing_with_attribute_23_refuses_nothing() -> None:
    talk = Talk()
    talk.dialogue.want([CROSSING], 0.0)
    for _ in range(ENDS + 1):
        opened(talk)
        talk.commands()
        talk.feed(state("down", peer=A, reason=RESET))
    assert talk.dialogue.refused == {}
