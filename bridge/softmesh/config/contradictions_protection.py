"""Contradictions of peer groups and of the levels of protection. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from softmesh.config.finding import Finding, error, warning
from softmesh.config.problems import KeyPath, near
from softmesh.config.values import Config, ProtectionRule
from softmesh.mesh.softwire import inside

_CONDITIONS = ("groups", "colors", "tunnels")


def group_contradictions(config: Config) -> Iterator[Finding]:
    """Look at ``groups``."""
    seen: dict[str, int] = {}
    for index, group in enumerate(config.groups):
        if group.name in seen:
            yield error(
                ("groups", index, "name"),
                f"there are two groups '{group.name}'",
                "rename one, or make them one",
                ("groups", seen[group.name], "name"),
            )
        seen.setdefault(group.name, index)
        for at, network in enumerate(group.endpoints):
            if not any(inside(network, admitted) for admitted in config.admission.endpoints):
                yield warning(
                    ("groups", index, "endpoints", at),
                    f"{network} is not within admission.endpoints, which alone decide who is admitted",
                    "correct it, or admit it there",
                    ("admission", "endpoints"),
                )


def protection_contradictions(config: Config) -> Iterator[Finding]:
    """Look at ``protection``."""
    names = [group.name for group in config.groups]
    rules = config.protection.rules
    for index, rule in enumerate(rules):
        path: KeyPath = ("protection", "rules", index)
        for at, name in enumerate(rule.groups or ()):
            if name not in names:
                meant = near(name, names)
                yield error(
                    (*path, "groups", at),
                    f"there is no group '{name}'",
                    f"did you mean '{meant}'?" if meant else "add it to groups",
                    ("groups",),
                )
        for condition in _CONDITIONS:
            given = getattr(rule, condition)
            if given == ():
                yield warning(
                    (*path, condition),
                    "empty: the rule matches no softwire",
                    "list what it is for, or remove the key for any",
                )
            elif given is not None and len(set(given)) < len(given):
                yield error((*path, condition), "a value is given twice", "keep one of each")
        earlier = next((at for at in range(index) if _covers(rules[at], rule)), None)
        if earlier is not None:
            yield warning(
                path,
                f"has no effect: protection.rules[{earlier}] comes first and matches all that it does",
                "put it before that one, or remove it",
            )


def _covers(earlier: ProtectionRule, later: ProtectionRule) -> bool:
    """Whether a rule matches whatever another one does."""
    return all(_includes(getattr(earlier, condition), getattr(later, condition)) for condition in _CONDITIONS)


def _includes(wide: Collection[object] | None, narrow: Collection[object] | None) -> bool:
    return wide is None or (narrow is not None and set(narrow) <= set(wide))
