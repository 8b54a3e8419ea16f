"""Contradictions of trust: modes and what they rest on, key sources, groups. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from softmesh.config.finding import Finding, error, warning
from softmesh.config.problems import KeyPath, spell
from softmesh.config.values import Config, KeySource, TrustRules, trust_mode_of
from softmesh.mesh.softwire import Address
from softmesh.mesh.trust_policy import TrustMode, TrustPolicy

CERTIFIED = frozenset({TrustMode.PKI, TrustMode.PINNED_PKI})
"""Modes in which a certificate of an authority counts."""
HASHED = frozenset({TrustMode.PINNED, TrustMode.PINNED_PKI})
"""Modes in which a peer must have announced an authenticator."""

_LABEL = "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_DNS_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*")


def trust_contradictions(config: Config) -> Iterator[Finding]:
    """Look at ``trust`` and the groups' own trust."""
    for path, rules in _all_rules(config):
        yield from _mode(path, rules)
        yield from _certified(config, path, rules)
    yield from _certificates(config)
    yield from _announced(config)
    yield from _keys(config)


def rules_in_force(config: Config) -> tuple[tuple[KeyPath, TrustRules], ...]:
    """The trust of this router: what groups that it is in have of their own, and the trust of all else."""
    groups = config.trust_groups
    return tuple(
        (path, rules) for path, rules in _all_rules(config) if len(path) == 1 or config.groups[int(path[1])] in groups
    )


def rules_between(config: Config, remote: Address) -> tuple[KeyPath, TrustRules]:
    """By which rules we and the router of an endpoint come to trust each other, and where they stand."""
    for index, group in enumerate(config.groups):
        if group.trust is not None and all(
            any(end in network for network in group.endpoints) for end in (config.endpoint, remote)
        ):
            return ("groups", index, "trust"), group.trust
    return ("trust",), config.trust


def _all_rules(config: Config) -> Iterator[tuple[KeyPath, TrustRules]]:
    yield ("trust",), config.trust
    for index, group in enumerate(config.groups):
        if group.trust is not None:
            yield ("groups", index, "trust"), group.trust


def _mode(path: KeyPath, rules: TrustRules) -> Iterator[Finding]:
    mode, at = trust_mode_of(rules), (*path, "mode")
    if mode is TrustMode.GROUP_PSK:
        yield warning(
            at,
            "group-psk is weaker than any other: one key for all routers, so any of them can pose as any other"
            " (RFC 5619 §4.4.2)",
            "use pinned, which needs no PKI either",
        )
        if rules.secret_file is None:
            yield error(
                (*path, "secret_file"),
                "required by mode group-psk, but missing",
                "make one with softmesh keygen --group-key and give it to all routers of the group",
                at,
            )
    elif rules.secret_file is not None:
        yield warning((*path, "secret_file"), f"has no effect in mode {mode}", "remove it", at)


def _certified(config: Config, path: KeyPath, rules: TrustRules) -> Iterator[Finding]:
    mode, at, authorities = trust_mode_of(rules), (*path, "mode"), (*path, "authorities")
    if mode in CERTIFIED:
        if not rules.authorities:
            yield error(at, f"{mode} needs a CA to trust", f"add its certificate to {spell(authorities)}", authorities)
        yield from _template(config, path, rules)
    else:
        for name in ("authorities", "revocation_lists", "identity"):
            # Without any authority, nobody has signed the lists: said below.
            given = getattr(rules, name) != getattr(TrustRules(), name)
            if given and (name != "revocation_lists" or rules.authorities):
                yield warning(
                    (*path, name),
                    f"has no effect in mode {mode}",
                    "remove it, or set mode: pki or pinned+pki",
                    at,
                    authorities,
                )
        if rules.revocation_lists and not rules.authorities:
            yield error(
                (*path, "revocation_lists"),
                f"there are no {spell(authorities)} that could have signed them",
                "add the CA's certificate there, or remove the key",
                authorities,
                at,
            )
    for name in ("authorities", "revocation_lists"):
        if len(set(getattr(rules, name))) < len(getattr(rules, name)):
            yield warning((*path, name), "a file is given twice", "keep one of each")


