"""The files that trust rests on: authorities and group keys, read once, and revocation lists, read when they change."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from pathlib import Path

from cryptography import x509

from softmesh.config import Config, read_group_key
from softmesh.config.authority_files import read_authorities
from softmesh.config.values import TrustRules, trust_mode_of
from softmesh.file_error import FileError
from softmesh.mesh.certificate import RevocationLists, revocation_lists
from softmesh.mesh.trust_policy import TrustGroup, TrustMode, TrustPolicy
from softmesh.public_file import Stamp, read_public, stamp_of

SETTLING_NS = 2_000_000_000
"""For so long after its last change a file may change again without its time stamp showing it."""

_REVOCATION_LIST = "CA's CRL"


class TrustFiles:
    """How peers come to be trusted, with what the configuration's files say; ``scan`` brings that up to date.

    Groups that we are not in have no say here, so their files are not read: a group's key is for its members only.
    Raises FileError where a file is missing, open to others or not what it must be.
    """

    def __init__(self, config: Config) -> None:
        self._trust = _Rules(config.trust)
        self._groups = tuple((group, _Rules(group.trust)) for group in config.trust_groups if group.trust is not None)

    @property
    def trust(self) -> TrustPolicy:
        """What counts between routers that no group joins."""
        return self._trust.policy

    @property
    def groups(self) -> tuple[TrustGroup, ...]:
        """The groups that we are in, in the configuration's order."""
        return tuple(TrustGroup(group.name, group.endpoints, rules.policy) for group, rules in self._groups)

    @property
    def problems(self) -> tuple[str, ...]:
        """One line a file that is of no use as it is now, and why; what it held before counts meanwhile."""
        return tuple(dict.fromkeys(problem for rules in self._all for problem in rules.problems))

    def scan(self) -> bool:
        """Read the revocation lists that have changed. Returns whether lists or problems changed."""
        changed = [rules.scan() for rules in self._all]
        return any(changed)

    @property
    def _all(self) -> tuple[_Rules, ...]:
        return (self._trust, *(rules for _, rules in self._groups))


def secret_digest(secret: bytes) -> str:
    """Name a group key in 16 hex digits, the same ones on every run.

    Connections are named by what they are made of, and their names are shown to anybody. A plain hash would let
    everybody try keys against it at a rate of millions a second, and a weak key would be found; of scrypt (RFC 7914)
    it is some thirty a second and processor. The salt is fixed because names have to be the same after a restart.
    """
    return hashlib.scrypt(secret, salt=b"softmesh group key", n=1 << 14, r=8, p=1, dklen=8).hex()


class _Rules:
    """One mode of trust with its files."""

    def __init__(self, rules: TrustRules) -> None:
        mode = trust_mode_of(rules)
        certified = mode in {TrustMode.PKI, TrustMode.PINNED_PKI}
        secret = b""
        if mode is TrustMode.GROUP_PSK and rules.secret_file is not None:
            secret = read_group_key(rules.secret_file)
        self.policy = TrustPolicy(
            mode,
            read_authorities(rules.authorities) if certified else (),
            rules.identity,
            secret=secret,
            secret_digest=secret_digest(secret) if secret else "",
        )
        paths = rules.revocation_lists if certified else ()
        self._lists = tuple(_RevocationList(path, self.policy.authorities) for path in paths)
        self._gather()

    @property
    def problems(self) -> tuple[str, ...]:
        return tuple(each.problem for each in self._lists if each.problem is not None)

    def scan(self) -> bool:
        changed = [each.scan() for each in self._lists]
        if not any(changed):
            return False
        self._gather()
        return True

    def _gather(self) -> None:
        files = [(each.data, str(each.path)) for each in self._lists]
        self.policy = replace(self.policy, revocation=revocation_lists(files, self.policy.authorities))


class _RevocationList:
    """One file, as it was when last it held a CRL of an authority of ours."""

    def __init__(self, path: Path, authorities: tuple[bytes, ...]) -> None:
        self.path = path
        self.problem: str | None = None
        self._authorities = authorities
        self._stamp: Stamp | None = None
        self.data, self._held = self._read()

    def scan(self) -> bool:
        """Look again. Returns whether the list or the problem changed."""
        if self._unchanged():
            return False
        before = (self.data, self.problem)
        try:
            data, read = self._read()
            if _older(read, self._held):
                # Signatures stay good: whoever can put an old list there could undo a revocation.
                self.problem = f"{self.path}: older than the list it replaces; put the CA's newest CRL there"
            else:
                self.data, self._held, self.problem = data, read, None
        except FileError as error:
            # Half written, perhaps. Not to see is not to know: what was revoked stays so.
            self.problem = f"{error}; the list read before counts"
        return before != (self.data, self.problem)

    def _unchanged(self) -> bool:
        try:
            return self._stamp is not None and stamp_of(self.path) == self._stamp
        except OSError:
            return False

    def _read(self) -> tuple[bytes, RevocationLists]:
        self._stamp = None
        data, stamp = read_public(self.path, _REVOCATION_LIST)
        if abs(time.time_ns() - max(stamp.mtime_ns, stamp.ctime_ns)) > SETTLING_NS:
            self._stamp = stamp
        return data, revocation_lists([(data, str(self.path))], self._authorities)


def _older(new: RevocationLists, held: RevocationLists) -> bool:
    """Whether a CRL is of the same issuer as another and was issued before it (RFC 5280 §5.1.2.4)."""
    (one,) = (x509.load_der_x509_crl(der) for der in new.lists)
    (other,) = (x509.load_der_x509_crl(der) for der in held.lists)
    return one.issuer == other.issuer and one.last_update_utc < other.last_update_utc
