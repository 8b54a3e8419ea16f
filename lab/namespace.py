"""Network namespaces, the links between them, and processes inside them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from lab.eventually import PATIENCE, eventually

LAB = Path("/run/lab")
"""Sockets and logs of a lab; a tmpfs of the sandbox's own."""

PACKAGES = {
    "ip": "iproute2",
    "bridge": "iproute2",
    "ping": "iputils-ping",
    "bird": "bird2",
    "birdc": "bird2",
    "charon-systemd": "charon-systemd libcharon-extra-plugins libstrongswan-standard-plugins",
    "swanctl": "strongswan-swanctl",
    "tcpdump": "tcpdump",
    "promtool": "prometheus",
    "nft": "nftables",
    "setpriv": "util-linux",
    "nice": "coreutils",
    "mount": "mount",
    "umount": "mount",
}


class MissingProgram(AssertionError):
    """A daemon or tool that a lab needs is not installed: a failure, never a reason to skip."""


def program(name: str) -> str:
    """Return the path of an installed program; raises MissingProgram with the command that installs it."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        raise MissingProgram(f"{name} is not installed: apt-get install {PACKAGES.get(name, name)}")
    return found


class Process:
    """A process of the lab, its output in a file."""

    def __init__(self, argv: list[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
            )

    @property
    def pid(self) -> int:
        """Its process id; ``ip netns exec`` becomes the program it runs, so it is the daemon's own."""
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._popen.poll() is None

    @property
    def returncode(self) -> int | None:
        """Its exit status, None while it runs."""
        return self._popen.poll()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._popen.send_signal(number)

    def stop(self, *, within: float = 5.0) -> int:
        """SIGTERM, then SIGKILL after ``within`` seconds; returns its exit status."""
        if self.running:
            self._popen.terminate()
            try:
                self._popen.wait(within * PATIENCE)
            except subprocess.TimeoutExpired:
                self._popen.kill()
        return self._popen.wait()

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self._popen.kill()
        self._popen.wait()

    def freeze(self) -> None:
        """SIGSTOP: it hangs with its sockets open; returns when the last of its threads does."""
        freeze(self.pid)

    def thaw(self) -> None:
        """SIGCONT."""
        self.signal(signal.SIGCONT)

    def tail(self, lines: int = 30) -> str:
        """The last lines of its output."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def freeze(pid: int) -> None:
    """SIGSTOP to a process, one of another's children too; returns when the last of its threads has stopped."""
    os.kill(pid, signal.SIGSTOP)
    threads = Path(f"/proc/{pid}/task")
    eventually(
        lambda: all(_state(stat) == "T" for stat in threads.glob("*/stat")), within=5,
        what=f"every thread of process {pid} has stopped", every=0.005,
    )  # fmt: skip


def has_ended(pid: int) -> bool:
    """Whether a process has: it is not there, or waits to be reaped."""
    try:
        return _state(Path(f"/proc/{pid}/stat")) == "Z"
    except OSError:
        return True


def _state(stat: Path) -> str:
    """proc(5): the letter behind the name, which may have blanks and parentheses itself."""
    return stat.read_text().rpartition(")")[2].split()[0]


class Namespace:
    """A network namespace: one router or host of the lab."""

    def __init__(self, name: str, *, forwarding: bool = False) -> None:
        self.name = name
        self._processes: list[Process] = []
        _ip("netns", "add", name)
        self.ip("link", "set", "lo", "up")
        # Neither duplicate address detection nor reverse path filtering has a meaning here; both would cost seconds.
        settings = {
            "net/ipv6/conf/all/accept_dad": "0",
            "net/ipv6/conf/default/accept_dad": "0",
            "net/ipv4/conf/all/rp_filter": "0",
            "net/ipv4/conf/default/rp_filter": "0",
        }
        if forwarding:
            settings |= {"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1"}
        script = "; ".join(f"echo {value} > /proc/sys/{path}" for path, value in settings.items())
        self.run("sh", "-c", script)

    def argv(self, *command: str) -> list[str]:
        """The command line that runs ``command`` in here."""
        return [program("ip"), "netns", "exec", self.name, *command]

    def run(self, *command: str, check: bool = True, within: float = 30.0) -> subprocess.CompletedProcess[str]:
        """Run a command in here to its end; with ``check`` a failure raises and shows what it printed."""
        done = subprocess.run(
            self.argv(*command),
            capture_output=True,
            text=True,
            check=False,
            timeout=within * PATIENCE,
            stdin=subprocess.DEVNULL,
        )
        if check and done.returncode != 0:
            raise AssertionError(
                f"in {self.name}: {' '.join(command)} ended with {done.returncode}: {done.stdout}{done.stderr}"
            )
        return done

    def ip(self, *arguments: str) -> str:
        """Run ``ip`` for this namespace; returns what it prints."""
        return _ip("-n", self.name, *arguments)

    def start(self, *command: str, log: str, env: Mapping[str, str] | None = None) -> Process:
        """Start a process in here, its output in ``LAB/log``."""
        process = Process(self.argv(*command), LAB / log, env)
        self._processes.append(process)
        return process

    def address(self, device: str, *addresses: str) -> None:
        """Give a device addresses (with prefix length) and bring it up."""
        for address in addresses:
            self.ip("address", "add", address, "dev", device, *(["nodad"] if ":" in address else []))
        self.ip("link", "set", device, "up")

    def ping(self, destination: str, *, source: str | None = None, count: int = 1, within: float = 1.0) -> bool:
        """Whether every one of ``count`` echo requests was answered within ``within`` seconds each."""
        return " 0% packet loss" in self.pinged(destination, source=source, count=count, within=within)

    def pinged(self, destination: str, *, source: str | None = None, count: int, within: float = 1.0) -> str:
        """What ``ping`` prints of ``count`` echo requests."""
        # All at once: once one is answered, ping waits for the last no longer than for the next of a sequence (50 ms).
        options = ["-n", "-c", str(count), "-l", str(count), "-W", f"{within * PATIENCE:g}", "-i", "0.05"]
        if source is not None:
            options += ["-I", source]
        done = self.run(program("ping"), *options, destination, check=False, within=count * 2 + within + 5)
        return done.stdout + done.stderr

    def close(self) -> None:
        """Stop what was started in here and remove the namespace."""
        for process in reversed(self._processes):
            process.stop()
        _ip("netns", "delete", self.name)

    def __enter__(self) -> Namespace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def link(left: Namespace, left_device: str, right: Namespace, right_device: str) -> None:
    """A cable (veth pair) between two namespaces; both ends are up."""
    _ip(
        *("link", "add", left_device, "netns", left.name, "type", "veth"),
        *("peer", "name", right_device, "netns", right.name),
    )
    left.ip("link", "set", left_device, "up")
    right.ip("link", "set", right_device, "up")


def _ip(*arguments: str) -> str:
    done = subprocess.run(
        [program("ip"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=30 * PATIENCE,
    )
    if done.returncode != 0:
        raise AssertionError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
