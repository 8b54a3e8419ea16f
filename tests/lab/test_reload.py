"""``softmesh reload``: it says whether it was done, and touches only what is concerned."""

from __future__ import annotations

from lab.eventually import eventually, holds
from lab.mesh import SOFTMESH, Direction, Mesh, meshed


def test_reload_touches_what_is_concerned_and_says_why_not() -> None:
    with Mesh(Direction.FOUR_OVER_SIX, 3) as mesh:
        mesh.start()
        first, second, third = mesh.afbrs.values()
        eventually(
            # Where both ends initiated at once there are two for a moment, and the SPIs may yet change.
            lambda: meshed(mesh.afbrs.values())
            and all(afbr.charon.swanctl("--list-sas").count("ESTABLISHED") == 2 for afbr in mesh.afbrs.values()),
            within=30, what="every softwire is up, by one IKE_SA each",
        )  # fmt: skip
        before = first.spis()
        socket = ["--socket", str(first.home / "run" / "control.sock")]

        # Another island prefix: CHILD SAs come, none goes.
        first.add_site(1)
        first.settings["announce"]["prefixes"].append(mesh.plan.island(1, 1))
        first.write_configuration()
        assert first.softmesh("reload", *socket) == "configuration taken over\n"
        after = eventually(
            lambda: spis if len(spis := first.spis()) == 2 * len(before) else {},
            within=20, what="the prefix has its CHILD SAs",
        )  # fmt: skip
        assert before.items() <= after.items()

        # One peer no more admitted: its softwire goes, the other stays.
        first.settings["admission"]["endpoints"] = [f"{each}/128" for each in (first.endpoint, second.endpoint)]
        first.write_configuration()
        first.softmesh("reload", *socket)
        eventually(
            lambda: first.wires().get(third.endpoint, {}).get("state") == "refused" and second.endpoint in first.up(),
            within=20, what="the peer is refused, and the other one is not",
        )  # fmt: skip
        kept = {name: spis for name, spis in before.items() if name.startswith(f"{second.endpoint} ")}
        assert kept
        holds(lambda: kept.items() <= first.spis().items(), during=2, what="the other softwire stays")

        # A file that cannot be used: an error, with its line, and nothing changes.
        standing = first.spis()
        first.settings["admission"]["prefixes"] = ["10.0.0.1/8"]
        first.write_configuration()
        refused = first.namespace.run(*SOFTMESH, "reload", *socket, check=False)
        assert refused.returncode == 1
        assert refused.stdout == ""
        assert refused.stderr.startswith(f"softmesh: {first.configuration}:")
        assert len(refused.stderr.splitlines()) == 1
        holds(lambda: first.spis() == standing, during=2, what="nothing has changed")

        # What only a restart takes over is said.
        first.settings["admission"]["prefixes"] = mesh.plan.islands
        first.settings["bgp"]["hold_time"] = 30
        first.write_configuration()
        taken_over, restart = first.softmesh("reload", *socket).splitlines()
        assert taken_over == "configuration taken over"
        assert restart.startswith("restart needed: endpoint, bgp, ")
