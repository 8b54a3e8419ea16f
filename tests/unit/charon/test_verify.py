from __future__ import annotations

from dataclasses import replace

import pytest

from softmesh.charon.listing import ike_sas
from softmesh.charon.render import render
from softmesh.charon.selector import parse_selector
from softmesh.charon.verify import verify, verify_peer
from softmesh.mesh.softwire import Level
from tests.unit.charon.examples import (
    CONNECTION,
    IKE_SA,
    LOCAL,
    OWN,
    OWN_AUTHENTICATOR,
    PEER,
    REMOTE,
    softwire,
    transport,
)

(CONNECTION_ASKED,) = render(softwire(), OWN)
(CHILD_ASKED,) = CONNECTION_ASKED.children
(FOUND,) = ike_sas([{CONNECTION: IKE_SA}])
(CHILD_FOUND,) = FOUND.children
FOUND = replace(FOUND, local_id=OWN_AUTHENTICATOR.hex(":"), remote_id=PEER.authenticator.hex(":"))


@pytest.mark.parametrize(
    ("ours", "charons"),
    [
        ("192.0.2.1/32[6/179]", "192.0.2.1/32[tcp/bgp]"),
        ("192.0.2.1/32[6/179]", "192.0.2.1/32[tcp/179]"),
        ("192.0.2.1/32[6]", "192.0.2.1/32[tcp]"),
        ("2001:db8::1/128[17/1701]", "2001:db8::1/128[udp/1701]"),
    ],
)
def test_selectors_are_the_same_by_name_and_by_number(ours: str, charons: str) -> None:
    assert parse_selector(ours) == parse_selector(charons)


@pytest.mark.parametrize(
    "other", ["192.0.2.1/32[tcp]", "192.0.2.1/32", "192.0.2.1/32[tcp/180]", "192.0.2.1/32[udp/bgp]"]
)
def test_a_port_is_part_of_a_selector(other: str) -> None:
    assert parse_selector(other) != parse_selector("192.0.2.1/32[6/179]")


def test_what_was_asked_is_right() -> None:
    assert verify(CHILD_FOUND, CHILD_ASKED, FOUND) is None
    assert verify_peer(FOUND, CONNECTION_ASKED) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"mode": "transport"}, "tunnel mode, negotiated transport"),
        ({"protocol": "AH"}, "negotiated AH"),
        ({"remote_ts": frozenset({"10.2.0.0/25"})}, "remote selector 10.2.0.0/24, negotiated 10.2.0.0/25"),
        ({"local_ts": frozenset({"10.1.0.0/24", "10.9.0.0/24"})}, "local selector 10.1.0.0/24"),
        ({"local_ts": frozenset({"10.1.0.0..10.1.0.9"})}, "negotiated 10.1.0.0..10.1.0.9"),
        ({"local_ts": frozenset({"10.1.0.0/24[tcp]"})}, "10.1.0.0/24[tcp]"),
        ({"local_ts": frozenset()}, "negotiated none"),
        ({"encr_alg": "AES_CBC_256", "integ_alg": "HMAC_SHA1_96"}, "negotiated AES_CBC_256/HMAC_SHA1_96"),
        ({"encr_alg": "AES_CBC_256"}, "negotiated no integrity"),
        ({"encr_alg": "AES_GCM_16_128"}, "negotiated AES_GCM_16_128"),
        ({"encr_alg": "NULL"}, "no encryption"),
        ({"encr_alg": "NULL_AES_GMAC_256"}, "no encryption"),
        ({"encr_alg": ""}, "no encryption"),
        ({"if_id_in": 7}, "asked for if_id none, found 0x7 inbound and none outbound"),
        ({"mark_in": 7, "mark_out": 7}, "asked for mark none, found 0x7 inbound"),
    ],
)
def test_what_differs_is_named(change: dict[str, object], reason: str) -> None:
    found = replace(CHILD_FOUND, **change)  # type: ignore[arg-type]
    assert reason in (verify(found, CHILD_ASKED, FOUND) or "right")


@pytest.mark.parametrize(
    ("proposal", "encryption", "integrity"),
    [
        ("aes256gcm16-x25519", "AES_GCM_16_256", ""),
        ("aes128gcm128", "AES_GCM_16_128", ""),
        ("aes128gcm64", "AES_GCM_8_128", ""),
        ("aes256ccm12", "AES_CCM_12_256", ""),
        ("aes192-sha256", "AES_CBC_192", "HMAC_SHA2_256_128"),
        ("aes-sha1", "AES_CBC_128", "HMAC_SHA1_96"),
        ("camellia256-sha384", "CAMELLIA_CBC_256", "HMAC_SHA2_384_192"),
        ("chacha20poly1305-x25519", "CHACHA20_POLY1305", ""),
        ("default", "AES_CBC_128", "HMAC_SHA2_512_256"),
        ("aes256gcm16-x25519-ke1_mlkem768", "AES_GCM_16_256", ""),
    ],
)
def test_ciphers_are_compared_in_charons_spelling(proposal: str, encryption: str, integrity: str) -> None:
    child = replace(CHILD_ASKED, proposals=(proposal,))
    assert verify(replace(CHILD_FOUND, encr_alg=encryption, integ_alg=integrity), child, FOUND) is None


INTEGRITY_ASKED = replace(CHILD_ASKED, level=Level.INTEGRITY, proposals=("aes256gmac-x25519", "null-sha256-x25519"))


