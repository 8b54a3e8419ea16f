"""What the routes to one endpoint agree on about who its router is."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from softmesh.mesh.credential import Credential, authenticator_of
from softmesh.mesh.decision import Decision
from softmesh.mesh.refusal import Refusal, Rule
from softmesh.mesh.softwire import Address


def advertised_by_all(routes: Iterable[Decision]) -> Mapping[Address, frozenset[bytes]]:
    """The authenticators that all announcements of an endpoint have in common, whatever the tunnel.

    Otherwise whoever gets one announcement past us, in the name of the endpoint's owner, could add a key of his own.
    """
    common: dict[Address, frozenset[bytes]] = {}
    for offer in (decision.offer for decision in routes):
        if offer is not None and offer.claim is not None:
            authenticators = frozenset(offer.authenticators)
            common[offer.endpoint] = common.get(offer.endpoint, authenticators) & authenticators
    return common


def agreed_credentials(
    bearers: Sequence[Decision], advertised: Mapping[Address, frozenset[bytes]]
) -> tuple[tuple[Credential, ...], Refusal | None]:
    """By what the peer of these routes may authenticate, in order; or why they do not agree on it.

    ``advertised``: what all announcements of each endpoint have in common. What an operator configured needs nobody's
    consent.
    """
    offers = [decision.offer for decision in bearers if decision.offer is not None]
    configured = [offer for offer in offers if offer.claim is None]
    deciding = configured or offers
    common = frozenset(configured[0].authenticators) if configured else advertised[offers[0].endpoint]
    if not common and any(offer.authenticators for offer in deciding):
        return (), Refusal(
            Rule.AUTHENTICATOR, f"the announcements of {offers[0].endpoint} have no authenticator in common"
        )
    found = {authenticator_of(c) or c: c for decision in bearers for c in decision.credentials}
    # What holds the peer to no authenticator counts only where none is advertised: BGP must not loosen what an operator
    # configured.
    allowed: Collection[bytes | None] = common or (None,)
    agreed = [c for c in found.values() if authenticator_of(c) in allowed]
    if not agreed and all(decision.lacking is None for decision in bearers):
        # Each has a key, but for an authenticator that another does not advertise.
        hashes = ", ".join(sorted(digest.hex() for digest in common))
        return (), Refusal(
            Rule.KEY,
            f"no key found for authenticator {hashes}, which the announcements of {offers[0].endpoint} have in common",
        )
    return tuple(sorted(agreed, key=lambda credential: authenticator_of(credential) or b"")), None
