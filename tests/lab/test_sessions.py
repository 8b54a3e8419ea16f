"""BGP sessions and what protects them, by real sockets: routes of an unprotected one do not count."""

from __future__ import annotations

import base64
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lab.bird import Bird
from lab.capture import Capture
from lab.eventually import eventually, holds
from lab.firewall import Witness
from lab.mesh import SOFTMESH, Afbr, Direction, Mesh, meshed
from lab.peer import Key

SHIPPED = Path("exabgp/softmesh.conf")
ANNOUNCED = {"trust": {"keys": [{"announced": True}]}}


def neighbor(mesh: Mesh, *, password: bool = True, **changes: Any) -> dict[str, Any]:
    """A setting: the reflector as BGP neighbour."""
    secret = {"password_file": "bgp.password"} if password else {}
    return {"bgp": {"neighbors": [{"address": mesh.reflector_address, **secret, **changes}]}}


def reconfigure(afbr: Afbr, settings: dict[str, Any]) -> None:
    """Have the bridge take over other settings of a section."""
    for section, values in settings.items():
        afbr.settings[section].update(values)
    afbr.write_configuration()
    assert afbr.bridge is not None
    afbr.bridge.signal(signal.SIGHUP)


def session(afbr: Afbr) -> dict[str, Any]:
    """What status says of the session; its ``protection`` is empty while it is not known."""
    rows = afbr.status().get("neighbors", [])
    return {"state": "none", "protection": {}} if not rows else rows[0]


def is_up(afbr: Afbr) -> bool:
    return bool(session(afbr)["state"] == "up")


def judged(afbr: Afbr, kind: str, *, satisfied: bool) -> bool:
    row = session(afbr)
    protection = row["protection"]
    return bool(row["state"] == "up" and (protection["kind"], protection["satisfied"]) == (kind, satisfied))


def refused(afbr: Afbr) -> list[dict[str, Any]]:
    """The rows of softwires that the session's lack of protection refuses."""
    return [row for row in afbr.status()["softwires"] if row["state"] == "refused" and row.get("rule") == "session"]


def no_secret(afbr: Afbr, mesh: Mesh) -> None:
    """Assert that neither status nor the log has the password, in any spelling."""
    encoded = base64.b64encode(mesh.password.encode()).decode()
    assert afbr.bridge is not None
    for text in (afbr.bridge.log.read_text(), afbr.softmesh("status", "--json", "-c", str(afbr.configuration))):
        assert mesh.password not in text
        assert encoded not in text


def test_a_key_is_seen_at_the_socket(pair: Mesh) -> None:
    eventually(lambda: meshed(pair.afbrs.values()), within=20, what="every softwire is up")
    for afbr in pair.afbrs.values():
        assert judged(afbr, "md5", satisfied=True)
        assert session(afbr)["protection"]["reason"] == "its socket has a TCP-MD5 key"
        no_secret(afbr, pair)
    # While the session is down the verdict stays, and so do the softwires.
    first = pair.afbrs[1]
    before = first.spis()
    pair.reflector.kill()
    eventually(lambda: session(first)["state"] == "down", within=20, what="the session is lost")
    holds(
        lambda: session(first)["protection"]["satisfied"] and first.spis() == before, during=2, what="nothing changes"
    )
    pair.reflector.restart()
    eventually(lambda: judged(first, "md5", satisfied=True), within=30, what="the session is back, and judged")
    assert first.spis() == before
    # Nor does a bridge that was started anew forget softwires before it has looked.
    assert first.bridge is not None
    first.bridge.kill()
    first.start()
    eventually(lambda: judged(first, "md5", satisfied=True), within=20, what="the new bridge has looked")
    holds(lambda: first.spis() == before, during=2, what="no SPI changes")


def test_without_a_password_nothing_counts_unless_that_is_written_out() -> None:
    with Mesh(Direction.FOUR_OVER_SIX, 0, spare=2, signed=False) as mesh:
        strict = mesh.add(1)
        lax = mesh.add(2)
        for afbr, changes in ((strict, {}), (lax, {"protection": "none"})):
            afbr.settings["bgp"].update(neighbor(mesh, password=False, **changes)["bgp"])
            afbr.write_configuration()
        mesh.start()
        eventually(lambda: judged(strict, "none", satisfied=False), within=20, what="the session is found unprotected")
        eventually(lambda: judged(lax, "none", satisfied=True), within=20, what="and taken where that was written out")
        (row,) = eventually(lambda: refused(strict), within=20, what="the route is refused")
        assert row["remote"] == lax.endpoint
        assert "set password_file here and the same password there" in row["reason"]
        explained = strict.softmesh("explain", mesh.plan.island(2), "-c", str(strict.configuration))
        assert "no TCP-MD5 key on its socket" in explained
        holds(lambda: not strict.up() and not lax.up(), during=1, what="no softwire", every=0.3)
        assert "softmesh-" not in strict.charon.swanctl("--list-conns")
        # On a terminal in red; script gives it one.
        command = [*SOFTMESH, "status", "-c", str(strict.configuration)]
        terminal = ["script", "-qec", " ".join(command), "/dev/null"]
        assert "\033[31mnone, its routes do not count" in strict.namespace.run(*terminal).stdout
        assert "\033[31m" not in strict.namespace.run("env", "NO_COLOR=1", *terminal).stdout
        assert "\033[31m" not in strict.namespace.run(*command).stdout
        reconfigure(strict, neighbor(mesh, password=False, protection="none"))
        eventually(lambda: meshed(mesh.afbrs.values()), within=20, what="written out, the session counts")
        assert judged(strict, "none", satisfied=True)
        assert "whoever forges BGP directs our softwires" in session(strict)["protection"]["reason"]


