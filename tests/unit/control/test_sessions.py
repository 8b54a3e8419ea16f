"""Whether BGP sessions are protected as they must be."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import msgspec
import pytest

from softmesh.bgp.route import Neighbor as Session
from softmesh.bgp.route import SessionState
from softmesh.config import Config
from softmesh.config.values import Admission, Announce, Bgp, IdentityFiles, Neighbor, SessionProtection
from softmesh.control.sessions import Evidence, SessionGuard, Sessions, Verdict, verdicts
from softmesh.dataplane.tcp_diag import TcpSession
from softmesh.errors import OperatorError

OURS, THEIRS = ip_address("192.0.2.1"), ip_address("192.0.2.254")
NAME = str(THEIRS)
UP = {NAME: Session(NAME, 65000, SessionState.UP, 100.0)}
DOWN = {NAME: Session(NAME, 65000, SessionState.DOWN, 200.0, "hold timer")}
AGAIN = {NAME: Session(NAME, 65000, SessionState.UP, 300.0)}
SIGNED, PLAIN, HIDDEN = (TcpSession(OURS, THEIRS, md5) for md5 in (True, False, None))
ELSEWHERE = TcpSession(ip_address("192.0.2.9"), THEIRS, md5=True)
OTHER = TcpSession(OURS, ip_address("192.0.2.77"), md5=True)
AUTHENTICATOR = b"\1" * 20


def configured(
    protection: SessionProtection | None = None, *, managed: bool = True, password: bool = False, gtsm: bool = False
) -> Config:
    """One neighbour."""
    neighbor = Neighbor(
        address=THEIRS,
        password_file=Path("/etc/softmesh/bgp.password") if password else None,
        protection=protection,
        gtsm=gtsm,
        authenticators=(AUTHENTICATOR,) if protection is SessionProtection.IPSEC else (),
    )
    return Config(
        endpoint=OURS,
        bgp=Bgp(managed=managed, asn=65000, neighbors=(neighbor,)),
        announce=Announce(),
        identity=IdentityFiles(private_key=Path("/etc/softmesh/identity.key")),
        admission=Admission(endpoints=(), prefixes=()),
    )


def judged(
    config: Config, evidence: Evidence, sessions: Any = UP, before: Verdict | None = None, now: float = 101.0
) -> Verdict:
    last = {} if before is None else {NAME: before}
    return verdicts(config, sessions, evidence, last, now)[NAME]


def seen(*sockets: TcpSession, **changes: Any) -> Evidence:
    return Evidence(sockets, **changes)


@pytest.mark.parametrize(
    ("wanted", "socket", "kind", "satisfied"),
    [
        (None, SIGNED, SessionGuard.MD5, True),
        (None, PLAIN, SessionGuard.NONE, False),
        (None, HIDDEN, SessionGuard.UNKNOWN, False),
        (SessionProtection.MD5, SIGNED, SessionGuard.MD5, True),
        (SessionProtection.MD5, PLAIN, SessionGuard.NONE, False),
        (SessionProtection.AO, SIGNED, SessionGuard.MD5, False),
        (SessionProtection.AO, PLAIN, SessionGuard.NONE, False),
        (SessionProtection.IPSEC, SIGNED, SessionGuard.NONE, False),
        (SessionProtection.NONE, PLAIN, SessionGuard.NONE, True),
        (SessionProtection.NONE, HIDDEN, SessionGuard.UNKNOWN, True),
        (SessionProtection.NONE, SIGNED, SessionGuard.MD5, True),
    ],
)
def test_what_is_found_against_what_is_wanted(
    wanted: SessionProtection | None, socket: TcpSession, kind: SessionGuard, satisfied: bool
) -> None:
    verdict = judged(configured(wanted), seen(socket, OTHER))
    assert (verdict.protection, verdict.satisfied) == (kind, satisfied)
    assert verdict.reason


@pytest.mark.parametrize(
    ("config", "remedy"),
    [
        (configured(), "set password_file here and the same password there, or write protection: none"),
        (configured(password=True), "restart with password_file"),
        (configured(managed=False), "set md5-password in its neighbor section of ExaBGP"),
    ],
)
def test_an_unsigned_session_comes_with_the_remedy(config: Config, remedy: str) -> None:
    assert remedy in judged(config, seen(PLAIN)).reason


@pytest.mark.parametrize("evidence", [seen(HIDDEN), Evidence(None, "no tcp_diag: modprobe tcp_diag")])
def test_a_password_of_ours_counts_where_the_kernel_tells_nothing(evidence: Evidence) -> None:
    ours = judged(configured(password=True), evidence)
    assert (ours.protection, ours.satisfied) == (SessionGuard.MD5, True)
    assert "password_file is set" in ours.reason
    theirs = judged(configured(password=True, managed=False), evidence)
    assert (theirs.protection, theirs.satisfied) == (SessionGuard.UNKNOWN, False)
    assert "CAP_NET_ADMIN" in theirs.reason or "modprobe" in theirs.reason
    assert not judged(configured(), evidence).satisfied


def test_one_of_two_crossing_connections_without_a_key_is_enough_to_refuse() -> None:
    assert judged(configured(), seen(SIGNED, PLAIN)).protection is SessionGuard.NONE
    assert not judged(configured(), seen(SIGNED, HIDDEN)).satisfied


def test_a_session_never_seen_is_not_protected() -> None:
    for sessions in ({}, DOWN):
        verdict = judged(configured(), seen(SIGNED), sessions)
        assert (verdict.protection, verdict.satisfied) == (SessionGuard.UNKNOWN, False)
    assert judged(configured(SessionProtection.NONE), seen(), {}).satisfied


def test_a_session_that_is_down_keeps_its_verdict() -> None:
    protected = judged(configured(), seen(SIGNED))
    for sessions in ({}, DOWN):
        assert judged(configured(), seen(), sessions, protected, 5000.0) == protected
    unprotected = judged(configured(), seen(PLAIN))
    assert judged(configured(), seen(), DOWN, unprotected) == unprotected


def test_a_session_that_returns_is_judged_anew() -> None:
    protected = judged(configured(), seen(SIGNED))
    assert not judged(configured(), seen(PLAIN), AGAIN, protected, 300.1).satisfied


def test_a_session_found_at_no_socket_is_given_a_moment() -> None:
    protected = judged(configured(), seen(SIGNED))
    assert judged(configured(), seen(OTHER), AGAIN, protected, 304.0) == protected
    lost = judged(configured(), seen(OTHER), AGAIN, protected, 306.0)
    assert (lost.protection, lost.satisfied) == (SessionGuard.UNKNOWN, False)
    assert "same network namespace" in lost.reason
    assert not judged(configured(), seen(OTHER), UP, None, 100.1).satisfied, "and none where nothing was known"


def test_a_session_from_another_address_is_not_this_one() -> None:
    verdict = judged(configured(), seen(ELSEWHERE))
    assert not verdict.satisfied
    assert "from 192.0.2.9 and not from 192.0.2.1: set bgp.local_address" in verdict.reason


def test_what_was_seen_stays_while_the_kernel_cannot_be_asked() -> None:
    protected = judged(configured(), seen(SIGNED))
    mute = Evidence(None, "too many open files")
    assert judged(configured(), mute, UP, protected) == protected
    assert not judged(configured(), mute, AGAIN, protected).satisfied


def test_ipsec_is_where_the_softwire_of_the_session_stands() -> None:
    config = configured(SessionProtection.IPSEC)
    stands = judged(config, seen(PLAIN, ipsec=frozenset({THEIRS})))
    assert (stands.protection, stands.satisfied) == (SessionGuard.IPSEC, True)
    missing = judged(config, seen(PLAIN))
    assert (missing.protection, missing.satisfied) == (SessionGuard.NONE, False)
    assert "softmesh status" in missing.reason


def test_ipsec_that_is_lost_is_made_up_for_by_the_firewall_alone() -> None:
    config = configured(SessionProtection.IPSEC)
    stands = judged(config, seen(ipsec=frozenset({THEIRS})))
    guarded = frozenset({THEIRS})
    assert judged(config, seen(guarded=guarded), UP, stands).satisfied
    assert not judged(config, seen(), UP, stands).satisfied
    assert not judged(config, seen(guarded=guarded), AGAIN, stands).satisfied, "another session"
    assert not judged(config, seen(guarded=guarded), UP, None).satisfied, "which may be older than the firewall's rule"


def test_before_charon_was_looked_at_nothing_is_said_of_ipsec() -> None:
    config = configured(SessionProtection.IPSEC)
    unknown = judged(config, seen(ipsec=None))
    assert (unknown.protection, unknown.satisfied, unknown.since) == (SessionGuard.UNKNOWN, False, None)
    stands = judged(config, seen(ipsec=frozenset({THEIRS})))
    assert judged(config, seen(ipsec=None), UP, stands) == stands


@pytest.mark.parametrize(
    ("config", "near", "gtsm"),
    [
        (configured(gtsm=True), False, True),
        (configured(gtsm=True, managed=False), False, False),
        (configured(gtsm=True, managed=False), True, True),
        (configured(), True, False),
    ],
)
def test_gtsm_is_ours_to_check_or_the_firewalls(config: Config, near: bool, gtsm: bool) -> None:
    assert judged(config, seen(SIGNED, near=frozenset({THEIRS} if near else ()))).gtsm is gtsm


class Kernel:
    """Stands where ``tcp_diag.established`` does: what it tells is a value here."""

    def __init__(self, *sockets: TcpSession) -> None:
        self.sockets: tuple[TcpSession, ...] = sockets
        self.asked = 0
        self.why = ""

    async def __call__(self) -> tuple[TcpSession, ...]:
        self.asked += 1
        if self.why:
            raise OperatorError(self.why)
        return self.sockets


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def kept(config: Config, kernel: Kernel) -> tuple[Sessions, Clock]:
    clock = Clock()
    sessions = Sessions(ask=kernel, monotonic=clock)
    sessions.configure(config)
    return sessions, clock


async def test_the_kernel_is_asked_when_a_session_comes_up_and_now_and_then() -> None:
    kernel = Kernel(SIGNED)
    sessions, clock = kept(configured(), kernel)
    assert set(sessions.unprotected) == {NAME}
    assert await sessions.look(UP)
    assert sessions.unprotected == {}
    assert not await sessions.look(UP)
    assert kernel.asked == 1
    clock.now += 11.0
    assert sessions.look_due <= clock.now
    assert not await sessions.look(UP)
    assert kernel.asked == 2
    assert not await sessions.look(DOWN)
    kernel.sockets = (PLAIN,)
    assert await sessions.look(AGAIN)
    assert "no TCP-MD5 key" in sessions.unprotected[NAME]


async def test_a_key_taken_off_the_socket_is_noticed() -> None:
    kernel = Kernel(SIGNED)
    sessions, clock = kept(configured(), kernel)
    await sessions.look(UP)
    kernel.sockets = (PLAIN,)
    clock.now = sessions.look_due
    assert await sessions.look(UP)
    assert set(sessions.unprotected) == {NAME}


async def test_why_the_kernel_cannot_be_asked_is_told() -> None:
    kernel = Kernel()
    kernel.why = "the kernel does not tell of TCP sockets: No such file or directory: modprobe tcp_diag"
    sessions, _ = kept(configured(), kernel)
    await sessions.look(UP)
    assert sessions.problem == kernel.why
    assert "modprobe tcp_diag" in sessions.unprotected[NAME]


async def test_what_charon_has_not_told_yet_is_awaited() -> None:
    sessions, _ = kept(configured(SessionProtection.IPSEC), Kernel(PLAIN))
    assert sessions.unjudged(UP) == (NAME,)
    assert sessions.unjudged(DOWN) == ()
    await sessions.look(UP, ipsec=None)
    assert sessions.unjudged(UP) == (NAME,)
    assert sessions.look_due < 101.0
    assert await sessions.look(UP, ipsec={THEIRS})
    assert sessions.unjudged(UP) == ()
    assert sessions.unjudged(AGAIN) == (NAME,)
    assert not sessions.unprotected


async def test_another_configuration_of_a_neighbour_begins_anew() -> None:
    sessions, _ = kept(configured(SessionProtection.NONE), Kernel(PLAIN))
    await sessions.look(UP)
    assert sessions.unprotected == {}
    sessions.configure(configured())
    assert set(sessions.unprotected) == {NAME}
    signed, _ = kept(configured(), Kernel(SIGNED))
    await signed.look(UP)
    signed.configure(msgspec.structs.replace(configured(), endpoint=OURS))
    assert signed.unprotected == {}, "unless it says the same"


@pytest.mark.parametrize("asked", [None, SessionProtection.MD5, SessionProtection.IPSEC, SessionProtection.NONE])
def test_what_an_earlier_bridge_found_counts_if_it_is_what_is_asked_for(asked: SessionProtection | None) -> None:
    sessions, _ = kept(configured(asked), Kernel())
    sessions.recall({NAME: "md5", "192.0.2.77": "md5"})
    satisfied = asked is not SessionProtection.IPSEC
    assert (NAME not in sessions.unprotected) == satisfied
    assert set(sessions.verdicts) == {NAME}
    protected = asked in {None, SessionProtection.MD5}
    assert (sessions.verdicts[NAME].protection is SessionGuard.MD5) == protected


async def test_and_no_longer_than_until_the_next_session_is_judged() -> None:
    sessions, _ = kept(configured(), Kernel(PLAIN))
    sessions.recall({NAME: "md5"})
    assert not await sessions.look(DOWN)
    assert sessions.unprotected == {}
    assert sessions.unjudged(UP) == (NAME,)
    assert await sessions.look(UP)
    assert "no TCP-MD5 key" in sessions.unprotected[NAME]


async def test_a_neighbour_the_configuration_does_not_have_is_not_judged() -> None:
    sessions, _ = kept(configured(), Kernel(SIGNED))
    stranger = {**UP, "192.0.2.77": replace(UP[NAME], address="192.0.2.77")}
    await sessions.look(stranger)
    assert set(sessions.verdicts) == {NAME}
    assert sessions.unjudged(stranger) == ()
