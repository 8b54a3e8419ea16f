"""Files that a process leaves to its successor, and that anything may have become of meanwhile."""

from __future__ import annotations

import tempfile
from ipaddress import ip_address
from pathlib import Path
from random import Random

import msgspec

from fuzz import mutation
from fuzz.target import Target, demand
from softmesh.bgp.announcement import Announcement
from softmesh.bgp.exabgp_dialogue import ExaBgpDialogue
from softmesh.bgp.left_file import LeftFile
from softmesh.control.kept_keys import KeptKeys
from softmesh.control.kept_routes import Kept, decode, encode
from softmesh.mesh.credential import PinnedKey
from softmesh.mesh.desired import fold
from softmesh.mesh.key_store import StoreKeys
from softmesh.mesh.trust import AnnouncedKeys
from tests.unit.mesh.routes import REFLECTOR, attribute, hash_of, policy, route, spki

_BOOT = bytes(16)
_NOW = 1000.0
_STORE = "http://keys.example/{sha1}"
ANNOUNCED = (
    Announcement("10.1.0.0/24", "2001:db8:f::1", attribute(), (0x030C000000000004,), (1,), frozenset({REFLECTOR})),
    Announcement("2001:db8:1001::/64", "192.0.2.1"),
)
KEPT = Kept(
    (
        route("10.2.0.0/24", attribute(), communities=(1,), as_path=(65001,), originator_id="10.255.0.2"),
        route("2001:db8:1002::/64", None, path_id="0.0.0.7", stale_since=9.0, cluster_list=("10.1.1.1",)),
    ),
    "one",
    {ip_address("2001:db8:f::2"): "10.255.0.2"},
    {REFLECTOR: "md5"},
)
CORPUS = (
    msgspec.json.encode(ANNOUNCED),
    msgspec.json.encode({REFLECTOR: "the session was reset 0.2 s after it got attribute 23"}),
    encode(KEPT, _BOOT, 10.0),
    spki("peer"),
)


def mutate(content: bytes, chance: Random) -> bytes:
    """Damaged octets, or JSON with other values."""
    return (mutation.document if content[:1] in b"[{" else mutation.octets)(content, chance)


def check(content: bytes) -> str:
    """What could still be read."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as directory:  # noqa: S108
        return ", ".join(
            filter(None, (_left(content, Path(directory)), _kept(content), _keys(content, Path(directory))))
        )


def _left(content: bytes, directory: Path) -> str:
    """What a hook makes of the files of another, and tells ExaBGP."""
    remarks: list[str] = []
    path = directory / "left"
    path.write_bytes(content)
    before = LeftFile(path, list[Announcement], [], "nothing is withdrawn", remarks.append).read()
    refused = LeftFile(path, dict[str, str], {}, "nothing is refused", remarks.append).read()
    for remark in remarks:
        demand(remark.isprintable(), f"a remark can be logged: {remark!r}")
    dialogue = ExaBgpDialogue(before, 300.0, refused)
    dialogue.want([], 0.0)
    for _ in range(1000):
        given = dialogue.commands(0.0)
        for command in given:
            demand(command.isascii() and command.isprintable(), f"a command is one line: {command!r}")
        dialogue.feed(b"done\n" * len(given), 0.0)
        if dialogue.settled:
            break
    demand(dialogue.settled, "all that was announced is withdrawn")
    demand(dialogue.possibly_announced() == [], "nothing is left of it")
    return f"{min(len(before), 9)} announced, {min(len(refused), 9)} refuse"


def _kept(content: bytes) -> str:
    try:
        found = decode(content, _BOOT, _NOW)
    except ValueError:
        return ""
    if found is None:
        return "another boot's routes"
    kept, alive = found
    again = decode(encode(kept, _BOOT, alive), _BOOT, _NOW)
    demand(again == found, "what was read is written the same")
    fold(kept.routes, policy(), [AnnouncedKeys()], now=_NOW)
    return f"{min(len(kept.routes), 9)} routes"


def _keys(content: bytes, directory: Path) -> str:
    keys = StoreKeys(_STORE, monotonic=lambda: _NOW)
    kept = KeptKeys(directory, keys)
    kept.keep(PinnedKey(hash_of("peer"), spki("peer"), "test"))
    (file,) = [path for path in directory.rglob("*") if path.name == hash_of("peer").hex()]
    file.write_bytes(content)
    found = list(kept.load())
    demand(all(key.spki == spki("peer") for key in found), "a key is what its hash says")
    return "the key" if found else ""


TARGET = Target(CORPUS, mutate, check)
