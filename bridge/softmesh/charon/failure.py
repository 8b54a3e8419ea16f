"""Why an attempt failed, as far as charon says it.

charon 6.0.3 and later raises ``alert`` events. Before, the only source is its log, which VICI offers as
``log`` events: one for each line at level 1, some 21 for a softwire that comes up. Listening to them made 100
softwires take 0.42 s to come up instead of 0.31 s, so it is for when peers have failed, not for always.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from softmesh.charon.connection import OWNED
from softmesh.charon.listing import text
from softmesh.charon.packet import Section

LOG = "log"
ALERT = "alert"


@dataclass(frozen=True, slots=True)
class Failure:
    """What stood in the way of a connection of ours."""

    connection: str
    reason: str
    """A phrase for status."""


_NOTIFIED = {
    "NO_PROPOSAL_CHOSEN": "it has no connection for us, or no proposal in common",
    "AUTHENTICATION_FAILED": "it does not accept our key, or is not who we expect",
    "TS_UNACCEPTABLE": "it does not carry these prefixes (yet)",
    "INVALID_KE_PAYLOAD": "no key exchange method in common",
    "NO_ADDITIONAL_SAS": "it takes no more CHILD SAs",
    "TEMPORARY_FAILURE": "it is busy with another exchange",
}
"""Notify message types that peers answer with (RFC 7296 §3.10.1), in an operator's words."""

_IMPOSTOR = "the peer has another key or identity than it announced"
_LOGGED: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), reason)
    for pattern, reason in (
        (r"establishing IKE_SA failed, peer not responding", "the peer does not answer"),
        (r"constraint check failed: ", _IMPOSTOR),
        (r"no trusted \w+ public key found for ", _IMPOSTOR),
        (r"IDir '.*' does not match to ", _IMPOSTOR),
        # Often the only sign: "signature validation failed" comes before a success too, where charon holds
        # another key to try.
        (r"generating \w+ (request|response) \d+ \[ N\(AUTH_FAILED\) \]", _IMPOSTOR),
        (r"no private key found for ", "charon does not hold our private key"),
        (r"unable to install (inbound|outbound|IPsec|SAD|SPD)", "the kernel refused the SA or its policies"),
        (r"unable to install .* in kernel", "the kernel refused the SA or its policies"),
        (r"no acceptable traffic selectors found", "the peer asks for prefixes that we do not carry (yet)"),
        (r"no acceptable proposal found", "no proposal in common with the peer"),
        (r"unable to resolve ", "the endpoint's address cannot be used"),
        (r"error writing to socket: Network is unreachable", "no route to the endpoint"),
    )
)
_NOTIFY = re.compile(r"received ([A-Z0-9_]+) (?:notify error|notify, no CHILD_SA built)")

_ALERTS = {
    "peer-auth-failed": _IMPOSTOR,
    "local-auth-failed": f"the peer answered AUTHENTICATION_FAILED: {_NOTIFIED['AUTHENTICATION_FAILED']}",
    "peer-init-unreachable": "the peer does not answer",
    "retransmit-send-timeout": "the peer does not answer",
    "proposal-mismatch-ike": "no IKE proposal in common with the peer",
    "proposal-mismatch-child": "no ESP proposal in common with the peer",
    "ts-mismatch": "prefixes differ from the peer's",
    "install-child-sa-failed": "the kernel refused the SA",
    "install-child-policy-failed": "the kernel refused the SA's policies",
}


def from_event(name: str, message: Section) -> Failure | None:
    """What a ``log`` or ``alert`` event says of a failure; None for everything else."""
    if name == LOG:
        return _from_log(message)
    return _from_alert(message) if name == ALERT else None


def _from_log(message: Section) -> Failure | None:
    connection = text(message.get("ikesa-name"))
    if not connection.startswith(OWNED):
        return None
    line = text(message.get("msg"))
    if notify := _NOTIFY.match(line):
        meaning = _NOTIFIED.get(notify[1])
        return Failure(connection, f"the peer answered {notify[1]}{f': {meaning}' if meaning else ''}")
    return next((Failure(connection, reason) for pattern, reason in _LOGGED if pattern.match(line)), None)


def _from_alert(message: Section) -> Failure | None:
    reason = _ALERTS.get(text(message.get("type")))
    sections = message.get("ike-sa")
    if reason is None or not isinstance(sections, dict):
        return None
    return next((Failure(name, reason) for name in sections if name.startswith(OWNED)), None)
