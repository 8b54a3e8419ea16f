"""Why an attempt failed, as far as charon says it.

charon 6.0.3 and later raises ``alert`` events. Before, the only source is its log, which VICI offers as
``log`` events: one for each line at level 1, some 21 for a softwire that comes up. Listening to them made 100
softwires take 0.42 s to come up instead of 0.31 s, so it is for when peers have failed, not for always.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from softmesh.charon.connection import OWNED, Connection
from softmesh.charon.listing import text
from softmesh.charon.packet import Section
from softmesh.mesh.softwire import Level

LOG = "log"
ALERT = "alert"


class Proposals(enum.StrEnum):
    """What two ends can fail to agree on."""

    IKE = "IKE"
    CHILD = "CHILD"


class Cause(enum.StrEnum):
    """Kinds of failure: what metrics count, where the reason is for people."""

    SILENT = "silent"
    """The peer does not answer."""
    UNREACHABLE = "unreachable"
    """There is no way to the peer's address."""
    AUTHENTICATION = "authentication"
    """Either end does not accept the other's key or identity."""
    CERTIFICATE = "certificate"
    """Of the peer: revoked, not valid now, of no authority of ours, or nobody can tell."""
    PROPOSALS = "proposals"
    """The ends have no proposal in common: other algorithms, or another level of protection."""
    SELECTORS = "selectors"
    """The ends do not agree on the prefixes."""
    KERNEL = "kernel"
    """It refused the SA or its policies."""
    PEER = "peer"
    """The peer answered with another notify: it is busy, or takes no more CHILD SAs."""
    REFUSED = "refused"
    """Our charon refused a command, or lacks our key."""
    UNFIT = "unfit"
    """What was negotiated is not what was asked for."""
    DATA_PLANE = "data-plane"
    """What it needs in the kernel is not there, so that nothing is attempted."""
    UNKNOWN = "unknown"
    """charon has not told why."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What stood in the way of a connection of ours."""

    connection: str
    reason: str
    """A phrase for status."""
    disagreement: Proposals | None = None
    """Set where it is that the ends have no proposal in common."""
    both_known: bool = field(default=False, compare=False)
    """Whether the reason says what either end proposes: only a responder gets to know."""
    cause: Cause = field(default=Cause.UNKNOWN, compare=False)


_NOTIFIED = {
    "NO_PROPOSAL_CHOSEN": "it has no connection for us, or no proposal in common",
    "AUTHENTICATION_FAILED": "it does not accept our key, or is not who we expect",
    "TS_UNACCEPTABLE": "it does not carry these prefixes (yet)",
    "INVALID_KE_PAYLOAD": "no key exchange method in common",
    "NO_ADDITIONAL_SAS": "it takes no more CHILD SAs",
    "TEMPORARY_FAILURE": "it is busy with another exchange",
}
"""Notify message types that peers answer with (RFC 7296 §3.10.1), in an operator's words."""
_BY_NOTIFY = {
    "NO_PROPOSAL_CHOSEN": Cause.PROPOSALS,
    "INVALID_KE_PAYLOAD": Cause.PROPOSALS,
    "AUTHENTICATION_FAILED": Cause.AUTHENTICATION,
    "TS_UNACCEPTABLE": Cause.SELECTORS,
}
"""What kind of failure they tell of; the others: ``Cause.PEER``."""


def _answered(notify: str) -> str:
    meaning = _NOTIFIED.get(notify)
    return f"the peer answered {notify}{f': {meaning}' if meaning else ''}"


