"""Whatever is in the file of kept routes: it is read as routes that can be used, or refused as no file of ours."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from softmesh.bgp.route import Family, PathAttributes, Route, RouteKey
from softmesh.control.kept_routes import Kept, decode, encode

BOOT = bytes(16)
NOW = 1000.0
HEAD = encode(Kept(), BOOT, NOW)[:32]

times = st.floats(0, NOW)
routes = st.builds(
    Route,
    st.builds(
        RouteKey,
        st.ip_addresses().map(str),
        st.sampled_from(Family),
        st.ip_addresses().map(lambda address: f"{address}/{address.max_prefixlen}"),
        st.none() | st.text(max_size=10),
    ),
    st.ip_addresses().map(str),
    st.builds(
        PathAttributes,
        st.none() | st.binary(max_size=20),
        st.lists(st.integers(0, 2**64 - 1), max_size=3).map(tuple),
        originator_id=st.none() | st.ip_addresses(v=4).map(str),
        cluster_list=st.lists(st.ip_addresses(v=4).map(str), max_size=2).map(tuple),
    ),
    times,
    st.none() | times,
)
kept = st.builds(
    Kept,
    st.lists(routes, max_size=5).map(tuple),
    st.none() | st.text(max_size=10),
    st.dictionaries(st.ip_addresses(), st.text(max_size=10), max_size=3),
    st.dictionaries(st.text(max_size=10), st.text(max_size=10), max_size=3),
)


@given(kept, times)
def test_round_trip(known: Kept, alive: float) -> None:
    if all(at <= alive for route in known.routes for at in (route.received_at, route.stale_since or 0.0)):
        assert decode(encode(known, BOOT, alive), BOOT, NOW) == (known, alive)


@given(kept, st.lists(st.tuples(st.integers(24, 600), st.integers(0, 255)), max_size=4), st.integers(0, 600))
def test_damaged_files(known: Kept, changes: list[tuple[int, int]], length: int) -> None:
    data = bytearray(encode(known, BOOT, NOW))
    for at, octet in changes:
        if at < len(data):
            data[at] = octet
    _usable_or_refused(bytes(data))
    _usable_or_refused(bytes(data[:length]))


@given(st.binary(max_size=200))
def test_any_octets(data: bytes) -> None:
    _usable_or_refused(data)
    _usable_or_refused(HEAD + data)


def _usable_or_refused(data: bytes) -> None:
    try:
        found = decode(data, BOOT, NOW)
    except ValueError:
        return
    if found is not None:
        for route in found[0].routes:
            ip_network(route.key.prefix, strict=False)
            ip_address(route.next_hop)
            assert 0 <= route.received_at <= NOW
