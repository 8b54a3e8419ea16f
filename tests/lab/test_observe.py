"""``softmesh observe`` beside a route reflector: what it says of a mesh is what the mesh does.

              rr (BIRD)
                 │
────────┬────────┼─ core ─────┬───────────┬──────
      afbr1    afbr2        afbr3      observer (ExaBGP with exabgp/observe.conf, the hook; no charon)
                                       stranger (ExaBGP alone)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from typing import Any

import pytest

from lab.bird import Bird
from lab.eventually import eventually, holds
from lab.flooder import Flooder, offer
from lab.mesh import SOFTMESH, Direction, Mesh, meshed
from lab.observer import ObserverHost
from tests.unit.bgp.vectors import K1_SPKI, K2, endpoint, sub, tlv

OBSERVER, STRANGER = 4, 5


@pytest.fixture(scope="module")
def mesh() -> Iterator[Mesh]:
    """Three routers with their softwires."""
    with Mesh(Direction.FOUR_OVER_SIX, 3, spare=2, reflectors=(partial(Bird, add_paths=True),)) as made:
        made.start()
        eventually(lambda: meshed(made.afbrs.values()), within=40, what="all softwires are up")
        yield made


@pytest.fixture(scope="module")
def observer(mesh: Mesh) -> Iterator[ObserverHost]:
    with closing(ObserverHost(mesh, OBSERVER)) as host:
        endpoints = {afbr.endpoint for afbr in mesh.afbrs.values()}
        eventually(lambda: routers(host.document()).keys() == endpoints, within=30, what="the observer hears of all")
        yield host


def routers(document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {afbr["endpoint"]: afbr for afbr in document["afbrs"]}


def pairs(document: Mapping[str, Any], state: str) -> set[frozenset[str]]:
    return {frozenset(wire["ends"]) for wire in document["softwires"] if wire["state"] == state}


def up(mesh: Mesh) -> set[frozenset[str]]:
    """The softwires that both ends have up."""
    ends = [{frozenset((afbr.endpoint, remote)) for remote in afbr.up()} for afbr in mesh.afbrs.values()]
    return {pair for one in ends for pair in one if sum(pair in each for each in ends) == 2}


def seen(host: ObserverHost, condition: Callable[[dict[str, Any]], object], what: str) -> dict[str, Any]:
    """The document, once a condition holds of it."""

    def look() -> dict[str, Any] | None:
        document = host.document()
        return document if condition(document) else None

    document = eventually(look, within=20, what=what, every=0.2)
    assert document is not None
    return document


def mismatched(host: ObserverHost, router: str, words: str) -> dict[str, Any]:
    """The document, once it says that of a router."""

    def said(document: dict[str, Any]) -> bool:
        return any(words in problem for problem in routers(document).get(router, {"problems": []})["problems"])

    return seen(host, said, f"it is said of {router}: {words}")


def test_a_healthy_mesh_is_possible_in_every_pair_and_so_it_is(mesh: Mesh, observer: ObserverHost) -> None:
    document = observer.document()
    assert pairs(document, "possible") == up(mesh)
    assert len(up(mesh)) == 3
    assert [wire["type"] for wire in document["softwires"]] == ["IPsec in Tunnel-mode"] * 3
    assert document["summary"] == {
        "afbrs": 3, "mismatched": 0, "pairs": 3, "possible": 3, "impossible": 0, "unjudged": 0, "complete": True,
        "without_tunnel": 0,
    }  # fmt: skip
    for afbr in mesh.afbrs.values():
        told = routers(document)[afbr.endpoint]
        assert told["prefixes"] == mesh.plan.prefixes(afbr.number)
        assert told["tunnels"][0]["authenticators"] == [afbr.status()["authenticator"]]
        assert (told["tunnels"][0]["key"], told["problems"], told["stale"]) == ("announced", [], False)
        assert told["neighbors"] == [mesh.reflector_address]
    assert observer.softmesh("--check").returncode == 0
    table = observer.softmesh("--matrix").stdout
    assert [line.split()[2:] for line in table.splitlines() if line[:1].isdigit()][-3:] == [
        ["·", "possible", "possible"],
        ["possible", "·", "possible"],
        ["possible", "possible", "·"],
    ]


def test_a_bridge_tells_the_same_mesh_with_its_own_softwires_as_measured(mesh: Mesh, observer: ObserverHost) -> None:
    first = mesh.afbrs[1]
    with_own = json.loads(
        first.namespace.run(
            *SOFTMESH[:1], "-c",
            "import json, sys, pathlib; from softmesh.control.client import ask; "
            "print(json.dumps(ask(pathlib.Path(sys.argv[1]), 'mesh')))",
            str(first.home / "run" / "control.sock"),
        ).stdout
    )  # fmt: skip
    assert with_own["vantage"] == first.endpoint
    assert pairs(with_own, "up") == {pair for pair in up(mesh) if first.endpoint in pair}
    assert pairs(with_own, "possible") == {pair for pair in up(mesh) if first.endpoint not in pair}
    assert all(wire["measured"] == (first.endpoint in wire["ends"]) for wire in with_own["softwires"])
    seen = routers(observer.document())
    for router, told in routers(with_own).items():
        assert told["self"] == (router == first.endpoint)
        assert (told["prefixes"], told["tunnels"]) == (seen[router]["prefixes"], seen[router]["tunnels"])
        assert told["problems"] == []


def test_keys_of_a_directory(mesh: Mesh, observer: ObserverHost) -> None:
    keys = observer.home / "keys"
    keys.mkdir()
    # They are announced, too: none is missing though the directory has none.
    assert all(not afbr["problems"] for afbr in observer.document("--keys", str(keys))["afbrs"])
    gone = observer.softmesh("--keys", str(observer.home / "none"))
    assert (gone.returncode, gone.stdout) == (1, "")
    assert "no such directory" in gone.stderr


def test_each_mismatch_is_said_and_nothing_that_stands_is_touched(mesh: Mesh, observer: ObserverHost) -> None:
    """One with an other tunnel type; strangers with a wrong key, a malformed attribute, another's endpoint."""
    first, second, third = mesh.afbrs.values()
    among_us = frozenset((first.endpoint, second.endpoint))

    def standing() -> dict[str, Any]:
        return {remote: spis for remote, spis in first.spis().items() if remote.startswith(second.endpoint)}

    before, announced = standing(), mesh.reflector.prefixes()
    assert before
    third.settings["announce"]["tunnels"] = [{"type": "ip-in-ip-ipsec-transport"}]
    third.reload()
    document = seen(observer, lambda document: pairs(document, "impossible"), "it is said")
    assert pairs(document, "possible") == {among_us}
    reasons = {wire["reason"] for wire in document["softwires"] if wire["state"] == "impossible"}
    assert all("no tunnel type in common" in reason for reason in reasons), reasons
    eventually(lambda: up(mesh) == {among_us}, within=20, what="and so it is")

    with closing(Flooder(mesh, STRANGER)) as stranger:

        def told(what: str) -> str:
            """What the first router's status says of the stranger."""
            return str(first.wires().get(stranger.endpoint, {}).get(what, ""))

        prefix = f"10.{STRANGER}.0.0/24"
        here = endpoint(f"20010db8000f0000000000000000{STRANGER:04x}", 2)
        stranger.announce([(prefix, tlv(4, here, sub(3, b"\0\1" + K2), sub(126, K1_SPKI)))])
        document = mismatched(
            observer, stranger.endpoint, "the key announced beside the authenticator has another hash"
        )
        assert routers(document)[stranger.endpoint]["tunnels"][0]["key"] == "mismatch"
        assert frozenset((first.endpoint, stranger.endpoint)) in pairs(document, "impossible")
        eventually(lambda: told("state") == "pending-key", within=20, what="and the router does not trust it")

        stranger.announce([(prefix, tlv(4, here)[:-1])])
        mismatched(observer, stranger.endpoint, "(RFC 9012 §13)")
        eventually(lambda: told("rule") == "treat-as-withdraw", within=20, what="and so does the router")

        stranger.announce([(prefix, offer(second.endpoint))])
        mismatched(observer, second.endpoint, "announced by 2 routers")
        assert observer.softmesh("--check").returncode == 1
        stranger.withdraw(prefix)
        eventually(
            lambda: not routers(observer.document())[second.endpoint]["problems"], within=15, what="it is gone again"
        )
    assert standing() == before, "no SA of the others was touched"
    assert mesh.reflector.prefixes() == announced, "the observer announces nothing"
    del third.settings["announce"]["tunnels"]
    third.reload()
    eventually(
        lambda: len(pairs(observer.document(), "possible")) == len(up(mesh)) == 3,
        within=30, what="both are whole again", every=0.2,
    )  # fmt: skip


