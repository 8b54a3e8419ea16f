"""What is wanted of a key store, in which order it is asked for, and what counts of its answers."""

from __future__ import annotations

import hashlib
import random
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from softmesh.bgp.codepoints import TunnelType
from softmesh.mesh import key_store
from softmesh.mesh.arrivals import Claim
from softmesh.mesh.key_store import (
    AT_ONCE,
    FIRST_RETRY,
    LAST_RETRY,
    MAX_BLOCKS,
    MAX_WANTED,
    REVIEW,
    StoreKeys,
    key_in,
)
from softmesh.mesh.public_key import KeyFileError
from softmesh.mesh.selection import Offer
from tests.unit.config.site import k1_pem
from tests.unit.mesh.routes import hash_of, spki
from tests.unit.mesh.test_key_directory import Key

URL = "https://keys.example/{sha1}.pem"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(clock: Clock) -> StoreKeys:
    """A store's keys, without jitter."""
    return StoreKeys(URL, monotonic=clock, chance=lambda: 0.0)


def bogus(number: int) -> bytes:
    return hashlib.sha1(b"%d" % number).digest()


def offer(*hashes: bytes, router: str | None = "10.0.0.2", endpoint: str = "2001:db8:f::2") -> Offer:
    claim = None if router is None else Claim(router, 0.0)
    return Offer(TunnelType.IPSEC_TUNNEL, ip_address(endpoint), None, hashes, (), "a test", claim=claim)


def taken(keys: StoreKeys) -> list[bytes]:
    """All that may be asked for now."""
    found = []
    while (digest := keys.take()) is not None:
        found.append(digest)
    return found


def asked_in_order(keys: StoreKeys, tries: int) -> list[bytes]:
    """What is asked for by a store that has nothing, one after the other."""
    order = []
    for _ in range(tries):
        digest = keys.take()
        if digest is None:
            break
        order.append(digest)
        keys.failed(digest, "none")
    return order


def test_a_key_is_wanted_then_asked_for_then_found(keys: StoreKeys) -> None:
    told: list[str] = []
    keys.on_wanted = lambda: told.append("wanted")
    assert keys.take() is None
    assert keys.keys_for(offer(hash_of("peer"))) == []
    assert keys.keys_for(offer(hash_of("peer"))) == []
    assert told == ["wanted"]
    assert taken(keys) == [hash_of("peer")], "once, while it is under way"
    key = keys.answered(hash_of("peer"), spki("peer"))
    assert key is not None
    assert (key.spki, key.certificate) == (spki("peer"), None)
    assert key.origin == f"https://keys.example/{hash_of('peer').hex()}.pem"
    assert keys.keys_for(offer(hash_of("peer"))) == [key]
    assert taken(keys) == []
    assert keys.problem == ""


@pytest.mark.parametrize("form", ["pem", "spki", "certificate", "der certificate", "both"])
def test_any_form_of_a_key_will_do(form: str) -> None:
    key, other = Key(), Key()
    der = x509.load_pem_x509_certificate(key.certificate).public_bytes(Encoding.DER)
    data, certificate = {
        "pem": (key.pem, None),
        "spki": (key.spki, None),
        "certificate": (b"the key of afbr2\n" + key.certificate, der),
        "der certificate": (der, der),
        "both": (other.pem + key.pem + key.certificate, der),
    }[form]
    found = key_in(data, key.authenticator, "there")
    assert (found.authenticator, found.spki, found.origin) == (key.authenticator, key.spki, "there")
    assert found.certificate == certificate


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "does not hash to it"),
        (b"<html>no such page</html>", "does not hash to it"),
        (spki("another"), "does not hash to it"),
        (spki("peer") + b"\0", "does not hash to it"),
        (b"-----BEGIN PUBLIC KEY-----\n" * (MAX_BLOCKS + 1), f"more than {MAX_BLOCKS} PEM blocks"),
        (k1_pem(), "holds a private key"),
    ],
)
def test_what_does_not_hash_to_the_address_is_never_used(keys: StoreKeys, data: bytes, reason: str) -> None:
    digest = hash_of("peer")
    keys.keys_for(offer(digest))
    keys.take()
    assert keys.answered(digest, data) is None
    assert keys.keys_for(offer(digest)) == []
    assert keys.problem.startswith(f"authenticator {digest.hex()}: ")
    assert reason in keys.problem
    with pytest.raises(KeyFileError, match=reason):
        key_in(data, digest, "there")


