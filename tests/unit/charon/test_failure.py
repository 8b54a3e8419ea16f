from __future__ import annotations

import pytest

from softmesh.charon.failure import Failure, from_event
from softmesh.charon.packet import Section
from tests.unit.charon.examples import CONNECTION


def logged(line: str, connection: str = CONNECTION) -> Section:
    return {"group": b"IKE", "level": b"1", "ikesa-name": connection.encode(), "msg": line.encode()}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (
            "received NO_PROPOSAL_CHOSEN notify error",
            "the peer answered NO_PROPOSAL_CHOSEN: it has no connection",
        ),
        (
            "received AUTHENTICATION_FAILED notify error",
            "the peer answered AUTHENTICATION_FAILED: it does not",
        ),
        (
            "received TS_UNACCEPTABLE notify, no CHILD_SA built",
            "the peer answered TS_UNACCEPTABLE: it does not carry",
        ),
        ("received SOMETHING_NEW notify error", "the peer answered SOMETHING_NEW"),
        ("establishing IKE_SA failed, peer not responding", "the peer does not answer"),
        (
            "constraint check failed: peer not authenticated with peer cert '52:e0:c5'",
            "the peer has another key or identity than it announced",
        ),
        (
            "generating INFORMATIONAL request 2 [ N(AUTH_FAILED) ]",
            "the peer has another key or identity than it announced",
        ),
    ],
)
def test_recorded_lines_of_charon_5_9_8(line: str, reason: str) -> None:
    failure = from_event("log", logged(line))
    assert failure is not None
    assert failure.connection == CONNECTION
    assert failure.reason.startswith(reason)


@pytest.mark.parametrize(
    "line",
    [
        "signature validation failed, looking for another key",
        "retransmit 1 of request with message ID 0",
        "failed to establish CHILD_SA, keeping IKE_SA",
        "IKE_SA softmesh-x[6] established between 2001:db8:f::1[a]...2001:db8:f::2[b]",
        "",
    ],
)
def test_other_lines_say_nothing(line: str) -> None:
    assert from_event("log", logged(line)) is None


def test_what_is_not_ours_is_not_heard() -> None:
    assert from_event("log", logged("received AUTHENTICATION_FAILED notify error", "road-warrior")) is None
    assert from_event("log", {"group": b"CFG", "msg": b"received AUTHENTICATION_FAILED notify error"}) is None
    assert from_event("alert", {"type": b"peer-auth-failed", "ike-sa": {"road-warrior": {}}}) is None


def test_alerts_name_the_connection_and_the_reason() -> None:
    alert: Section = {"type": b"peer-auth-failed", "ike-sa": {CONNECTION: {"uniqueid": b"1"}}}
    assert from_event("alert", alert) == Failure(CONNECTION, "the peer has another key or identity than it announced")
    assert from_event("alert", {**alert, "type": b"retransmit-send"}) is None
    assert from_event("alert", {"type": b"peer-auth-failed"}) is None
    assert from_event("ike-updown", alert) is None
