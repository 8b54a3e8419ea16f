"""What nft prints, verbatim, and what a user reads of it; the nft is a script here."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest

from softmesh.dataplane.guard import Guard, Guarded
from softmesh.dataplane.nftables import Nftables
from softmesh.errors import OperatorError, PeerError

GUARD = Guard(ip_address("192.0.2.1"), ())
NO_TABLE = "Error: No such file or directory\nlist table inet softmesh\n                ^^^^^^^^\n"
# Linux 6.1 of user-mode-linux, built without CONFIG_NF_TABLES_INET.
NO_INET = """/dev/stdin:1:1-2: Error: Could not process rule: Operation not supported
table inet softmesh {
^^
/dev/stdin:1:12-19: Error: Could not process rule: No such file or directory
table inet softmesh {
           ^^^^^^^^
"""
NOT_ROOT = """Operation not permitted (you must be root)
netlink: Error: cache initialization failed: Operation not permitted
"""
NO_NFTABLES = "netlink: Error: cache initialization failed: Protocol not supported\n"
DEAD = ""


def nft(directory: Path, *, looking: str, acting: str = "") -> Nftables:
    """An nft that always fails, with these words."""
    (directory / "looking").write_text(looking)
    (directory / "acting").write_text(acting)
    program = directory / "nft"
    program.write_text(f'#!/bin/sh\ncase $1 in -f) w=acting;; *) w=looking;; esac\ncat "{directory}/$w" >&2\nexit 1\n')
    program.chmod(0o755)
    return Nftables(str(program))


@pytest.mark.parametrize(
    ("looking", "acting", "expected"),
    [
        (NO_TABLE, NO_INET, "Operation not supported: this kernel has no nftables for inet (CONFIG_NF_TABLES_INET)"),
        (NO_NFTABLES, "", "Protocol not supported: this kernel has no nftables for inet (CONFIG_NF_TABLES_INET)"),
        (NOT_ROOT, "", "Operation not permitted: run as root or with CAP_NET_ADMIN"),
        (DEAD, "", "it ended without a word: see what is amiss with nft list ruleset"),
    ],
)
async def test_refusals(tmp_path: Path, looking: str, acting: str, expected: str) -> None:
    with pytest.raises(OperatorError) as caught:
        await nft(tmp_path, looking=looking, acting=acting).ensure(GUARD, Guarded())
    assert str(caught.value).endswith(f"{expected}, or set dataplane.guards: routes")
    assert "\n" not in str(caught.value)


async def test_no_table_is_nothing_amiss(tmp_path: Path) -> None:
    absent = nft(tmp_path, looking=NO_TABLE)
    assert await absent.counters() == {}
    assert not await absent.remove()
    assert not await absent.audit()


async def test_an_answer_that_is_none(tmp_path: Path) -> None:
    program = tmp_path / "nft"
    program.write_text("#!/bin/sh\necho hello\n")
    program.chmod(0o755)
    with pytest.raises(PeerError, match="cannot read what it printed"):
        await Nftables(str(program)).counters()
