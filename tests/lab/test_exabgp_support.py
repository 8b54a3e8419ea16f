"""ExaBGP 4.2.25 with the hook, and the files in exabgp/ as both versions see them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab.eventually import PATIENCE
from softmesh.bgp.route import UNICAST, SessionState
from tests.lab.exabgp_router import EXABGP, FAR, REFLECTOR, Mirrored, attribute_23, reflected, route, tunnel

VERSION = "4.2.25"
ENVIRONMENT = Path(".venv-exabgp42").resolve()
SOME = [f"10.2.{number}.0/24" for number in range(8)]


@pytest.fixture(scope="module")
def exabgp42() -> tuple[str, ...]:
    """ExaBGP 4.2.25's command, from a virtual environment of its own (the sandbox has no network to make it)."""
    python = ENVIRONMENT / "bin" / "python"
    install = f"{sys.executable} -m venv {ENVIRONMENT} && {python} -m pip install exabgp=={VERSION}"
    assert python.exists(), f"ExaBGP {VERSION} is not installed; outside of the sandbox: {install}"
    asked = [str(python), "-c", "import importlib.metadata as m; print(m.version('exabgp'))"]
    found = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    assert found == VERSION, f"{ENVIRONMENT} has ExaBGP {found!r}, not {VERSION}; outside of the sandbox: {install}"
    return (str(python), "-m", "exabgp")


async def test_4_2_routes_respawn_and_announcements(exabgp42: tuple[str, ...]) -> None:
    with reflected(exabgp42, [route(prefix, number) for number, prefix in enumerate(SOME)]) as (near, _, bird):
        async with Mirrored(near) as mirrored:
            await mirrored.until(lambda: mirrored.client.synced and mirrored.prefixes() == set(SOME), "snapshot")
            held = {key.prefix: held for key, held in mirrored.client.routes.items()}
            assert held[SOME[5]].next_hop == FAR
            assert held[SOME[5]].attributes.tunnel_encapsulation == tunnel(5)
            mirrored.announce("10.1.0.0/24", "2001:db8:1::/48")
            await mirrored.until(lambda: attribute_23(bird, "10.1.0.0/24") == tunnel(1), "announced")
            await mirrored.until(lambda: attribute_23(bird, "2001:db8:1::/48") == tunnel(1), "announced, IPv6")
            (pid,) = near.hooks()
            seen = max(route.received_at for route in mirrored.client.routes.values())
            os.kill(pid, signal.SIGKILL)
            await mirrored.until(
                lambda: (
                    mirrored.client.synced
                    and all(route.received_at > seen for route in mirrored.client.routes.values())
                ),
                "every route from the new hook",
            )
            assert mirrored.prefixes() == set(SOME)
            assert mirrored.client.neighbors[REFLECTOR].state is SessionState.UP
            await mirrored.until(lambda: mirrored.client.neighbors[REFLECTOR].end_of_rib == UNICAST, "refreshed")
            mirrored.announce()
            await mirrored.until(lambda: not bird.prefixes() & {"10.1.0.0/24", "2001:db8:1::/48"}, "withdrawn")
        log = near.process.log.read_text()
        assert f"exabgp {VERSION}" in log, "this is not the version it should be"
        assert "cannot be read" not in log


def test_shipped_configuration_is_valid_for_5_0(tmp_path: Path) -> None:
    configuration = tmp_path / "softmesh.conf"
    text = Path("exabgp/softmesh.conf").read_text()
    assert "/usr/bin/softmesh" in text
    configuration.write_text(text.replace("/usr/bin/softmesh", sys.executable))
    done = subprocess.run(
        [*EXABGP, "validate", "-n", str(configuration)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30 * PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    broken = tmp_path / "broken.conf"
    broken.write_text(configuration.read_text().replace("peer-as 65000;", "peer-as;"))
    refused = subprocess.run(
        [*EXABGP, "validate", "-n", str(broken)], capture_output=True, text=True, check=False, timeout=30 * PATIENCE
    )
    assert refused.returncode != 0, "validate would accept anything"


def test_shipped_environment_names_settings_that_exabgp_has() -> None:
    known = subprocess.run([*EXABGP, "env"], capture_output=True, text=True, check=False, timeout=30 * PATIENCE).stdout
    section, names = "", []
    for line in Path("exabgp/exabgp.env").read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif "=" in line and not line.startswith("#"):
            names.append((section, line.split("=")[0].strip()))
    assert len(names) >= 5
    for section, name in names:
        body = known.partition(f"[{section}]")[2].partition("\n[")[0]
        assert re.search(rf"^{name} = ", body, re.MULTILINE), f"{section}.{name} in: {body}"


async def test_no_extended_community_takes_the_session_down() -> None:
    """Redirect to an address with an AS number of 4 octets (type 0x82): up to 5.0.12 ExaBGP recursed without end at it,
    and reset the session for as long as anybody in the mesh announced such a route."""
    routes = [route("10.2.0.0/24", 1), f"{route('10.9.0.0/24', 1)[:-1]} extended-community [ 0x8208000102030405 ];"]
    with reflected(routes=routes) as (near, _, _):
        async with Mirrored(near) as mirrored:
            await mirrored.until(lambda: mirrored.prefixes() == {"10.2.0.0/24", "10.9.0.0/24"}, "both routes arrive")
            (neighbor,) = mirrored.client.neighbors.values()
            assert neighbor.state is SessionState.UP
        assert near.process.log.read_text().count("connected to peer") == 1
