"""BIRD as route reflector."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from lab.eventually import PATIENCE
from lab.namespace import Namespace
from lab.reflector import ASN, Reflector
from lab.release import HOST, Release


class Bird(Reflector):
    """BIRD; its table is that of ``birdc``."""

    def __init__(
        self,
        namespace: Namespace,
        address: str,
        clients: Sequence[str],
        password: str | None = None,
        *,
        release: Release = HOST,
        ttl_security: bool = False,
        add_paths: bool = False,
    ) -> None:
        """Start it. ``ttl_security``: GTSM (RFC 5082); ``add_paths``: it sends all paths to who asks (RFC 7911)."""
        self._ttl_security = ttl_security
        self._add_paths = add_paths
        self._preferred: dict[str, str] = {}
        super().__init__(namespace, address, clients, password, release=release)

    def configure(self) -> None:
        """Write bird.conf."""
        v6 = ":" in self.address
        secret = f'  password "{self.password}";\n' if self.password else ""
        # Where it checks how many routers a packet has passed, it has to be told that there are none.
        near = "  direct;\n  ttl security on;\n" if self._ttl_security else ""
        paths = " add paths tx;" if self._add_paths else ""
        sessions = "".join(
            f"protocol bgp client{number} from afbr {{ neighbor {client} as {ASN}; }}\n"
            for number, client in enumerate(self.clients, 1)
        )
        # RFC 8950 over an IPv6 core, IPv4-mapped next hops over an IPv4 one: BIRD has one switch for both, and wants it
        # in the channel whose next hops are of the other family.
        preference = "".join(
            f"if net = {prefix} && from = {client} then bgp_local_pref = 200; "
            for prefix, client in self._preferred.items()
        )
        # Tests put filters of their own in its place.
        imported = f"filter {{ {preference}accept; }}" if preference else "all"
        channels = "".join(
            f"  {family} {{ import {imported}; export where source = RTS_BGP;"
            f"{' extended next hop on;' if (family == 'ipv4') == v6 else ''}{paths} }};\n"
            for family in ("ipv4", "ipv6")
        )
        (self.home / "bird.conf").write_text(
            f"router id {self.cluster_id};\n"
            "protocol device {}\n"
            "protocol direct { ipv4; ipv6; }\n"
            "template bgp afbr {\n"
            f"  local {self.address} as {ASN};\n  rr client;\n  rr cluster id {self.cluster_id};\n  passive;\n"
            f"{secret}{near}  graceful restart on;\n  error wait time 1,2;\n  error forget time 1;\n"
            f"{channels}"
            f"}}\n{sessions}"
        )

    def prefer(self, prefix: str, client: str) -> None:
        """Prefer one client's route to a prefix from now on (RFC 4271 §9.1.1: by LOCAL_PREF)."""
        self._preferred[prefix] = client
        self.configure()
        assert "Reconfigured" in self.birdc("configure"), "BIRD takes its new configuration over"

    def argv(self) -> list[str]:
        """``bird`` in the foreground."""
        files = ("-c", "bird.conf"), ("-s", "bird.ctl"), ("-P", "bird.pid")
        return [
            *self.release.argv("bird"),
            "-f",
            *(word for flag, name in files for word in (flag, str(self.home / name))),
        ]

    def answers(self) -> bool:
        """Whether birdc gets an answer."""
        return "BIRD" in self.birdc("show", "status")

    def birdc(self, *command: str) -> str:
        """What ``birdc`` prints."""
        done = subprocess.run(
            [*self.release.argv("birdc"), "-s", str(self.home / "bird.ctl"), *command],
            capture_output=True, text=True, check=False, timeout=10 * PATIENCE,
        )  # fmt: skip
        return done.stdout

    def prefixes(self) -> set[str]:
        """The prefixes it has learned by BGP."""
        lines = self.birdc("show", "route", "where", "source", "=", "RTS_BGP").splitlines()
        return {line.split()[0] for line in lines if "/" in line.split(" ")[0]}

    def established(self, client: str) -> bool:
        """Whether the session with this client stands, for BIRD."""
        return "Established" in self.birdc("show", "protocols", f"client{self.clients.index(client) + 1}")

    def restarting(self) -> bool:
        """Whether it keeps routes of a session that ended, until the next one's End-of-RIB.

        Should that one end before, these routes end too (RFC 4724 §4.2).
        """
        return "graceful restart active" in self.birdc("show", "protocols", "all")

    def version(self) -> str:
        """``BIRD 2.0.12``."""
        return " ".join(self.birdc("show", "status").split()[:2])
