"""The Debian package through its whole life on a Debian with its own systemd, one test after the other.

                   rr (BIRD)
                      │
      ────────┬───────┴─ core ──────┬──────────
              │                     │
afbr1: a Debian, booted;      afbr2: as in any lab
softmesh and strongSwan are
its units
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from lab.booted import Booted
from lab.eventually import eventually, holds
from lab.mesh import Direction, Mesh
from lab.namespace import Namespace, link, program
from softmesh import __version__
from tests.packaging.conftest import PLACE, run

NEWER = f"{__version__}+next"
SECRETS = ["identity.key", "bgp.password"]

pytestmark = pytest.mark.timeout(600)
"""The first installs and boots a Debian, others have apt at work."""


class Router:
    """The router whose Softmesh is the package's."""

    def __init__(self, mesh: Mesh, root: Path) -> None:
        self.mesh = mesh
        plan = mesh.plan
        self.namespace = Namespace("afbr1", forwarding=True)
        self.island = Namespace("island1")
        link(self.namespace, "core0", mesh.core, "afbr1")
        mesh.core.ip("link", "set", "afbr1", "master", "br0")
        self.namespace.address("core0", f"{plan.endpoint(1)}/{plan.core_length}")
        link(self.namespace, "island0", self.island, "eth0")
        self.namespace.address("island0", f"{plan.host(1, 1)}/24")
        self.island.address("eth0", f"{plan.host(1, 10)}/24")
        self.island.ip("route", "add", "default", "via", plan.host(1, 1))
        self.home = root / "etc/softmesh"
        self.system = Booted(self.namespace, root)

    def settings(self, *, managed: bool = True) -> dict[str, object]:
        """mesh.yaml, with what a machine has where it is by default."""
        plan = self.mesh.plan
        return {
            "endpoint": plan.endpoint(1),
            "bgp": {
                "managed": managed, "asn": 65000, "router_id": "10.255.0.1",
                "neighbors": [{"address": self.mesh.reflector_address, "password_file": "bgp.password"}],
            },
            "announce": {"prefixes": plan.prefixes(1)},
            "identity": {"private_key": "identity.key"},
            "admission": {"endpoints": [plan.core], "prefixes": plan.islands},
        }  # fmt: skip

    def write(self, settings: dict[str, object]) -> None:
        """Write mesh.yaml, as root does."""
        (self.home / "mesh.yaml").write_text(yaml.safe_dump(settings))

    @property
    def spis(self) -> list[str]:
        """Of the CHILD SAs, by charon's own account."""
        listing = self.system.run("swanctl", "--list-sas", "--raw").stdout
        return sorted(word for word in listing.replace("{", " ").split() if word.startswith(("spi-in=", "spi-out=")))

    @property
    def process(self) -> int:
        """The bridge's process id, as systemd knows it; 0: there is none."""
        return int(*self.system.show("softmesh", "MainPID"))

    @property
    def status(self) -> str:
        """The line that the bridge gives systemd."""
        return self.system.show("softmesh", "StatusText")[0]

    @property
    def journal(self) -> str:
        """What the bridge has said, and systemd of it, as far as the journal has it."""
        return self.system.run("journalctl", "-u", "softmesh", "-o", "cat").stdout

    def is_settled(self) -> bool:
        """Whether the softwire is up, and the reflector has heard our routes again after a restart."""
        bird = self.mesh.bird
        told = bird.established(self.mesh.plan.endpoint(1)) and not bird.restarting()
        return told and self.status.startswith("1 of 1 softwires up")


@pytest.fixture(scope="module")
def router(root: Path, deb: Path) -> Iterator[Router]:
    """The package is installed as apt does it, on a system that does not run; then that is booted."""
    shutil.copy(deb, root / "tmp")
    environment = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", f"/tmp/{deb.name}"]
    run(program("chroot"), root, *install, environment=environment)
    (root / "usr/sbin/policy-rc.d").unlink()
    # This machine's kernel may have no ESP.
    plugin = root / "etc/strongswan.d/charon/kernel-libipsec.conf"
    plugin.write_text(plugin.read_text().replace("load = no", "load = yes"))
    run(program("umount"), root / "proc")
    with Mesh(Direction.FOUR_OVER_SIX, 0, spare=2) as mesh:
        mesh.add(2).start()
        made = Router(mesh, root)
        with made.system:
            yield made
        made.namespace.close()
        made.island.close()


