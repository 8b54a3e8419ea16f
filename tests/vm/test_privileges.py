"""What the kernel asks of whoever makes interfaces, routes with labels and what these need: CAP_NET_ADMIN alone.

Type 6 needs the most: a tunnel interface, routes with MPLS labels, and settings below /proc/sys/net/mpls.
"""

from __future__ import annotations

from lab.eventually import eventually
from lab.mesh import Direction, Mesh, meshed
from lab.unprivileged import CHARON, User

UID = 64777
TYPE_6 = "mpls-in-ip-ipsec-transport"


def test_mpls_softwires_are_made_by_a_user_with_one_capability() -> None:
    with User(UID) as user, Mesh(Direction.FOUR_OVER_SIX, 0, spare=2, libipsec=False, charon=CHARON) as mesh:
        for number in (1, 2):
            mesh.add(
                number,
                overrides={
                    # This kernel has no nftables for inet.
                    "dataplane": {"guards": "routes"},
                    "select": {"tunnels": [TYPE_6]},
                    "announce": {"tunnels": [{"type": TYPE_6}]},
                },
            )
        first, second = mesh.afbrs[1], mesh.afbrs[2]
        (first.home / "run").mkdir(mode=0o700)
        user.own(first.home / "identity.key", first.home / "bgp.password", first.home / "run")
        second.start()
        first.bridge = first.namespace.start(
            *user.softmesh("run", "-c", str(first.configuration), capabilities=["net_admin"]),
            log=f"{first.namespace.name}/softmesh.log",
        )
        eventually(lambda: meshed(mesh.afbrs.values()), within=60, what="the softwire is up", every=0.5)
        (wire,) = first.up().values()
        assert wire["type"] == "MPLS-in-IP Tunnel with IPsec Transport Mode"
        eventually(
            lambda: [up["interface"]["routes"] for up in first.up().values()] == [mesh.plan.prefixes(2)],
            within=30, what="prefixes are routed into its interface", every=0.5,
        )  # fmt: skip
        assert "encap mpls" in first.namespace.ip("route", "show", mesh.plan.island(2))
        settings = first.namespace.run("cat", f"/proc/sys/net/mpls/conf/{wire['interface']['name']}/input")
        assert settings.stdout.strip() == "1"
        eventually(
            lambda: first.island.ping(mesh.plan.host(2, 10), within=5), within=30, what="the islands reach each other"
        )
        assert first.status()["problems"] == []