@pytest.fixture
def other() -> Key:
    return Key()


@pytest.mark.parametrize("guards", ["routes", "full"])
def test_a_password_is_not_what_was_asked_for(guards: str, other: Key) -> None:
    """``protection: ipsec``, on a charon that has no transport mode: there is none, and so no route counts."""
    with Mesh(Direction.FOUR_OVER_SIX, 0, spare=2) as mesh:
        first, second = (mesh.add(number, overrides={"dataplane": {"guards": guards}}) for number in (1, 2))
        (first.home / "keys").mkdir()
        (first.home / "keys" / "reflector.der").write_bytes(other.spki)
        first.settings["trust"] = {"keys": [{"directory": "keys"}, {"announced": True}]}
        wanted = neighbor(mesh, protection="ipsec", authenticators=[other.authenticator.hex()])
        first.settings["bgp"].update(wanted["bgp"])
        first.write_configuration()
        capture = Capture(mesh.core, "afbr1", "clear")
        arrived = Witness(mesh.rr, "input", f"ip6 saddr {first.endpoint} tcp dport 179")
        mesh.start()
        eventually(lambda: judged(second, "md5", satisfied=True), within=20, what="the other router is up")
        if guards == "full":
            dropped = "bgp_in_clear"
            eventually(
                lambda: first.status().get("data_plane", {}).get("dropped", {}).get(dropped, 0) > 1,
                within=20, what="BGP in the clear is dropped",
            )  # fmt: skip
            holds(lambda: not is_up(first), during=2, what="the session does not come up", every=0.3)
            capture.stop()
            assert arrived.seen == 0
            assert capture.count(f"tcp port 179 and host {first.endpoint}") == 0
        else:
            eventually(lambda: judged(first, "none", satisfied=False), within=20, what="the session is refused")
            (row,) = eventually(lambda: refused(first), within=20, what="the route is refused")
            assert "its SAs do not stand" in row["reason"]
            capture.stop()
            assert arrived.seen > 0
        assert not first.up()
        (row,) = [row for row in first.status()["softwires"] if row["remote"] == mesh.reflector_address]
        assert row["state"] == "refused"
        assert "which has no transport mode" in row["reason"]


def test_an_exabgp_of_somebody_elses_is_looked_at_too() -> None:
    with Mesh(Direction.FOUR_OVER_SIX, 0, spare=2, reflectors=[partial(Bird, ttl_security=True)]) as mesh:
        first, second = mesh.add(1, overrides={"bgp": {"managed": False}}), mesh.add(2)
        for afbr, password in ((first, False), (second, True)):
            afbr.settings["bgp"].update(neighbor(mesh, password=password, gtsm=True)["bgp"])
            afbr.write_configuration()
        mesh.start()
        text, secret = SHIPPED.read_text(), base64.b64encode(mesh.password.encode()).decode()
        for example, ours in (
            ("/usr/bin/softmesh", " ".join(SOFTMESH)),
            ("/run/softmesh/hook.sock", str(first.home / "run" / "hook.sock")),
            ('md5-password "change me";', f'md5-base64 true; md5-password "{secret}"; outgoing-ttl 255;'),
        ):
            assert example in text
            text = text.replace(example, ours)
        (first.home / "exabgp.conf").write_text(text)
        first.namespace.start(
            *(sys.executable, "-m", "exabgp", "server", str(first.home / "exabgp.conf")),
            log=f"{first.namespace.name}/exabgp.log",
            env={"exabgp_daemon_user": "root"},
        )
        eventually(lambda: meshed(mesh.afbrs.values()), within=20, what="every softwire is up")
        assert judged(first, "md5", satisfied=True)
        assert session(first)["protection"]["gtsm"], "by our firewall: ExaBGP was told to send with 255 only"
        no_secret(first, mesh)


@pytest.mark.parametrize(("direction"), [Direction.FOUR_OVER_SIX, Direction.SIX_OVER_FOUR])
def test_gtsm_takes_both_ends(direction: Direction) -> None:
    with Mesh(direction, 0, spare=2, reflectors=[partial(Bird, ttl_security=True)]) as mesh:
        with_it, without = mesh.add(1), mesh.add(2)
        with_it.settings["bgp"].update(neighbor(mesh, gtsm=True)["bgp"])
        with_it.write_configuration()
        mesh.start()
        eventually(lambda: judged(with_it, "md5", satisfied=True), within=20, what="both ends have GTSM")
        assert session(with_it)["protection"]["gtsm"]
        # What comes with less is dropped there, but for an OPEN that BIRD has before it sets this for the connection:
        # so it is BIRD that says whether there is a session.
        assert mesh.bird.established(with_it.endpoint)
        holds(lambda: not mesh.bird.established(without.endpoint), during=2, what="one end has GTSM", every=0.3)


def test_gtsm_of_ours_alone_drops_what_comes_from_further() -> None:
    with Mesh(Direction.SIX_OVER_FOUR, 0, spare=1) as mesh:
        afbr = mesh.add(1)
        afbr.settings["bgp"].update(neighbor(mesh, gtsm=True)["bgp"])
        afbr.write_configuration()
        # As if it were 192 routers away.
        mesh.rr.run("sh", "-c", "echo 64 > /proc/sys/net/ipv4/ip_default_ttl")
        mesh.start()
        eventually(
            lambda: afbr.status().get("data_plane", {}).get("dropped", {}).get("bgp_from_afar", 0) > 0,
            within=20, what="the firewall drops BGP from afar",
        )  # fmt: skip
        holds(lambda: not is_up(afbr), during=2, what="the session does not come up", every=0.3)
