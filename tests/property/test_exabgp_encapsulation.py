"""The NLRI of the Encapsulation SAFI as ExaBGP reads it: octets of any kind, and endpoints there and back."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from exabgp.bgp.message.notification import Notify
from exabgp.protocol.family import AFI, SAFI
from hypothesis import given
from hypothesis import strategies as st

from softmesh.bgp.exabgp_encapsulation import SAFI_NUMBER, EncapsulationNlri

ENCAPSULATION = type(SAFI.unicast)(SAFI_NUMBER)
AFIS = st.sampled_from([AFI.ipv4, AFI.ipv6])


def unpack(afi: int, octets: bytes, addpath: bool) -> tuple[Any, bytes] | Notify:
    try:
        return EncapsulationNlri.unpack_nlri(afi, ENCAPSULATION, octets, None, addpath)
    except Notify as error:
        return error


@given(AFIS, st.booleans(), st.binary(max_size=64))
def test_octets_are_nlris_or_an_error_of_the_peer(afi: int, addpath: bool, octets: bytes) -> None:
    """What ExaBGP reads a field of NLRIs by: each consumes something, and nothing but Notify is raised."""
    while octets:
        unpacked = unpack(afi, octets, addpath)
        if isinstance(unpacked, Notify):
            assert (unpacked.code, unpacked.subcode) == (3, 10)
            return
        nlri, left = unpacked
        assert len(left) < len(octets)
        assert octets.endswith(left)
        printed = json.loads(nlri.json())
        assert int(printed["nlri"].rpartition("/")[2]) == octets[4 if addpath else 0]
        assert ("path-information" in printed) == addpath
        octets = left


@given(
    st.one_of(st.tuples(st.just(AFI.ipv4), st.ip_addresses(v=4)), st.tuples(st.just(AFI.ipv6), st.ip_addresses(v=6)))
)
def test_an_endpoint_is_the_same_octets_and_the_same_address(endpoint: tuple[int, IPv4Address | IPv6Address]) -> None:
    afi, address = endpoint
    packed = address.packed
    octets = bytes((8 * len(packed),)) + packed
    nlri, left = EncapsulationNlri.unpack_nlri(afi, ENCAPSULATION, octets, None, False)
    assert (nlri.pack_nlri(), left) == (octets, b"")
    shown = json.loads(nlri.json())["nlri"]
    assert type(address)(shown.partition("/")[0]) == address
    assert shown.endswith(f"/{8 * len(packed)}")