_NOT_CARRIED = "the peer asks for prefixes that we do not carry (yet)"
_IMPOSTOR = "the peer has another key or identity than it announced"
_CERTIFICATE = {
    r"certificate was revoked on ": "the peer's certificate is revoked",
    r"\s*crl is stale: ": "the revocation list is out of date; put the CA's newest in trust.revocation_lists",
    r"certificate status is (unknown|not available)": "no revocation list tells whether the peer's certificate is good",
    r"subject certificate invalid ": "the peer's certificate is not valid at this time",
    r"no issuer certificate found for ": "the peer's certificate is of none of our authorities",
}
_LOGGED: tuple[tuple[re.Pattern[str], str, Cause], ...] = tuple(
    (re.compile(pattern), reason, cause)
    for pattern, reason, cause in (
        *((pattern, reason, Cause.CERTIFICATE) for pattern, reason in _CERTIFICATE.items()),
        (r"establishing IKE_SA failed, peer not responding", "the peer does not answer", Cause.SILENT),
        (r"constraint check failed: ", _IMPOSTOR, Cause.AUTHENTICATION),
        (r"no trusted \w+ public key found for ", _IMPOSTOR, Cause.AUTHENTICATION),
        (r"IDir '.*' does not match to ", _IMPOSTOR, Cause.AUTHENTICATION),
        # Often the only sign: "signature validation failed" comes before a success too, where charon holds
        # another key to try.
        (r"generating \w+ (request|response) \d+ \[ N\(AUTH_FAILED\) \]", _IMPOSTOR, Cause.AUTHENTICATION),
        (r"no private key found for ", "charon does not hold our private key", Cause.REFUSED),
        (
            r"unable to install (inbound|outbound|IPsec|SAD|SPD)",
            "the kernel refused the SA or its policies",
            Cause.KERNEL,
        ),
        (r"unable to install .* in kernel", "the kernel refused the SA or its policies", Cause.KERNEL),
        (r"no acceptable traffic selectors found", _NOT_CARRIED, Cause.SELECTORS),
        # As a responder.
        (r"traffic selectors .* === .* unacceptable", _NOT_CARRIED, Cause.SELECTORS),
        (r"unable to resolve ", "the endpoint's address cannot be used", Cause.UNREACHABLE),
        (r"error writing to socket: Network is unreachable", "no route to the endpoint", Cause.UNREACHABLE),
    )
)
_RECEIVED = re.compile(r"received proposals: (.+)")
_CONFIGURED = re.compile(r"configured proposals: (.+)")
_CONCLUSIONS = {
    "received proposals unacceptable": Proposals.IKE,
    "no acceptable proposal found": Proposals.CHILD,
}
"""What a responder's log says after it has listed both."""
_INITIATING = re.compile(r"(\S+) is initiating an IKE_SA")
_AGREED = "selected proposal: IKE:"
_MAX_NEGOTIATIONS = 1024
_NO_CHILD = "notify, no CHILD_SA built"
_NOTIFY = re.compile(rf"received ([A-Z0-9_]+) (notify error|{_NO_CHILD})")

_ALERTS = {
    "peer-auth-failed": (_IMPOSTOR, Cause.AUTHENTICATION),
    "local-auth-failed": (_answered("AUTHENTICATION_FAILED"), Cause.AUTHENTICATION),
    "peer-init-unreachable": ("the peer does not answer", Cause.SILENT),
    "retransmit-send-timeout": ("the peer does not answer", Cause.SILENT),
    "proposal-mismatch-ike": ("no IKE proposal in common with the peer", Cause.PROPOSALS),
    "proposal-mismatch-child": ("no proposal for the CHILD SA in common with the peer", Cause.PROPOSALS),
    "ts-mismatch": ("prefixes differ from the peer's", Cause.SELECTORS),
    "install-child-sa-failed": ("the kernel refused the SA", Cause.KERNEL),
    "install-child-policy-failed": ("the kernel refused the SA's policies", Cause.KERNEL),
}
REASONS = frozenset(
    {*map(_answered, _NOTIFIED), *(reason for _, reason, _ in _LOGGED), *(reason for reason, _ in _ALERTS.values())},
)
"""Every reason there is, but for those that list what the ends propose, and for what charon answers a command."""
_UNNAMED = "(unnamed)"
"""What charon calls an IKE_SA for which it has not chosen a connection."""
_ALERTED_DISAGREEMENT = {"proposal-mismatch-ike": Proposals.IKE, "proposal-mismatch-child": Proposals.CHILD}


@dataclass(slots=True)
class _Negotiation:
    host: str = ""
    received: str = ""
    configured: str = ""


class Failures:
    """Why the last attempt of each connection failed, gathered from what charon says."""

    def __init__(self) -> None:
        self._told: dict[str, Failure] = {}
        self._negotiations: dict[str, _Negotiation] = {}
        """By the IKE_SA's number: a disagreement takes three lines to tell."""

    @property
    def told(self) -> Mapping[str, Failure]:
        """By the connection's name."""
        return self._told

    def hear(self, event: str, message: Section, loaded: Collection[str]) -> None:
        """Take in a ``log`` or ``alert`` event; ``loaded`` are the names of the connections charon has."""
        if event == LOG and (found := self._disagreement(message, loaded)):
            self._told.update((failure.connection, failure) for failure in found)
            return
        for failure in from_event(event, message, loaded):
            held = self._told.get(failure.connection)
            # Either end initiates at times: what one learns as a responder is the better answer for both.
            known = held is not None and held.both_known and held.disagreement is failure.disagreement
            # What is wrong with a certificate comes first, and that the peer is not authenticated, in the end.
            known |= held is not None and held.reason in _CERTIFICATE.values() and failure.reason == _IMPOSTOR
            if not known:
                self._told[failure.connection] = failure

    def note(self, connection: str, reason: str) -> None:
        """Take in what charon said to a command."""
        self._told[connection] = Failure(connection, reason, cause=Cause.REFUSED)

    def forget(self, connection: str) -> None:
        """A connection has changed or works: what was told of it counts no more."""
        self._told.pop(connection, None)

    def clear(self) -> None:
        """Another charon: nothing that was told counts any more."""
        self._told.clear()
        self._negotiations.clear()

    def _disagreement(self, message: Section, loaded: Collection[str]) -> list[Failure]:
        number, line = text(message.get("ikesa-uniqueid")), text(message.get("msg"))
        if initiating := _INITIATING.match(line):
            if len(self._negotiations) >= _MAX_NEGOTIATIONS:
                self._negotiations.clear()
            self._negotiations[number] = _Negotiation(host=initiating[1])
        elif line.startswith(_AGREED):
            self._negotiations.pop(number, None)
        elif received := _RECEIVED.match(line):
            self._negotiations.setdefault(number, _Negotiation()).received = received[1]
        elif configured := _CONFIGURED.match(line):
            self._negotiations.setdefault(number, _Negotiation()).configured = configured[1]
        elif about := _CONCLUSIONS.get(line):
            negotiation = self._negotiations.pop(number, None)
            if negotiation is None or not (negotiation.received or negotiation.configured):
                return []
            names = _meant(text(message.get("ikesa-name")), negotiation.host, loaded)
            reason = _compared(about, negotiation)
            both_known = bool(negotiation.received and negotiation.configured)
            return [Failure(name, reason, about, both_known=both_known, cause=Cause.PROPOSALS) for name in names]
        return []


