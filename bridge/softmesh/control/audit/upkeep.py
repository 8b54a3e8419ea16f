"""What the requirements rest on and nobody but this machine can see to: files and sockets for their owner only."""

from __future__ import annotations

import stat

from softmesh.control.audit.node import FileFact, Node, Purpose
from softmesh.control.audit.requirement import Check, Finding, Requirement, Strength, conclude, counted, not_applicable

_OTHERS = 0o077
_ROOT = 0


def _secrets(node: Node) -> Finding:
    """K1."""
    return _kept(node, {Purpose.SECRET}, "file", "chmod 600 it, and give whatever was in it up for known")


def _sockets(node: Node) -> Finding:
    """K2."""
    remedy = "chmod go-rwx it, and see who else may write to sockets.directory"
    return _kept(node, {Purpose.SOCKET, Purpose.VICI}, "socket", remedy)


def _kept(node: Node, purposes: set[Purpose], noun: str, remedy: str) -> Finding:
    found = [file for file in node.facts.files if file.purpose in purposes]
    opened = [why for file in found if (why := _open(file, node.facts.user))]
    return conclude(
        [
            f"{counted(len(found) - len(opened), len(found), noun)} closed to others: "
            + ", ".join(f"{file.what} {file.path} ({file.permissions})" for file in found if file.mode is not None)
        ],
        fails=opened,
        unknown=[f"{file.what} {file.path}: {file.problem}" for file in found if file.mode is None],
        remedy=remedy,
    )


def _open(file: FileFact, user: int) -> str:
    if file.mode is None:
        return ""
    # charon's administrator may have given its socket to a group.
    others = stat.S_IRWXO if file.purpose is Purpose.VICI else _OTHERS
    if file.mode & others:
        return f"{file.what} {file.path} is open to others (mode {file.permissions})"
    if file.owner not in {user, _ROOT}:
        return f"{file.what} {file.path} belongs to user {file.owner}"
    return ""


def _key_directories(node: Node) -> Finding:
    """K3."""
    found = [file for file in node.facts.files if file.purpose is Purpose.KEYS]
    if not found:
        return not_applicable("trust.keys has no directory")
    writable = [file for file in found if file.mode is not None and file.mode & stat.S_IWOTH]
    return conclude(
        [f"{counted(len(found) - len(writable), len(found), 'key directory', 'key directories')} not open to all"],
        warns=[
            *(f"anybody may write to {f.path} (mode {f.permissions}), so none of its keys is used" for f in writable),
            *(f"{file.path}: {file.problem}" for file in found if file.mode is None),
        ],
        remedy="chmod o-w it, and look at every key that is in it",
    )


CHECKS: tuple[tuple[Requirement, Check], ...] = (
    (
        Requirement(
            "K1", "Private keys, passwords and group keys can be read by their owner only.",
            "RFC 5566 §4, RFC 5619 §4.2", Strength.MUST,
        ),
        _secrets,
    ),
    (
        Requirement(
            "K2", "The sockets by which the mesh is managed admit nobody else.", "RFC 5619 §4.4.2", Strength.MUST
        ),
        _sockets,
    ),
    (
        Requirement(
            "K3", "Nobody else can put keys into the key directories.", "RFC 5619 §4.2", Strength.SHOULD
        ),
        _key_directories,
    ),
)  # fmt: skip
