"""Groups, levels and their proposals: what contradicts itself."""

from __future__ import annotations

import pytest

from softmesh.config.proposals import Transforms, transforms
from tests.unit.config.site import GOOD, Site

GROUPS = "groups: [{name: hubs, endpoints: ['2001:db8:f::/96']}, {name: spokes, endpoints: ['2001:db8:f::/64']}]\n"
RULES = f"{GOOD}{GROUPS}protection: "


def test_groups(site: Site) -> None:
    assert site.warnings(f"{GOOD}{GROUPS}") == []
    assert site.errors(f"{GOOD}{GROUPS}".replace("spokes", "hubs")) == [
        "16:57: groups[1].name: there are two groups 'hubs'; rename one, or make them one"
    ]
    for network in ("2001:db8:e::/64", "2001:db8:f::/63", "192.0.2.0/24"):
        assert site.warnings(f"{GOOD}{GROUPS}".replace("2001:db8:f::/96", network)) == [
            f"16:35: warning: groups[0].endpoints[0]: {network} is not within admission.endpoints, which alone decide"
            " who is admitted; correct it, or admit it there"
        ]


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        (
            "{rules: [{level: ah, groups: [hubs, spoke]}]}",
            "17:49: protection.rules[0].groups[1]: there is no group 'spoke'; did you mean 'spokes'?",
        ),
        (
            "{rules: [{level: ah, groups: [edge]}]}",
            "17:43: protection.rules[0].groups[0]: there is no group 'edge'; add it to groups",
        ),
        (
            "{rules: [{level: ah, groups: [hubs, hubs]}]}",
            "17:34: protection.rules[0].groups: a value is given twice; keep one of each",
        ),
        (
            "{rules: [{level: ah, colors: [7, 7]}]}",
            "17:34: protection.rules[0].colors: a value is given twice; keep one of each",
        ),
        (
            "{rules: [{level: ah, tunnels: [gre, gre]}]}",
            "17:34: protection.rules[0].tunnels: a value is given twice; keep one of each",
        ),
    ],
)
def test_wrong_rule(site: Site, section: str, problem: str) -> None:
    assert site.errors(f"{RULES}{section}\n") == [problem]


@pytest.mark.parametrize("condition", ["groups", "colors", "tunnels"])
def test_rule_for_nothing(site: Site, condition: str) -> None:
    assert site.warnings(f"{RULES}{{rules: [{{level: ah, {condition}: []}}]}}\n") == [
        f"17:34: warning: protection.rules[0].{condition}: empty: the rule matches no softwire; list what it is for, or"
        " remove the key for any"
    ]


@pytest.mark.parametrize(
    ("first", "second", "shadowed"),
    [
        ("", "", True),
        ("", "colors: [1]", True),
        ("colors: [1, 2]", "colors: [2], tunnels: [gre]", True),
        ("groups: [hubs]", "groups: [hubs]", True),
        ("groups: [hubs]", "groups: [spokes]", False),
        ("colors: [1]", "colors: [1, 2]", False),
        ("tunnels: [gre]", "", False),
        ("colors: [1]", "tunnels: [gre]", False),
    ],
)
def test_rule_that_is_never_reached(site: Site, first: str, second: str, shadowed: bool) -> None:
    rules = f"{{rules: [{{level: ah, {first}}}, {{level: integrity, {second}}}]}}"
    warnings = site.warnings(f"{RULES}{rules}\n")
    assert [warning.partition(": warning: ")[2] for warning in warnings] == [
        "protection.rules[1]: has no effect: protection.rules[0] comes first and matches all that it does; put it"
        " before that one, or remove it"
    ] * shadowed


