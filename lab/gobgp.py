"""GoBGP as route reflector."""

from __future__ import annotations

import json
from collections.abc import Sequence

from lab.namespace import Namespace
from lab.reflector import ASN, Reflector
from lab.release import HOST, Release


class GoBgp(Reflector):
    """gobgpd; its table is that of ``gobgp``."""

    def __init__(
        self,
        namespace: Namespace,
        address: str,
        clients: Sequence[str],
        password: str | None = None,
        *,
        release: Release = HOST,
        encapsulation: bool = False,
    ) -> None:
        """Start it. ``encapsulation``: with the Encapsulation SAFI (RFC 5512) of both families."""
        subsequent = ("unicast", "encap") if encapsulation else ("unicast",)
        self._families = [f"{family}-{safi}" for family in ("ipv4", "ipv6") for safi in subsequent]
        super().__init__(namespace, address, clients, password, release=release)

    def configure(self) -> None:
        """Write gobgpd.toml."""
        configuration = self.home / "gobgpd.toml"
        configuration.touch(0o600)
        configuration.write_text(
            f'[global.config]\n  as = {ASN}\n  router-id = "{self.cluster_id}"\n'
            f'  local-address-list = ["{self.address}"]\n' + "".join(self._session(client) for client in self.clients)
        )

    def _session(self, client: str) -> str:
        # A string of TOML has the escapes of JSON's.
        secret = f"    auth-password = {json.dumps(self.password)}\n" if self.password else ""
        families = "".join(
            "  [[neighbors.afi-safis]]\n"
            f'    [neighbors.afi-safis.config]\n      afi-safi-name = "{family}"\n'
            "    [neighbors.afi-safis.mp-graceful-restart.config]\n      enabled = true\n"
            for family in self._families
        )
        return (
            f'[[neighbors]]\n  [neighbors.config]\n    neighbor-address = "{client}"\n    peer-as = {ASN}\n{secret}'
            f'  [neighbors.transport.config]\n    passive-mode = true\n    local-address = "{self.address}"\n'
            "  [neighbors.route-reflector.config]\n    route-reflector-client = true\n"
            f'    route-reflector-cluster-id = "{self.cluster_id}"\n'
            "  [neighbors.graceful-restart.config]\n    enabled = true\n    restart-time = 120\n"
            f"{families}"
        )

    def argv(self) -> list[str]:
        """``gobgpd`` in the foreground."""
        return [*self.release.argv("gobgpd"), "--log-plain", "--config-file", str(self.home / "gobgpd.toml")]

    def answers(self) -> bool:
        """Whether its API says what it was configured with."""
        return f"AS:        {ASN}" in self.gobgp("global")

    def gobgp(self, *command: str) -> str:
        """What ``gobgp`` prints."""
        return self.namespace.run(*self.release.argv("gobgp"), *command, check=False, within=10).stdout

    def prefixes(self) -> set[str]:
        """The prefixes it has learned by BGP."""
        found = set()
        for family in ("ipv4", "ipv6"):
            table = self.gobgp("global", "rib", "-a", family, "--json")
            found |= set(json.loads(table)) if table.startswith("{") else set()
        return found

    def version(self) -> str:
        """``GoBGP 3.10.0``."""
        return f"GoBGP {self.gobgp('--version').split()[-1]}"
