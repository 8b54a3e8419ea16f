"""The oldest ExaBGP the hook is made for, and the newest, with a real BIRD between two of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab import support_table
from lab.eventually import holds
from softmesh.bgp.route import SessionState
from tests.lab.exabgp_router import REFLECTOR, Mirrored, attribute_23, reflected, route, tunnel

OLD = Path(".venv-exabgp42/bin/python").absolute()
COMMANDS = {"4.2": (str(OLD), "-m", "exabgp"), "5.0": (sys.executable, "-m", "exabgp")}
THEIRS = [f"10.2.{number}.0/24" for number in range(8)]
OURS = ("10.1.0.0/24", "2001:db8:1::/48")


@pytest.fixture(params=COMMANDS)
def exabgp(request: pytest.FixtureRequest) -> tuple[str, ...]:
    assert Path(COMMANDS[request.param][0]).exists(), "outside of the sandbox: make .venv-exabgp42/.installed"
    return COMMANDS[request.param]


def version(exabgp: tuple[str, ...]) -> str:
    asked = (exabgp[0], "-c", "import importlib.metadata as m; print(m.version('exabgp'))")
    return subprocess.run(asked, capture_output=True, text=True, check=True, timeout=30).stdout.strip()


async def test_exabgp(exabgp: tuple[str, ...]) -> None:
    seen: dict[str, str] = {}
    with reflected(exabgp, [route(prefix, number) for number, prefix in enumerate(THEIRS)]) as (near, far, bird):
        async with Mirrored(near) as mirrored:
            await mirrored.until(lambda: mirrored.client.synced and mirrored.prefixes() == set(THEIRS), "snapshot")
            mirrored.announce(*OURS)
            await mirrored.until(lambda: all(attribute_23(bird, ours) == tunnel(1) for ours in OURS), "announced")
            mirrored.announce(OURS[0], label=2)
            await mirrored.until(lambda: attribute_23(bird, OURS[0]) == tunnel(2), "changed")
            await mirrored.until(lambda: OURS[1] not in bird.prefixes(), "withdrawn")
            seen["announce, withdraw"] = "both families"

            (pid,) = near.hooks()
            before = max(held.received_at for held in mirrored.client.routes.values())
            os.kill(pid, signal.SIGKILL)
            await mirrored.until(
                lambda: (
                    mirrored.client.synced
                    and mirrored.prefixes() == set(THEIRS)
                    and all(held.received_at > before for held in mirrored.client.routes.values())
                ),
                "every route from the new hook",
            )
            assert attribute_23(bird, OURS[0]) == tunnel(2)
            assert mirrored.client.neighbors[REFLECTOR].state is SessionState.UP
            seen["hook killed"] = "all routes again"

        # A bridge that is away takes nothing back, and the next finds all there.
        holds(lambda: attribute_23(bird, OURS[0]) == tunnel(2), during=1, what="our announcement stays")
        async with Mirrored(near) as mirrored:
            mirrored.announce(OURS[0], label=2)
            await mirrored.until(lambda: mirrored.client.synced and mirrored.prefixes() == set(THEIRS), "snapshot")
            assert attribute_23(bird, OURS[0]) == tunnel(2)
            seen["bridge restarts"] = "nothing withdrawn"

            far.process.kill()
            await mirrored.until(lambda: set(THEIRS) <= bird.prefixes(), "graceful restart keeps their routes")
            holds(lambda: set(THEIRS) <= bird.prefixes(), during=2, what="while ExaBGP is away")
            assert mirrored.prefixes() == set(THEIRS)
            far.restart()
            await mirrored.until(far.hooks, "it runs again")
            holds(lambda: mirrored.prefixes() == set(THEIRS), during=2, what="nothing is lost when it comes back")
            seen["ExaBGP killed"] = "routes kept (RFC 4724)"
    support_table.EXABGP.shown((version(exabgp),), seen)
