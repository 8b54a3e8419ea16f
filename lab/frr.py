"""FRR as route reflector: its bgpd alone, without zebra."""

from __future__ import annotations

import json
from collections.abc import Sequence

from lab.namespace import Namespace
from lab.reflector import ASN, Reflector
from lab.release import HOST, Release

WITHOUT_MAPPED_SWITCH = "FRR 8.4.4"
"""Debian 12's, which has no ``--v6-with-v4-nexthop`` and needs none."""


class Frr(Reflector):
    """FRR's bgpd; its table is that of ``vtysh``."""

    def __init__(
        self,
        namespace: Namespace,
        address: str,
        clients: Sequence[str],
        password: str | None = None,
        *,
        release: Release = HOST,
        discard: bool = False,
    ) -> None:
        """Start it. ``discard``: it takes attribute 23 off what its clients say, before it looks at it."""
        self.discard = discard
        super().__init__(namespace, address, clients, password, release=release)

    def configure(self) -> None:
        """Write bgpd.conf."""
        session = [f"remote-as {ASN}", "passive"]
        if self.password:
            session.append(f"password {self.password}")
        if ":" in self.address:
            # RFC 8950. Over an IPv4 core it would put its own address in place of IPv4-mapped next hops.
            session.append("capability extended-nexthop")
        lines = [
            f"router bgp {ASN}",
            f" bgp router-id {self.cluster_id}",
            f" bgp cluster-id {self.cluster_id}",
            " no bgp default ipv4-unicast",
            " neighbor afbr peer-group",
            *(f" neighbor afbr {line}" for line in session),
            *(f" neighbor {client} peer-group afbr" for client in self.clients),
        ]
        if self.discard:
            # Of a peer group it would count for none of its members.
            lines += [f" neighbor {client} path-attribute discard 23" for client in self.clients]
        for family in ("ipv4", "ipv6"):
            lines += [
                f" address-family {family} unicast",
                "  neighbor afbr activate",
                "  neighbor afbr route-reflector-client",
                " exit-address-family",
            ]
        configuration = self.home / "bgpd.conf"
        configuration.touch(0o600)
        configuration.write_text("\n".join([*lines, "end", ""]))

    def argv(self) -> list[str]:
        """``bgpd`` in the foreground; without zebra every next hop counts as reachable."""
        files = ("--config_file", "bgpd.conf"), ("--pid_file", "bgpd.pid"), ("--vty_socket", "")
        # Else it ends sessions over IPv4 for IPv6 prefixes, unless zebra knows of an IPv6 address on the interface.
        mapped = [] if ":" in self.address or self.version() == WITHOUT_MAPPED_SWITCH else ["--v6-with-v4-nexthop"]
        return [
            *self.release.argv("frr/bgpd"),
            *mapped,
            *("--no_zebra", "--skip_runas", "--vty_port", "0", "--log", "stdout"),
            *(word for flag, name in files for word in (flag, str(self.home / name))),
        ]

    def answers(self) -> bool:
        """Whether vtysh gets an answer."""
        return "BGP router identifier" in self.vtysh("show bgp summary")

    def vtysh(self, *commands: str) -> str:
        """What ``vtysh`` prints."""
        words = [word for command in commands for word in ("-c", command)]
        argv = [*self.release.argv("vtysh"), "--vty_socket", str(self.home), *words]
        return self.namespace.run(*argv, check=False, within=10).stdout

    def prefixes(self) -> set[str]:
        """The prefixes it has learned by BGP."""
        tables = (json.loads(self.vtysh(f"show bgp {family} unicast json") or "{}") for family in ("ipv4", "ipv6"))
        return {prefix for table in tables for prefix in table.get("routes", {})}

    def version(self) -> str:
        """``FRR 10.3``."""
        done = self.namespace.run(*self.release.argv("frr/bgpd"), "--version")
        return f"FRR {done.stdout.split()[2]}"
