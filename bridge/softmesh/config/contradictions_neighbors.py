"""Contradictions of the BGP neighbours: their addresses, and what protects their sessions. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from softmesh.config.finding import Finding, error, warning
from softmesh.config.problems import KeyPath
from softmesh.config.values import Config, Guards, Neighbor, SessionProtection
from softmesh.mesh.softwire import Address

_FORGED = "whoever forges BGP directs our softwires (RFC 5566 §4)"


def neighbor_contradictions(config: Config) -> Iterator[Finding]:
    """Look at ``bgp.neighbors``."""
    seen: dict[Address, int] = {}
    for index, neighbor in enumerate(config.bgp.neighbors):
        path: KeyPath = ("bgp", "neighbors", index)
        yield from _address(config, neighbor, (*path, "address"), seen)
        seen.setdefault(neighbor.address, index)
        if config.asn_of(neighbor) != config.bgp.asn and neighbor.tunnels is None:
            yield warning(
                (*path, "asn"),
                f"AS {neighbor.asn} is not ours ({config.bgp.asn}): no tunnels are exchanged with it (RFC 9012 §11)",
                "set tunnels: true if it is of the same administration, else tunnels: false",
                ("bgp", "asn"),
            )
        yield from _protection(config, neighbor, path)
        yield from _ipsec(config, neighbor, path)


def no_router(address: Address) -> bool:
    """Whether BGP can have no session with an address. Loopback is fine: a reflector may run here too."""
    return address.is_unspecified or address.is_multicast


def _address(config: Config, neighbor: Neighbor, path: KeyPath, seen: dict[Address, int]) -> Iterator[Finding]:
    local_key: KeyPath = ("endpoint",) if config.bgp.local_address is None else ("bgp", "local_address")
    if no_router(neighbor.address):
        yield error(path, f"{neighbor.address} is no router's address", "use the address of the BGP neighbour")
    if neighbor.address in seen:
        yield error(
            path,
            f"{neighbor.address} is given twice",
            "keep one of them",
            ("bgp", "neighbors", seen[neighbor.address]),
        )
    elif neighbor.address in (config.endpoint, config.local_address):
        yield error(
            path,
            f"{neighbor.address} is our own address",
            "use the address of the BGP neighbour",
            ("endpoint",),
            local_key,
        )
    elif neighbor.address.version != config.local_address.version:
        yield error(
            path,
            f"an IPv{neighbor.address.version} neighbour cannot be reached from {config.local_address}",
            f"set bgp.local_address to an IPv{neighbor.address.version} address of this router",
            local_key,
        )


def _protection(config: Config, neighbor: Neighbor, path: KeyPath) -> Iterator[Finding]:
    protection, managed = (*path, "protection"), ("bgp", "managed")
    password = (*path, "password_file")
    match neighbor.protection:
        case SessionProtection.NONE | SessionProtection.AO if neighbor.password_file is not None:
            yield error(
                protection,
                f"{neighbor.protection} contradicts password_file, which makes it md5",
                "remove the one or the other",
                password,
            )
        case SessionProtection.NONE:
            yield warning(protection, f"none: {_FORGED}", "use md5 or ipsec")
        case SessionProtection.AO:
            yield error(
                protection,
                "ao cannot be shown: ExaBGP 5 has no TCP-AO (RFC 5925), and Linux tells nobody which sockets have it",
                "use md5 or ipsec",
            )
        case SessionProtection.MD5 if config.bgp.managed and neighbor.password_file is None:
            yield error(
                protection,
                "md5 needs a password while bgp.managed is true",
                "set password_file here and the same password there",
                managed,
                password,
            )
        case None if config.bgp.managed and neighbor.password_file is None:
            yield warning(
                path,
                f"the session has no password, so its routes will not count: {_FORGED}",
                "set password_file here and the same password there, or protection: none to have it so",
                managed,
            )


def _ipsec(config: Config, neighbor: Neighbor, path: KeyPath) -> Iterator[Finding]:
    protection, authenticators = (*path, "protection"), (*path, "authenticators")
    if neighbor.protection is not SessionProtection.IPSEC:
        if neighbor.authenticators:
            yield error(
                authenticators,
                "are for IPsec, which protection does not ask for",
                "set protection: ipsec or remove them",
                protection,
            )
        return
    if not neighbor.authenticators:
        yield error(
            authenticators,
            "required by protection: ipsec, but missing",
            "write what softmesh check prints on the neighbour, or the SHA-1 of its SubjectPublicKeyInfo",
            protection,
        )
    if config.dataplane.guards is not Guards.FULL:
        yield warning(
            protection,
            "without dataplane.guards: full the session may come up in the clear first, and what was heard then counts",
            "set guards: full",
            ("dataplane", "guards"),
        )
    if len(set(neighbor.authenticators)) < len(neighbor.authenticators):
        yield warning(authenticators, "an authenticator is given twice", "keep one of each")
    if all(source.directory is None and source.url is None for source in config.trust.keys):
        yield error(
            protection,
            "ipsec needs the neighbour's key from a directory or store, and trust.keys has neither",
            "add a directory to trust.keys and put the neighbour's public key into it",
            ("trust", "keys"),
        )