def test_what_is_withdrawn_has_gone(mesh: Mesh, observer: ObserverHost) -> None:
    third = mesh.afbrs[3]
    third.softmesh("withdraw", "-c", str(third.configuration))
    eventually(lambda: third.endpoint not in routers(observer.document()), within=15, what="it is not seen any more")
    third.softmesh("announce", "-c", str(third.configuration))
    eventually(lambda: third.endpoint in routers(observer.document()), within=15, what="it is back")


def test_the_page_is_served(mesh: Mesh, observer: ObserverHost) -> None:
    page = observer.namespace.start(
        *SOFTMESH, "observe", "--hook", str(observer.hook), "--http", "127.0.0.1:8180", log="observer4/page.log"
    )
    fetch = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode())"

    def get(path: str) -> str:
        done = observer.namespace.run(*SOFTMESH[:1], "-c", fetch, f"http://127.0.0.1:8180{path}", check=False)
        return done.stdout

    eventually(lambda: get("/readyz"), within=15, what="it is ready")
    eventually(
        lambda: json.loads(get("/api/mesh") or '{"summary": {"possible": 0}}')["summary"]["possible"] == 3,
        within=15, what="it shows the mesh",
    )  # fmt: skip
    assert "mesh observed" in page.log.read_text()
    assert page.stop(within=30) == 0


def test_a_reflector_that_is_lost_is_said_to_be(mesh: Mesh, observer: ObserverHost) -> None:
    """The last: all that follows would have to wait for BGP."""
    eventually(lambda: meshed(mesh.afbrs.values()), within=40, what="all softwires are up, since one router was back")
    mesh.reflector.kill()
    document = seen(
        observer,
        lambda document: document["afbrs"] and all(afbr["stale"] for afbr in document["afbrs"]),
        "all is stale",
    )
    assert [neighbor["state"] for neighbor in document["neighbors"]] == ["down"]
    assert len(document["afbrs"]) == 3
    assert all(wire["stale"] for wire in document["softwires"])
    assert "stale" in observer.softmesh().stdout
    holds(lambda: meshed(mesh.afbrs.values()), during=0.5, what="softwires stand")
    observer.process.kill()
    gone = eventually(
        lambda: done if (done := observer.softmesh()).returncode == 3 else None, within=10, what="no hook answers"
    )
    assert gone is not None
    assert gone.stderr.count("\n") == 1
    assert str(observer.hook) in gone.stderr
