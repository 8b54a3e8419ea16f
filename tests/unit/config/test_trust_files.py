"""What trust rests on in files: certificates, authorities, revocation lists, group keys. No secret is shown."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from softmesh.config import read_group_key
from softmesh.secret_file import SecretFileError
from tests.unit.config.authority import DAY, ENDPOINT, LABELLED, Authority, private_pem
from tests.unit.config.site import GOOD, Site, k1_pem, rsa_pem, write

PKI = GOOD.replace("identity.key\n", "identity.key\n  certificate: identity.crt\n") + (
    "trust: {authorities: [ca.pem], revocation_lists: [ca.crl]}\n"
)
PINNED_PKI = PKI.replace("{authorities", "{mode: pinned+pki, authorities")
PSK = GOOD + "trust: {mode: group-psk, secret_file: group.key}\n"
NEXT = "identity.crt\n  also: [{private_key: next.key, certificate: next.crt}]\n"
REMEDY = f"have a CA of trust.authorities make one of this key for {ENDPOINT}"


def test_all_is_well(site: Site) -> None:
    for text in (PKI, PINNED_PKI, PKI.replace("identity.crt\n", NEXT)):
        assert site.warnings(text) == []


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["192.0.2.1", "2001:db8:f::2"], "192.0.2.1, 2001:db8:f::2"),
        ([LABELLED], LABELLED),
        ([], "none"),
    ],
)
def test_our_certificate_is_for_another_name(site: Site, names: list[str], shown: str) -> None:
    write(site.directory / "identity.crt", Authority().certificate(k1_pem(), names), 0o644)
    assert site.errors(PKI) == [
        f"13:3: identity.certificate: identity.crt is not for {ENDPOINT} (subjectAltName: {shown}); {REMEDY}"
    ]


def test_our_certificate_is_for_the_name_of_the_template(site: Site) -> None:
    write(site.directory / "identity.crt", Authority().certificate(k1_pem(), [LABELLED]), 0o644)
    assert site.warnings(PKI.replace("ca.crl]", "ca.crl], identity: '{label}.mesh.example'")) == []


def test_our_certificate_is_another_authority_s(site: Site) -> None:
    write(site.directory / "identity.crt", Authority(101, "Other CA").certificate(k1_pem()), 0o644)
    assert site.errors(PKI) == [
        "13:3: identity.certificate: identity.crt is issued by 'CN=Other CA', which is none of trust.authorities;"
        f" {REMEDY}"
    ]
    write(site.directory / "identity.crt", Authority(101).certificate(k1_pem()), 0o644)
    assert site.errors(PKI) == [
        f"13:3: identity.certificate: identity.crt bears no signature of 'CN=Test CA'; {REMEDY}"
    ]


def test_our_certificate_is_revoked(site: Site) -> None:
    write(site.directory / "ca.crl", Authority().crl(99, 7), 0o644)
    assert site.errors(PKI) == [f"13:3: identity.certificate: identity.crt is revoked; {REMEDY}"]
    write(site.directory / "ca.crl", Authority().crl(8), 0o644)
    assert site.errors(PKI.replace("identity.crt\n", NEXT)) == [
        f"14:34: identity.also[0].certificate: next.crt is revoked; {REMEDY}"
    ]


def test_our_certificate_is_of_another_key(site: Site) -> None:
    for text in (PKI, PKI.partition("trust:")[0]):
        write(site.directory / "identity.crt", Authority().certificate(private_pem(3)), 0o644)
        assert site.errors(text) == [
            "13:3: identity.certificate: identity.crt: is not a certificate of the key in identity.key; put the one of"
            " that key there, alone or first"
        ]


@pytest.mark.parametrize(
    ("begin", "end", "problem"),
    [
        (-9 * DAY, -2 * DAY, "expired on "),
        (2 * DAY, 9 * DAY, "is not valid before "),
    ],
)
def test_our_certificate_is_out_of_date(site: Site, begin: timedelta, end: timedelta, problem: str) -> None:
    # charon judges by its own clock, and this machine's may be set only later: no reason not to start.
    write(site.directory / "identity.crt", Authority().certificate(k1_pem(), begin=begin, end=end), 0o644)
    (warning,) = site.warnings(PKI)
    assert warning.startswith(f"13:3: warning: identity.certificate: {problem}")


@pytest.mark.parametrize(
    ("name", "content", "mode", "key", "problem"),
    [
        (
            "identity.crt",
            b"junk",
            0o644,
            "13:3: identity.certificate",
            "not a certificate, or a damaged one; put a PEM or DER one there",
        ),
        (
            "identity.crt",
            None,
            0,
            "13:3: identity.certificate",
            "no such file; put the certificate of our key there or",
        ),
        (
            "identity.crt",
            b"",
            0o666,
            "13:3: identity.certificate",
            "anybody may write to it; chmod o-w identity.crt",
        ),
        (
            "ca.pem",
            b"junk",
            0o644,
            "17:23: trust.authorities[0]",
            "not a certificate, or a damaged one; put a PEM or DER one there",
        ),
        (
            "ca.pem",
            Authority().certificate(k1_pem()),
            0o644,
            "17:23: trust.authorities[0]",
            "certificate is no CA's (basicConstraints); put the CA's certificate there",
        ),
        ("ca.pem", None, 0, "17:23: trust.authorities[0]", "no such file; put the CA certificate there or correct the"),
        ("ca.pem", Authority().pem, 0o646, "17:23: trust.authorities[0]", "anybody may write to it; chmod o-w ca.pem"),
        (
            "ca.crl",
            b"junk",
            0o644,
            "17:51: trust.revocation_lists[0]",
            "not a revocation list, or a damaged one; put the CA's CRL there",
        ),
        (
            "ca.crl",
            Authority(101).crl(),
            0o644,
            "17:51: trust.revocation_lists[0]",
            "none of the authorities signed it; put the CRL of one of them there",
        ),
        ("ca.crl", None, 0, "17:51: trust.revocation_lists[0]", "no such file; put the CA's CRL there or correct the"),
    ],
)
def test_bad_file(site: Site, name: str, content: bytes | None, mode: int, key: str, problem: str) -> None:
    path = site.directory / name
    if content is None:
        path.unlink()
    else:
        write(path, content, mode)
    (error,) = site.errors(PKI)
    assert error.startswith(f"{key}: {name}: {problem}")


@pytest.mark.parametrize("name", ["identity.crt", "ca.pem", "ca.crl"])
def test_fifo_does_not_hang(site: Site, name: str) -> None:
    (site.directory / name).unlink()
    os.mkfifo(site.directory / name)
    (error,) = site.errors(PKI)
    assert f"{name}: not a regular file" in error


def test_der_will_do(site: Site) -> None:
    write(site.directory / "ca.crl", Authority().crl(encoding=Encoding.DER), 0o644)
    assert site.warnings(PKI) == []


def test_files_that_are_not_in_force_are_left_alone(site: Site) -> None:
    groups = (
        "groups:\n"
        "  - {name: far, endpoints: ['2001:db8:f::1:0/112'], trust: {mode: group-psk, secret_file: none.key}}\n"
        "  - {name: other, endpoints: ['2001:db8:f::2:0/112'], trust: {mode: pki, authorities: [none.pem]}}\n"
    )
    assert [w for w in site.warnings(GOOD + groups) if "is weaker" not in w] == []
    (error,) = site.errors(GOOD + groups.replace("2001:db8:f::1:0/112", "2001:db8:f::/112"))
    assert error == (
        "17:75: groups[0].trust.secret_file: none.key: no such group key file; create it or correct the path"
    )


def test_the_same_key_again(site: Site) -> None:
    write(site.directory / "next.key", k1_pem())
    text = GOOD.replace("identity.key\n", "identity.key\n  also: [{private_key: next.key}]\n")
    assert site.errors(text) == [
        "13:11: identity.also[0].private_key: is the same key again; name another, or remove it"
    ]
    (site.directory / "next.key").unlink()
    assert site.errors(text) == [
        "13:11: identity.also[0].private_key: next.key: no such private key file; create it or correct the path"
    ]


def test_rsa_is_no_matter_where_nothing_is_announced(site: Site) -> None:
    write(site.key, rsa_pem())
    text = GOOD.replace("announce:", "announce:\n  authenticator: false")
    assert [w for w in site.warnings(text) if "no authenticator" not in w] == []


def test_rsa_key_to_change_to(site: Site) -> None:
    write(site.directory / "next.key", rsa_pem())
    (error,) = site.errors(GOOD.replace("identity.key\n", "identity.key\n  also: [{private_key: next.key}]\n"))
    assert error.startswith("9:1: announce.public_key: our key is RSA 2048, too long for sub-TLV 126; set it to false")


def test_certificate_too_long_to_announce(site: Site) -> None:
    certificate = Authority().certificate(k1_pem(), padding=1800)
    write(site.directory / "identity.crt", certificate, 0o644)
    (error,) = site.errors(PINNED_PKI)
    assert error.startswith("9:1: announce.certificate: our certificate has 2")
    assert error.endswith(
        " octets, too long for sub-TLV 254 (2048); set it to false and give peers our certificate by trust.keys"
        " directory, or have a shorter one made"
    )
    assert site.warnings(PINNED_PKI.replace("announce:", "announce:\n  certificate: false")) == []
    assert site.warnings(PKI) == []


def test_certificates_too_long_for_one_update(site: Site) -> None:
    for name, key in [("identity.crt", k1_pem()), ("next.crt", private_pem(2))]:
        write(site.directory / name, Authority().certificate(key, padding=1500), 0o644)
    text = PINNED_PKI.replace("identity.crt\n", NEXT)
    (error,) = site.errors(text)
    assert error.startswith("9:1: announce.certificate: our keys and certificates, with every tunnel, have 3")
    assert error.endswith(
        " octets: too long for an UPDATE; set it to false and give peers our certificates by directory or store, or"
        " announce fewer tunnels"
    )
    assert site.warnings(PINNED_PKI) == []


def test_ca_file_of_a_store(site: Site) -> None:
    text = GOOD + "trust: {keys: [{url: 'https://keys.example/{sha1}', ca_file: CA}]}\n"
    assert site.warnings(text.replace("CA}", "ca.pem}")) == []
    assert site.errors(text.replace("CA}", "ca.crl}")) == [
        "16:53: trust.keys[0].ca_file: ca.crl: not a certificate, or a damaged one; put a PEM or DER one there"
    ]


def test_group_key(site: Site) -> None:
    assert read_group_key(site.group_key) == b"correct-horse-battery-staple"
    assert read_group_key(write(site.group_key, b"x" * 20 + b"\r\n\n")) == b"x" * 20
    assert read_group_key(write(site.group_key, b"x" * 256)) == b"x" * 256
    assert [warning for warning in site.warnings(PSK) if "is weaker" not in warning] == []


@pytest.mark.parametrize(
    ("content", "mode", "problem"),
    [
        (
            b"opensesameopensesame",
            0o640,
            "the group key is open to group or others (mode 0640); chmod 600 group.key",
        ),
        (
            b"opensesameopensesam",
            0o600,
            "the group key has 19 octets, 20 to 256 are allowed; make one with softmesh keygen --group-key",
        ),
        (
            b"o" * 257,
            0o600,
            "the group key has 257 octets, 20 to 256 are allowed; make one with softmesh keygen --group-key",
        ),
        (b"\n", 0o600, "the group key file is empty; make one with softmesh keygen --group-key"),
        (
            b"opensesame\nopensesame\n",
            0o600,
            "the group key file has more than one line; keep the group key only",
        ),
        (
            b"open sesame open sesame",
            0o600,
            "the group key has blanks or characters outside ASCII; use letters, digits and punctuation",
        ),
        (
            b"opens\xc3\xa9same opensesame",
            0o600,
            "the group key has blanks or characters outside ASCII; use letters, digits and punctuation",
        ),
    ],
)
def test_bad_group_key(site: Site, content: bytes, mode: int, problem: str) -> None:
    write(site.group_key, content, mode)
    assert site.errors(PSK) == [f"16:26: trust.secret_file: group.key: {problem}"]
    with pytest.raises(SecretFileError) as caught:
        read_group_key(site.group_key)
    for text in (str(caught.value).replace(str(site.directory), ""), *site.errors(PSK)):
        assert "sesame" not in text
