from __future__ import annotations

import pytest

from softmesh.charon.failure import Cause, Failure, Failures, Proposals, explain, from_event
from softmesh.charon.packet import Section
from softmesh.charon.render import render
from softmesh.mesh.softwire import Level, Profile
from tests.unit.charon.examples import CONNECTION, OWN, REMOTE, softwire


def logged(line: str, connection: str = CONNECTION, number: int = 7) -> Section:
    return {
        "group": b"IKE", "level": b"1", "ikesa-name": connection.encode(), "ikesa-uniqueid": str(number).encode(),
        "msg": line.encode(),
    }  # fmt: skip


def told(failures: Failures, *lines: str, connection: str = CONNECTION, loaded: tuple[str, ...] = (CONNECTION,)) -> str:
    """What is known of the connection after these lines."""
    for line in lines:
        failures.hear("log", logged(line, connection), loaded)
    failure = failures.told.get(CONNECTION)
    return failure.reason if failure else ""


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
            "traffic selectors 10.2.0.0/24 === 10.1.0.0/24 unacceptable",
            "the peer asks for prefixes that we do not carry (yet)",
        ),
        (
            "generating INFORMATIONAL request 2 [ N(AUTH_FAILED) ]",
            "the peer has another key or identity than it announced",
        ),
    ],
)
def test_recorded_lines_of_charon_5_9_8(line: str, reason: str) -> None:
    (failure,) = from_event("log", logged(line))
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
    assert from_event("log", logged(line)) == []


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("received NO_PROPOSAL_CHOSEN notify error", Cause.PROPOSALS),
        ("received NO_PROPOSAL_CHOSEN notify, no CHILD_SA built", Cause.PROPOSALS),
        ("received AUTHENTICATION_FAILED notify error", Cause.AUTHENTICATION),
        ("received TS_UNACCEPTABLE notify, no CHILD_SA built", Cause.SELECTORS),
        ("received TEMPORARY_FAILURE notify error", Cause.PEER),
        ("received SOMETHING_NEW notify error", Cause.PEER),
        ("establishing IKE_SA failed, peer not responding", Cause.SILENT),
        ("certificate was revoked on Jan 01 00:00:00 UTC 2026, reason: unspecified", Cause.CERTIFICATE),
        ("constraint check failed: peer not authenticated with peer cert '52:e0:c5'", Cause.AUTHENTICATION),
        ("no private key found for '52:e0:c5'", Cause.REFUSED),
        ("unable to install inbound and outbound IPsec SA (SAD) in kernel", Cause.KERNEL),
        ("no acceptable traffic selectors found", Cause.SELECTORS),
        ("error writing to socket: Network is unreachable", Cause.UNREACHABLE),
    ],
)
def test_kinds_of_failure(line: str, cause: Cause) -> None:
    (failure,) = from_event("log", logged(line))
    assert failure.cause is cause


def test_other_sources_have_kinds_too() -> None:
    alert: Section = {"type": b"retransmit-send-timeout", "ike-sa": {CONNECTION: {"remote-host": REMOTE.encode()}}}
    (failure,) = from_event("alert", alert)
    assert failure.cause is Cause.SILENT
    failures = Failures()
    failures.note(CONNECTION, "charon refused load-conn: no")
    assert failures.told[CONNECTION].cause is Cause.REFUSED
    told(failures, "received proposals: IKE:A", "configured proposals: IKE:B", "received proposals unacceptable")
    assert failures.told[CONNECTION].cause is Cause.PROPOSALS


def test_what_is_not_ours_is_not_heard() -> None:
    assert from_event("log", logged("received AUTHENTICATION_FAILED notify error", "road-warrior")) == []
    assert from_event("log", {"group": b"CFG", "msg": b"received AUTHENTICATION_FAILED notify error"}) == []
    assert from_event("alert", {"type": b"peer-auth-failed", "ike-sa": {"road-warrior": {}}}) == []


def test_alerts_name_the_connection_and_the_reason() -> None:
    alert: Section = {"type": b"peer-auth-failed", "ike-sa": {CONNECTION: {"uniqueid": b"1"}}}
    told = "the peer has another key or identity than it announced"
    assert from_event("alert", alert) == [Failure(CONNECTION, told)]
    assert from_event("alert", {**alert, "type": b"retransmit-send"}) == []
    assert from_event("alert", {"type": b"peer-auth-failed"}) == []
    assert from_event("ike-updown", alert) == []


ESP = "ESP:AES_GCM_16_256/CURVE_25519/NO_EXT_SEQ"
NULL = "ESP:NULL/HMAC_SHA2_256_128/CURVE_25519/NO_EXT_SEQ"
GMAC = "ESP:NULL_AES_GMAC_256/CURVE_25519/NO_EXT_SEQ"
AH = "AH:HMAC_SHA2_256_128/CURVE_25519/NO_EXT_SEQ"


def disagreement(received: str, configured: str) -> tuple[str, str, str]:
    """What a responder's charon 5.9.8 logs (recorded)."""
    return (
        f"received proposals: {received}",
        f"configured proposals: {configured}",
        "no acceptable proposal found",
    )


@pytest.mark.parametrize(
    ("received", "configured", "levels"),
    [
        (ESP, AH, "encrypt there and ah here"),
        (NULL, ESP, "integrity there and encrypt here"),
        (f"{GMAC}, {NULL}", AH, "integrity there and ah here"),
    ],
)
def test_responder_says_which_levels_differ(received: str, configured: str, levels: str) -> None:
    reason = told(Failures(), *disagreement(received, configured))
    theirs, ours = received.replace("/NO_EXT_SEQ", ""), configured.replace("/NO_EXT_SEQ", "")
    assert reason == (
        f"the peer proposes {theirs}, we accept {ours}: the two ends have different levels of protection, {levels}"
    )


