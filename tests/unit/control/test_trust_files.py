"""The files that trust rests on: what becomes of them, and of revocation lists that change."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from softmesh.config import Config, load
from softmesh.control.trust_files import TrustFiles, secret_digest
from softmesh.file_error import FileError
from softmesh.mesh.trust_policy import TrustMode
from tests.unit.config.authority import DAY, Authority
from tests.unit.config.conftest import site
from tests.unit.config.site import GOOD, Site, write

__all__ = ["site"]

OLD = 1_700_000_000_000_000_000
"""A time stamp so far back that the file cannot have changed since within the grain of it."""
RULES = "{authorities: [ca.pem], revocation_lists: [ca.crl]}"
AUTHORITY = Authority()
CA_DER = x509.load_pem_x509_certificate(AUTHORITY.pem).public_bytes(Encoding.DER)


def configured(site: Site, more: str, *, files: bool = True) -> Config:
    site.file.write_text(GOOD.replace("identity.key\n", "identity.key\n  certificate: identity.crt\n") + more)
    return load(site.file, files=files)


def replaced(path: Path, content: bytes, *, at: int = OLD) -> Path:
    """Put a file in the place of another, as one that has been there for long."""
    new = write(path.with_suffix(".new"), content, 0o644)
    os.utime(new, ns=(at, at))
    return new.rename(path)


def serials(files: TrustFiles) -> set[int]:
    return {serial for _, serial in files.trust.revocation.revoked}


def test_nothing_configured(site: Site) -> None:
    files = TrustFiles(configured(site, ""))
    assert (files.trust.mode, files.trust.authorities, files.trust.secret) == (TrustMode.PINNED, (), b"")
    assert (files.groups, files.problems, files.scan()) == ((), (), False)


def test_certificates(site: Site) -> None:
    files = TrustFiles(configured(site, f"trust: {RULES}\n"))
    assert (files.trust.mode, files.trust.authorities) == (TrustMode.PKI, (CA_DER,))
    assert files.trust.identity == "{endpoint}"
    assert serials(files) == {99}
    assert len(files.trust.revocation.lists) == 1
    assert files.trust.revocation.digest


def test_groups_that_we_are_in(site: Site) -> None:
    groups = (
        "groups:\n"
        "  - {name: far, endpoints: ['2001:db8:f:0:1::/80'], trust: {mode: group-psk, secret_file: none.key}}\n"
        "  - {name: plain, endpoints: ['2001:db8:f::/64']}\n"
        "  - {name: hubs, endpoints: ['2001:db8:f::/80'], trust: {mode: group-psk, secret_file: group.key}}\n"
        "  - {name: all, endpoints: ['2001:db8:f::/64'], trust: {mode: pinned+pki, authorities: [ca.pem],"
        " identity: '{label}.mesh.example'}}\n"
    )
    files = TrustFiles(configured(site, groups))
    assert files.trust.mode is TrustMode.PINNED
    hubs, everybody = files.groups
    assert (hubs.name, hubs.policy.mode, hubs.policy.secret) == (
        "hubs",
        TrustMode.GROUP_PSK,
        b"correct-horse-battery-staple",
    )
    assert [str(network) for network in hubs.endpoints] == ["2001:db8:f::/80"]
    assert (everybody.policy.mode, everybody.policy.authorities) == (TrustMode.PINNED_PKI, (CA_DER,))
    assert everybody.policy.identity == "{label}.mesh.example"


def test_the_group_key_is_nowhere_to_be_seen(site: Site) -> None:
    files = TrustFiles(configured(site, "trust: {mode: group-psk, secret_file: group.key}\n"))
    assert files.trust.secret == b"correct-horse-battery-staple"
    assert "horse" not in repr(files.trust)
    assert files.trust.secret_digest == secret_digest(b"correct-horse-battery-staple")


def test_digest_of_a_group_key() -> None:
    # Names must be the same after a restart and an upgrade: another value here tears down every softwire once.
    assert secret_digest(b"correct-horse-battery-staple") == "62817a3dbd7db13f"
    assert secret_digest(b"correct-horse-battery-staple!") != "62817a3dbd7db13f"


def test_what_was_given_up_meanwhile_is_not_loaded(site: Site) -> None:
    # Warned about, and without effect.
    files = TrustFiles(configured(site, "trust: {mode: pinned, authorities: [ca.pem], secret_file: group.key}\n"))
    assert (files.trust.authorities, files.trust.secret) == ((), b"")


@pytest.mark.parametrize("name", ["ca.pem", "ca.crl"])
def test_a_file_that_is_missing_or_junk_at_the_start(site: Site, name: str) -> None:
    config = configured(site, f"trust: {RULES}\n")
    write(site.directory / name, b"junk", 0o644)
    with pytest.raises(FileError, match=f"{name}: not a"):
        TrustFiles(config)
    (site.directory / name).unlink()
    with pytest.raises(FileError, match=f"{name}: no such file; put the CA"):
        TrustFiles(config)


def test_a_new_list(site: Site) -> None:
    replaced(site.directory / "ca.crl", AUTHORITY.crl(99))
    files = TrustFiles(configured(site, f"trust: {RULES}\n"))
    before = files.trust
    assert not files.scan()
    assert files.trust is before
    replaced(site.directory / "ca.crl", AUTHORITY.crl(99, 7))
    assert files.scan()
    assert serials(files) == {99, 7}
    assert files.trust.revocation.digest != before.revocation.digest
    assert files.trust.revocation.lists != before.revocation.lists
    assert not files.scan()


def test_a_list_that_revokes_the_same(site: Site) -> None:
    replaced(site.directory / "ca.crl", AUTHORITY.crl(99))
    files = TrustFiles(configured(site, f"trust: {RULES}\n"))
    before = files.trust.revocation
    replaced(site.directory / "ca.crl", AUTHORITY.crl(99, issued=-DAY / 2), at=OLD + 1)
    assert files.scan()
    assert files.trust.revocation.digest == before.digest
    assert files.trust.revocation.lists != before.lists


def test_a_file_that_changes_again_within_the_grain_of_its_time_stamp(site: Site) -> None:
    path = site.directory / "ca.crl"
    files = TrustFiles(configured(site, f"trust: {RULES}\n"))
    status = path.stat()
    new = AUTHORITY.crl(98)
    with path.open("r+b") as file:
        assert len(new) == status.st_size
        file.write(new)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert files.scan()
    assert serials(files) == {98}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (AUTHORITY.crl(99, 7)[:200], "not a revocation list, or a damaged one; put the CA's CRL there"),
        (b"", "not a revocation list, or a damaged one; put the CA's CRL there"),
        (Authority(101).crl(7), "none of the authorities signed it; put the CRL of one of them there"),
        (None, "no such file; put the CA's CRL there or correct the path"),
    ],
)
def test_what_was_revoked_stays_so(site: Site, content: bytes | None, problem: str) -> None:
    path = replaced(site.directory / "ca.crl", AUTHORITY.crl(99))
    files = TrustFiles(configured(site, f"trust: {RULES}\n"))
    before = files.trust
    if content is None:
        path.unlink()
    else:
        replaced(path, content)
    assert files.scan()
    assert files.trust == before
    assert files.problems == (f"{path}: {problem}; the list read before counts",)
    assert not files.scan()
    replaced(path, AUTHORITY.crl(99, 7))
    assert files.scan()
    assert serials(files) == {99, 7}
    assert not files.problems


def test_a_list_that_anybody_may_write(site: Site) -> None:
    path = replaced(site.directory / "ca.crl", AUTHORITY.crl(99))
    files = TrustFiles(configured(site, f"trust: {RULES}\n"))
    replaced(path, AUTHORITY.crl()).chmod(0o666)
    assert files.scan()
    assert serials(files) == {99}
    assert files.problems == (f"{path}: anybody may write to it; chmod o-w {path}; the list read before counts",)


def test_an_older_list_takes_nothing_back(site: Site) -> None:
    path = replaced(site.directory / "ca.crl", AUTHORITY.crl(99, 7))
    files = TrustFiles(configured(site, f"trust: {RULES}\n", files=False))
    replaced(path, AUTHORITY.crl(99, issued=-2 * DAY))
    assert files.scan()
    assert serials(files) == {99, 7}
    assert files.problems == (f"{path}: older than the list it replaces; put the CA's newest CRL there",)
    assert not files.scan()


def test_two_lists_of_two_authorities_and_one_fails(site: Site) -> None:
    other = Authority(101, "Other CA")
    write(site.directory / "other.pem", other.pem, 0o644)
    replaced(site.directory / "other.crl", other.crl(5))
    path = replaced(site.directory / "ca.crl", AUTHORITY.crl(99))
    rules = "{authorities: [ca.pem, other.pem], revocation_lists: [ca.crl, other.crl]}"
    files = TrustFiles(
        configured(site, f"trust: {rules}\ngroups: [{{name: a, endpoints: ['::/0'], trust: {rules}}}]\n")
    )
    assert serials(files) == {99, 5}
    replaced(path, b"junk")
    replaced(site.directory / "other.crl", other.crl(5, 6))
    assert files.scan()
    assert serials(files) == {99, 5, 6}
    # The same file in two places is one problem.
    assert len(files.problems) == 1
    assert {serial for _, serial in files.groups[0].policy.revocation.revoked} == {99, 5, 6}