def test_failures_are_tried_again_ever_later(keys: StoreKeys, clock: Clock) -> None:
    keys.keys_for(offer(hash_of("peer")))
    pauses = []
    assert keys.take() == hash_of("peer")
    for _ in range(9):
        keys.failed(hash_of("peer"), "the store does not have it")
        failed = clock.now
        while keys.take() is None:
            clock.now = keys.wake_at
            if keys.review():
                keys.keys_for(offer(hash_of("peer")))
        pauses.append(clock.now - failed)
    assert pauses[:4] == [FIRST_RETRY, 2 * FIRST_RETRY, 4 * FIRST_RETRY, 8 * FIRST_RETRY]
    assert pauses[-2:] == [LAST_RETRY, LAST_RETRY]


def test_jitter_shortens_a_pause_by_a_quarter_at_most(clock: Clock) -> None:
    keys = StoreKeys(URL, monotonic=clock, chance=lambda: 0.999)
    keys.keys_for(offer(hash_of("peer")))
    assert asked_in_order(keys, 1) == [hash_of("peer")]
    assert clock.now + 0.75 * FIRST_RETRY < keys.wake_at < clock.now + FIRST_RETRY


def test_the_first_answer_brings_back_what_failed_while_there_was_none(keys: StoreKeys, clock: Clock) -> None:
    for number in range(3):
        keys.keys_for(offer(bogus(number), router=f"10.0.0.{number}"))
    for _ in range(7):
        for digest in taken(keys):
            keys.failed(digest, "no answer", unreachable=True)
        clock.now = keys.wake_at
        if keys.review():
            keys.keys_for(offer(*map(bogus, range(3))))
    clock.now += LAST_RETRY
    first, *_ = taken(keys)
    for digest in map(bogus, range(3)):
        if digest != first:
            keys.failed(digest, "no answer", unreachable=True)
    keys.failed(first, "the store does not have it")
    clock.now += FIRST_RETRY
    assert set(taken(keys)) == set(map(bogus, range(3))) - {first}


def test_no_more_than_some_are_under_way_at_once(keys: StoreKeys) -> None:
    keys.keys_for(offer(*map(bogus, range(10))))
    assert taken(keys) == [bogus(number) for number in range(AT_ONCE)]
    keys.failed(bogus(1), "none")
    assert taken(keys) == [bogus(AT_ONCE)]


def test_a_flood_of_one_router_delays_others_by_no_more_than_what_is_under_way(keys: StoreKeys) -> None:
    keys.keys_for(offer(*map(bogus, range(900)), router="10.0.0.66"))
    under_way = taken(keys)
    keys.keys_for(offer(hash_of("peer"), router="10.0.0.2"))
    keys.failed(under_way[0], "no whole answer", unreachable=True)
    assert keys.take() == hash_of("peer")


def test_a_flood_that_tries_again_does_not_get_ahead_of_a_first_hash(keys: StoreKeys, clock: Clock) -> None:
    keys.keys_for(offer(*map(bogus, range(100)), router="10.0.0.66"))
    asked_in_order(keys, 100)
    clock.now += FIRST_RETRY
    keys.keys_for(offer(hash_of("peer")))
    assert keys.take() == hash_of("peer")


def test_a_copied_hash_is_asked_for_as_early_as_its_owner_brings_it(keys: StoreKeys) -> None:
    keys.keys_for(offer(*map(bogus, range(500)), hash_of("peer"), router="10.0.0.66"))
    keys.keys_for(offer(hash_of("peer"), router="10.0.0.2"))
    assert hash_of("peer") in asked_in_order(keys, 2)


def test_hashes_of_the_configuration_do_not_queue_behind_routers(keys: StoreKeys) -> None:
    keys.keys_for(offer(*map(bogus, range(500)), router="10.0.0.66"))
    keys.keys_for(offer(hash_of("peer"), router=None))
    assert hash_of("peer") in asked_in_order(keys, 2)