@pytest.mark.parametrize(
    ("encryption", "integrity", "reason"),
    [
        ("NULL", "HMAC_SHA2_256_128", None),
        ("NULL_AES_GMAC_256", "", None),
        ("NULL", "", "no integrity"),
        ("NULL", "HMAC_SHA1_96", "negotiated NULL/HMAC_SHA1_96"),
        ("AES_GCM_16_256", "", "negotiated AES_GCM_16_256"),
    ],
)
def test_esp_that_only_authenticates(encryption: str, integrity: str, reason: str | None) -> None:
    found = verify(replace(CHILD_FOUND, encr_alg=encryption, integ_alg=integrity), INTEGRITY_ASKED, FOUND)
    assert reason in (found or "right") if reason else found is None


AH_ASKED = replace(CHILD_ASKED, level=Level.AH, proposals=("sha512-x25519", "sha256-x25519"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"protocol": "AH", "integ_alg": "HMAC_SHA2_256_128"}, None),
        ({"protocol": "AH", "integ_alg": "HMAC_SHA2_512_256"}, None),
        ({"protocol": "AH", "integ_alg": "HMAC_SHA1_96"}, "negotiated HMAC_SHA1_96"),
        ({"protocol": "AH"}, "no integrity"),
        ({"protocol": "ESP", "encr_alg": "AES_GCM_16_256"}, "asked for AH, negotiated ESP"),
    ],
)
def test_ah(change: dict[str, object], reason: str | None) -> None:
    blank: dict[str, object] = {"encr_alg": "", "integ_alg": ""} | change
    found = verify(replace(CHILD_FOUND, **blank), AH_ASKED, FOUND)  # type: ignore[arg-type]
    assert reason in (found or "right") if reason else found is None


@pytest.mark.parametrize("what", ["if_id", "mark"])
def test_what_binds_an_sa_to_an_interface_must_be_as_asked(what: str) -> None:
    child = replace(CHILD_ASKED, **{what: 0xA1B2C3D4})  # type: ignore[arg-type]
    bound = replace(CHILD_FOUND, **{f"{what}_in": 0xA1B2C3D4, f"{what}_out": 0xA1B2C3D4})  # type: ignore[arg-type]
    assert verify(bound, child, FOUND) is None
    unbound = f"asked for {what} 0xa1b2c3d4, found none inbound and none outbound"
    assert verify(CHILD_FOUND, child, FOUND) == unbound


def test_any_proposal_will_do() -> None:
    child = replace(CHILD_ASKED, proposals=("aes256gcm16", "aes128-sha256"))
    found = replace(CHILD_FOUND, encr_alg="AES_CBC_128", integ_alg="HMAC_SHA2_256_128")
    assert verify(found, child, FOUND) is None
    # But not a mixture of two.
    either = replace(CHILD_ASKED, proposals=("aes256-sha512", "aes128-sha256"))
    assert "negotiated AES_CBC_256/HMAC_SHA2_256_128" in (
        verify(replace(found, encr_alg="AES_CBC_256"), either, FOUND) or "right"
    )


def test_default_proposals_never_mean_no_encryption() -> None:
    child = replace(CHILD_ASKED, proposals=("default",))
    assert verify(replace(CHILD_FOUND, encr_alg="NULL", integ_alg="HMAC_SHA1_96"), child, FOUND) is not None


@pytest.mark.parametrize(
    ("protocol", "printed"),
    [
        (4, "ipencap"),
        (4, "ipv4"),
        (41, "ipv6"),
        (47, "gre"),
        (115, "l2tp"),
        (137, "mpls-in-ip"),
        (137, "137"),
    ],
)
def test_protocols_are_compared_by_number(protocol: int, printed: str) -> None:
    (connection,) = render(transport(protocol), OWN)
    found = replace(
        CHILD_FOUND,
        mode="transport",
        local_ts=frozenset({f"{LOCAL}/128[{printed}]"}),
        remote_ts=frozenset({f"{REMOTE}/128[{printed}]"}),
    )
    assert verify(found, connection.children[0], FOUND) is None
    wider = replace(found, local_ts=frozenset({f"{LOCAL}/128"}))
    assert verify(wider, connection.children[0], FOUND) is not None


def test_transport_mode_is_between_the_ike_hosts() -> None:
    (connection,) = render(transport(4), OWN)
    found = replace(
        CHILD_FOUND,
        mode="transport",
        local_ts=frozenset({f"{LOCAL}/128[4]"}),
        remote_ts=frozenset({f"{REMOTE}/128[4]"}),
    )
    elsewhere = replace(FOUND, remote_host="2001:db8:f::9")
    assert "other hosts" in (verify(found, connection.children[0], elsewhere) or "")


def test_the_peer_must_be_the_one_asked_for() -> None:
    assert "identity" in (verify_peer(replace(FOUND, remote_id="00:11"), CONNECTION_ASKED) or "")
    assert "identity" in (verify_peer(replace(FOUND, local_id="%any"), CONNECTION_ASKED) or "")
    assert "address" in (verify_peer(replace(FOUND, remote_host="2001:db8:f::9"), CONNECTION_ASKED) or "")


def test_an_identity_of_printable_octets_is_recognised() -> None:
    # charon prints an ID_KEY_ID as text where it can.
    asked = replace(
        CONNECTION_ASKED, remote=replace(CONNECTION_ASKED.remote, identity="@#" + b"abcdefghijklmnopqrst".hex())
    )
    assert verify_peer(replace(FOUND, remote_id="abcdefghijklmnopqrst"), asked) is None
