"""Modes of trust, groups' own trust and key sources: what contradicts itself."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from softmesh.config.contradictions_trust import is_identity, rules_between, rules_in_force
from softmesh.config.values import trust_mode_of
from softmesh.mesh.trust_policy import TrustMode
from tests.unit.config.site import GOOD, Site

CERTIFIED = GOOD.replace("identity.key\n", "identity.key\n  certificate: identity.crt\n")
"""With our certificate; what is appended begins in line 17."""
GROUP = "groups: [{name: hubs, endpoints: ['2001:db8:f::/120'], trust: {RULES}}]\n"
"""A group that we are in; its rules begin in column 62."""
ELSEWHERE = GROUP.replace("2001:db8:f::", "2001:db8:f::1:0")
PSK = "mode: group-psk, secret_file: group.key"
WEAKER = (
    "warning: trust.mode: group-psk is weaker than any other: one key for all routers, so any of them can pose as any"
    " other (RFC 5619 §4.4.2); use pinned, which needs no PKI either"
)


def trust(rules: str) -> str:
    return f"{CERTIFIED}trust: {{{rules}}}\n"


@pytest.mark.parametrize(
    "text",
    [
        trust("authorities: [ca.pem]"),
        trust("mode: pki, authorities: [ca.pem], revocation_lists: [ca.crl], identity: '{label}.mesh.example'"),
        trust("mode: pinned+pki, authorities: [ca.pem]"),
        trust("mode: pinned"),
        trust("keys: [{url: 'https://keys.example/{sha1}', ca_file: ca.pem, timeout: 1}]"),
        trust("keys: [{url: 'http://192.0.2.1/{sha1}'}, {announced: true}, {directory: keys}]"),
        trust("authorities: [ca.pem], keys: []"),
        GOOD + GROUP.replace("{RULES}", "{}"),
        GOOD + ELSEWHERE.replace("RULES", "mode: pki, authorities: [none.pem]"),
        CERTIFIED.replace("[10.1.0.0/24]", "[10.1.0.0/24]\n  authenticator: true")
        + "trust: {authorities: [ca.pem]}\n"
        + GROUP.replace("RULES", "mode: pinned"),
    ],
)
def test_good_ones(site: Site, text: str) -> None:
    assert site.warnings(text) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (trust("mode: pki"), "17:9: trust.mode: pki needs a CA to trust; add its certificate to trust.authorities"),
        (
            trust("mode: pinned+pki"),
            "17:9: trust.mode: pinned+pki needs a CA to trust; add its certificate to trust.authorities",
        ),
        (
            CERTIFIED + ELSEWHERE.replace("RULES", "mode: pki"),
            "17:67: groups[0].trust.mode: pki needs a CA to trust; add its certificate to groups[0].trust.authorities",
        ),
        (
            GOOD + "trust: {authorities: [ca.pem]}\n",
            "11:1: identity.certificate: required by trust.mode pki, but missing; add the certificate that the CA made"
            " for this key",
        ),
        (
            GOOD + GROUP.replace("RULES", "mode: pinned+pki, authorities: [ca.pem]"),
            "11:1: identity.certificate: required by groups[0].trust.mode pinned+pki, but missing; add the certificate"
            " that the CA made for this key",
        ),
        (
            trust("authorities: [ca.pem]").replace("identity.crt", "identity.crt\n  also: [{private_key: next.key}]"),
            "14:10: identity.also[0].certificate: required by trust.mode pki, but missing; add the certificate that the"
            " CA made for this key",
        ),
        (
            trust("mode: group-psk"),
            "17:1: trust.secret_file: required by mode group-psk, but missing; make one with softmesh keygen"
            " --group-key and give it to all routers of the group",
        ),
        (
            trust("revocation_lists: [ca.crl]"),
            "17:9: trust.revocation_lists: there are no trust.authorities that could have signed them; add the CA's"
            " certificate there, or remove the key",
        ),
        (
            trust("authorities: [ca.pem], identity: '{endpoint}.mesh.example'"),
            "17:32: trust.identity: makes '2001:db8:f::1.mesh.example' of our endpoint, which is neither an address nor"
            " a DNS name; use {endpoint} alone, or {label} in a DNS name",
        ),
        (
            trust("authorities: [ca.pem], identity: '-{label}.mesh.example'"),
            "17:32: trust.identity: makes '-2001-db8-f-0-0-0-0-1.mesh.example' of our endpoint, which is neither an"
            " address nor a DNS name; use {endpoint} alone, or {label} in a DNS name",
        ),
        (
            trust("keys: [{directory: keys, url: 'https://keys.example/{sha1}'}]"),
            "17:16: trust.keys[0]: must name exactly one source of keys; write one of directory: PATH, announced: true"
            " and url: URL",
        ),
        (
            trust("keys: [{url: 'http://keys.example/{sha1}', ca_file: ca.pem}]"),
            "17:52: trust.keys[0].ca_file: http: has no certificate for it to check; write https: in url, or remove it",
        ),
    ],
)
def test_error(site: Site, text: str, problem: str) -> None:
    assert site.errors(text) == [problem]


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (
            trust("mode: pinned, authorities: [ca.pem], revocation_lists: [ca.crl], identity: '{label}.example'"),
            [
                "17:23: warning: trust.authorities: has no effect in mode pinned; remove it, or set mode: pki or"
                " pinned+pki",
                "17:46: warning: trust.revocation_lists: has no effect in mode pinned; remove it, or set mode: pki or"
                " pinned+pki",
                "17:74: warning: trust.identity: has no effect in mode pinned; remove it, or set mode: pki or"
                " pinned+pki",
            ],
        ),
        (
            trust(f"{PSK}, authorities: [ca.pem]"),
            [
                f"17:9: {WEAKER}",
                "17:50: warning: trust.authorities: has no effect in mode group-psk; remove it, or set mode: pki or"
                " pinned+pki",
            ],
        ),
        (trust(PSK), [f"17:9: {WEAKER}"]),
        (
            trust("secret_file: group.key"),
            ["17:9: warning: trust.secret_file: has no effect in mode pinned; remove it"],
        ),
        (
            trust("authorities: [ca.pem], secret_file: group.key"),
            ["17:32: warning: trust.secret_file: has no effect in mode pki; remove it"],
        ),
        (
            trust("authorities: [ca.pem, ca.pem], revocation_lists: [ca.crl, ca.crl]"),
            [
                "17:9: warning: trust.authorities: a file is given twice; keep one of each",
                "17:40: warning: trust.revocation_lists: a file is given twice; keep one of each",
            ],
        ),
        (
            trust("keys: [{announced: true, ca_file: ca.pem, timeout: 1}]"),
            [
                "17:34: warning: trust.keys[0].ca_file: has no effect without url; remove it",
                "17:51: warning: trust.keys[0].timeout: has no effect without url; remove it",
            ],
        ),
        (
            trust("mode: pinned+pki, authorities: [ca.pem], keys: []"),
            [
                "17:50: warning: trust.keys: empty: no peer's key is ever found, so no softwire comes up; add"
                " announced: true, a directory or a url"
            ],
        ),
    ],
)
def test_warning(site: Site, text: str, problems: list[str]) -> None:
    assert site.warnings(text) == problems


def announcing(authenticator: str, rest: str) -> str:
    return CERTIFIED.replace("[10.1.0.0/24]", f"[10.1.0.0/24]\n  authenticator: {authenticator}") + rest


NO_HASH = "announce.authenticator: false: we announce no authenticator, so peers refuse us where"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            announcing("false", "trust: {mode: pinned}\n"),
            f"11:3: warning: {NO_HASH} trust.mode is pinned (RFC 5619 §4.4.2); set it to true",
        ),
        (
            announcing("false", "trust: {mode: pinned+pki, authorities: [ca.pem]}\n"),
            f"11:3: warning: {NO_HASH} trust.mode is pinned+pki (RFC 5619 §4.4.2); set it to true",
        ),
        (
            CERTIFIED + "trust: {authorities: [ca.pem]}\n" + GROUP.replace("RULES", "mode: pinned"),
            f"9:1: warning: {NO_HASH} groups[0].trust.mode is pinned (RFC 5619 §4.4.2); set it to true",
        ),
        (
            announcing("true", f"trust: {{{PSK}}}\n"),
            "11:3: warning: announce.authenticator: true: peers refuse us where trust.mode is group-psk, for no group"
            " key proves who we are (RFC 5566 §4.1); set it to false",
        ),
        (
            GOOD + GROUP.replace("RULES", PSK),
            "9:1: warning: announce.authenticator: true: peers refuse us where groups[0].trust.mode is group-psk, for"
            " no group key proves who we are (RFC 5566 §4.1); set trust.mode to pki or group-psk too, for as it is it"
            " needs one",
        ),
    ],
)
def test_what_we_announce_and_what_peers_want(site: Site, text: str, problem: str) -> None:
    warnings = [warning for warning in site.warnings(text) if "is weaker" not in warning]
    assert warnings == [problem]


@pytest.mark.parametrize("wrong", ["mode: pkix", "authorities: yes"])
def test_what_rests_on_a_misread_mode_is_not_said(site: Site, wrong: str) -> None:
    rules = f"{wrong}, secret_file: group.key, revocation_lists: [ca.crl]"
    problems = site.examine(GOOD + f"trust: {{{rules}}}\n").problems
    assert {problem.key for problem in problems} <= {f"trust.{wrong.partition(':')[0]}", "trust.secret_file"}
    assert site.examine(GOOD + "trust: {mode: pkix}\n").problems[0].key == "trust.mode"


def test_the_rules_in_force(site: Site) -> None:
    groups = "groups:\n" + "".join(
        f"  - {{name: g{index}, endpoints: ['{network}'], trust: {rules}}}\n"
        for index, (network, rules) in enumerate(
            [
                ("2001:db8:f::8/125", "{}"),
                ("2001:db8:f::/126", "~"),
                ("2001:db8:f::/125", "{mode: pki, authorities: [ca.pem]}"),
                ("2001:db8:f::/120", "{mode: pinned}"),
            ]
        )
    )
    config = site.examine(CERTIFIED + groups).config
    assert config is not None
    assert [path for path, _ in rules_in_force(config)] == [("trust",), ("groups", 2, "trust"), ("groups", 3, "trust")]
    assert [group.name for group in config.trust_groups] == ["g2", "g3"]
    for remote, where in [
        ("2001:db8:f::2", ("groups", 2, "trust")),
        ("2001:db8:f::9", ("groups", 3, "trust")),
        ("2001:db8:f::1:9", ("trust",)),
    ]:
        assert rules_between(config, type(config.endpoint)(remote))[0] == where


def test_modes_that_are_left_out(site: Site) -> None:
    for rules, mode, announced in [
        ("{}", TrustMode.PINNED, True),
        ("{authorities: [ca.pem]}", TrustMode.PKI, False),
        ("{authorities: [ca.pem], mode: pinned+pki}", TrustMode.PINNED_PKI, True),
        (f"{{{PSK}}}", TrustMode.GROUP_PSK, False),
    ]:
        config = site.examine(f"{CERTIFIED}trust: {rules}\n").config
        assert config is not None
        assert (trust_mode_of(config.trust), config.announces_authenticator) == (mode, announced)


@pytest.mark.parametrize(
    ("name", "fit"),
    [("192.0.2.1", True), ("afbr-192-0-2-1", True), ("r1.mesh.example", True), ("1192.0.2.1", False), ("r.7", False)],
)
def test_a_name_that_charon_would_take_for_another_address_is_none(name: str, fit: bool) -> None:
    assert is_identity(name, ip_address("192.0.2.1")) is fit
    assert not is_identity("192.0.2.10", ip_address("192.0.2.1"))
