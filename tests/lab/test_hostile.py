"""Strangers who say anything: by BGP through a real reflector, on the sockets, in charon's place."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any, Self

import pytest

from fuzz import hook_protocol, mutation, vici, vici_client
from fuzz.attribute import tunnels
from lab.eventually import PATIENCE, NotReached, eventually, holds
from lab.flooder import Flooder, offer
from lab.mesh import Afbr, Direction, Mesh, meshed
from tests.unit.bgp.vectors import K1, K1_SPKI, K2, endpoint, sub, tlv

STRANGER = 102
SEED = 20261121
SILENCE = 30 * PATIENCE
"""Seconds after which whoever says nothing will say nothing."""


def core(number: int) -> bytes:
    """The egress endpoint sub-TLV of a router of the mesh."""
    return endpoint(f"20010db8000f0000000000000000{number:04x}", 2)


HASH = sub(3, b"\0\1" + K1)
WHOLE = tlv(4, core(STRANGER), HASH)
MALFORMED: dict[str, tuple[bytes, str, str]] = {
    "empty": (b"", "treat-as-withdraw", "holds no tunnel"),
    "one octet": (b"\0", "treat-as-withdraw", "2 octets expected at offset 0, 1 left"),
    "a TLV cut short": (WHOLE[:-1], "treat-as-withdraw", "48 octets expected at offset 4, 47 left"),
    "an octet too many": (WHOLE + b"\0", "treat-as-withdraw", "tunnel 2 does not fit"),
    "a length without end": (b"\0\4\xff\xff" + core(STRANGER), "treat-as-withdraw", "65535 octets expected"),
    "a sub-TLV that is too long": (tlv(4, core(STRANGER), HASH[:-1]), "treat-as-withdraw", "22 octets expected"),
    "no endpoint": (tlv(4, HASH), "treat-as-withdraw", "no Tunnel Egress Endpoint, exactly one expected"),
    "two endpoints": (tlv(4, core(102), core(103), HASH), "treat-as-withdraw", "2 Tunnel Egress Endpoints"),
    "an endpoint of no family": (tlv(4, endpoint("c0000202", 9), HASH), "treat-as-withdraw", "Egress Endpoint"),
    "a loopback": (tlv(4, endpoint(f"{1:032x}", 2), HASH), "treat-as-withdraw", "special-purpose"),
    "a hash of 19 octets": (tlv(4, core(STRANGER), sub(3, b"\0\1" + K1[:-1])), "tunnel", "authenticator of 19 octets"),
    "an empty hash": (tlv(4, core(STRANGER), sub(3, b"")), "tunnel", "too short for an authenticator type"),
    "a hash of another kind": (tlv(4, core(STRANGER), sub(3, b"\0\2" + K1)), "tunnel", "unknown types (2)"),
    "an unknown tunnel": (tlv(999, core(STRANGER), HASH), "tunnel", "unknown tunnel type 999"),
    "an endpoint of the other family": (tlv(4, endpoint(), HASH), "endpoint", "not of the core's family"),
    "an endpoint elsewhere": (
        tlv(4, endpoint("20010db8ffff00000000000000000001", 2), HASH), "endpoint", "none of admission.endpoints",
    ),
    "a member's endpoint": (tlv(4, core(2), HASH, sub(126, K1_SPKI)), "owner", ""),
    "nine hashes": (
        tlv(4, core(STRANGER), *(sub(3, b"\0\1" + bytes([n]) * 20) for n in range(9))), "authenticator", "9 authentic",
    ),
    "a key that is garbage": (tlv(4, core(STRANGER + 1), HASH, sub(126, b"garbage")), "key", "no key found"),
    "another's key": (
        tlv(4, core(STRANGER + 2), sub(3, b"\0\1" + K2), sub(126, K1_SPKI)), "key", "no key found for authenticator",
    ),
}  # fmt: skip
"""Values of attribute 23, each with the rule that refuses its route and what is said of it."""


@pytest.fixture(scope="module")
def mesh() -> Iterator[Mesh]:
    """Two routers that have their softwire, and room for a stranger."""
    with Mesh(Direction.FOUR_OVER_SIX, 2, spare=STRANGER) as made:
        made.start()
        eventually(lambda: meshed(made.afbrs.values()), within=30, what="the softwire is up")
        yield made


def told(afbr: Afbr) -> Mapping[str, dict[str, Any]]:
    """What status says of the softwire, or the refusal, that each prefix leads to."""
    return {route["prefix"]: row for row in afbr.status()["softwires"] for route in row["routes"]}


def misjudged(afbr: Afbr, prefixes: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """What status says of the prefixes whose kind it does not refuse as it should, by kind."""
    found, wrong = told(afbr), {}
    for prefix, kind in prefixes.items():
        _, rule, words = MALFORMED[kind]
        row = found.get(prefix, {"state": "", "rule": "", "reason": ""})
        refused = row["state"] in {"refused", "pending-key"} and row["rule"] == rule
        if not refused or words not in row["reason"]:
            wrong[kind] = row
    return wrong


def spis(mesh: Mesh) -> list[dict[str, tuple[str, str]]]:
    return [afbr.spis() for afbr in mesh.afbrs.values()]


def unharmed(mesh: Mesh) -> bool:
    """Whether nobody has left a trace of what Python says when something is not foreseen."""
    return not any("Traceback" in (afbr.home / "softmesh.log").read_text() for afbr in mesh.afbrs.values())


def test_malformed_attributes_affect_their_own_prefixes_alone(mesh: Mesh) -> None:
    """Each kind on a prefix of its own, beside one that is sound; then two hundred made by chance."""
    standing, first = spis(mesh), mesh.afbrs[1]
    prefixes = {f"10.{STRANGER}.{number}.0/24": kind for number, kind in enumerate(MALFORMED)}
    sound = f"10.{STRANGER}.255.0/24"
    with closing(Flooder(mesh, STRANGER)) as stranger:
        stranger.announce([(prefix, MALFORMED[kind][0]) for prefix, kind in prefixes.items()])
        stranger.announce([(sound, offer(stranger.endpoint))])
        with contextlib.suppress(NotReached):
            eventually(lambda: not misjudged(first, prefixes), within=20, what="each route has its verdict")
        assert misjudged(first, prefixes) == {}
        eventually(
            lambda: told(first).get(sound, {}).get("state") in {"connecting", "wanted"}, within=20, what="that is sound"
        )
        chance = Random(SEED)
        stranger.announce([(f"10.103.{number}.0/24", tunnels(chance)[:1500]) for number in range(200)])
        eventually(
            lambda: sum(p.startswith("10.103.") for p in told(first)) == 200, within=30, what="all have verdicts"
        )
        eventually(lambda: first.status()["problems"] == [], within=5, what="nothing is to be mended")
        holds(lambda: spis(mesh) == standing, during=2.0, what="the softwire of the mesh stands, with the same SPIs")
        assert first.island.ping(mesh.plan.host(2, 10), count=3, within=5)
    assert unharmed(mesh)


def test_garbage_on_the_sockets_is_nobody_elses_loss(mesh: Mesh) -> None:
    """On that of the hook, and on that of the bridge: lines, halves of lines, no lines, and ever so many of each."""
    standing, afbr = spis(mesh), mesh.afbrs[1]
    run = afbr.home / "run"
    instance = greeted(run / "hook.sock")["instance"]
    chance, answers = Random(SEED), b""
    for _ in range(200):
        said = hook_protocol.mutate(chance.choice(hook_protocol.CORPUS), chance)
        # What is wanted last counts: it must not be garbage that happens to be right.
        answers += say(run / "hook.sock", said.replace(b'"wanted"', b'"unwanted"'))
        request = mutation.octets(b'{"command": "status"}', chance)
        answers += say(run / "control.sock", request * chance.choice((1, 1, 9000)) + b"\n")
    answers += say(run / "hook.sock", b"x" * (2**24 + 1), goes_on=True)
    assert b"the reader sent what is no message" in answers
    assert b"the reader sent a line longer than 16777216 octets" in answers
    assert b"not a request" in answers
    idle = [socket.socket(socket.AF_UNIX) for _ in range(40)]
    with contextlib.ExitStack() as stack:
        for one in idle:
            stack.enter_context(one)
            one.settimeout(SILENCE)
            with contextlib.suppress(OSError):
                one.connect(str(run / "hook.sock"))
        assert afbr.status()["hook"]["connected"], "the bridge's own connection stands"
    eventually(lambda: greeted(run / "hook.sock").get("instance"), within=15, what="the hook has room again")
    assert greeted(run / "hook.sock")["instance"] == instance, "it is the same hook"
    assert spis(mesh) == standing
    assert unharmed(mesh)


def say(path: Path, said: bytes, *, goes_on: bool = False) -> bytes:
    """Say it, and that it is all unless it ``goes_on``; returns what is answered until the other end hangs up."""
    answer = b""
    with socket.socket(socket.AF_UNIX) as connection, contextlib.suppress(OSError):
        connection.settimeout(SILENCE)
        connection.connect(str(path))
        # Whoever has heard enough may hang up before we have said it all.
        with contextlib.suppress(OSError):
            connection.sendall(said)
            if not goes_on:
                connection.shutdown(socket.SHUT_WR)
        while octets := connection.recv(65536):
            answer += octets
    return answer


def greeted(path: Path) -> dict[str, Any]:
    """What the hook says first; nothing where it takes nobody in."""
    with socket.socket(socket.AF_UNIX) as connection, contextlib.suppress(OSError, ValueError):
        connection.settimeout(SILENCE)
        connection.connect(str(path))
        greeting: dict[str, Any] = json.loads(connection.makefile("rb").readline())
        return greeting
    return {}


class NoCharon:
    """Listens where charon should, and says anything to whoever connects: no real charon can be made to."""

    def __init__(self, path: Path) -> None:
        self.served = 0
        self._chance = Random(SEED)
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen()
        self._listening.settimeout(0.1)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._listening.close()

    def _serve(self) -> None:
        confirmed = vici_client.CORPUS[0][:5] * 20
        while not self._done.is_set():
            with contextlib.suppress(OSError):
                connection, _ = self._listening.accept()
                with connection:
                    self.served += 1
                    stream = vici.mutate(self._chance.choice(vici.CORPUS), self._chance)
                    # Half of the time it lets the bridge come as far as its questions.
                    connection.sendall((confirmed if self._chance.random() < 0.5 else b"") + stream)
                    connection.settimeout(0.2)
                    while connection.recv(65536):
                        connection.sendall(vici.mutate(self._chance.choice(vici.CORPUS), self._chance))


def test_a_charon_that_makes_no_sense_is_waited_for(mesh: Mesh) -> None:
    """The bridge says so, does nothing, and takes up the real one when it is there."""
    afbr = mesh.afbrs[2]
    standing = spis(mesh)
    assert afbr.bridge is not None
    real = afbr.settings["charon"]["vici"]
    false = afbr.home / "false.vici"
    afbr.bridge.stop()
    afbr.settings["charon"]["vici"] = str(false)
    afbr.write_configuration()
    with NoCharon(false) as charon:
        bridge = afbr.start()
        eventually(lambda: charon.served > 8, within=60, what="it was asked again and again")
        assert bridge.running
        # Half of the time it looks for a moment like one that may be asked.
        eventually(lambda: afbr.status()["charon"]["reason"], within=10, what="status says why it is of no use")
        # Else the reflector forgets what it keeps of us, and the other end closes the softwire (RFC 4724 §4.2).
        eventually(lambda: not mesh.bird.restarting(), within=30, what="the reflector has our routes anew")
        bridge.stop()
    afbr.settings["charon"]["vici"] = real
    afbr.write_configuration()
    afbr.start()
    eventually(lambda: meshed(mesh.afbrs.values()), within=30, what="the softwire is seen to be up")
    assert spis(mesh) == standing
    assert unharmed(mesh)
