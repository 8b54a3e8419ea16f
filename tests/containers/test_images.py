"""The images by themselves: what is missing is said in a line, and a reflector knows whether it is well."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from lab.container import Container, docker
from lab.eventually import eventually

SOFTMESH = 5619
"""The image's user."""
MESH = """\
endpoint: 2001:db8:f::1
bgp:
  managed: true
  asn: 65000
  router_id: 10.255.0.1
  neighbors: [{address: '2001:db8:f::fe', password_file: bgp.password}]
announce: {prefixes: [10.1.0.0/24]}
identity: {private_key: identity.key}
admission: {endpoints: ['2001:db8:f::/64'], prefixes: [10.0.0.0/8]}
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """What is mounted on /etc/softmesh: a configuration, and the key that the image has made."""
    tmp_path.chmod(0o700)
    os.chown(tmp_path, SOFTMESH, SOFTMESH)
    (tmp_path / "mesh.yaml").write_text(MESH)
    password = tmp_path / "bgp.password"
    password.touch(0o600)
    password.write_text("correct-horse")
    os.chown(password, SOFTMESH, SOFTMESH)
    docker("run", "--rm", "--volume", f"{tmp_path}:/etc/softmesh", "softmesh-afbr", "keygen", "--out", "/etc/softmesh/")
    return tmp_path


def esp() -> bool:
    """Whether this machine's kernel has ESP."""
    template = ("src", "192.0.2.1", "dst", "192.0.2.2", "proto", "esp", "spi", "0x5619")
    key = ("aead", "rfc4106(gcm(aes))", f"0x{'00' * 20}", "128")
    done = subprocess.run(
        ["ip", "xfrm", "state", "add", *template, "mode", "tunnel", *key], check=False, capture_output=True
    )
    if done.returncode == 0:
        subprocess.run(["ip", "xfrm", "state", "delete", *template], check=True)
    return done.returncode == 0


def refusal(*arguments: str) -> str:
    """The one line with which the image ends that is run with these arguments."""
    done = docker("run", "--rm", *arguments, "softmesh-afbr", check=False)
    assert done.returncode == 1, done
    lines = (done.stdout + done.stderr).splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_without_a_configuration_it_says_where_it_belongs() -> None:
    assert refusal("--cap-add", "NET_ADMIN") == (
        "afbr: no /etc/softmesh/mesh.yaml: mount a directory with mesh.yaml and the keys on /etc/softmesh"
    )


def test_without_the_capability_it_says_how_it_is_given(home: Path) -> None:
    assert refusal("--volume", f"{home}:/etc/softmesh") == "afbr: no CAP_NET_ADMIN: run it with --cap-add NET_ADMIN"


def test_a_bad_configuration_is_refused_with_the_line_that_is_bad(home: Path) -> None:
    (home / "mesh.yaml").write_text(MESH.replace("10.1.0.0/24", "10.1.0.0/33"))
    line = refusal("--volume", f"{home}:/etc/softmesh", "--cap-add", "NET_ADMIN")
    assert "/etc/softmesh/mesh.yaml:7" in line
    assert "10.1.0.0/33" in line


def test_a_key_of_somebody_else_is_refused(home: Path) -> None:
    os.chown(home / "identity.key", 0, 0)
    assert "identity.key" in refusal("--volume", f"{home}:/etc/softmesh", "--cap-add", "NET_ADMIN")


def test_without_esp_in_the_kernel_it_needs_the_tun_device(home: Path) -> None:
    arguments = ("--volume", f"{home}:/etc/softmesh", "--cap-add", "NET_ADMIN")
    if esp():
        docker("run", "--detach", "--name", "kernel", *arguments, "softmesh-afbr")
        eventually(lambda: "afbr: ESP is the kernel's" in Container("kernel").log(), within=20, what="it says so")
        docker("rm", "--force", "kernel")
    else:
        assert refusal(*arguments).startswith("afbr: the kernel has no ESP, and there is no /dev/net/tun")


def test_it_is_run_as_root_or_says_why() -> None:
    assert refusal("--user", "5619").startswith("afbr: not root")


def test_frr_answers_and_is_not_root(tmp_path: Path) -> None:
    configuration = tmp_path / "bgpd.conf"
    configuration.write_text("router bgp 65000\n bgp router-id 10.255.255.254\n")
    tmp_path.chmod(0o755)
    configuration.chmod(0o644)
    docker(
        *("run", "--detach", "--name", "frr", "--health-interval", "1s"),
        *("--volume", f"{configuration}:/etc/frr/bgpd.conf:ro", "softmesh-frr"),
    )
    frr = Container("frr")
    eventually(lambda: frr.health() == "healthy", within=20, what="FRR is healthy", every=0.3)
    uids = frr.run("sed", "-n", "s/^Uid:[[:space:]]*//p", "/proc/1/status").split()
    assert "0" not in uids
    docker("rm", "--force", "frr")
