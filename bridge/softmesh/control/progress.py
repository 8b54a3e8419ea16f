"""What the planner remembers of a softwire from one pass to the next: attempts and times, never facts about charon."""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass

from softmesh.charon.failure import Cause
from softmesh.mesh.refusal import Refusal, Rule
from softmesh.mesh.softwire import SoftwireId


class State(enum.StrEnum):
    """Where a softwire stands; every softwire has one, and a reason beside it."""

    UP = "up"
    """Every CHILD SA it should have is installed and is what was asked for."""
    DEGRADED = "degraded"
    """Some are."""
    CONNECTING = "connecting"
    """None is; an attempt is under way or has its time."""
    WANTED = "wanted"
    """None is; the peer is to initiate, or charon cannot be reached."""
    PENDING_KEY = "pending-key"
    """No key was found that hashes to an advertised authenticator."""
    REFUSED = "refused"
    """Policy or the announcement itself forbids it, or what it needs in the kernel could not be made."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a wanted softwire has come. Times are monotonic seconds."""

    state: State
    since: float
    """When it entered this state."""
    reason: str = ""
    failure: str = ""
    """What went wrong last, since it was last up."""
    cause: Cause | None = None
    """What kind of failure that was."""
    attempts: int = 0
    """Since it was last up."""
    next_attempt: float = 0.0
    missing_since: float | None = None
    """Since when a CHILD SA it should have has been absent; None while none is."""
    surplus_since: float | None = None
    """Since when there has been more than one SA for the same traffic."""
    moves: int = 0
    """Attempts in a row to replace SAs made by a key of ours that we do not prefer any more."""
    next_move: float = 0.0
    superseded_since: float | None = None
    """Since when SAs of an earlier configuration have stood in for what it lacks; None while none does."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How eagerly SAs are set up; seconds, save for the ceiling."""

    retry_initial: float = 0.25
    retry_max: float = 60.0
    takeover: float = 5.0
    """How long the end that is not elected waits before it initiates all the same."""
    max_half_open: int = 256
    """IKE_SAs being set up at once, over all peers."""
    surplus_grace: float = 3.0
    """How long surplus SAs are left alone: a rekeying has two for a moment."""
    succession: float = 30.0
    """How long an SA of a superseded configuration may outlive it while its successor comes up."""
    settling: float = 0.5
    """How long a new SA stands before it takes over: the peer has its half, and its own routes, a moment later."""
    patience: float = 1.0
    """How long an SA may be missing before charon's log is listened to for the reason, which is not cheap."""
    poll: float = 0.25
    """How often an attempt under way is looked at: its failure raises no event."""


def pending_state(refusal: Refusal) -> State:
    """Where a softwire stands that is asked for and not let in."""
    return State.PENDING_KEY if refusal.rule is Rule.KEY else State.REFUSED


def elected(wire: SoftwireId) -> bool:
    """Whether our end initiates: the numerically lower endpoint does, so that one end does at once and not both."""
    return int(wire.local) < int(wire.remote)


def backoff(wire: SoftwireId, attempts: int, pace: Pace) -> float:
    """Seconds to wait after the ``attempts``-th attempt in a row: doubling, with up to half of it as jitter."""
    wait = min(pace.retry_initial * 2.0 ** (min(attempts, 32) - 1), pace.retry_max)
    return wait * (1 - jitter(wire, attempts) / 2)


def takeover_at(wire: SoftwireId, missing_since: float, pace: Pace) -> float:
    """When this end may initiate: at once if elected, else after ``pace.takeover`` and up to half of it as jitter."""
    return missing_since if elected(wire) else missing_since + pace.takeover * (1 + jitter(wire, 0) / 2)


def tidy_at(wire: SoftwireId, since: float, pace: Pace) -> float:
    """When this end may close what is surplus ``since`` then: the elected one first.

    Two that tidy at once may each close what the other keeps; yet the elected one may be unable to.
    """
    return takeover_at(wire, since + pace.surplus_grace, pace)


def jitter(wire: SoftwireId, salt: int) -> float:
    """A number in [0, 1) that differs between softwires, attempts and ends.

    Yet not between runs: planning stays a pure function.
    """
    digest = hashlib.blake2b(f"{wire.local} {wire.remote} {wire.type} {wire.color} {salt}".encode(), digest_size=4)
    return int.from_bytes(digest.digest()) / 2**32
