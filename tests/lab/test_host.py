"""``softmesh check --host``: each thing that is broken is named, and the command that is printed mends it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from lab.eventually import eventually
from lab.mesh import SOFTMESH, Afbr, Direction, Mesh


@pytest.fixture(scope="module")
def router() -> Iterator[Afbr]:
    """A router with all it needs, its ESP in user space; the bridge does not run."""
    with Mesh(Direction.FOUR_OVER_SIX, 1) as mesh:
        yield mesh.afbrs[1]


def looked(afbr: Afbr) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code, and what was found by what it is about."""
    command = [*SOFTMESH, "check", "--host", "--json", str(afbr.configuration)]
    done = afbr.namespace.run(*command, check=False)
    assert done.stderr == ""
    return done.returncode, {finding["what"]: finding for finding in json.loads(done.stdout)["host"]}


def amiss(afbr: Afbr) -> dict[str, dict[str, Any]]:
    """What is not as it ought to be."""
    return {what: finding for what, finding in looked(afbr)[1].items() if finding["verdict"] != "ok"}


def test_a_router_that_lacks_nothing(router: Afbr) -> None:
    code, found = looked(router)
    assert [finding for finding in found.values() if finding["verdict"] != "ok"] == []
    assert code == 0
    assert "kernel-libipsec" in found["charon"]["why"]
    assert found["UDP port 500"]["why"] == "charon's"
    before = router.namespace.run("sh", "-c", "ip -d link; ip xfrm state; ip route; ip -6 route").stdout
    looked(router)
    after = router.namespace.run("sh", "-c", "ip -d link; ip xfrm state; ip route; ip -6 route").stdout
    assert after == before, "whatever was made to see what the kernel can is gone"


BROKEN = [
    pytest.param("sysctl -qw net.ipv4.ip_forward=0", "forwarding of IPv4", "fail", id="forwarding"),
    pytest.param("ip address del 10.1.0.1/24 dev island0", "prefix 10.1.0.0/24", "fail", id="libipsec's address"),
    pytest.param("ip address add 2001:db8:f::77/64 dev core0 nodad; ip address del 2001:db8:f::1/64 dev core0",
                 "endpoint", "fail", id="endpoint"),
    pytest.param("ip route add blackhole 10.2.0.0/24", "route to 10.2.0.0/24", "warn", id="blackhole"),
    pytest.param("ip route add 10.3.0.0/24 dev core0", "route to 10.3.0.0/24", "warn", id="route beside"),
    pytest.param("ip route add 10.0.0.0/8 dev core0 metric 10", "route to 10.0.0.0/8", "fail", id="our metric"),
    pytest.param("ip link set core0 mtu 1300", "MTU", "warn", id="MTU"),
    pytest.param("nft add table inet softmesh", "guards", "fail", id="somebody's table"),
    pytest.param("mkdir -p /run/lab/afbr1/run; chmod 755 /run/lab/afbr1/run", "sockets.directory", "fail", id="mode"),
    pytest.param("mkdir -p /run/lab/afbr1/run; chown 1:1 /run/lab/afbr1/run", "sockets.directory", "fail", id="owner"),
]  # fmt: skip


@pytest.mark.parametrize(("broken", "what", "verdict"), BROKEN)
def test_what_is_broken_is_named_and_its_command_mends_it(router: Afbr, broken: str, what: str, verdict: str) -> None:
    router.namespace.run("sh", "-c", broken)
    code, found = looked(router)
    assert found.get(what, {}).get("verdict") == verdict, found
    assert code == (1 if verdict == "fail" else 0)
    router.namespace.run("sh", "-c", found[what]["remedy"])
    eventually(lambda: what not in amiss(router), within=10, what=f"{found[what]['remedy']} mends {what}", every=0.2)


def test_strict_reverse_path_filter_with_labels(router: Afbr) -> None:
    router.settings["announce"]["tunnels"] = [{"type": "mpls-in-ip-ipsec-transport"}]
    router.write_configuration()
    try:
        assert "no transport mode" in amiss(router)["MPLS-in-IP Tunnel with IPsec Transport Mode"]["why"]
        router.namespace.run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=1")
        router.namespace.run("sh", "-c", amiss(router)["rp_filter"]["remedy"])
        assert "rp_filter" not in amiss(router)
    finally:
        del router.settings["announce"]["tunnels"]
        router.write_configuration()


def test_charon_away_and_its_port_somebody_elses(router: Afbr) -> None:
    router.charon.stop()
    taker = router.namespace.start(
        *("python3", "-c", "import socket, time; s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); "
          "s.bind(('::', 500)); time.sleep(600)"), log="afbr1/taker.log",
    )  # fmt: skip
    try:
        eventually(lambda: "UDP port 500" in amiss(router), within=10, what="the port is taken")
        found = amiss(router)
        assert "is strongSwan running" in found["charon"]["why"]
        assert found["charon"]["remedy"] == "systemctl start strongswan"
        assert found["UDP port 500"]["why"].startswith("python3")
        kill, _, restart = found["UDP port 500"]["remedy"].partition(" && ")
        assert restart == "systemctl restart strongswan"
        router.namespace.run("sh", "-c", kill)
        eventually(lambda: not taker.running, within=5, what="it is gone")
    finally:
        taker.kill()
        router.charon.start()
    eventually(lambda: amiss(router) == {}, within=10, what="all is well again")


def test_lines_for_people(router: Afbr) -> None:
    router.namespace.run("sysctl", "-qw", "net.ipv4.ip_forward=0")
    done = router.namespace.run(*SOFTMESH, "check", "--host", str(router.configuration), check=False)
    router.namespace.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    assert done.returncode == 1
    assert done.stdout.splitlines()[0].endswith(": fine")
    said = (
        "fail forwarding of IPv4: net.ipv4.ip_forward is 0: nothing goes between island and softwires; "
        "sysctl -w net.ipv4.ip_forward=1"
    )
    assert said in done.stdout.splitlines()
