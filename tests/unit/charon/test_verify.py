from __future__ import annotations

from dataclasses import replace

import pytest

from softmesh.charon.listing import ike_sas
from softmesh.charon.render import render
from softmesh.charon.verify import verify, verify_peer
from tests.unit.charon.examples import (
    CONNECTION,
    IKE_SA,
    LOCAL,
    OWN_AUTHENTICATOR,
    PEER,
    REMOTE,
    softwire,
    transport,
)

(CONNECTION_ASKED,) = render(softwire(), OWN_AUTHENTICATOR)
(CHILD_ASKED,) = CONNECTION_ASKED.children
(FOUND,) = ike_sas([{CONNECTION: IKE_SA}])
(CHILD_FOUND,) = FOUND.children
FOUND = replace(FOUND, local_id=OWN_AUTHENTICATOR.hex(":"), remote_id=PEER.authenticator.hex(":"))


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
        ({"encr_alg": "AES_CBC_256"}, "negotiated AES_CBC_256"),
        ({"encr_alg": "AES_GCM_16_128"}, "negotiated AES_GCM_16_128"),
        ({"encr_alg": "NULL"}, "no encryption"),
        ({"encr_alg": ""}, "no encryption"),
    ],
)
def test_what_differs_is_named(change: dict[str, object], reason: str) -> None:
    found = replace(CHILD_FOUND, **change)  # type: ignore[arg-type]
    assert reason in (verify(found, CHILD_ASKED, FOUND) or "right")


@pytest.mark.parametrize(
    ("proposal", "negotiated"),
    [
        ("aes256gcm16-x25519", "AES_GCM_16_256"),
        ("aes128gcm128", "AES_GCM_16_128"),
        ("aes128gcm64", "AES_GCM_8_128"),
        ("aes256ccm12", "AES_CCM_12_256"),
        ("aes192-sha256", "AES_CBC_192"),
        ("aes-sha1", "AES_CBC_128"),
        ("camellia256-sha384", "CAMELLIA_CBC_256"),
        ("chacha20poly1305-x25519", "CHACHA20_POLY1305"),
        ("null-sha256", "NULL"),
        ("aes256gmac-x25519", "NULL_AES_GMAC_256"),
        ("default", "AES_CBC_128"),
    ],
)
def test_ciphers_are_compared_in_charons_spelling(proposal: str, negotiated: str) -> None:
    child = replace(CHILD_ASKED, esp_proposals=(proposal,))
    assert verify(replace(CHILD_FOUND, encr_alg=negotiated), child, FOUND) is None


def test_any_proposal_will_do() -> None:
    child = replace(CHILD_ASKED, esp_proposals=("aes256gcm16", "aes128-sha256"))
    assert verify(replace(CHILD_FOUND, encr_alg="AES_CBC_128"), child, FOUND) is None


def test_default_proposals_never_mean_no_encryption() -> None:
    child = replace(CHILD_ASKED, esp_proposals=("default",))
    assert verify(replace(CHILD_FOUND, encr_alg="NULL"), child, FOUND) is not None


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
    (connection,) = render(transport(protocol), OWN_AUTHENTICATOR)
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
    (connection,) = render(transport(4), OWN_AUTHENTICATOR)
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
    asked = replace(CONNECTION_ASKED, remote_id="@#" + b"abcdefghijklmnopqrst".hex())
    assert verify_peer(replace(FOUND, remote_id="abcdefghijklmnopqrst"), asked) is None