def test_it_is_installed_enabled_and_not_started_before_it_is_configured(router: Router) -> None:
    system = router.system
    assert system.run("softmesh", "--version").stdout.strip() == f"softmesh {__version__}"
    enabled, active, condition = system.show("softmesh", "UnitFileState", "ActiveState", "ConditionResult")
    assert (enabled, active, condition) == ("enabled", "inactive", "no")
    assert system.run("systemctl", "is-enabled", "softmesh-exabgp", check=False).stdout.strip() == "disabled"
    assert system.run("stat", "-c", "%U:%G %a", "/etc/softmesh").stdout.strip() == "softmesh:softmesh 750"
    assert system.run("stat", "-c", "%U:%G %a", "/run/charon.vici").stdout.strip() == "root:softmesh 770"
    assert "minimal.yaml" in system.run("ls", "/usr/share/doc/softmesh/examples").stdout


def test_units_are_sound_and_hardened(router: Router) -> None:
    for unit in ("softmesh.service", "softmesh-exabgp.service"):
        said = router.system.run("systemd-analyze", "verify", "--man=no", f"/lib/systemd/system/{unit}")
        assert (said.stdout + said.stderr).strip() == ""
        # In tenths: 0 is nothing exposed, 100 all.
        router.system.run("systemd-analyze", "security", "--threshold=25", unit)


def test_ready_means_that_the_bridge_has_gone_round(router: Router) -> None:
    system = router.system
    system.run("runuser", "-u", "softmesh", "--", "softmesh", "keygen", "--out", "/etc/softmesh/")
    (router.home / "bgp.password").write_text(router.mesh.password)
    system.run("chmod", "600", "/etc/softmesh/bgp.password")
    system.run("chown", "softmesh:", "/etc/softmesh/bgp.password")
    router.write(router.settings())
    assert ": fine" in system.run("softmesh", "check").stdout
    system.run("systemctl", "start", "softmesh")
    assert "softwires up" in router.status, "known as soon as the start is over"
    eventually(router.is_settled, within=30, what="systemctl status says that the softwire is up")
    assert system.show("softmesh", "ActiveState", "SubState", "User") == ["active", "running", "softmesh"]
    assert router.island.ping(router.mesh.plan.host(2, 10), within=5)
    guards = system.run("nft", "list", "table", "inet", "softmesh").stdout
    assert "unprotected" in guards
    assert "Traceback" not in router.journal


def test_of_the_kernels_settings_only_those_of_the_network_can_be_written(router: Router) -> None:
    """As type 6 needs it: net.mpls, and net.ipv4.route.flush."""
    inside = ["nsenter", "--target", str(router.process), "--mount", "--", "sh", "-c"]
    router.system.run(*inside, "echo 1 > /proc/sys/net/ipv4/route/flush")
    for path in ("/proc/sys/kernel/printk", "/etc/softmesh/mesh.yaml", "/usr/lib/softmesh/pyvenv.cfg"):
        refused = router.system.run(*inside, f"echo 1 > {path}", check=False)
        assert "Read-only file system" in refused.stderr, path


def test_check_host_sees_what_the_package_has_set_up(router: Router) -> None:
    found = router.system.run("softmesh", "check", "--host").stdout.splitlines()
    assert "ok   privileges: the bridge runs as softmesh, with CAP_NET_ADMIN" in found
    assert "ok   service: softmesh.service is active, and enabled" in found
    assert not [line for line in found if line.startswith(("fail", "warn"))]
    router.system.run("systemctl", "disable", "softmesh")
    found = router.system.run("softmesh", "check", "--host").stdout.splitlines()
    (line,) = [line for line in found if line.startswith("warn")]
    router.system.run("sh", "-c", line.rpartition("; ")[2])
    assert router.system.show("softmesh", "UnitFileState") == ["enabled"]


def test_reload_answers(router: Router) -> None:
    system, spis, process = router.system, router.spis, router.process
    router.write(router.settings() | {"log": {"level": "debug"}})
    system.run("systemctl", "reload", "softmesh")
    router.write(router.settings() | {"log": {"level": "loud"}})
    refused = system.run("systemctl", "reload", "softmesh", check=False)
    assert refused.returncode != 0
    # The journal reads what a program has printed in its own time.
    eventually(
        lambda: re.search(r"^softmesh: /etc/softmesh/mesh\.yaml:.*log\.level", router.journal, re.MULTILINE),
        within=10, what="the journal has the place and what is wrong there",
    )  # fmt: skip
    eventually(lambda: system.show("softmesh", "ActiveState") == ["active"], within=5, what="it is active as before")
    router.write(router.settings())
    system.run("systemctl", "reload", "softmesh")
    assert (router.spis, router.process) == (spis, process)


def test_a_restart_leaves_the_softwire_alone(router: Router) -> None:
    spis, process = router.spis, router.process
    router.system.run("systemctl", "restart", "softmesh")
    eventually(router.is_settled, within=30, what="the bridge has found its softwire again")
    assert router.process != process
    assert router.spis == spis
    holds(lambda: router.spis == spis, during=3, what="the SAs stay")