def from_event(name: str, message: Section, loaded: Collection[str] = ()) -> list[Failure]:
    """What a ``log`` or ``alert`` event says of failures all by itself; nothing, for everything else.

    ``loaded`` are the names of the connections charon has.
    """
    if name == LOG:
        failure = _from_log(message)
        return [] if failure is None else [failure]
    return _from_alert(message, loaded) if name == ALERT else []


def _meant(name: str, host: str, loaded: Collection[str]) -> list[str]:
    """The connections of ours that an IKE_SA of this name is about, its peer being at this address."""
    # Before it knows the identities charon has not chosen a connection: all with the address are meant.
    if name == _UNNAMED:
        return [name for name in loaded if name.startswith(f"{OWNED}{host}-")]
    return [name] if name.startswith(OWNED) else []


def explain(failure: Failure, connection: Connection) -> str:
    """The reason, with what we proposed where the peer only said that it takes none of it."""
    if failure.disagreement is None or failure.both_known:
        return failure.reason
    if failure.disagreement is Proposals.IKE:
        return f"{failure.reason}; our IKE proposals: {', '.join(connection.ike_proposals)}"
    offers = {(", ".join(child.proposals), child.level) for child in connection.children}
    ours = " or ".join(f"{proposals} (level {level})" for proposals, level in sorted(offers))
    return (
        f"the peer accepts none of our proposals {ours}: it has another level of protection, or its kernel lacks the "
        "algorithm; its own status says which"
    )


def _from_log(message: Section) -> Failure | None:
    connection = text(message.get("ikesa-name"))
    if not connection.startswith(OWNED):
        return None
    line = text(message.get("msg"))
    if notify := _NOTIFY.match(line):
        disagreement = None
        if notify[1] == "NO_PROPOSAL_CHOSEN":
            disagreement = Proposals.CHILD if notify[2] == _NO_CHILD else Proposals.IKE
        return Failure(connection, _answered(notify[1]), disagreement, cause=_BY_NOTIFY.get(notify[1], Cause.PEER))
    told = ((reason, cause) for pattern, reason, cause in _LOGGED if pattern.match(line))
    return next((Failure(connection, reason, cause=cause) for reason, cause in told), None)


def _from_alert(message: Section, loaded: Collection[str]) -> list[Failure]:
    kind = text(message.get("type"))
    alerted = _ALERTS.get(kind)
    sections = message.get("ike-sa")
    if alerted is None or not isinstance(sections, dict):
        return []
    reason, cause = alerted
    return [
        Failure(connection, reason, _ALERTED_DISAGREEMENT.get(kind), cause=cause)
        for name, ike_sa in sections.items()
        if isinstance(ike_sa, dict)
        for connection in _meant(name, text(ike_sa.get("remote-host")), loaded)
    ]


def _compared(about: Proposals, negotiation: _Negotiation) -> str:
    theirs, ours = (listed.replace("/NO_EXT_SEQ", "") for listed in (negotiation.received, negotiation.configured))
    # Of the lines of its log charon was seen to leave out one or the other; the next attempt brings it.
    if not ours:
        return f"the peer proposes {theirs}, which we do not accept"
    if not theirs:
        return f"the peer does not propose what we accept, {ours}"
    reason = f"the peer proposes {theirs}, we accept {ours}"
    if about is Proposals.IKE:
        return f"{reason}: no IKE proposal in common"
    there, here = _levels(theirs), _levels(ours)
    if there & here:
        return f"{reason}: no algorithm in common"
    return (
        f"{reason}: the two ends have different levels of protection, "
        f"{' or '.join(sorted(there))} there and {' or '.join(sorted(here))} here"
    )


def _levels(proposals: str) -> frozenset[Level]:
    return frozenset(map(_level, proposals.split(", ")))


def _level(proposal: str) -> Level:
    if proposal.startswith("AH:"):
        return Level.AH
    return Level.INTEGRITY if proposal.startswith("ESP:NULL") else Level.ENCRYPT
