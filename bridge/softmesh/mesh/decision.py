"""What became of one route."""

from __future__ import annotations

from dataclasses import dataclass

from softmesh.bgp.route import Route
from softmesh.mesh.credential import Credential
from softmesh.mesh.refusal import Refusal
from softmesh.mesh.selection import Offer
from softmesh.mesh.softwire import Network


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of one route."""

    route: Route
    prefix: Network | None
    """The destination; None for a configured softwire that others route into, and in the Encapsulation SAFI."""
    offer: Offer | None
    """The tunnel it takes; None where it is refused."""
    credentials: tuple[Credential, ...] = ()
    """By any of which the peer may authenticate; none: the softwire cannot be built."""
    lacking: Refusal | None = None
    """Why there are none."""
    refusals: tuple[Refusal, ...] = ()
    """Why the route, or each tunnel that was passed over, was refused."""
    best: bool = True
    """False where another route to the same prefix is preferred."""
    settled: bool = True
    """Whether it rests on the route itself, the policy and the keys, and on no other route."""