def test_the_watchdog_ends_a_bridge_that_hangs(router: Router) -> None:
    system, spis = router.system, router.spis
    assert system.show("softmesh", "WatchdogUSec") == ["3min"]
    # As the unit has it would take minutes. A round comes every 10 s at least, or when a busy machine lets it.
    system.run("mkdir", "-p", "/run/systemd/system/softmesh.service.d")
    hasty = "[Service]\\nWatchdogSec=25s\\nTimeoutAbortSec=1s\\n"
    system.run("sh", "-c", f"printf '{hasty}' > /run/systemd/system/softmesh.service.d/hasty.conf")
    system.run("systemctl", "daemon-reload")
    system.run("systemctl", "restart", "softmesh")
    eventually(router.is_settled, within=30, what="the softwire is found again")
    process = router.process
    holds(lambda: router.process == process, during=30, what="a bridge that goes round is left alone", every=1)
    system.run("kill", "-STOP", str(process))
    eventually(lambda: router.process not in {0, process}, within=60, every=0.5, what="there is another bridge")
    eventually(router.is_settled, within=30, what="the softwire is found again")
    assert int(*system.show("softmesh", "NRestarts")) == 1
    eventually(lambda: "Watchdog timeout" in router.journal, within=10, what="the journal says why")
    assert router.spis == spis


def test_an_exabgp_of_ones_own_has_a_unit(router: Router) -> None:
    system, spis = router.system, router.spis
    system.run("cp", "--preserve", "/run/softmesh/exabgp.conf", "/etc/softmesh/exabgp.conf")
    system.run("cp", "/usr/share/doc/softmesh/examples/exabgp.env", "/etc/softmesh/exabgp.env")
    router.write(router.settings(managed=False))
    system.run("systemctl", "stop", "softmesh")
    system.run("systemctl", "start", "softmesh-exabgp")
    system.run("systemctl", "start", "softmesh")
    eventually(router.is_settled, within=30, what="the bridge hears of the peer from the hook of that ExaBGP")
    (exabgp,) = system.show("softmesh-exabgp", "MainPID")
    system.run("systemctl", "restart", "softmesh")
    eventually(router.is_settled, within=30, what="the softwire is found again")
    assert system.show("softmesh-exabgp", "MainPID", "ActiveState") == [exabgp, "active"]
    assert router.spis == spis
    system.run("systemctl", "stop", "softmesh", "softmesh-exabgp")
    router.write(router.settings())
    system.run("systemctl", "start", "softmesh")
    eventually(router.is_settled, within=30, what="the bridge has its own again")


def test_an_upgrade_restarts_the_bridge_and_leaves_the_softwire_alone(router: Router, deb: Path) -> None:
    unpacked = PLACE / "newer"
    run(program("dpkg-deb"), "--raw-extract", deb, unpacked)
    control = unpacked / "DEBIAN/control"
    control.write_text(control.read_text().replace(f"Version: {__version__}\n", f"Version: {NEWER}\n"))
    run(program("dpkg-deb"), "-Znone", "--build", unpacked, router.home.parent.parent / "tmp/newer.deb")
    spis, process = router.spis, router.process
    router.system.run("dpkg", "-i", "/tmp/newer.deb", within=120)
    assert router.process not in {0, process}, "restarted"
    eventually(router.is_settled, within=30, what="the new bridge has found its softwire")
    assert router.spis == spis
    assert [path.name for path in router.home.iterdir() if path.name in SECRETS]


def test_removal_leaves_keys_and_nothing_else(router: Router) -> None:
    system = router.system
    system.run("apt-get", "remove", "-y", "-qq", "softmesh", within=120)
    assert system.run("swanctl", "--list-conns").stdout.count("softmesh-") == 0
    eventually(lambda: router.spis == [], within=20, what="the peer has confirmed that the SAs are gone")
    assert system.run("nft", "list", "table", "inet", "softmesh", check=False).returncode != 0
    assert system.run("ip", "route", "show", "proto", "194").stdout == ""
    assert system.run("systemctl", "is-active", "softmesh", check=False).stdout.strip() == "inactive"
    assert (router.home / "identity.key").is_file()
    # charon's own configuration stays, and so does the group it names: without that it would not start.
    system.run("systemctl", "restart", "strongswan")


def test_purge_leaves_nothing(router: Router) -> None:
    system = router.system
    system.run("apt-get", "purge", "-y", "-qq", "softmesh", within=120)
    assert not router.home.exists()
    left = system.run("sh", "-c", "ls -d /run/softmesh /usr/lib/softmesh /etc/strongswan.d/softmesh*", check=False)
    assert left.stdout == ""
    system.run("systemctl", "restart", "strongswan")
