"""Contradictions of configured softwires. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.special_purpose import special_purpose
from softmesh.config.contradictions_trust import rules_between
from softmesh.config.finding import Finding, error, warning
from softmesh.config.prefixes import Overlaps, captures, unfit
from softmesh.config.problems import KeyPath, spell
from softmesh.config.values import Config, SoftwireEntry, trust_mode_of
from softmesh.mesh.capture import Core
from softmesh.mesh.trust_policy import TrustMode

_FAMILY_BOUND = frozenset(
    {TunnelType.IPSEC_TUNNEL, TunnelType.IP_IN_IP_IPSEC_TRANSPORT, TunnelType.MPLS_IN_IP_IPSEC_TRANSPORT}
)
"""Types whose selectors depend on the families that both ends have."""


def softwire_contradictions(config: Config) -> Iterator[Finding]:
    """Look at ``softwires``."""
    if config.softwires and all(source.directory is None and source.url is None for source in config.trust.keys):
        yield error(
            ("softwires",),
            "their keys come from a directory or store only, and trust.keys has neither",
            "add a directory to trust.keys and put the peers' public keys into it",
            ("trust", "keys"),
        )
    ends, announced = Core(), Overlaps(config.announce.prefixes)
    seen: dict[tuple[object, ...], int] = {}
    for index, entry in enumerate(config.softwires):
        ends.add(entry.remote, ())
        identity = (entry.remote, entry.tunnel, entry.color)
        if identity in seen:
            yield error(
                ("softwires", index),
                f"{entry.tunnel.keyword} to {entry.remote} is given twice with the same colour",
                "keep one of them",
                ("softwires", seen[identity]),
            )
        seen.setdefault(identity, index)
    for index, entry in enumerate(config.softwires):
        path: KeyPath = ("softwires", index)
        yield from _remote(config, entry, (*path, "remote"))
        if len(set(entry.authenticators)) < len(entry.authenticators):
            yield warning((*path, "authenticators"), "an authenticator is given twice", "keep one of each")
        rules_path, rules = rules_between(config, entry.remote)
        if trust_mode_of(rules) is TrustMode.GROUP_PSK:
            yield error(
                path,
                f"would use the group key of {spell(rules_path)}, which is for the mesh alone (RFC 5619 §3.5.2)",
                "set another mode there, or remove the softwire",
                (*rules_path, "mode"),
                ("groups",),
            )
        yield from _prefixes(config, entry, path, ends, announced)


def _remote(config: Config, entry: SoftwireEntry, path: KeyPath) -> Iterator[Finding]:
    if purpose := special_purpose(entry.remote.packed):
        yield error(path, f"{entry.remote} is special-purpose ({purpose})", "use the peer's endpoint")
    elif entry.remote in (config.endpoint, config.local_address):
        yield error(
            path,
            f"{entry.remote} is our own address",
            "use the peer's endpoint",
            ("endpoint",),
            ("bgp", "local_address"),
        )
    elif entry.remote.version != config.endpoint.version:
        yield error(
            path,
            f"{entry.remote} cannot be reached from our endpoint {config.endpoint}",
            f"use the peer's IPv{config.endpoint.version} endpoint",
            ("endpoint",),
        )


def _prefixes(
    config: Config, entry: SoftwireEntry, softwire: KeyPath, ends: Core, announced: Overlaps
) -> Iterator[Finding]:
    path: KeyPath = (*softwire, "prefixes")
    if entry.tunnel == TunnelType.L2TPV3 and entry.prefixes:
        yield error(
            path,
            "l2tpv3 carries frames, so nothing is routed into it here",
            "remove the key, and route where the frames go",
        )
        return
    if entry.tunnel == TunnelType.IPSEC_TUNNEL and not entry.prefixes:
        yield error(path, "ipsec-tunnel-mode needs some", "list the networks behind the peer")
    yield from unfit(config, path, entry.prefixes, "list", "listed")
    for index, prefix in enumerate(entry.prefixes):
        if (end := ends.endpoint_in(prefix)) is not None:
            yield captures((*path, index), prefix, f"the softwire's end {end}", "list", ("softwires",))
        if (ours := announced.find(prefix)) is not None:
            yield error(
                (*path, index),
                f"{prefix} overlaps {ours}, which we announce as behind us",
                "correct the one or the other",
                ("announce", "prefixes"),
            )
    carried = {prefix.version for prefix in config.announce.prefixes}
    if entry.tunnel in _FAMILY_BOUND and carried:
        for index, prefix in enumerate(entry.prefixes):
            if prefix.version not in carried:
                yield warning(
                    (*path, index),
                    f"{prefix} is not carried: announce.prefixes has no IPv{prefix.version} network",
                    "announce one, or remove it",
                    ("announce", "prefixes"),
                )
