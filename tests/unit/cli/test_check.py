"""``softmesh check``: what it prints and how it ends."""

from __future__ import annotations

import json

import pytest

from softmesh.cli import main
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
        {"file": str(site.file), "usable": True, "authenticator": K1_AUTHENTICATOR, "problems": []},
    )
    site.file.write_text(changed("asn: 65000", "asn: many"))
    code, output = check(capsys, "--json", str(site.file))
    assert (code, json.loads(output)) == (
        1,
        {
            "file": str(site.file),
            "usable": False,
            "authenticator": None,
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
