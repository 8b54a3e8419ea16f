"""Keys from an HTTP store in the core: what it gives is held against the hash, what it withholds stops nobody else."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from lab.authority import Authority
from lab.eventually import eventually, holds
from lab.flooder import Flooder, offer
from lab.key_store import KeyStore
from lab.mesh import Afbr, Direction, Mesh, meshed
from softmesh.mesh.identity import load_identity

ADDRESS = "2001:db8:f::fd"


@pytest.fixture
def mesh() -> Iterator[Mesh]:
    """A core with an address of its own for a store; routers whose announcements have no key."""
    with Mesh(
        Direction.FOUR_OVER_SIX, 0, spare=3, settings={"announce": {"public_key": False}, "bgp": {"stale_time": 60}}
    ) as mesh:
        mesh.core.address("br0", f"{ADDRESS}/64")
        yield mesh


def add(mesh: Mesh, number: int, store: KeyStore, **settings: object) -> Afbr:
    """A router that gets its peers' keys from a store, and nowhere else."""
    return mesh.add(number, overrides={"trust": {"keys": [{"url": store.url, "timeout": 1, **settings}]}})


def digest(afbr: Afbr) -> str:
    return load_identity(afbr.home / "identity.key").authenticator.hex()


def publish(store: KeyStore, afbr: Afbr, *, of: Afbr | None = None, form: str = "pub") -> None:
    """Put a router's key (or that ``of`` another) under its hash."""
    (store.directory / digest(afbr)).write_bytes((of or afbr).home.joinpath(f"identity.{form}").read_bytes())


def state(afbr: Afbr, other: Afbr) -> str:
    return str(afbr.wires().get(other.endpoint, {}).get("state", ""))


def problem(afbr: Afbr) -> str:
    """What status says of the store."""
    return "; ".join(line for line in afbr.status().get("problems", []) if line.startswith("keys http"))


def key_from(afbr: Afbr, other: Afbr) -> str:
    """Where ``softmesh explain`` says that the key of another is from."""
    told = afbr.softmesh("explain", other.endpoint, "-c", str(afbr.configuration), "--json")
    steps = [step for route in json.loads(told)["routes"] for step in route["steps"] if step["step"] == "key"]
    return "; ".join(step["text"] for step in steps)


def test_a_store_that_is_down_then_lies_then_serves_and_is_down_again(mesh: Mesh) -> None:
    store = KeyStore(mesh.core, ADDRESS)
    left, right = add(mesh, 1, store), add(mesh, 2, store)
    pairs = ((left, right), (right, left))
    mesh.start()
    for afbr, other in pairs:
        eventually(lambda a=afbr, o=other: state(a, o) == "pending-key", within=20, what="it waits for the key")  # type: ignore[misc]
        eventually(lambda a=afbr: "(Connection refused)" in problem(a), within=10, what="it is told why")  # type: ignore[misc]
        assert digest(other) in problem(afbr)

    # A key under the hash of another: the store's word alone is worth nothing.
    intruder = Ed25519PrivateKey.generate().public_key()

    for afbr in (left, right):
        (store.directory / digest(afbr)).write_bytes(
            intruder.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )
    store.start()
    for afbr, _ in pairs:
        eventually(lambda a=afbr: "does not hash to it, and is not used" in problem(a), within=15, what="it is said")  # type: ignore[misc]
    holds(lambda: not left.up() and not right.up(), during=1, what="nothing comes of it")
    assert "softmesh-" not in left.charon.swanctl("--list-conns") + right.charon.swanctl("--list-conns")

    publish(store, left)
    publish(store, right, form="crt")
    for afbr, _ in pairs:
        assert afbr.bridge is not None
        afbr.bridge.signal(signal.SIGHUP)
    eventually(lambda: meshed([left, right]), within=30, what="the softwire is up once the store has the keys")
    for afbr, other in pairs:
        assert store.url.replace("{sha1}", digest(other)) in key_from(afbr, other)
        eventually(lambda afbr=afbr: problem(afbr) == "", within=10, what="nothing is to be mended")  # type: ignore[misc]
    asked = store.requests.count("GET")
    for afbr, _ in pairs:
        assert afbr.bridge is not None
        afbr.bridge.signal(signal.SIGHUP)
    # SIGHUP has all that is missing asked for at once.
    holds(lambda: store.requests.count("GET") == asked, during=2, what="after the right answer nothing is asked")

    # The store is gone, and the bridge starts anew: what was found once is there.
    store.stop()
    before = left.spis()
    assert left.bridge is not None
    left.bridge.stop()
    left.start()
    eventually(lambda: right.endpoint in left.up(), within=20, what="the bridge sees the softwire again")
    holds(lambda: left.spis() in ({}, before) and state(left, right) == "up", during=3, what="nothing was made anew")
    assert left.spis() == before
    # BGP may take longer than charon to be as it was.
    known = store.url.replace("{sha1}", digest(right))
    eventually(lambda: known in key_from(left, right), within=30, what="the key is explained")


