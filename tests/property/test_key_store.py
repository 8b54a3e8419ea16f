"""What holds of a key store's work list whatever happens: its bounds, its patience, and that a wanted key is found."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from softmesh.bgp.codepoints import TunnelType
from softmesh.mesh import key_store
from softmesh.mesh.arrivals import Claim
from softmesh.mesh.key_store import AT_ONCE, FIRST_RETRY, REVIEW, StoreKeys
from softmesh.mesh.public_key import authenticator
from softmesh.mesh.selection import Offer
from tests.unit.mesh.routes import hash_of, spki

NAMES = [f"peer {number}" for number in range(24)]
KEYS = {hash_of(name): spki(name) for name in NAMES}


@contextmanager
def small(wanted: int = 8, found: int = 6) -> Iterator[None]:
    """A store of which little is wanted at once, so that the bounds are met."""
    with mock.patch.object(key_store, "MAX_WANTED", wanted), mock.patch.object(key_store, "MAX_FOUND", found):
        yield


def offer(names: list[str], router: str) -> Offer:
    hashes = tuple(hash_of(name) for name in names)
    return Offer(TunnelType.IPSEC_TUNNEL, ip_address("2001:db8::2"), None, hashes, (), "", claim=Claim(router, 0.0))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("want"), st.lists(st.sampled_from(NAMES), min_size=1, max_size=6), st.sampled_from("abcd")),
        st.tuples(st.just("take")),
        st.tuples(st.just("answer"), st.integers(0, 3), st.sampled_from(["right", "wrong", "absent", "nobody"])),
        st.tuples(st.just("wait"), st.sampled_from([0.1, 1.0, FIRST_RETRY, REVIEW, 400.0])),
        st.tuples(st.just("review")),
        st.tuples(st.just("hasten")),
    ),
    max_size=80,
)


@settings(derandomize=True, deadline=None)
@given(STEPS, st.integers(0, 2**16))
def test_bounds_hold_and_only_what_hashes_counts(steps: list[tuple[object, ...]], seed: int) -> None:
    now = 0.0
    under_way: list[bytes] = []
    failed_at: dict[bytes, float] = {}
    with small():
        keys = StoreKeys("http://s/{sha1}", monotonic=lambda: now, chance=random.Random(seed).random)
        for step in steps:
            match step:
                case ("want", list() as names, str() as router):
                    wanted = offer(names, router)
                    for key in keys.keys_for(wanted):
                        assert key.authenticator == authenticator(key.spki)
                        assert key.authenticator in wanted.authenticators
                        assert key.authenticator not in under_way
                case ("take",):
                    digest = keys.take()
                    if digest is None:
                        continue
                    assert digest not in under_way
                    assert now - failed_at.get(digest, -400.0) >= 0.75 * FIRST_RETRY
                    under_way.append(digest)
                case ("answer", int() as place, str() as kind) if under_way:
                    digest = under_way.pop(place % len(under_way))
                    if kind == "right":
                        if keys.answered(digest, KEYS[digest]) is None:
                            failed_at[digest] = now
                    elif kind == "wrong":
                        assert keys.answered(digest, spki("another")) is None
                        failed_at[digest] = now
                    else:
                        keys.failed(digest, kind, unreachable=kind == "nobody")
                        failed_at[digest] = now
                    if kind != "nobody":
                        # What failed for want of an answer is tried again soon after the first.
                        failed_at = {d: at for d, at in failed_at.items() if d == digest}
                case ("wait", float() as seconds):
                    now += seconds
                case ("review",):
                    keys.review()
                case ("hasten",):
                    keys.hasten()
                    failed_at.clear()
                case _:
                    pass
            assert len(under_way) <= AT_ONCE
            assert len(keys) <= 6
            assert keys.problem.count("\n") == 0


@settings(derandomize=True, deadline=None, max_examples=50)
@given(
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=24, unique=True),
    st.integers(0, 60),
    st.integers(0, 2**16),
)
def test_what_is_wanted_is_found_however_much_else_is(names: list[str], others: int, seed: int) -> None:
    """A store with the keys of some routers, and a flood of hashes by others, all wanted at each review."""
    now = 0.0
    flood = [hashlib.sha1(b"%d" % number).digest() for number in range(others)]
    offers = [offer([name], name) for name in names]
    offers += [
        Offer(TunnelType.IPSEC_TUNNEL, ip_address("2001:db8::66"), None, (digest,), (), "", claim=Claim("flood", 0.0))
        for digest in flood
    ]
    random.Random(seed).shuffle(offers)
    with small(found=32):
        keys = StoreKeys("http://s/{sha1}", monotonic=lambda: now, chance=random.Random(seed).random)
        for _ in range(60):
            for one in offers:
                keys.keys_for(one)
            for _ in range(100):
                if (digest := keys.take()) is None:
                    break
                if digest in KEYS:
                    assert keys.answered(digest, KEYS[digest]) is not None
                else:
                    keys.failed(digest, "absent")
            now = max(now, keys.wake_at)
            keys.review()
            if len(keys) == len(names):
                break
        assert set(keys.found) == {hash_of(name) for name in names}