PROPOSALS = [
    (
        "integrity_proposals: [aes256gcm16-x25519]",
        "aes256gcm16-x25519 encrypts, at level integrity; write null-sha256-x25519, or use level encrypt",
    ),
    (
        "integrity_proposals: [aes128-sha256]",
        "aes128-sha256 encrypts, at level integrity; write null-sha256-x25519, or use level encrypt",
    ),
    (
        "integrity_proposals: [default]",
        "default encrypts, at level integrity; write null-sha256-x25519, or use level encrypt",
    ),
    ("integrity_proposals: [null-x25519]", "null-x25519 authenticates nothing; add a hash such as sha256"),
    (
        "integrity_proposals: [sha256-x25519]",
        "sha256-x25519 has no cipher, and ESP needs one, be it null; write null-sha256-x25519",
    ),
    ("ah_proposals: [aes256-sha256]", "aes256-sha256 has a cipher, and AH takes none; write sha256-x25519"),
    ("ah_proposals: [null-sha256]", "null-sha256 has a cipher, and AH takes none; write sha256-x25519"),
    ("ah_proposals: [aes256gmac]", "aes256gmac: GMAC as AH does not work in strongSwan; write sha256-x25519"),
    ("ah_proposals: [x25519]", "x25519 authenticates nothing; add a hash such as sha256"),
    ("esp_proposals: [aes256-x25519]", "aes256-x25519 authenticates nothing; add a hash such as sha256"),
    (
        "esp_proposals: [sha256-x25519]",
        "sha256-x25519 has no cipher, and ESP needs one; write it as in aes256gcm16-x25519",
    ),
]


@pytest.mark.parametrize(("given", "problem"), PROPOSALS)
def test_proposal_that_belies_its_level(site: Site, given: str, problem: str) -> None:
    key = given.partition(":")[0]
    assert site.errors(f"{GOOD}charon: {{{given}}}\n") == [f"16:{len(key) + 13}: charon.{key}[0]: {problem}"]


@pytest.mark.parametrize("proposal", ["null-sha256-x25519", "aes256gmac-x25519"])
def test_esp_that_does_not_encrypt(site: Site, proposal: str) -> None:
    assert site.warnings(f"{GOOD}charon: {{esp_proposals: [aes256gcm16, {proposal}]}}\n") == [
        f"16:39: warning: charon.esp_proposals[1]: {proposal} does not encrypt, at level encrypt; use level integrity"
        " where that is meant, and remove it here"
    ]


@pytest.mark.parametrize(
    "given",
    [
        "esp_proposals: [default, aes128-sha1-modp2048, chacha20poly1305-x448-noesn, aes256ccm16, aes256ctr-sha512]",
        "esp_proposals: [aes256gcm16-x25519-ke1_mlkem768, 3des-md5, camellia256-aesxcbc, unheard_of]",
        "integrity_proposals: [aes128gmac, null-sha384-ecp384-esn, null-aescmac, unheard_of-x25519]",
        "ah_proposals: [default, sha512-curve25519, aesxcbc, sha1_160, unheard_of]",
    ],
)
def test_proposals_that_keep_their_word(site: Site, given: str) -> None:
    assert site.warnings(f"{GOOD}charon: {{{given}}}\n") == []


@pytest.mark.parametrize(
    ("proposal", "found"),
    [
        ("aes256gcm16-x25519", Transforms(encrypts=True, authenticates=True, null=False, gmac=False)),
        ("aes256-sha256-modp2048", Transforms(encrypts=True, authenticates=True, null=False, gmac=False)),
        ("aes256", Transforms(encrypts=True, authenticates=False, null=False, gmac=False)),
        ("null-sha256", Transforms(encrypts=False, authenticates=True, null=True, gmac=False)),
        ("aes256gmac", Transforms(encrypts=False, authenticates=True, null=False, gmac=True)),
        ("aesxcbc", Transforms(encrypts=False, authenticates=True, null=False, gmac=False)),
        ("sha256-unheard_of", None),
    ],
)
def test_transforms(proposal: str, found: Transforms | None) -> None:
    assert transforms(proposal) == found
