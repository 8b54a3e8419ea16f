"""The managed ExaBGP of a configuration (``bgp.managed: true``)."""

from __future__ import annotations

import sys

import structlog

from softmesh.bgp.exabgp_process import ExaBgpNeighbor, ExaBgpSettings, ManagedExaBgp
from softmesh.bgp.hook import LOG_PREFIX
from softmesh.bgp.route import ENCAPSULATION
from softmesh.config import Config, read_password
from softmesh.control.settings import stale_times_of

_log = structlog.get_logger("softmesh.exabgp")
_OF_THE_HOOK = (LOG_PREFIX, "softmesh: ")
"""The second is what any command of ours prints that cannot go on."""


def managed_exabgp(config: Config) -> ManagedExaBgp:
    """ExaBGP as this configuration wants it, not yet started; its hook is of this very installation.

    Raises OperatorError for what ExaBGP cannot be given, and for a password file that cannot be used.
    """
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
        on_log=_print,
        on_end=lambda what: _log.warning("exabgp ended", problem=what),
        program=None if bgp.exabgp is None else str(bgp.exabgp),
    )


def _print(line: str) -> None:
    if line.startswith(_OF_THE_HOOK):
        _log.warning("hook", line=line.partition(": ")[2])
    else:
        _log.debug("exabgp", line=line)