def is_identity(name: str, endpoint: Address) -> bool:
    """Whether a certificate can be for this name: a DNS name, or the endpoint's own address."""
    if name == str(endpoint):
        return True
    # All digits at the end (RFC 1123 §2.1): to charon it would be an address, and another router's.
    return _DNS_NAME.fullmatch(name) is not None and not name.rpartition(".")[2].isdigit()


def _template(config: Config, path: KeyPath, rules: TrustRules) -> Iterator[Finding]:
    ours = TrustPolicy(identity=rules.identity).identity_of(config.endpoint)
    if not is_identity(ours, config.endpoint):
        yield error(
            (*path, "identity"),
            f"makes '{ours}' of our endpoint, which is neither an address nor a DNS name",
            "use {endpoint} alone, or {label} in a DNS name",
            ("endpoint",),
        )


def _certificates(config: Config) -> Iterator[Finding]:
    """Our own certificates, which every peer of ours wants to see where these modes are in force."""
    asking = next(
        ((path, mode) for path, rules in rules_in_force(config) if (mode := trust_mode_of(rules)) in CERTIFIED), None
    )
    if asking is None:
        return
    path, mode = asking
    keys: list[tuple[KeyPath, object]] = [(("identity", "certificate"), config.identity.certificate)]
    keys += [(("identity", "also", at, "certificate"), own.certificate) for at, own in enumerate(config.identity.also)]
    for at, certificate in keys:
        if certificate is None:
            yield error(
                at,
                f"required by {spell((*path, 'mode'))} {mode}, but missing",
                "add the certificate that the CA made for this key",
                (*path, "mode"),
                (*path, "authorities"),
            )


def _announced(config: Config) -> Iterator[Finding]:
    """Whether peers can do with what we announce."""
    in_force = [(path, trust_mode_of(rules)) for path, rules in rules_in_force(config)]
    needed = any(mode in HASHED for _, mode in in_force)
    for path, mode in in_force:
        where, others = spell((*path, "mode")), ((*path, "mode"), (*path, "authorities"), ("trust", "mode"))
        if mode in HASHED and not config.announces_authenticator:
            yield warning(
                ("announce", "authenticator"),
                f"false: we announce no authenticator, so peers refuse us where {where} is {mode} (RFC 5619 §4.4.2)",
                "set it to true",
                *others,
            )
        elif mode is TrustMode.GROUP_PSK and config.announces_authenticator:
            yield warning(
                ("announce", "authenticator"),
                f"true: peers refuse us where {where} is group-psk, for no group key proves who we are (RFC 5566 §4.1)",
                "set trust.mode to pki or group-psk too, for as it is it needs one" if needed else "set it to false",
                *others,
            )


def _keys(config: Config) -> Iterator[Finding]:
    trust = config.trust
    if not trust.keys and any(trust_mode_of(rules) in HASHED for _, rules in rules_in_force(config)):
        yield warning(
            ("trust", "keys"),
            "empty: no peer's key is ever found, so no softwire comes up",
            "add announced: true, a directory or a url",
            ("trust", "mode"),
            ("groups",),
        )
    for index, source in enumerate(trust.keys):
        path: KeyPath = ("trust", "keys", index)
        if (source.directory is not None) + source.announced + (source.url is not None) != 1:
            yield error(
                path,
                "must name exactly one source of keys",
                "write one of directory: PATH, announced: true and url: URL",
            )
        elif source.directory is not None and source.directory == config.identity.private_key.parent:
            yield warning(
                (*path, "directory"),
                "our private key is in the directory of peers' keys",
                "keep peers' keys in a directory of their own",
                ("identity", "private_key"),
            )
        yield from _store(path, source)
        if source in trust.keys[:index]:
            yield warning(path, "is given twice", "keep one of them")


def _store(path: KeyPath, source: KeySource) -> Iterator[Finding]:
    if source.url is None:
        for name in ("ca_file", "timeout"):
            if getattr(source, name) != getattr(KeySource(), name):
                yield warning((*path, name), "has no effect without url", "remove it", (*path, "url"))
    elif source.ca_file is not None and not source.url.startswith("https:"):
        yield error(
            (*path, "ca_file"),
            "http: has no certificate for it to check",
            "write https: in url, or remove it",
            (*path, "url"),
        )
