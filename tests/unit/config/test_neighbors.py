"""What protects a BGP session, and what contradicts it."""

from __future__ import annotations

import pytest

from tests.unit.config.site import GOOD, K1_AUTHENTICATOR, PEER_AUTHENTICATOR, Site, changed

PASSWORD = "      password_file: bgp.password\n"
KEYS = "trust: {keys: [{directory: keys}]}\n"
IPSEC = f"      protection: ipsec\n      authenticators: [{PEER_AUTHENTICATOR}]\n"
FORGED = "whoever forges BGP directs our softwires (RFC 5566 §4)"


def neighbor(*keys: str, managed: bool = True, more: str = KEYS) -> str:
    """The good configuration with other keys of its neighbour, the first of them in line 8."""
    text = changed(PASSWORD, "".join(f"      {key}\n" for key in keys)) + more
    return text if managed else text.replace("managed: true", "managed: false")


@pytest.mark.parametrize(
    "text",
    [
        neighbor("password_file: bgp.password", "protection: md5", "gtsm: true", "tunnels: true"),
        neighbor("protection: ipsec", f"authenticators: [{PEER_AUTHENTICATOR}]"),
        neighbor("password_file: bgp.password", "protection: ipsec", f"authenticators: [{PEER_AUTHENTICATOR}]"),
        neighbor(
            "protection: ipsec",
            f"authenticators: [{PEER_AUTHENTICATOR}]",
            more="trust: {keys: [{url: 'https://keys.example/{sha1}'}]}\n",
        ),
        neighbor("protection: md5", managed=False),
        neighbor("tunnels: null", managed=False),
        neighbor("asn: 65001", "tunnels: true", "password_file: bgp.password"),
        neighbor("asn: 65001", "tunnels: false", "password_file: bgp.password"),
        neighbor("asn: 65000", "password_file: bgp.password"),
    ],
)
def test_good_ones(site: Site, text: str) -> None:
    assert site.warnings(text) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            neighbor("password_file: bgp.password", f"authenticators: [{PEER_AUTHENTICATOR}]"),
            "9:7: bgp.neighbors[0].authenticators: are for IPsec, which protection does not ask for; set protection:"
            " ipsec or remove them",
        ),
        (
            neighbor("protection: ipsec"),
            "7:7: bgp.neighbors[0].authenticators: required by protection: ipsec, but missing; write what softmesh"
            " check prints on the neighbour, or the SHA-1 of its SubjectPublicKeyInfo",
        ),
        (
            neighbor("protection: ipsec", f"authenticators: [{PEER_AUTHENTICATOR}]", more=""),
            "8:7: bgp.neighbors[0].protection: ipsec needs the neighbour's key from a directory or store, and"
            " trust.keys has neither; add a directory to trust.keys and put the neighbour's public key into it",
        ),
        (
            neighbor("protection: ao"),
            "8:7: bgp.neighbors[0].protection: ao cannot be shown: ExaBGP 5 has no TCP-AO (RFC 5925), and Linux tells"
            " nobody which sockets have it; use md5 or ipsec",
        ),
        (
            neighbor("protection: md5"),
            "8:7: bgp.neighbors[0].protection: md5 needs a password while bgp.managed is true; set password_file here"
            " and the same password there",
        ),
        (
            neighbor("password_file: bgp.password", "protection: none"),
            "9:7: bgp.neighbors[0].protection: none contradicts password_file, which makes it md5; remove the one or"
            " the other",
        ),
        (
            neighbor("password_file: bgp.password", "protection: ao", managed=False),
            "9:7: bgp.neighbors[0].protection: ao contradicts password_file, which makes it md5; remove the one or"
            " the other",
        ),
        (
            neighbor("protection: ipsec", f"authenticators: [{K1_AUTHENTICATOR}, {PEER_AUTHENTICATOR}]"),
            f"9:24: bgp.neighbors[0].authenticators[0]: {K1_AUTHENTICATOR} is our own; write what softmesh check prints"
            " on the peer",
        ),
    ],
)
def test_error(site: Site, text: str, problem: str) -> None:
    assert site.errors(text) == [problem]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            neighbor("tunnels: null"),
            f"7:7: warning: bgp.neighbors[0]: the session has no password, so its routes will not count: {FORGED}; set"
            " password_file here and the same password there, or protection: none to have it so",
        ),
        (
            neighbor("protection: none"),
            f"8:7: warning: bgp.neighbors[0].protection: none: {FORGED}; use md5 or ipsec",
        ),
        (
            neighbor("protection: none", managed=False),
            f"8:7: warning: bgp.neighbors[0].protection: none: {FORGED}; use md5 or ipsec",
        ),
        (
            neighbor("protection: ipsec", f"authenticators: [{PEER_AUTHENTICATOR}, {PEER_AUTHENTICATOR}]"),
            "9:7: warning: bgp.neighbors[0].authenticators: an authenticator is given twice; keep one of each",
        ),
        (
            neighbor("protection: ipsec", f"authenticators: [{'ab' * 20}]"),
            "9:7: warning: bgp.neighbors[0].authenticators: no key of 2001:db8:f::fe in the directories of trust.keys:"
            " the session waits for it; put the peer's public key there",
        ),
        (
            neighbor("asn: 65001", "password_file: bgp.password"),
            "8:7: warning: bgp.neighbors[0].asn: AS 65001 is not ours (65000): no tunnels are exchanged with it (RFC"
            " 9012 §11); set tunnels: true if it is of the same administration, else tunnels: false",
        ),
    ],
)
def test_warning(site: Site, text: str, problem: str) -> None:
    assert site.warnings(text) == [problem]


def test_what_rests_on_a_misread_protection_is_not_said(site: Site) -> None:
    text = GOOD.replace(PASSWORD, f"      protection: tls\n      authenticators: [{PEER_AUTHENTICATOR}]\n")
    assert [problem.key for problem in site.examine(text).problems] == ["bgp.neighbors[0].protection"]
