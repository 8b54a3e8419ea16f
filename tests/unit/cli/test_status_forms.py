"""The table, the matrix and the live view: a status, and a size, in; lines out."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pytest
from rich.console import Console, RenderableType

from softmesh.cli.figures import octets
from softmesh.cli.status_matrix import Cells, judged, matrix, measured
from softmesh.cli.status_table import STATES, by_peer, table, urgent_first
from softmesh.cli.watch_view import Seen, screen
from softmesh.control.progress import State
from softmesh.errors import OperatorError

LONG = "the peer accepts none of our proposals: the two ends have different levels of protection; attempt 9 made"


def row(number: int, state: str, reason: str = "", **changes: Any) -> dict[str, Any]:
    remote = f"2001:db8:f::{number:x}"
    return {
        "id": f"{remote}/ipsec-tunnel-mode", "remote": remote, "type": "IPsec in Tunnel-mode", "color": None,
        "state": state, "reason": reason, "for": 10.0 * number, "stale": False, "bytes_in": 10**number,
        "bytes_out": 0, **changes,
    }  # fmt: skip


def status(*rows: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "endpoint": "2001:db8:f::1", "withdrawn": False, "hook": {"connected": True},
        "charon": {"connected": True, "reason": ""}, "removal_awaits": [], "problems": [], "softwires": list(rows),
        "neighbors": [{"address": "2001:db8:f::fe", "state": "up", "for": 60.0, "reason": ""}], **changes,
    }  # fmt: skip


def printed(what: RenderableType, width: int, *, color: bool = False) -> list[str]:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=color, color_system="standard" if color else None)
    console.print(what)
    return file.getvalue().splitlines()


def shown(seen: Seen, width: int = 80, height: int = 24, only: Sequence[str] = tuple(State)) -> list[str]:
    lines = printed(screen(seen, width, height, clock="12:00:00", only=only), width)
    assert len(lines) <= height
    assert max(map(len, lines), default=0) <= width
    return [line.rstrip() for line in lines]


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"), (999, "999"), (1000, "1.0k"), (9_949, "9.9k"), (9_950, "10k"), (999_499, "999k"),
        (999_500, "1.0M"), (10**12, "1.0T"), (2**64, "18E"),
    ],
)  # fmt: skip
def test_octets(count: int, text: str) -> None:
    assert octets(count) == text


def test_every_state_has_a_place_and_a_style() -> None:
    assert STATES.keys() == {state.value for state in State}


def test_what_fails_comes_first() -> None:
    rows = [row(2, "up"), row(3, "refused"), row(4, "up", stale=True), row(5, "connecting"), row(6, "degraded")]
    assert [each["state"] for each in urgent_first(rows)] == ["degraded", "connecting", "refused", "up", "up"]
    assert urgent_first(rows)[3]["stale"]
    assert [each["remote"][-1] for each in by_peer(reversed(rows))] == ["2", "3", "4", "5", "6"]


def test_a_table_that_has_room_cuts_nothing_off() -> None:
    route = row(4, "refused", "no tunnel", type=None, id="2001:db8:f::4/refused-no-tunnel/00112233")
    del route["bytes_in"], route["bytes_out"]
    coloured = row(3, "up", stale=True, color=7, id="2001:db8:f::3/ipsec-tunnel-mode/7")
    lines = printed(table([row(2, "connecting", LONG), coloured, route], 200), 200)
    assert [line.split()[:6] for line in lines] == [
        ["remote", "type", "state", "since", "in", "out"],
        ["2001:db8:f::2", "ipsec-tunnel-mode", "connecting", "20.0s", "100", "0"],
        ["2001:db8:f::3", "ipsec-tunnel-mode/7", "up", "(stale)", "30.0s", "1.0k"],
        ["2001:db8:f::4", "refused", "40.0s", "no", "tunnel"],
    ]
    assert lines[1].rstrip().endswith(LONG)


@pytest.mark.parametrize("width", [20, 60, 80, 100, 132])
def test_a_table_fits(width: int) -> None:
    lines = printed(table([row(2, "connecting", LONG), row(3, "up")], width), width)
    assert len(lines) == 3
    assert max(map(len, lines)) <= width
    if width >= 80:
        assert "2001:db8:f::2" in lines[1]
        assert "connecting" in lines[1]
        assert "the peer accepts none" in lines[1]


def test_what_others_wrote_is_no_markup() -> None:
    seen = Seen(status(row(2, "connecting", "[bold red]x[/] :smile:"), problems=["[blink]y"]))
    for lines in (shown(seen), printed(table(seen.status["softwires"], 200), 200)):
        assert any("[bold red]x[/] :smile:" in line for line in lines)
    assert any("[blink]y" in line for line in shown(seen))


ONE, TWO, THREE = (f"2001:db8:f::{number}" for number in (1, 2, 3))


def test_a_row_tells_what_is_wrong_first_and_refused_routes_last() -> None:
    rows = [row(2, "up"), row(2, "refused"), row(3, "up"), row(3, "degraded"), row(4, "refused")]
    assert measured(status(*rows)) == {(ONE, TWO): "up", (ONE, THREE): "degraded", (ONE, "2001:db8:f::4"): "refused"}


def test_matrix_has_words_where_they_fit_and_letters_where_not() -> None:
    cells: Cells = {(ONE, TWO): "up", (TWO, ONE): "connecting", (ONE, THREE): "up"}
    words = [line.plain for line in matrix(cells, [THREE], 80)]
    assert [line.split() for line in words[:4]] == [
        ["1", "2", "3"],
        ["1", ONE, "·", "up", "up"],
        ["2", TWO, "connecting", "·", "-"],
        ["3", THREE, "?", "?", "·"],
    ]
    letters = [line.plain for line in matrix(cells, [THREE], 40)]
    assert letters[2].split() == ["2", TWO, "C", "·", "-"]
    assert max(map(len, letters[:4])) <= 40
    assert "C connecting" in letters[-1]
    with pytest.raises(OperatorError, match=r"matrix of 3 routers is \d+ characters wide, and the terminal 20"):
        matrix(cells, [THREE], 20)


def test_what_others_have_is_judged_by_their_announcements() -> None:
    document = {
        "softwires": [
            {"ends": [ONE, TWO], "state": "up", "measured": True},
            {"ends": [TWO, THREE], "state": "possible", "measured": False},
        ]
    }
    assert judged(document) == {(TWO, THREE): "possible", (THREE, TWO): "possible"}


def test_a_healthy_mesh() -> None:
    lines = shown(Seen(status(row(2, "up"), row(3, "up"), row(4, "refused", "no tunnel"))))
    assert lines[0].startswith("softmesh 2001:db8:f::1  2 of 2 up")
    assert lines[0].endswith("12:00:00")
    assert lines[1] == "all that ought to be up is up"
    assert lines[2] == "1 refused  2 up"
    assert "neighbour  2001:db8:f::fe up for 1m00s" in lines
    heading = next(number for number, line in enumerate(lines) if line.startswith("remote"))
    assert lines[heading + 1].split()[:3] == ["2001:db8:f::4", "ipsec-tunnel-mode", "refused"]
    assert lines[heading + 2] == "    no tunnel"
    assert [line.split()[0] for line in lines[heading + 3 :]] == [TWO, THREE]


def test_a_mesh_that_converges_has_a_bar() -> None:
    lines = shown(Seen(status(row(2, "up"), row(2, "connecting", LONG), row(4, "degraded"), row(5, "pending-key"))))
    assert "1 of 3 up" in lines[0]
    assert lines[1].startswith("converging ")
    assert lines[1].endswith(" 33 %")


def test_what_has_long_not_been_up_does_not_converge() -> None:
    failing = {**row(3, "connecting", LONG), "for": 31.0}, {**row(4, "wanted"), "for": 100.0}
    assert shown(Seen(status(row(2, "up"), *failing), since=5.0))[1] == "2 not up, the longest for 1m45s"
    assert shown(Seen(status(row(2, "connecting"), *failing)))[1].startswith("converging")


def test_trouble_is_told() -> None:
    told = status(
        row(2, "up"), withdrawn=True, hook={"connected": False}, charon={"connected": False, "reason": "no such file"},
        problems=[f"problem {number}" for number in range(5)],
        neighbors=[
            {"address": f"2001:db8:f::{number}", "state": "up" if number < 9 else "down", "for": 1.0, "reason": ""}
            for number in range(5, 10)
        ],
    )  # fmt: skip
    text = "\n".join(shown(Seen(told, height := 0.0, "control socket x: gone"), height=30))
    assert height == 0
    for said in (
        "not connected since 0.0s: control socket x: gone", "no such file", "nothing is heard of BGP", "withdrawn",
        "2001:db8:f::9 down", "and 2 more", "problem 2",
    ):  # fmt: skip
        assert said in text
    assert "problem 3" not in text


def test_events() -> None:
    events = [
        {"seq": 1, "timestamp": "2026-11-21T10:06:30.4Z", "level": "info", "event": "softwire", "softwire": "x/y",
         "was": "connecting", "state": "up", "reason": ""},
        {"seq": 2, "timestamp": "2026-11-21T10:06:31.4Z", "level": "warning", "event": "problem", "subject": "trust",
         "problem": "bad"},
        {"seq": 3, "timestamp": "2026-11-21T10:06:32.4Z", "level": "info", "event": "softwire SAs", "softwire": "x/y",
         "spi_in": ["a", "b"]},
    ]  # fmt: skip
    assert shown(Seen(status(row(2, "up")), events=events))[-3:] == [
        "10:06:30 x/y connecting → up",
        "10:06:31 problem subject=trust problem=bad",
        "10:06:32 softwire SAs softwire=x/y spi_in=a,b",
    ]


def test_only_some_states() -> None:
    lines = shown(Seen(status(row(2, "up"), row(3, "refused"))), only=["up"])
    assert any(line.startswith(TWO) for line in lines)
    assert not any(line.startswith(THREE) for line in lines)
    assert "1 refused  1 up" in lines


@pytest.mark.parametrize("height", [1, 4, 8, 10, 24, 60])
@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_it_fits_whatever_the_size(width: int, height: int) -> None:
    rows = [row(number, "connecting" if number % 3 else "up", LONG if number % 3 else "") for number in range(2, 2002)]
    lines = printed(screen(Seen(status(*rows, problems=[LONG] * 9)), width, height, clock="12:00:00"), width)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    if height >= 24:
        assert any("  and " in line for line in lines)
        assert lines[1].startswith("converging")


def test_every_row_is_there_that_fits() -> None:
    for count in range(1, 16):
        for height in range(8, 26):
            told = Seen(status(*[row(number, "up") for number in range(2, count + 2)]))
            lines = shown(told, height=height)
            there = sum(line.startswith("2001:") for line in lines)
            more = [int(line.split()[1]) for line in lines if line.strip().startswith("and ")]
            assert there + sum(more) == count, (count, height, lines)
            if not more:
                assert there == count
            else:
                assert len(lines) == height
