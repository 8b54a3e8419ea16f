"""What a managed ExaBGP prints, in our log."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address
from pathlib import Path

import structlog
from structlog.testing import capture_logs

from softmesh.bgp.hook import LOG_PREFIX
from softmesh.config import Config
from softmesh.config.values import Admission, Bgp, IdentityFiles, Neighbor
from softmesh.control.exabgp import managed_exabgp
from tests.unit.mesh.routes import OURS, REFLECTOR

CONFIG = Config(
    endpoint=ip_address(OURS),
    bgp=Bgp(
        managed=True,
        asn=65000,
        router_id=IPv4Address("10.255.0.1"),
        neighbors=(Neighbor(address=ip_address(REFLECTOR)),),
    ),
    identity=IdentityFiles(private_key=Path("/etc/softmesh/identity.key")),
    admission=Admission(endpoints=(), prefixes=()),
)


def test_the_hooks_lines_are_told_from_exabgps() -> None:
    structlog.reset_defaults()
    exabgp = managed_exabgp(CONFIG)
    with capture_logs() as told:
        exabgp._on_log("listening sockets: none")
        exabgp._on_log(f"{LOG_PREFIX}a reader is too slow: it must connect again")
        exabgp._on_log("softmesh: /run/x/hook.sock: another hook is listening")
        exabgp._on_end("ended with status 1")
    assert [(line["log_level"], line["event"], line.get("line", line.get("problem"))) for line in told] == [
        ("debug", "exabgp", "listening sockets: none"),
        ("warning", "hook", "a reader is too slow: it must connect again"),
        ("warning", "hook", "/run/x/hook.sock: another hook is listening"),
        ("warning", "exabgp ended", "ended with status 1"),
    ]
