"""``softmesh flush``: nothing of ours is left, and everything of others."""

from __future__ import annotations

from lab.eventually import eventually
from lab.mesh import SOFTMESH, Afbr, Direction, Mesh, meshed
from lab.namespace import program

FOREIGN = (
    ("nft", "add table inet theirs; add chain inet theirs input { type filter hook input priority 0; }"),
    ("ip", "route", "add", "blackhole", "192.0.2.0/24"),
    ("ip", "link", "add", "sm-lan0", "type", "veth", "peer", "name", "sm-lan1"),
)


def foreign(afbr: Afbr) -> tuple[str, str, str]:
    """What somebody else has on a router: firewall, routes, interfaces."""
    return (
        afbr.namespace.run(program("nft"), "list", "table", "inet", "theirs").stdout,
        afbr.namespace.ip("route", "show", "192.0.2.0/24"),
        afbr.namespace.ip("-o", "link", "show", "sm-lan0"),
    )


def test_flush_removes_what_is_ours_and_nothing_else() -> None:
    with Mesh(Direction.FOUR_OVER_SIX, 2) as mesh:
        afbr = mesh.afbrs[1]
        for name, *arguments in FOREIGN:
            afbr.namespace.run(program(name), *arguments)
        theirs = foreign(afbr)
        mesh.start()
        eventually(lambda: meshed(mesh.afbrs.values()), within=30, what="the softwire is up", every=0.2)
        assert "inet softmesh" in afbr.namespace.run(program("nft"), "list", "tables").stdout
        assert "blackhole 10.0.0.0/8" in afbr.namespace.ip("route")
        running = afbr.namespace.run(*command(afbr), check=False)
        assert (running.returncode, running.stdout) == (1, "")
        assert "the bridge is running and would make it all anew: stop it first" in running.stderr

        assert afbr.bridge is not None
        afbr.bridge.stop()
        # Neither the end of the bridge nor that of charon takes the guards away.
        assert "ESTABLISHED" in afbr.charon.swanctl("--list-sas")
        assert "inet softmesh" in afbr.namespace.run(program("nft"), "list", "tables").stdout

        flushed = afbr.namespace.run(*command(afbr)).stdout
        assert "remove nftables table inet softmesh" in flushed
        assert "remove blackhole route 10.0.0.0/8" in flushed
        # The other router may be asking for its softwire, and is refused.
        eventually(lambda: afbr.charon.swanctl("--list-sas") == "", within=10, what="no SA stands")
        assert afbr.charon.swanctl("--list-conns") == ""
        assert "inet softmesh" not in afbr.namespace.run(program("nft"), "list", "tables").stdout
        assert "proto 194" not in afbr.namespace.ip("route")
        assert foreign(afbr) == theirs
        assert afbr.namespace.run(*command(afbr)).stdout == "nothing of ours was there\n"


def test_flush_does_what_it_can_without_charon() -> None:
    with Mesh(Direction.FOUR_OVER_SIX, 1) as mesh:
        afbr = mesh.afbrs[1]
        afbr.charon.stop()
        mesh.start()
        # Guards need no charon.
        eventually(
            lambda: "inet softmesh" in afbr.namespace.run(program("nft"), "list", "tables").stdout,
            within=20, what="the guards stand", every=0.2,
        )  # fmt: skip
        assert "blackhole 10.0.0.0/8" in afbr.namespace.ip("route")
        assert afbr.bridge is not None
        afbr.bridge.stop()
        done = afbr.namespace.run(*command(afbr), check=False)
        assert done.returncode == 1
        assert "remove nftables table inet softmesh" in done.stdout
        assert "charon" in done.stderr
        assert "Traceback" not in done.stderr
        assert "inet softmesh" not in afbr.namespace.run(program("nft"), "list", "tables").stdout


def command(afbr: Afbr) -> tuple[str, ...]:
    """The command line of flush on a router."""
    return (*SOFTMESH, "flush", "-c", str(afbr.configuration))
