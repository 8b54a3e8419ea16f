"""``softmesh decode``: what it takes, what it prints, how it ends."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from softmesh.cli import main
from tests.unit.bgp.vectors import (
    K1,
    K1_SPKI,
    MP_REACH_V6_VIA_V4,
    TYPICAL,
    VECTORS,
    attribute,
    endpoint,
    sub,
    tlv,
)
from tests.unit.mesh.test_key_directory import Key


def decode(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["decode", "--json", *arguments]) == 0
    shown: dict[str, Any] = json.loads(capsys.readouterr().out)
    return shown


@pytest.mark.parametrize(
    ("name", "verdict"),
    [(name, "usable") for name in "ABCDEFJLM"]
    + [(name, "unusable") for name in "GI"]
    + [(name, "treat-as-withdraw") for name in "HK"],
)
def test_vectors(capsys: pytest.CaptureFixture[str], name: str, verdict: str) -> None:
    shown = decode(capsys, VECTORS[name].hex())
    assert shown["verdict"] == verdict
    assert bool(shown["reason"]) is (verdict != "usable")
    assert main(["decode", VECTORS[name].hex()]) == 0
    assert capsys.readouterr().out.splitlines()[0].startswith(verdict)


def test_what_json_says_of_a_tunnel(capsys: pytest.CaptureFixture[str]) -> None:
    (tunnel,) = decode(capsys, VECTORS["D"].hex())["tunnels"]
    assert tunnel["type"] == 5
    assert tunnel["name"] == "IP in IP Tunnel with IPsec Transport Mode"
    assert tunnel["verdict"] == "usable"
    assert tunnel["reason"] is None
    assert tunnel["note"] is None
    assert tunnel["egress_endpoint"] == "2001:db8::2"
    assert tunnel["color"] == 100
    assert tunnel["authenticators"][0] == K1.hex()
    assert tunnel["unknown"] == []
    (tunnel,) = decode(capsys, VECTORS["J"].hex())["tunnels"]
    assert [(s["type"], s["value"]) for s in tunnel["unknown"]] == [(130, "00616263")]
    assert tunnel["egress_endpoint"] is None
    assert tunnel["color"] is None


def test_public_key_is_held_against_the_authenticators(capsys: pytest.CaptureFixture[str]) -> None:
    (tunnel,) = decode(capsys, attribute(TYPICAL).hex())["tunnels"]
    assert tunnel["public_keys"] == [{"spki": K1_SPKI.hex(), "sha1": K1.hex(), "matches_authenticator": True}]
    foreign = attribute(TYPICAL.replace(K1, bytes(20)))
    (tunnel,) = decode(capsys, foreign.hex())["tunnels"]
    assert tunnel["public_keys"][0]["matches_authenticator"] is False


def test_certificate_is_held_against_the_authenticators(capsys: pytest.CaptureFixture[str]) -> None:
    certified = Key()
    der = x509.load_pem_x509_certificate(certified.certificate).public_bytes(Encoding.DER)

    def shown(certificate: bytes, digest: bytes) -> tuple[dict[str, Any], str]:
        octets = attribute(tlv(4, endpoint(), sub(3, b"\0\1" + digest), sub(254, certificate)))
        (tunnel,) = decode(capsys, octets.hex())["tunnels"]
        assert tunnel["verdict"] == "usable"
        (entry,) = tunnel["certificates"]
        return entry, tunnel["sub_tlvs"][-1]["text"]

    entry, text = shown(der, certified.authenticator)
    assert entry == {"certificate": der.hex(), "sha1": certified.authenticator.hex(), "matches_authenticator": True}
    assert text.endswith("an authenticator is its key's SHA-1")
    entry, text = shown(der, K1)
    assert entry["matches_authenticator"] is False
    assert text.endswith("no authenticator is its key's SHA-1")
    for other in (K1_SPKI, b"\x30\x03\x02\x01\x00"):
        entry, _ = shown(other, K1)
        assert (entry["sha1"], entry["matches_authenticator"]) == (None, False), "a bare key is no certificate"


def test_carriers(capsys: pytest.CaptureFixture[str]) -> None:
    vector = VECTORS["A"].hex()
    either = decode(capsys, vector)
    assert either["verdict"] == "usable"
    assert "1/1" in either["note"]
    assert "1/1" in either["tunnels"][0]["note"]
    assert decode(capsys, "--carrier", "encapsulation", vector)["verdict"] == "usable"
    unicast = decode(capsys, "--carrier", "unicast", vector)
    assert unicast["verdict"] == "treat-as-withdraw"
    assert unicast["tunnels"][0]["verdict"] == "stripped"
    assert unicast["tunnels"][0]["section"] == "RFC 9012 §3.1, §13"
    assert unicast["note"] is None
    assert decode(capsys, VECTORS["C"].hex())["note"] is None


@pytest.mark.parametrize(
    "arguments",
    [
        ("c0100803 0c000000000004",),
        ("0xC01008030C000000000004",),
        ("c0:10:08:03:0c:00:00:00:00:00:04",),
        ("c0100", "8030c000000000004"),
        ("0xc01008", "0x030c000000000004"),
        (" c01008\t030c 000000000004 ",),
    ],
)
def test_spellings_of_hex(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    shown = decode(capsys, *arguments)
    assert shown["verdict"] == "usable"
    assert [(t["type"], t["source"]) for t in shown["tunnels"]] == [(4, "Encapsulation community")]


def test_a_list_of_attributes(capsys: pytest.CaptureFixture[str]) -> None:
    shown = decode(capsys, VECTORS["C"].hex(), "c010 08 030b 0000 00000064", MP_REACH_V6_VIA_V4.hex())
    assert [a["type"] for a in shown["attributes"]] == [23, 16, 14]
    assert shown["next_hop"] == "192.0.2.2"
    assert [c["text"] for c in shown["extended_communities"]] == ["Color 100"]
    main(["decode", VECTORS["C"].hex(), "c010 08 030b 0000 00000064", MP_REACH_V6_VIA_V4.hex()])
    out = capsys.readouterr().out
    for words in ("192.0.2.2", "Color 100", "IPsec in Tunnel-mode", K1.hex()):
        assert words in out


def test_no_attribute_is_unusable(capsys: pytest.CaptureFixture[str]) -> None:
    shown = decode(capsys, "400101 00")
    assert shown["verdict"] == "unusable"
    assert "0x030c" in shown["reason"]
    assert decode(capsys, "")["verdict"] == "unusable"


def test_standard_input_holds_a_list_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{VECTORS['A'].hex()}\n\n0x{VECTORS['H'].hex()}\n"))
    assert main(["decode", "--json", "-"]) == 0
    verdicts = [json.loads(line)["verdict"] for line in capsys.readouterr().out.splitlines()]
    assert verdicts == ["usable", "treat-as-withdraw"]


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (["c017zz"], "", "HEX, character 5: 'z'"),
        (["c017", "0 4x"], "", "HEX 2, character 4: 'x'"),
        (["c0170"], "", "HEX, character 5: an odd number"),
        (["c0x17"], "", "HEX, character 3: 'x'"),
        (["--", "-"], "c01700\nc0 1g\n", "standard input, line 2, character 5: 'g'"),
    ],
)
def test_what_is_not_hex_is_a_one_line_error(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    stdin: str,
    message: str,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
    assert main(["decode", *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith("softmesh: ")
    assert error.count("\n") == 1
    assert message in error


def test_missing_argument_is_a_wrong_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["decode"])
    assert ended.value.code == 2
    assert "HEX" in capsys.readouterr().err
