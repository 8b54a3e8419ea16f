"""Every event the bridge logs: its level, its keys, and when it is told.

docs/reference/log-events.md is made of this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from softmesh.config.values import LogLevel

SEVERITY = {LogLevel.DEBUG: 7, LogLevel.INFO: 6, LogLevel.WARNING: 4, LogLevel.ERROR: 3}
"""As syslog counts (RFC 5424 §6.2.1)."""


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One kind of line."""

    level: LogLevel
    when: str
    keys: Mapping[str, str] = field(default_factory=dict)
    """All that its lines have besides ``event``, ``level`` and ``timestamp``, each with what it says."""

    @property
    def streamed(self) -> bool:
        """Whether it is an event for ``softmesh events``, and not only a line for whoever debugs."""
        return SEVERITY[self.level] <= SEVERITY[LogLevel.INFO]


_SOFTWIRE = {"softwire": "key of the softwire: `REMOTE/TYPE`, with a colour `REMOTE/TYPE/COLOUR`"}
_SPIS = {
    "spi_in": "SPIs of the CHILD SAs that carry it now, hex, inbound",
    "spi_out": "the same outbound, in the same order",
}
_SESSION = {
    "neighbor": "address of the BGP neighbour",
    "protection": "what protects the session",
    "reason": "how that is known",
}
_INFO, _WARNING, _DEBUG = LogLevel.INFO, LogLevel.WARNING, LogLevel.DEBUG

EVENTS: Mapping[str, LogEvent] = {
    # The bridge.
    "started": LogEvent(
        _INFO,
        "the bridge begins",
        {
            "version": "of Softmesh",
            "endpoint": "our address in the core",
            "managed_exabgp": "whether ExaBGP is its child",
        },
    ),
    "stopped": LogEvent(_INFO, "the bridge ends; softwires stay as they are"),
    "configuration": LogEvent(_WARNING, "mesh.yaml was read and something in it is doubtful", {"problem": "what"}),
    "configuration taken over": LogEvent(_INFO, "mesh.yaml was read again after SIGHUP or `softmesh reload`"),
    "configuration not taken over": LogEvent(
        _WARNING,
        "mesh.yaml was read again after SIGHUP or `softmesh reload` and cannot be used",
        {"problem": "the first error in it"},
    ),
    "restart needed": LogEvent(
        _WARNING, "a reload changed what is only read at the start", {"problem": "what that is"}
    ),
    "announcing": LogEvent(_INFO, "`softmesh announce`"),
    "withdrawn": LogEvent(_INFO, "`softmesh withdraw`"),
    "command refused": LogEvent(
        _WARNING, "somebody asked on the control socket who may not", {"problem": "who, and who may"}
    ),
    "problem": LogEvent(
        _WARNING,
        "an entry of status's `problems` appears or changes",
        {"subject": "what it is about: `charon`, `hook`, `trust`, …", "problem": "what is wrong, and the remedy"},
    ),
    "problem over": LogEvent(_INFO, "such an entry goes", {"subject": "as of the `problem`"}),
    "keys changed": LogEvent(
        _INFO, "a file for trust or a key directory changed", {"keys": "how many keys the directories hold"}
    ),
    "library": LogEvent(
        _WARNING,
        "a library has something to say",
        {"logger": "its name", "message": "what it says", "traceback": "of a Python exception, else empty"},
    ),
    # BGP.
    "neighbor": LogEvent(
        _INFO,
        "the session with a BGP neighbour comes up or goes down",
        {
            "neighbor": "its address",
            "state": "`up`, `down`, or `unknown` where the hook was started anew",
            "was": "state before; null at first",
            "reason": "why it is down, in ExaBGP's words",
        },
    ),
    "BGP session": LogEvent(_INFO, "what protects a BGP session is known, and is enough", _SESSION),
    "BGP session unprotected": LogEvent(
        _WARNING, "nothing protects a BGP session, and the configuration puts up with it", _SESSION
    ),
    "attribute 23 is tried again": LogEvent(
        _INFO, "`softmesh announce --attribute NEIGHBOR`", {"neighbor": "the neighbour that refused it before"}
    ),
    "exabgp ended": LogEvent(
        _WARNING, "a managed ExaBGP has ended", {"problem": "its status, its last words, and when it is started again"}
    ),
    "exabgp": LogEvent(_DEBUG, "a managed ExaBGP prints a line", {"line": "the line, without passwords"}),
    "hook": LogEvent(
        _WARNING,
        "the hook of a managed ExaBGP has something to say (of one of your own, it is in that ExaBGP's log)",
        {"line": "what it says"},
    ),
    # Softwires.
    "softwire": LogEvent(
        _INFO,
        "a softwire that is or was wanted enters a state; `gone`: nothing asks for it any more",
        {
            **_SOFTWIRE,
            "remote": "the peer's endpoint",
            "type": "tunnel type by its IANA name",
            "color": "colour or null",
            "state": "the state it enters, or `gone`",
            "was": "the state it leaves; null for a new one",
            "reason": "why, as status has it; empty where all is well",
            **_SPIS,
        },
    ),
    "softwire SAs": LogEvent(
        _INFO,
        "a softwire is carried by other CHILD SAs than before, its state being the same: rekeyed, or made anew after a "
        "key or a setting has changed",
        {**_SOFTWIRE, **_SPIS, "closed": "inbound SPIs that carry it no more"},
    ),
    "softwire trust": LogEvent(
        _INFO,
        "the peer of a softwire may authenticate otherwise than before: a key rollover, or a change of policy",
        {
            **_SOFTWIRE,
            "authenticators": "SHA-1 hashes of the keys that are accepted now, hex",
            "key_from": "where each credential is from",
        },
    ),
    "softwire stale": LogEvent(
        _INFO,
        "BGP is silent about a softwire that stands: its sessions are lost, or did not announce it again; or that is "
        "over",
        {**_SOFTWIRE, "stale": "true or false", "kept_for": "seconds for which it is kept; null where not stale"},
    ),
    "attempt failed": LogEvent(
        _INFO,
        "an attempt to set up a softwire failed for another reason than the one before; not told of each",
        {**_SOFTWIRE, "attempts": "attempts since it was last complete", "reason": "what charon or the peer says"},
    ),
    "action": LogEvent(
        _DEBUG,
        "something was done to charon; once for each softwire it concerns",
        {
            "softwire": "key of the softwire, or null where it concerns none, or one of before the bridge's start",
            "action": "as `softmesh plan` prints it",
            "refused": "what charon said against it; empty where it did it",
        },
    ),
    # Beside a route reflector.
    "mesh observed": LogEvent(
        _INFO,
        "`softmesh observe --http` sees a mesh that is otherwise than before",
        {
            "afbrs": "routers that announce tunnels",
            "mismatched": "how many of these announce something wrong",
            "possible": "pairs that could build a softwire",
            "impossible": "pairs that could not",
        },
    ),
}

STREAM_ONLY: Mapping[str, LogEvent] = {
    "gap": LogEvent(
        _WARNING,
        "whoever follows was too slow, or asked for events that are not kept any more",
        {"missed": "how many are lost; null where it asked for those of another life of the bridge"},
    )
}
"""What `softmesh events` tells besides."""