def told(afbr: Afbr, reason: str, *, again: bool = True) -> None:
    """Wait until status says why the store's keys are missing; ``again``: SIGHUP has it ask at once."""
    assert afbr.bridge is not None
    if again:
        afbr.bridge.signal(signal.SIGHUP)
    eventually(lambda: reason in problem(afbr), within=20, what=f"it is told: {reason}")


def test_what_the_store_does_to_one_router_does_not_touch_the_others(mesh: Mesh) -> None:
    store = KeyStore(mesh.core, ADDRESS)
    store.start()
    left, right = add(mesh, 1, store), add(mesh, 2, store)
    publish(store, left)
    publish(store, right)
    mesh.start()
    eventually(lambda: meshed([left, right]), within=20, what="two routers are meshed")
    before = left.spis(), right.spis()

    store.stop()
    late = add(mesh, 3, store)
    publish(store, late)
    late.start()
    for afbr in (left, right):
        eventually(lambda afbr=afbr: state(afbr, late) == "pending-key", within=40, what="the late one is heard of")  # type: ignore[misc]
        told(afbr, "(Connection refused)", again=False)
        assert digest(late) in problem(afbr)
        assert state(afbr, late) == "pending-key"
    endless, slow = (store.directory / f"{digest(late)}.{kind}" for kind in ("endless", "slow"))
    endless.touch()
    store.start()
    for afbr in (left, right):
        told(afbr, "more than 65536 octets")
    endless.unlink()
    slow.touch()
    for afbr in (left, right):
        told(afbr, "no whole answer within 1 s")
        assert state(afbr, late) == "pending-key"
    assert (left.spis(), right.spis()) == before
    slow.unlink()
    for afbr in (left, right):
        told(afbr, "")
    eventually(lambda: meshed([left, right, late]), within=30, what="it is up once the store behaves")
    after = left.spis(), right.spis()
    assert all(new | old == new for new, old in zip(after, before, strict=True)), "the others were left alone"


def test_a_flood_of_unknown_hashes_at_a_slow_store_delays_a_wanted_one_by_a_timeout(mesh: Mesh) -> None:
    store = KeyStore(mesh.core, ADDRESS)
    store.start()
    left, right = add(mesh, 1, store), add(mesh, 2, store)
    publish(store, left)
    (store.directory / "unknown.slow").touch()
    left.start()
    flooder = Flooder(mesh, 3)
    flooder.announce([(f"10.{200 + n // 250}.{n % 250}.0/24", offer(f"2001:db8:f::f:{n:x}")) for n in range(500)])
    told(left, "and others: no whole answer within 1 s", again=False)
    publish(store, right)
    right.start()
    before = eventually(
        lambda: right.endpoint in left.wires() and store.requests.count("GET"), within=20, what="it is announced"
    )
    eventually(lambda: state(left, right) not in {"", "pending-key"}, within=10, what="its key is found", every=0.02)
    asked = re.findall(r"GET /(\S+)", store.requests)
    # Of either router what was under way, and little more; in order of arrival it were hundreds.
    assert asked.index(digest(right)) < before + 30
    assert len({*asked}) < 500, "the flood is not done with"
    eventually(lambda: right.endpoint in left.up(), within=20, what="the softwire is up")
    flooder.close()


def test_https_with_a_ca_of_ones_own(mesh: Mesh) -> None:
    authority, key = Authority("stores"), Ed25519PrivateKey.generate()
    chain = KeyStore(mesh.core, ADDRESS).directory.with_name("store.pem")
    chain.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + authority.certify(key.public_key(), [ADDRESS]).public_bytes(Encoding.PEM)
    )
    store = KeyStore(mesh.core, ADDRESS, port=8443, chain=chain)
    store.start()
    left, right = add(mesh, 1, store, ca_file="store-ca.pem"), add(mesh, 2, store, ca_file="store-ca.pem")
    authority.write(left.home / "store-ca.pem")
    Authority("others").write(right.home / "store-ca.pem")
    publish(store, left)
    publish(store, right)
    mesh.start()
    eventually(lambda: "its certificate is refused" in problem(right), within=20, what="it is told")
    assert state(right, left) == "pending-key"
    eventually(lambda: state(left, right) not in {"", "pending-key"}, within=10, what="the other has the key")
    authority.write(right.home / "store-ca.pem")
    eventually(lambda: meshed([left, right]), within=20, what="the softwire is up with the right CA")
    assert store.url.startswith("https://")
    assert store.url.replace("{sha1}", digest(left)) in key_from(right, left)
