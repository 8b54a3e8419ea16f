"""What an operator does to charon behind the bridge's back."""

from __future__ import annotations

from lab.eventually import eventually, holds
from lab.mesh import Afbr, Mesh, meshed
from lab.moves import lossless
from lab.proof import Pinger

OWN = "connections {\n  operators-own {\n    remote_addrs = 192.0.2.77\n  }\n}\n"


def load_his(afbr: Afbr) -> None:
    """swanctl unloads every connection it does not find in its files, ours included; their SAs stand."""
    (afbr.home / "others.conf").write_text(OWN)
    afbr.charon.swanctl("--load-conns", "--file", str(afbr.home / "others.conf"))


def agree(left: Afbr, right: Afbr) -> bool:
    """Whether both ends send by the same SAs: what one has made anew, the other may be about to."""
    return sorted(left.spis().values()) == sorted((spi_out, spi_in) for spi_in, spi_out in right.spis().values())


def test_prefix_is_carried_after_swanctl_has_unloaded_what_is_ours(pair: Mesh) -> None:
    """An IKE_SA whose connection was unloaded refuses every child that comes later: TS_UNACCEPTABLE, for ever."""
    plan, (left, right) = pair.plan, pair.afbrs.values()
    eventually(lambda: meshed(pair.afbrs.values()), within=20, what="the softwire is up")
    before = left.spis()
    flow = Pinger(pair, left, right, interval=0.01)
    flow.goes_on()
    for afbr in (left, right):
        load_his(afbr)
    eventually(
        lambda: meshed(pair.afbrs.values()) and len(left.spis()) == 1 and left.spis() != before,
        within=30, what="the softwire is made anew",
    )  # fmt: skip
    right.add_site(1)
    right.settings["announce"]["prefixes"] = [plan.island(2), plan.island(2, site=1)]
    right.reload()
    eventually(
        lambda: len(left.spis()) == 2 and agree(left, right), within=20, what="the further prefix has its CHILD SA"
    )
    assert left.island.ping(plan.host(2, 10, site=1), count=3, within=5)
    moved = left.spis()
    holds(lambda: left.spis() == moved, during=5, what="it stays as it is")
    for afbr in (left, right):
        assert "operators-own" in afbr.charon.swanctl("--list-conns")
    lossless(flow)