def test_where_there_is_no_room_the_router_with_most_gives_way(keys: StoreKeys) -> None:
    keys.keys_for(offer(*map(bogus, range(2 * MAX_WANTED)), router="10.0.0.66"))
    assert f"more than {MAX_WANTED}" in keys.problem
    for number in range(5):
        keys.keys_for(offer(hash_of(f"peer {number}"), router=f"10.0.0.{number}"))
    order = asked_in_order(keys, 3 * MAX_WANTED)
    assert len(order) == MAX_WANTED
    assert {hash_of(f"peer {number}") for number in range(5)} <= set(order[:6])


def test_of_too_many_routers_each_gets_its_chance(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_store, "MAX_WANTED", 16)
    chance = random.Random(5566)
    keys = StoreKeys(URL, monotonic=clock, chance=chance.random)
    tried: set[bytes] = set()
    for _ in range(60):
        for number in range(64):
            keys.keys_for(offer(bogus(number), router=str(number)))
        tried |= set(asked_in_order(keys, 64))
        clock.now += REVIEW
        keys.review()
    assert len(tried) == 64


def test_what_nobody_wants_any_more_is_forgotten(keys: StoreKeys, clock: Clock) -> None:
    keys.keys_for(offer(bogus(1), bogus(2)))
    asked_in_order(keys, 2)
    assert keys.review() is False
    clock.now += REVIEW
    assert keys.review() is True, "whoever wants something is to say so again"
    keys.keys_for(offer(bogus(2)))
    clock.now += REVIEW
    assert keys.review() is True
    assert bogus(1).hex() not in keys.problem
    assert bogus(2).hex() in keys.problem
    clock.now += LAST_RETRY
    assert taken(keys) == [bogus(2)]
    keys.failed(bogus(2), "none")
    assert keys.review() is False, "nothing is wanted, so nobody need be asked"
    assert keys.problem == ""
    assert keys.wake_at == float("inf")


def test_what_is_under_way_is_not_forgotten(keys: StoreKeys, clock: Clock) -> None:
    keys.keys_for(offer(hash_of("peer")))
    assert keys.take() == hash_of("peer")
    for _ in range(3):
        clock.now += REVIEW
        keys.review()
    assert keys.answered(hash_of("peer"), spki("peer")) is not None


def test_found_keys_stay_and_only_make_room_for_others_once_unwanted(
    keys: StoreKeys, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_store, "MAX_FOUND", 3)

    def find(name: str) -> bool:
        keys.keys_for(offer(hash_of(name)))
        return keys.take() == hash_of(name) and keys.answered(hash_of(name), spki(name)) is not None

    assert all(find(name) for name in "abc")
    clock.now += 10 * LAST_RETRY
    assert all(keys.keys_for(offer(hash_of(name))) for name in "abc")
    assert not find("d"), "three are in use"
    assert "in use" in keys.problem
    clock.now += REVIEW
    assert keys.review()
    for name in "acd":
        keys.keys_for(offer(hash_of(name)))
    clock.now += LAST_RETRY
    assert find("d")
    assert set(keys.found) == {hash_of(name) for name in "acd"}


def test_restored_keys_need_no_store(keys: StoreKeys) -> None:
    key = key_in(spki("peer"), hash_of("peer"), keys.where(hash_of("peer")))
    keys.restore([key])
    assert keys.keys_for(offer(hash_of("peer"))) == [key]
    assert keys.take() is None
    assert len(keys) == 1


def test_hastening_tries_all_again(keys: StoreKeys) -> None:
    keys.keys_for(offer(bogus(1), bogus(2)))
    asked_in_order(keys, 2)
    assert taken(keys) == []
    keys.hasten()
    assert set(taken(keys)) == {bogus(1), bogus(2)}


def test_a_thousand_failures_are_one_line(keys: StoreKeys) -> None:
    keys.keys_for(offer(*map(bogus, range(1000)), router="10.0.0.66"))
    assert len(asked_in_order(keys, 1000)) == 1000
    assert keys.problem.count("\n") == 0
    assert len(keys.problem) < 200
    assert "and others" in keys.problem


def test_what_is_tried_again_at_once_does_not_get_ahead_of_the_router_s_first(keys: StoreKeys) -> None:
    keys.keys_for(offer(bogus(1), router="10.0.0.1"))
    asked_in_order(keys, 1)
    keys.hasten()
    keys.keys_for(offer(bogus(2), router="10.0.0.2"))
    assert taken(keys) == [bogus(2), bogus(1)]
