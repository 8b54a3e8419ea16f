"""A prefix moves to another endpoint while packets go there: make before break, and nothing else is touched."""

from __future__ import annotations

import pytest

from lab.eventually import eventually
from lab.mesh import Afbr, Direction, Mesh, meshed
from lab.moves import UP, goes_and_comes_back, lossless, moving
from lab.proof import Pinger


# The router with the lowest endpoint initiates, the one with the highest waits for its peers, or for its time.
@pytest.mark.parametrize("mover", [1, 3], ids=["elected", "not elected"])
def test_a_better_path_and_back(mover: int) -> None:
    with moving(mover) as state:
        goes_and_comes_back(state)


def test_the_old_path_serves_until_the_new_peer_answers() -> None:
    # Whatever a busy machine makes of three seconds, the second is not given up meanwhile.
    with moving(1, charon="  retransmit_tries = 8\n") as state:
        _, second = state.announcers
        state.passes()
        second.charon.freeze()
        state.prefer(second)
        eventually(
            lambda: state.router.wires()[second.endpoint]["state"] == "degraded",
            within=UP, what="the router has heard of it", every=0.2,
        )  # fmt: skip
        state.passes(300)
        second.charon.thaw()
        state.moved(second)
        state.passes()
        lossless(state.flow)


@pytest.mark.parametrize("renumbering", [1, 2], ids=["elected", "not elected"])
def test_a_router_that_changes_its_endpoint(renumbering: int) -> None:
    """All its routes get another next hop by an implicit withdrawal (RFC 4271 §3.1)."""
    with Mesh(Direction.FOUR_OVER_SIX, 3) as mesh:
        mesh.start()
        eventually(lambda: meshed(mesh.afbrs.values()), within=UP, what="the mesh is up", every=0.2)
        router, other, third = (mesh.afbrs[number] for number in (renumbering, 3 - renumbering, 3))
        before = between(other, third)
        flows = [Pinger(mesh, *ends, interval=0.01) for ends in ((router, other), (other, router))]
        for flow in flows:
            flow.goes_on()
        old, new = router.endpoint, mesh.plan.endpoint(16 + renumbering)
        router.namespace.address("core0", f"{new}/{mesh.plan.core_length}")
        router.settings["bgp"]["local_address"] = old
        router.settings["endpoint"] = router.endpoint = new
        router.reload()
        eventually(
            lambda: meshed(mesh.afbrs.values()) and old not in other.wires().keys() | third.wires().keys(),
            within=UP, what="all is up by the new endpoint alone", every=0.2,
        )  # fmt: skip
        for flow in flows:
            flow.goes_on()
            lossless(flow)
        assert between(other, third) == before


def between(one: Afbr, other: Afbr) -> dict[str, tuple[str, str]]:
    """The SPIs of the softwire between two routers."""
    return {key: spis for key, spis in one.spis().items() if key.startswith(f"{other.endpoint} ")}
