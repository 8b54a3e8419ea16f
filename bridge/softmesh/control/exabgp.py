"""The managed ExaBGP of a configuration (``bgp.managed: true``)."""

from __future__ import annotations

import sys

import structlog

from softmesh.bgp.exabgp_process import ExaBgpNeighbor, ExaBgpSettings, ManagedExaBgp
from softmesh.bgp.route import ENCAPSULATION
from softmesh.config import Config, read_password
from softmesh.control.settings import stale_times_of


def managed_exabgp(config: Config) -> ManagedExaBgp:
    """ExaBGP as this configuration wants it, not yet started; its hook is of this very installation.

    Raises OperatorError for what ExaBGP cannot be given, and for a password file that cannot be used.
    """
    log = structlog.get_logger("softmesh.exabgp")
    bgp = config.bgp
    settings = ExaBgpSettings(
        router_id=str(bgp.router_id),
        local_address=str(config.local_address),
        next_hop=str(config.endpoint),
        local_as=bgp.asn,
        neighbors=tuple(
            ExaBgpNeighbor(
                str(neighbor.address),
                config.asn_of(neighbor),
                None if neighbor.password_file is None else read_password(neighbor.password_file),
                neighbor.gtsm,
            )
            for neighbor in bgp.neighbors
        ),
        hook_command=(
            *(sys.executable, "-m", "softmesh", "hook"),
            *("--socket", str(config.sockets.hook)),
            *("--stale-time", f"{stale_times_of(config).longest:g}"),
            *([] if ENCAPSULATION.isdisjoint(bgp.families) else ["--encapsulation"]),
        ),
        families=bgp.families,
        add_path=bgp.add_path,
        hold_time=bgp.hold_time,
        graceful_restart=bgp.graceful_restart,
    )
    return ManagedExaBgp(
        settings,
        config.sockets.directory,
        on_log=lambda line: log.debug("exabgp", line=line),
        on_end=lambda what: log.warning("exabgp", problem=what),
        program=None if bgp.exabgp is None else str(bgp.exabgp),
    )
