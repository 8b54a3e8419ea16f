"""What is said of a machine: each thing that is missing, with what mends it; and nothing of one that has all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from softmesh.charon.ability import Ability as CharonAbility
from softmesh.config import Config, examine
from softmesh.control.audit.node import Firewall
from softmesh.dataplane.ability import Ability as KernelAbility
from softmesh.dataplane.layout import CorePath
from softmesh.host.facts import Facts, ForeignRoute, Listener, Unit, User
from softmesh.host.finding import Finding, Verdict
from softmesh.host.judgement import judge
from softmesh.mesh.softwire import InterfaceKind
from tests.unit.config.conftest import site
from tests.unit.config.site import GOOD, Site, changed

__all__ = ["site"]

ROOT = User("root", 0, net_admin=True)
SERVICE = User("softmesh", 990, net_admin=True)
PLUGINS = frozenset({"socket-default", "pem", "pkcs8", "pubkey", "x509", "constraints", "kernel-netlink", "vici"})
STOCK = CharonAbility("5.9.8", kernel_libipsec=False, ml_kem=False, plugins=PLUGINS)
LIBIPSEC = replace(STOCK, kernel_libipsec=True, plugins=PLUGINS | {"kernel-libipsec"})
REFLECTOR = ip_address("2001:db8:f::fe")
UNIT = Unit("softmesh", frozenset({"cap_net_admin"}), enabled=True, active="active")
ALL = Facts(
    user=ROOT,
    charon=STOCK,
    kernel=KernelAbility(xfrm_interface=True, vti=True, reason=""),
    addresses=frozenset(map(ip_address, ("2001:db8:f::1", "10.1.0.1"))),
    paths={REFLECTOR: CorePath("core0", 1500)},
    sysctls={"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1", "kernel.modules_disabled": "0"},
    listeners=(Listener(500, "charon-systemd", 7), Listener(4500, "charon-systemd", 7)),
    exabgp="5.0.15",
)


@pytest.fixture
def judged(site: Site) -> Callable[..., dict[str, Finding]]:
    """Judge the good configuration, changed as told, by what it is about; ``changes`` are of a machine with all."""

    def judging(text: str = GOOD, **changes: Any) -> dict[str, Finding]:
        site.file.write_text(text)
        config = examine(site.file).config
        assert isinstance(config, Config)
        findings = judge(config, replace(ALL, **changes))
        return {finding.what: finding for finding in findings if finding.verdict is not Verdict.OK}

    return judging


Judged = Callable[..., dict[str, Finding]]


def test_a_machine_that_has_all(judged: Judged) -> None:
    assert judged() == {}
    assert judged(charon=LIBIPSEC) == {}
    assert judged(user=SERVICE, unit=UNIT, systemd=True) == {}


@pytest.mark.parametrize(
    ("changes", "what", "verdict", "remedy"),
    [
        ({"missing": ("nft",)}, "nft", "fail", "apt-get install nftables"),
        ({"missing": ("setpriv",)}, "setpriv", "fail", "apt-get install util-linux"),
        ({"user": replace(SERVICE, net_admin=False)}, "privileges", "fail", "run it by the unit"),
        ({"directory": (990, 0o700)}, "sockets.directory", "fail", "chown -R root: "),
        ({"directory": (0, 0o755)}, "sockets.directory", "fail", "chmod 700 "),
        ({"charon": None, "silence": "no such socket"}, "charon", "fail", "systemctl start strongswan"),
        ({"charon": None, "silence": "Permission denied; …"}, "charon", "fail", "systemctl restart strongswan"),
        (
            {"charon": None, "silence": "Permission denied; …", "settings_installed": False},
            "charon", "fail", "cp strongswan/softmesh-user.conf /etc/strongswan.d/ && systemctl restart strongswan",
        ),
        (
            {"charon": replace(STOCK, plugins=PLUGINS - {"pubkey"})}, "charon's plugin pubkey", "fail",
            "sed -i 's/load = no/load = yes/' /etc/strongswan.d/charon/pubkey.conf && systemctl restart strongswan",
        ),
        ({"settings_installed": False}, "charon's settings", "warn", "cp strongswan/softmesh.conf"),
        ({"listeners": ALL.listeners[:1]}, "UDP port 4500", "warn", "systemctl restart strongswan"),
        (
            {"listeners": (Listener(500, "pluto", 9), ALL.listeners[1])}, "UDP port 500", "fail",
            "kill 9 && systemctl restart strongswan",
        ),
        (
            {"listeners": (Listener(500, "pluto", 9), *ALL.listeners)}, "UDP port 500", "fail",
            "kill 9 && systemctl restart strongswan",
        ),
        ({"kernel": None, "kernel_problem": "not told"}, "kernel", "fail", "ask as root"),
        (
            {"transforms": {"esp": "this kernel has none (Protocol not supported)"}}, "kernel's ESP", "fail",
            "sed -i 's/load = no/load = yes/' /etc/strongswan.d/charon/kernel-libipsec.conf",
        ),
        (
            {"transforms": {"esp": "none"}, "sysctls": {"kernel.modules_disabled": "1"}}, "kernel's ESP", "fail",
            "kernel.modules_disabled is 1: load it at boot",
        ),
        ({"firewall": Firewall(problem="nft: Operation not supported")}, "guards", "fail", "apt-get install nftables"),
        ({"addresses": frozenset()}, "endpoint", "fail", "ip address add 2001:db8:f::1/128 dev core0"),
        (
            {"charon": LIBIPSEC, "addresses": frozenset({ip_address("2001:db8:f::1")})}, "prefix 10.1.0.0/24", "fail",
            "ip address add 10.1.0.1/32 dev lo",
        ),
        ({"sysctls": {"net.ipv4.ip_forward": "0"}}, "forwarding of IPv4", "fail", "sysctl -w net.ipv4.ip_forward=1"),
        ({"paths": {}}, f"neighbour {REFLECTOR}", "fail", f"ip route add {REFLECTOR} via "),
        ({"paths": {REFLECTOR: CorePath("sm-1", 1400)}}, f"neighbour {REFLECTOR}", "fail", "ip route add "),
        ({"paths": {REFLECTOR: CorePath("core0", 1300)}}, "MTU", "warn", "ip link set core0 mtu 1500"),
        ({"systemd": True}, "service", "warn", "install the unit"),
        ({"systemd": True, "unit": replace(UNIT, active="failed"), "user": SERVICE}, "service", "fail", "journalctl"),
        ({"systemd": True, "unit": replace(UNIT, enabled=False), "user": SERVICE}, "service", "warn", "systemctl en"),
        (
            {"systemd": True, "unit": replace(UNIT, active="inactive"), "user": SERVICE}, "service", "warn",
            "systemctl start softmesh",
        ),
        ({"systemd": True, "unit": UNIT}, "user", "warn", "chown -R softmesh: "),
    ],
)  # fmt: skip
def test_what_is_missing(judged: Judged, changes: dict[str, Any], what: str, verdict: str, remedy: str) -> None:
    found = judged(**changes)
    assert found.keys() == {what}
    assert found[what].verdict.value == verdict
    assert found[what].remedy.startswith(remedy)
    assert str(found[what]).startswith(f"{verdict} {what}: ")


@pytest.mark.parametrize(
    ("prefix", "metric", "verdict"),
    [
        ("10.2.0.0/24", 0, "warn"),
        ("10.0.0.0/8", 20, "warn"),
        ("10.0.0.0/8", 10, "fail"),
        ("10.1.0.0/25", 0, None),  # our own island's
        ("0.0.0.0/0", 0, None),  # a default route is what blackholes are for
        ("2001:db8:f::/96", 1024, None),  # the core's
    ],
)
def test_routes_of_others(judged: Judged, prefix: str, metric: int, verdict: str | None) -> None:
    found = judged(routes=(ForeignRoute(ip_network(prefix), "ip route delete …", metric, device="eth0"),))
    assert {what: finding.verdict.value for what, finding in found.items()} == (
        {} if verdict is None else {f"route to {prefix}": verdict}
    )


def test_guards_that_are_not_wanted_need_nothing(judged: Judged) -> None:
    assert judged(f"{GOOD}dataplane: {{guards: routes}}\n", firewall=Firewall(problem="nft: no")) == {}


PROTECTED = changed("[10.1.0.0/24]", "[10.1.0.0/24]\n  tunnels: [{type: mpls-in-ip-ipsec-transport}]")


def test_type_6(judged: Judged) -> None:
    (found,) = judged(PROTECTED, unkind={(InterfaceKind.IP_IN_IP, 6): "refused"}).values()
    assert (found.what, found.remedy) == ("kernel's ip6_tunnel", "modprobe ip6_tunnel")
    (found,) = judged(PROTECTED, kernel=replace(ALL.kernel, mpls=False)).values()  # type: ignore[type-var]
    assert "modprobe" in found.why
    strict = {**ALL.sysctls, "net.ipv4.conf.all.rp_filter": "1", "net.ipv4.conf.lo.rp_filter": "0"}
    (found,) = judged(PROTECTED, sysctls=strict).values()
    assert found.remedy == "sysctl -w net.ipv4.conf.all.rp_filter=2 && sysctl -w net.ipv4.conf.lo.rp_filter=2"
    assert judged(PROTECTED, sysctls={**strict, "net.ipv4.conf.lo.rp_filter": "2"}) == {}
    (found,) = judged(PROTECTED, charon=LIBIPSEC).values()
    assert "no transport mode" in found.why
