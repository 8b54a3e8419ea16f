"""``softmesh status`` for people: the live view on a real terminal, the table and the matrix, of real meshes."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator

import pytest

from lab.eventually import eventually
from lab.firewall import load, nft
from lab.mesh import SOFTMESH, Afbr, Direction, Mesh, meshed
from lab.terminal import ALTERNATE, COLOR, NORMAL, SHOW_CURSOR, Terminal
from tests.lab.test_events import MUTE


@pytest.fixture
def trio() -> Iterator[Mesh]:
    with Mesh(Direction.FOUR_OVER_SIX, 3) as mesh:
        yield mesh


def watch(afbr: Afbr, *arguments: str, width: int = 80, height: int = 24, **env: str) -> Terminal:
    command = afbr.namespace.argv(*SOFTMESH, "status", "-c", str(afbr.configuration), "--watch", "0.5", *arguments)
    return Terminal(command, width=width, height=height, env=env)


def fits(terminal: Terminal, width: int, height: int) -> bool:
    shown = terminal.screen
    return bool(shown) and len(shown) <= height and max(map(len, shown)) <= width


def test_a_mesh_that_converges_fails_goes_away_and_comes_back(trio: Mesh) -> None:
    first, _, third = trio.afbrs.values()
    load(third.namespace, MUTE)
    trio.start()
    eventually(lambda: first.status().get("endpoint"), within=20, what="the bridge answers")
    with watch(first) as terminal:
        eventually(lambda: terminal.shows("1 of 2 up"), within=20, what="one is up")
        progress = re.compile(r"converging .* 50 %")
        eventually(lambda: progress.search(terminal.shown_since(0)), within=20, what="a progress bar was half full")
        failing, well = (trio.plan.endpoint(number) for number in (3, 2))

        def in_order(lines: list[str]) -> bool:
            places = {line.split(" ")[0]: number for number, line in enumerate(lines)}
            if not places.keys() >= {failing, well} or places[failing] > places[well]:
                return False
            neighbor_up = any(f"neighbour  {trio.reflector_address} up" in line for line in lines)
            return neighbor_up and "attempt" in lines[places[failing] + 1] and fits(terminal, 80, 24)

        eventually(lambda: in_order(terminal.screen), within=20, what="what fails is first, with its reason below")

        nft(third.namespace, "delete", "table", "inet", "mute")
        eventually(lambda: terminal.shows("2 of 2 up"), within=30, what="both are up")
        eventually(lambda: terminal.shows("all that ought to be up is up"), within=20, what="it says so")
        event = f"{failing}/ipsec-tunnel-mode connecting → up"
        eventually(lambda: event in terminal.shown_since(0), within=20, what="the event of it has been shown")

        terminal.resize(120, 40)
        eventually(
            lambda: max(map(len, terminal.screen or [""])) > 80 and fits(terminal, 120, 40),
            within=20, what="it is drawn for the new size",
        )  # fmt: skip
        terminal.resize(40, 10)
        eventually(lambda: fits(terminal, 40, 10), within=20, what="it is drawn for a small one")
        terminal.resize(80, 24)

        assert first.bridge is not None
        first.bridge.stop()
        eventually(lambda: terminal.shows("not connected since"), within=20, what="it says that the bridge has gone")
        gone = len(terminal.written)
        first.start()
        eventually(lambda: not terminal.shows("not connected since"), within=30, what="it comes back")
        eventually(lambda: terminal.shows("2 of 2 up"), within=20, what="with all that stood")
        eventually(lambda: "started" in terminal.shown_since(gone), within=20, what="its new life's events are told")
        assert COLOR.search(terminal.written)
        terminal.press("\x03")
        assert terminal.wait() == 0
        assert terminal.written.count(ALTERNATE) == terminal.written.count(NORMAL) == 1
        assert SHOW_CURSOR in terminal.written.rpartition(NORMAL)[0] + terminal.written.rpartition(NORMAL)[2]
        assert "Traceback" not in terminal.written


def test_without_colour_and_ended_by_a_signal(pair: Mesh) -> None:
    left = pair.afbrs[1]
    eventually(lambda: meshed(pair.afbrs.values()), within=20, what="the softwire is up")
    with watch(left, NO_COLOR="1") as terminal:
        eventually(lambda: terminal.shows("1 of 1 up"), within=20, what="it is shown")
        assert not any(code in terminal.written for code in ("\x1b[31", "\x1b[32", "\x1b[36", "38;5"))
        terminal.signal(signal.SIGTERM)
        assert terminal.wait() == 128 + signal.SIGTERM
        assert terminal.written.count(NORMAL) == 1


def test_not_a_terminal(pair: Mesh) -> None:
    left = pair.afbrs[1]
    eventually(lambda: left.status().get("endpoint"), within=20, what="the bridge answers")
    ended = left.namespace.run(*SOFTMESH, "status", "--watch", "-c", str(left.configuration), check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "use softmesh status, or softmesh events in a pipe" in ended.stderr
    with Terminal([*SOFTMESH, "status", "--watch", "--socket", "/nonexistent"]) as terminal:
        assert terminal.wait() == 3
        assert ALTERNATE not in terminal.written


def test_table_and_matrix(trio: Mesh) -> None:
    first, second, third = trio.afbrs.values()
    load(third.namespace, MUTE)
    trio.start()
    eventually(lambda: first.up() and second.up(), within=20, what="the two are up")
    eventually(lambda: len(third.wires()) == 2, within=20, what="the third tries")
    files = [word for afbr in trio.afbrs.values() for word in ("-c", str(afbr.configuration))]
    one, two, three = (trio.plan.endpoint(number) for number in (1, 2, 3))

    def drawn(*arguments: str) -> dict[str, list[str]]:
        lines = first.softmesh("status", "--matrix", *arguments).splitlines()
        return {line.split()[1]: line.split()[2:] for line in lines if line.split()[1:2] in ([one], [two], [three])}

    whole = drawn(*files)
    assert whole[one][:2] == ["·", "up"]
    assert whole[two][:2] == ["up", "·"]
    assert {whole[one][2], whole[two][2], *whole[three][:2]} <= {"connecting", "wanted"}
    alone = drawn(*files[:2])
    assert alone[one] == whole[one]
    assert (alone[two][2], alone[three][1]) == ("possible", "possible")
    assert alone[two][0] == "-"

    table = first.softmesh("status", "--table", *files[:2]).splitlines()
    assert table[0].split() == ["remote", "type", "state", "since", "in", "out", "reason"]
    assert [line.split()[:3] for line in table[1:]] == [
        [two, "ipsec-tunnel-mode", "up"], [three, "ipsec-tunnel-mode", whole[one][2]]
    ]  # fmt: skip
    assert table[2].rstrip().endswith(first.wires()[three]["reason"][-12:])
    assert len(first.softmesh("status", "--table", "--state", "up", *files[:2]).splitlines()) == 2

    assert third.bridge is not None
    third.bridge.stop()
    ended = first.namespace.run(*SOFTMESH, "status", "--matrix", *files, check=False)
    assert ended.returncode == 3
    assert "is softmesh run running" in ended.stderr
    assert "?: does not answer" in ended.stdout
