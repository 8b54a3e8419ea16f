"""What every state, rule and failure means and what to do about it, in one place. Pure.

The document docs/reference/states.md is made of it; a test holds it complete.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from softmesh.control.progress import State
from softmesh.mesh.refusal import Rule


@dataclass(frozen=True, slots=True)
class Explanation:
    """What something means, and the remedy; code stands between backquotes."""

    meaning: str
    remedy: str


STATES: Mapping[State, Explanation] = {
    State.UP: Explanation(
        "every CHILD SA it should have is installed and is what was asked for: mode, prefixes, cipher, identity",
        "nothing",
    ),
    State.DEGRADED: Explanation(
        "some CHILD SAs are installed, or it carries less than it should; the reason says what is missing",
        "as the reason says; where prefixes are missing, give both ends the same `admission.max_selectors`",
    ),
    State.CONNECTING: Explanation(
        "no CHILD SA is installed; an attempt is under way or has its time",
        "wait for some seconds; then as the reason says, on the end it speaks of",
    ),
    State.WANTED: Explanation(
        "no CHILD SA is installed; the peer is to initiate, or charon cannot be reached",
        "look at the peer's own `softmesh status`, or at the line `charon` of this one",
    ),
    State.PENDING_KEY: Explanation(
        "no key was found that hashes to an announced authenticator, so charon is told nothing of the peer",
        "bring the peer's public key to where `trust.keys` looks (docs/keys.md), or find out who it is",
    ),
    State.REFUSED: Explanation(
        "policy or the announcement itself forbids it, or what it needs in the kernel could not be made",
        "as the rule below says",
    ),
}

RULES: Mapping[Rule, Explanation] = {
    Rule.OWN: Explanation("our own announcement, reflected; not shown in status", "nothing"),
    Rule.NEIGHBOR: Explanation(
        "from a BGP neighbour that is not admitted", "add it to `admission.neighbors`, or leave it"
    ),
    Rule.SESSION: Explanation(
        "the BGP session is not protected as `protection` says; the reason tells what was found",
        "set `password_file` or `protection: ipsec` at both ends; or `protection: none` to take the risk",
    ),
    Rule.EBGP: Explanation(
        "over eBGP, where tunnels do not count by default (RFC 9012 §11)",
        "`tunnels: true` for a neighbour of the same administration",
    ),
    Rule.FAMILY: Explanation("of a family not in `bgp.families`", "add the family (needs a restart)"),
    Rule.ORIGIN_AS: Explanation(
        "it originates in another AS",
        "add the AS to `admission.origin_as`; a route without an AS_PATH originates in `bgp.asn`",
    ),
    Rule.PREFIX: Explanation(
        "outside `admission.prefixes`, or it overlaps one of ours",
        "widen the list; or find out who announces our prefix",
    ),
    Rule.CAPTURE: Explanation(
        "it would draw our endpoint, a BGP session or its own endpoint into a softwire",
        "the peer must announce more specific prefixes",
    ),
    Rule.WITHDRAWN: Explanation(
        "attribute 23 is malformed (the reason names the fault and the RFC's section)",
        "mend the sender; `softmesh decode` reads the attribute",
    ),
    Rule.NO_TUNNEL: Explanation(
        "neither the route nor the route to its next hop speaks of a tunnel",
        "the sender is no AFBR, or the reflector strips attribute 23, which the reason says if the sender was a "
        "Softmesh (docs/policy.md)",
    ),
    Rule.TUNNEL: Explanation(
        "tunnel type or colour not accepted or not usable; a peer that only transmits",
        "`select.tunnels`, `select.colors`, or mend the sender",
    ),
    Rule.ENDPOINT: Explanation(
        "endpoint outside `admission.endpoints`, special-purpose, or not of the core's family",
        "widen the list, or mend the sender",
    ),
    Rule.AUTHENTICATOR: Explanation(
        "a tunnel without authenticator, which the modes `pinned` and `pinned+pki` require; or with one, in mode "
        "`group-psk`",
        "set `announce.authenticator` at the peer",
    ),
    Rule.KEY: Explanation(
        "state `pending-key`: no key, or no certificate, for an announced authenticator", "see docs/keys.md"
    ),
    Rule.CERTIFICATE: Explanation(
        "the peer's certificate is not for its name, of none of `authorities`, or revoked",
        "a new certificate for the peer",
    ),
    Rule.OWNER: Explanation(
        "another router announced the endpoint first",
        "find out which of the two it belongs to; the other must stop",
    ),
    Rule.ARRIVALS: Explanation(
        "more new endpoints of one router in a minute than `admission.max_arrivals`; the rest wait their turn",
        "nothing, or raise it; or find out who floods",
    ),
    Rule.DAMPENED: Explanation(
        "the endpoint came and went too often (`admission.dampening`); it waits until it stays", "mend what flaps"
    ),
    Rule.STALE: Explanation(
        "its session was lost longer ago than the endpoint's `stale_time`; shown by `explain` only",
        "mend the session, or raise `bgp.stale_time` or `groups[].stale_time`",
    ),
    Rule.SELECTORS: Explanation(
        "we announce no prefix of a family the peer has, or are withdrawn", "`announce.prefixes`, `softmesh announce`"
    ),
    Rule.DATA_PLANE: Explanation(
        "this kernel or this charon cannot have such a softwire; the reason says what is missing",
        "`dataplane` (docs/configuration.md), or do without that type in `select.tunnels`",
    ),
    Rule.MAX_SOFTWIRES: Explanation(
        "the ceiling is reached", "raise `admission.max_softwires`, or find out who fills it"
    ),
    Rule.MAX_SELECTORS: Explanation(
        "not refused but `degraded`: more prefix pairs than `admission.max_selectors`",
        "raise it, or announce fewer, wider prefixes",
    ),
    Rule.NOT_BEST: Explanation("another route to the same prefix is preferred; shown by `explain` only", "nothing"),
}

_PROPOSALS = "the same `charon` proposals, and the same `protection`, at both ends"
_KERNEL = Explanation(
    "the kernel of this end did not take the SA: it lacks the mode or the algorithm, or holds a policy in the way",
    "`softmesh check --host` looks for what is missing; with kernel-libipsec, give the router an address inside each "
    "announced prefix",
)
_DIFFERENT = Explanation(
    "the two ends have different prefixes, commonly for a moment while a change travels; then the reflector withholds "
    "some from one of them",
    "if it stays: compare `announcing` here with the routes there (`softmesh explain`)",
)

FAILURES: Mapping[str, Explanation] = {
    "the peer does not answer": Explanation(
        "no IKE message came back",
        "UDP ports 500 and 4500 between the endpoints; whether charon and `softmesh run` live at the peer",
    ),
    "no route to the endpoint": Explanation(
        "this machine has no route to the peer's endpoint",
        "the core's routing; the endpoint is reached without Softmesh",
    ),
    "the endpoint's address cannot be used": Explanation(
        "charon does not take the address for one", "what the peer announces: `softmesh explain`"
    ),
    "the peer has another key or identity than it announced": Explanation(
        "whoever answers at the endpoint could not sign with the announced key, or calls itself something else",
        "somebody poses as the peer, or its announcement is older than its key: `authenticator` in the peer's own "
        "`softmesh status` must be that of `softmesh explain` here",
    ),
    "the peer answered AUTHENTICATION_FAILED: it does not accept our key, or is not who we expect": Explanation(
        "the peer refused our signature or our identity",
        "the peer's own reason says which: the key it knows of us may be of before a change (docs/keys.md)",
    ),
    "the peer answered NO_PROPOSAL_CHOSEN: it has no connection for us, or no proposal in common": Explanation(
        "the peer has not admitted us, has not heard of us yet, or wants other algorithms",
        f"the peer's own `softmesh status` for our endpoint; then {_PROPOSALS}",
    ),
    "the peer answered TS_UNACCEPTABLE: it does not carry these prefixes (yet)": _DIFFERENT,
    "the peer asks for prefixes that we do not carry (yet)": _DIFFERENT,
    "prefixes differ from the peer's": _DIFFERENT,
    "the peer answered INVALID_KE_PAYLOAD: no key exchange method in common": Explanation(
        "the ends want different key exchanges", f"set {_PROPOSALS}"
    ),
    "the peer answered NO_ADDITIONAL_SAS: it takes no more CHILD SAs": Explanation(
        "the peer's charon is at a limit of its own", "announce fewer, wider prefixes, or raise the limit there"
    ),
    "the peer answered TEMPORARY_FAILURE: it is busy with another exchange": Explanation(
        "both ends changed something at once", "nothing: it is tried again"
    ),
    "no IKE proposal in common with the peer": Explanation(
        "the ends have no algorithms in common for IKE", f"set {_PROPOSALS}"
    ),
    "no proposal for the CHILD SA in common with the peer": Explanation(
        "the ends have no algorithms, or no level of protection, in common", f"set {_PROPOSALS}"
    ),
    "charon does not hold our private key": Explanation(
        "somebody unloaded it (`swanctl --load-creds --clear`)", "nothing: it is loaded again within 10 s"
    ),
    "the kernel refused the SA or its policies": _KERNEL,
    "the kernel refused the SA": _KERNEL,
    "the kernel refused the SA's policies": _KERNEL,
    "the peer's certificate is revoked": Explanation("it is in a revocation list", "a new certificate for the peer"),
    "the revocation list is out of date; put the CA's newest in trust.revocation_lists": Explanation(
        "its time of the next update is past, so it vouches for nobody", "the CA's newest list"
    ),
    "no revocation list tells whether the peer's certificate is good": Explanation(
        "with `trust.revocation_lists` every issuer needs a list", "the lists of root and intermediate authorities"
    ),
    "the peer's certificate is not valid at this time": Explanation(
        "it has run out, or the clock of this machine is wrong", "a new certificate for the peer; the clock"
    ),
    "the peer's certificate is of none of our authorities": Explanation(
        "no chain leads from it to one of `trust.authorities`", "add the authority, or a certificate of one of ours"
    ),
}
"""By the reason, as ``softmesh.charon.failure`` tells it."""

PHRASES: Mapping[str, Explanation] = {
    "the peer proposes …, we accept …": Explanation(
        "no algorithm, or no level of protection, in common; the reason says which", f"set {_PROPOSALS}"
    ),
    "the peer accepts none of our proposals …": Explanation(
        "the same, told by the end that asked", "the peer's own status has both lists"
    ),
    "asked for …, negotiated …": Explanation(
        "charon agreed on something else than was asked for; the SA was ended", "`softmesh check` at both ends"
    ),
    "asked for … address or identity …, found …": Explanation(
        "an IKE_SA with somebody else under a name of ours; it was ended",
        "find out what else uses names that begin with `softmesh-` in this charon",
    ),
    "no CHILD SA for …": Explanation(
        "`degraded`: these pairs of prefixes are missing", "as the rest of the reason says"
    ),
    "the peer initiates, having the lower endpoint": Explanation(
        "it is not our turn (docs/policy.md)", "nothing: we take over if nothing comes"
    ),
    "the peer only transmits (tunnel type 3)": Explanation("it announced no tunnel that could be sent into", "nothing"),
    "initiating, attempt … is under way": Explanation("IKE is at it", "nothing"),
    "attempt … made, no answer accepted yet": Explanation(
        "the next attempt comes by itself, later each time", "as the beginning of the reason says"
    ),
}
"""Reasons with facts in them, by how they begin."""
