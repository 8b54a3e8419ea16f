from __future__ import annotations

from ipaddress import ip_network

import pytest

from softmesh.charon import listing
from softmesh.charon.observed import ChildSa, IkeSa
from softmesh.charon.packet import Section
from softmesh.charon.selector import parse_selector
from tests.unit.charon.examples import CHILD, CONNECTION, IKE_SA


def test_an_ike_sa_and_its_child_are_read_in_full() -> None:
    (ike_sa,) = listing.ike_sas([{CONNECTION: IKE_SA}])
    assert ike_sa == IkeSa(
        connection=CONNECTION,
        unique_id="14",
        state="ESTABLISHED",
        initiator=True,
        local_host="2001:db8:f::1",
        remote_host="2001:db8:f::2",
        local_id="ef:54:b4:a6:90:6b:72:ac:35:33:50:4d:76:7e:31:74:c7:b1:b4:71",
        remote_id="06:48:73:f0:77:a4:c3:b3:f1:39:16:70:ce:b4:0a:89:e8:1a:47:9c",
        initiator_spi="e98556121122bd03",
        responder_spi="8df0fbe5d9d6a153",
        established_for=3,
        tasks=frozenset({"CHILD_CREATE", "CHILD_DELETE"}),
        children=(
            ChildSa(
                name=CHILD,
                unique_id="15",
                state="INSTALLED",
                mode="tunnel",
                protocol="ESP",
                local_ts=frozenset({"10.1.0.0/24"}),
                remote_ts=frozenset({"10.2.0.0/24"}),
                spi_in="2e05eda2",
                spi_out="8b0495ae",
                encr_alg="AES_GCM_16_256",
                integ_alg="",
                encap=True,
                bytes_in=168,
                bytes_out=84,
                packets_in=2,
                packets_out=1,
                installed_for=1,
            ),
        ),
    )


def test_what_is_not_ours_is_not_seen() -> None:
    others: list[Section] = [{"road-warrior": IKE_SA}, {"(unnamed)": IKE_SA}]
    assert listing.ike_sas(others) == ()
    assert listing.connections([{"road-warrior": {"children": {"net": {}}}}]) == {}


def test_absent_keys_read_as_empty() -> None:
    (ike_sa,) = listing.ike_sas([{"softmesh-x": {"child-sas": {"c-1": {}}}}])
    assert ike_sa.established_for is None
    assert not ike_sa.initiator
    assert ike_sa.children[0].name == "c-1"
    assert ike_sa.children[0].bytes_in == 0
    assert listing.ike_sas([{"softmesh-x": {}}])[0].children == ()


def test_values_of_the_wrong_shape_read_as_empty() -> None:
    odd: Section = {"uniqueid": [b"1"], "child-sas": b"none", "established": b"soon", "tasks-active": b"x"}
    (ike_sa,) = listing.ike_sas([{"softmesh-x": odd}])
    assert (ike_sa.unique_id, ike_sa.children, ike_sa.established_for) == ("", (), 0)
    assert listing.key_ids({"keys": b"none"}) == frozenset()


def test_an_identity_of_any_octets_is_shown() -> None:
    (ike_sa,) = listing.ike_sas([{"softmesh-x": {"remote-id": b"\xffname\x1b[2J"}}])
    assert ike_sa.remote_id == "\\xffname\\x1b[2J"


@pytest.mark.parametrize("digits", [b"9" * 5000, "²".encode(), b"-1", b"1\n", b""])
def test_numbers_and_addresses_that_are_none_read_as_absent(digits: bytes) -> None:
    """Python refuses to read a number of 5,000 digits, and the planner sorts by these."""
    described: Section = {"uniqueid": digits, "established": digits, "remote-host": digits, "local-host": b"%any"}
    (ike_sa,) = listing.ike_sas([{"softmesh-x": described}])
    assert (ike_sa.unique_id, ike_sa.established_for, ike_sa.remote_host, ike_sa.local_host) == ("", 0, "", "")
    assert parse_selector(f"10.0.0.0/8[{digits.decode()}]")[0] == ip_network("10.0.0.0/8")


def test_events_are_read_like_listings() -> None:
    up: Section = {"up": b"yes", CONNECTION: IKE_SA}
    down: Section = {CONNECTION: IKE_SA}
    assert listing.is_up(up)
    assert not listing.is_up(down)
    assert listing.ike_sas([up]) == listing.ike_sas([down])
    assert listing.ike_sas([up])[0].children[0].unique_id == "15"


def test_of_a_rekeying_the_new_sa_is_read() -> None:
    rekeyed: Section = {
        CONNECTION: {
            "uniqueid": b"17",
            "child-sas": {CHILD: {"old": {"name": b"c", "uniqueid": b"20"}, "new": {"name": b"c", "uniqueid": b"21"}}},
        }
    }
    assert listing.ike_sas([rekeyed])[0].children[0].unique_id == "21"
    ike: Section = {CONNECTION: {"old": {"uniqueid": b"17"}, "new": {"uniqueid": b"18"}}}
    assert listing.ike_sas([ike])[0].unique_id == "18"


def test_connections_and_their_children_are_named() -> None:
    listed: list[Section] = [
        {"softmesh-a": {"version": b"IKEv2", "children": {"c1": {"mode": b"TUNNEL"}, "c2": {}}}},
        {"softmesh-b": {"children": {}}},
    ]
    assert listing.connections(listed) == {"softmesh-a": frozenset({"c1", "c2"}), "softmesh-b": frozenset()}


def test_keys_are_named() -> None:
    assert listing.key_ids({"keys": [b"08bf2a7e", b"f150e4b9"]}) == {"08bf2a7e", "f150e4b9"}
    assert listing.key_ids({}) == frozenset()


def test_what_binds_an_sa_to_an_interface_is_read_in_hexadecimal() -> None:
    """Recorded from charon 5.9.8."""
    bound: Section = {
        "if-id-in": b"0a1b2c3d",
        "if-id-out": b"0a1b2c3d",
        "mark-in": b"0000001f",
        "mark-out": b"80000000",
    }
    (sa,) = listing.ike_sas([{"softmesh-x": {"child-sas": {"c-1": bound}}}])[0].children
    assert (sa.if_id_in, sa.if_id_out, sa.mark_in, sa.mark_out) == (0x0A1B2C3D, 0x0A1B2C3D, 0x1F, 0x80000000)
    (plain,) = listing.ike_sas([{"softmesh-x": {"child-sas": {"c-1": {}}}}])[0].children
    assert (plain.if_id_in, plain.if_id_out, plain.mark_in, plain.mark_out) == (None, None, None, None)


def test_a_mark_that_is_compared_in_part_is_none_of_ours() -> None:
    partial: Section = {"mark-in": b"0000001f", "mark-mask-in": b"000000ff"}
    (sa,) = listing.ike_sas([{"softmesh-x": {"child-sas": {"c-1": partial}}}])[0].children
    assert sa.mark_in is None


def test_an_sa_carries_until_its_successor_is_installed() -> None:
    carrying = [
        state
        for state in ("CREATED", "INSTALLING", "INSTALLED", "REKEYING", "REKEYED", "DELETING", "DELETED")
        if ChildSa("c", "1", state, "tunnel", "ESP", frozenset(), frozenset()).carries
    ]
    assert carrying == ["INSTALLED", "REKEYING"]
