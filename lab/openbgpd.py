"""OpenBGPD as route reflector."""

from __future__ import annotations

import json

from lab.reflector import ASN, Reflector

WITHOUT_EXTENDED_NEXT_HOP = "OpenBGPD 7.7"
"""Debian 12's: it knows nothing of RFC 8950, so no IPv4 prefix crosses an IPv6 core with it."""


class OpenBgpd(Reflector):
    """OpenBGPD; its table is that of ``bgpctl``."""

    def configure(self) -> None:
        """Write bgpd.conf, for the owner alone: it takes no other."""
        lines = [f"remote-as {ASN}", f"local-address {self.address}", f"route-reflector {self.cluster_id}", "passive"]
        lines += ["announce IPv4 unicast", "announce IPv6 unicast"]
        if ":" not in self.address:
            # It asks the kernel for the way to a next hop, the IPv4-mapped ones of IPv6 prefixes too.
            self.namespace.ip("route", "replace", "::ffff:0:0/96", "dev", "core0")
        elif self.version() != WITHOUT_EXTENDED_NEXT_HOP:
            lines.append("announce extended nexthop yes")
        if self.password:
            # The strings of its configuration cannot end with a backslash; octets can be anything.
            lines.append(f"tcp md5sig key {self.password.encode().hex()}")
        session = "".join(f"  {line}\n" for line in lines)
        configuration = self.home / "bgpd.conf"
        configuration.touch(0o600)
        configuration.write_text(
            f"AS {ASN}\nrouter-id {self.cluster_id}\nlisten on {self.address}\n"
            f'socket "{self.home / "bgpd.sock"}"\n'
            "fib-update no\nnexthop qualify via default\n"
            f'group "afbr" {{\n{session}'
            + "".join(f"  neighbor {client}\n" for client in self.clients)
            + "}\nallow from ibgp\nallow to ibgp\n"
        )

    def argv(self) -> list[str]:
        """``bgpd`` in the foreground."""
        assert self.release.root is not None
        # Where its engines lock themselves up; a service has it from systemd.
        (self.release.root / "run" / "openbgpd").mkdir(mode=0o755, exist_ok=True)
        return [*self.release.argv("bgpd"), "-d", "-f", str(self.home / "bgpd.conf")]

    def answers(self) -> bool:
        """Whether bgpctl gets an answer."""
        return "Neighbor" in self.bgpctl("show")

    def bgpctl(self, *command: str) -> str:
        """What ``bgpctl`` prints."""
        argv = [*self.release.argv("bgpctl"), "-s", str(self.home / "bgpd.sock"), *command]
        return self.namespace.run(*argv, check=False, within=10).stdout

    def prefixes(self) -> set[str]:
        """The prefixes it has learned by BGP."""
        table = self.bgpctl("-j", "show", "rib")
        return {route["prefix"] for route in json.loads(table).get("rib", [])} if table.startswith("{") else set()

    def version(self) -> str:
        """``OpenBGPD 7.7``."""
        done = self.namespace.run(*self.release.argv("bgpd"), "-V", check=False)
        return " ".join((done.stdout + done.stderr).split()[:2])
