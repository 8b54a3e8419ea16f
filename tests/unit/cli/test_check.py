"""``softmesh check``: what it prints and how it ends."""

from __future__ import annotations

import json

import pytest

from softmesh.cli import main
from softmesh.mesh.identity import load_identity
from tests.unit.config.conftest import site
from tests.unit.config.site import GOOD, K1_AUTHENTICATOR, Site, changed

__all__ = ["site"]


def check(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(["check", *arguments])
    output, errors = capsys.readouterr()
    assert errors == ""
    return code, output


def test_fine(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.file.write_text(GOOD)
    assert check(capsys, str(site.file)) == (
        0,
        f"{site.file}: fine\n"
        "2001:db8:f::1 in AS 65000 announces 1 prefix with ipsec-tunnel-mode to 1 BGP neighbour\n"
        f"our authenticator is {K1_AUTHENTICATOR} (Ed25519)\n",
    )


def test_modes_of_trust_and_two_keys(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    text = GOOD.replace(
        "identity.key\n",
        "identity.key\n  certificate: identity.crt\n  also: [{private_key: next.key, certificate: next.crt}]\n",
    )
    hubs = "groups: [{name: hubs, endpoints: ['2001:db8:f::/80'], trust: {mode: pki, authorities: [ca.pem]}}]\n"
    site.file.write_text(f"{text}trust: {{authorities: [ca.pem]}}\n{hubs}")
    following = load_identity(site.directory / "next.key").authenticator.hex()
    code, output = check(capsys, str(site.file))
    assert (code, output.splitlines()[2:]) == (
        0,
        [
            "peers are trusted by mode pki, pki in group hubs",
            f"our authenticator is {K1_AUTHENTICATOR} (Ed25519, not announced)",
            f"and {following} (Ed25519, not announced), for a change of keys",
        ],
    )
    answer = json.loads(check(capsys, "--json", str(site.file))[1])
    assert answer["authenticators"] == [K1_AUTHENTICATOR, following]
    assert answer["trust"] == {"trust": "pki", "group hubs": "pki"}


def test_no_secret_is_printed(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.file.write_text(f"{GOOD}trust: {{mode: group-psk, secret_file: group.key}}\n")
    for arguments in ([], ["--json"]):
        code, output = check(capsys, str(site.file), *arguments)
        assert code == 0
        assert "group-psk" in output
        assert "horse" not in output
        assert "opensesame" not in output


def test_warnings_are_printed_and_allowed(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.file.write_text(
        changed("[10.1.0.0/24]", "[]\n  tunnels: [{type: ipsec-tunnel-mode, color: 7}, {type: ipsec-tunnel-mode}]")
    )
    code, output = check(capsys, str(site.file))
    assert code == 0
    assert output.splitlines()[0].startswith(f"{site.file}:10:3: warning: announce.prefixes: nothing is announced")
    assert output.splitlines()[1:3] == [
        f"{site.file}: usable, with 1 warning",
        "2001:db8:f::1 in AS 65000 announces 0 prefixes with ipsec-tunnel-mode colour 7, ipsec-tunnel-mode"
        " to 1 BGP neighbour",
    ]


def test_errors(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.file.write_text(GOOD.replace("managed: true", "managed: maybe").replace("identity.key", "none.key"))
    assert check(capsys, str(site.file)) == (
        1,
        f"{site.file}:3:12: bgp.managed: must be true or false, not 'maybe'; write true or false\n"
        f"{site.file}:12:3: identity.private_key: {site.directory}/none.key: no such private key file;"
        " create it or correct the path\n",
    )


def test_no_such_file(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(capsys, "/nonexistent/mesh.yaml") == (
        1,
        "/nonexistent/mesh.yaml:1:1: no such file; create it, beginning with docs/examples/minimal.yaml\n",
    )


def test_json(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.file.write_text(GOOD)
    code, output = check(capsys, "--json", str(site.file))
    assert (code, json.loads(output)) == (
        0,
        {
            "file": str(site.file),
            "usable": True,
            "authenticator": K1_AUTHENTICATOR,
            "authenticators": [K1_AUTHENTICATOR],
            "trust": {"trust": "pinned"},
            "problems": [],
        },
    )
    site.file.write_text(changed("asn: 65000", "asn: many"))
    code, output = check(capsys, "--json", str(site.file))
    assert (code, json.loads(output)) == (
        1,
        {
            "file": str(site.file),
            "usable": False,
            "authenticator": None,
            "authenticators": [],
            "trust": None,
            "problems": [
                {
                    "severity": "error",
                    "line": 4,
                    "column": 8,
                    "key": "bgp.asn",
                    "message": "must be a whole number from 1 to 4294967294, not 'many'",
                    "remedy": "write such a number, without unit",
                }
            ],
        },
    )