def test_responder_does_not_blame_the_level_for_another_cipher() -> None:
    reason = told(Failures(), *disagreement(ESP, ESP.replace("256", "128")))
    assert reason.endswith("we accept ESP:AES_GCM_16_128/CURVE_25519: no algorithm in common")


def test_what_a_responder_learned_is_not_overwritten_by_what_an_initiator_is_told() -> None:
    failures = Failures()
    poor = told(failures, "received NO_PROPOSAL_CHOSEN notify, no CHILD_SA built")
    assert poor.startswith("the peer answered NO_PROPOSAL_CHOSEN")
    rich = told(failures, *disagreement(ESP, AH))
    assert rich.startswith("the peer proposes ESP")
    assert told(failures, "received NO_PROPOSAL_CHOSEN notify, no CHILD_SA built") == rich
    # Another matter, and news of the same, count.
    assert told(failures, "received TS_UNACCEPTABLE notify, no CHILD_SA built").startswith("the peer answered TS_UNACC")
    assert "integrity there" in told(failures, *disagreement(NULL, AH))
    failures.forget(CONNECTION)
    assert told(failures) == ""


def test_alert_does_not_overwrite_it_either() -> None:
    failures = Failures()
    rich = told(failures, *disagreement(ESP, AH))
    alert: Section = {"type": b"proposal-mismatch-child", "ike-sa": {CONNECTION: {}}}
    failures.hear("alert", alert, (CONNECTION,))
    assert told(failures) == rich


def test_alert_of_an_ike_sa_without_a_name_is_about_the_connections_with_that_peer() -> None:
    """As charon 6.1.0 sends it: a responder has not chosen a connection yet."""
    failures = Failures()
    alert: Section = {"type": b"proposal-mismatch-ike", "ike-sa": {"(unnamed)": {"remote-host": REMOTE.encode()}}}
    other = f"softmesh-{REMOTE}0-1"
    failures.hear("alert", alert, (other, CONNECTION))
    assert told(failures) == "no IKE proposal in common with the peer"
    assert other not in failures.told
    failures.clear()
    failures.hear("alert", {**alert, "ike-sa": {"road-warrior": {"remote-host": REMOTE.encode()}}}, (CONNECTION,))
    assert told(failures) == ""


def test_negotiations_side_by_side_are_kept_apart() -> None:
    failures = Failures()
    first, second = disagreement(ESP, AH), disagreement(NULL, AH)
    for lines in zip(first, second, strict=True):
        for number, line in enumerate(lines):
            failures.hear("log", logged(line, f"{CONNECTION}{number}", number), ())
    reasons = [failures.told[f"{CONNECTION}{number}"].reason for number in (0, 1)]
    assert "encrypt there" in reasons[0]
    assert "integrity there" in reasons[1]


IKE_LINES = (
    f"{REMOTE} is initiating an IKE_SA",
    "received proposals: IKE:AES_GCM_16_256/PRF_HMAC_SHA2_384/CURVE_25519",
    "configured proposals: IKE:AES_CBC_128/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_2048",
    "received proposals unacceptable",
)
"""Recorded: the IKE_SA has no connection yet."""


def test_ike_proposals_that_differ_are_told_of_the_connections_with_that_peer() -> None:
    failures = Failures()
    other = f"softmesh-{REMOTE}0-1"
    reason = told(failures, *IKE_LINES, connection="(unnamed)", loaded=(other, CONNECTION))
    assert reason == (
        "the peer proposes IKE:AES_GCM_16_256/PRF_HMAC_SHA2_384/CURVE_25519, we accept "
        "IKE:AES_CBC_128/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_2048: no IKE proposal in common"
    )
    assert other not in failures.told
    assert told(failures, "received NO_PROPOSAL_CHOSEN notify error") == reason


def test_listener_that_came_late_guesses_nothing() -> None:
    failures = Failures()
    assert told(failures, *IKE_LINES[1:], connection="(unnamed)") == ""
    assert told(failures, "no acceptable proposal found") == ""


def test_initiator_says_what_it_proposed() -> None:
    profile = Profile(Level.AH, ("aes256gcm16-prfsha384-x25519",), ("sha512-x25519", "sha256-x25519"))
    (connection,) = render(softwire(profile=profile), OWN)
    (child,) = from_event("log", logged("received NO_PROPOSAL_CHOSEN notify, no CHILD_SA built"))
    assert child.disagreement is Proposals.CHILD
    assert explain(child, connection) == (
        "the peer accepts none of our proposals sha512-x25519, sha256-x25519 (level ah): it has another level of "
        "protection, or its kernel lacks the algorithm; its own status says which"
    )
    (ike,) = from_event("log", logged("received NO_PROPOSAL_CHOSEN notify error"))
    assert explain(ike, connection).endswith("; our IKE proposals: aes256gcm16-prfsha384-x25519")
    other = Failure(CONNECTION, "the peer does not answer")
    assert explain(other, connection) == "the peer does not answer"


def test_memory_of_negotiations_is_bounded() -> None:
    failures = Failures()
    for number in range(5000):
        failures.hear("log", logged("2001:db8::1 is initiating an IKE_SA", "(unnamed)", number), ())
    assert len(failures._negotiations) <= 1024


def test_a_line_that_charon_left_out_leaves_no_gap_in_the_reason() -> None:
    failures = Failures()
    received, configured, conclusion = disagreement(ESP, NULL)
    assert told(failures, configured, conclusion).startswith("the peer does not propose what we accept, ESP:NULL/")
    assert told(failures, received, conclusion).endswith(", which we do not accept")
    assert told(failures, received, configured, conclusion).endswith("encrypt there and integrity here")
