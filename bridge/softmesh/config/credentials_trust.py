"""What the modes of trust rest on in files, looked at before it is needed."""

from __future__ import annotations

from collections.abc import Iterator

from softmesh.config.authority_files import read_authorities
from softmesh.config.contradictions_trust import CERTIFIED, is_identity, rules_in_force
from softmesh.config.credentials_keys import key_paths
from softmesh.config.finding import Finding, error, unusable
from softmesh.config.problems import KeyPath
from softmesh.config.shared_secrets import read_group_key
from softmesh.config.values import Config, TrustRules, trust_mode_of
from softmesh.file_error import FileError
from softmesh.mesh.certificate import RevocationLists, certificates, flaw, revocation_lists
from softmesh.mesh.identity import load_identity
from softmesh.mesh.trust_policy import TrustMode, TrustPolicy
from softmesh.public_file import read_public


def trust_files(config: Config) -> Iterator[Finding]:
    """Look at the files of the trust that is in force here; of groups that we are not in, nothing is needed."""
    for path, rules in rules_in_force(config):
        mode = trust_mode_of(rules)
        if mode in CERTIFIED and rules.authorities:
            yield from _certified(config, path, rules)
        elif mode is TrustMode.GROUP_PSK and rules.secret_file is not None:
            try:
                read_group_key(rules.secret_file)
            except FileError as unfit:
                yield unusable((*path, "secret_file"), unfit)
    for index, source in enumerate(config.trust.keys):
        if source.url is not None and source.ca_file is not None:
            try:
                certificates(read_public(source.ca_file, "CA certificate")[0], str(source.ca_file))
            except FileError as unfit:
                yield unusable(("trust", "keys", index, "ca_file"), unfit)


def _certified(config: Config, path: KeyPath, rules: TrustRules) -> Iterator[Finding]:
    authorities: list[bytes] = []
    complete = True
    for index, file in enumerate(rules.authorities):
        try:
            authorities += read_authorities([file])
        except FileError as unfit:
            yield unusable((*path, "authorities", index), unfit)
            complete = False
    if not complete:
        # Whatever the missing one signed would only look forged.
        return
    lists = []
    for index, file in enumerate(rules.revocation_lists):
        try:
            data, _ = read_public(file, "CA's CRL")
            revocation_lists([(data, str(file))], authorities)
            lists.append((data, str(file)))
        except FileError as unfit:
            yield unusable((*path, "revocation_lists", index), unfit)
    yield from _ours(config, path, rules, authorities, revocation_lists(lists, authorities))


def _ours(
    config: Config, path: KeyPath, rules: TrustRules, authorities: list[bytes], revocation: RevocationLists
) -> Iterator[Finding]:
    """Whether peers with the same rules will take our certificates."""
    name = TrustPolicy(identity=rules.identity).identity_of(config.endpoint)
    for at, (private, certificate) in zip(key_paths(config), config.own_keys, strict=True):
        if certificate is None or not is_identity(name, config.endpoint):
            continue
        try:
            identity = load_identity(private, certificate)
        except FileError:
            # Reported where our keys are looked at.
            continue
        if identity.certificate is not None and (why := flaw(identity.certificate, name, authorities, revocation)):
            yield error(
                (*at, "certificate"),
                f"{certificate} {why}",
                f"have a CA of trust.authorities make one of this key for {name}",
                (*path, "identity"),
                (*path, "authorities"),
                (*path, "revocation_lists"),
                ("endpoint",),
            )
