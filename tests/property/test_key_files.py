"""Whatever is in a key file: keys that can be used, or a KeyFileError of one line."""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives.serialization import load_der_public_key
from hypothesis import given
from hypothesis import strategies as st

from softmesh.mesh.identity import identity_from_pem
from softmesh.mesh.public_key import KeyFileError, authenticator, describe, key_id, public_keys
from tests.unit.config.site import k1_pem
from tests.unit.mesh.test_public_key import COMPRESSED, K1, pem

CERTIFICATE = base64.b64decode(b"".join(COMPRESSED.splitlines()[1:-1]))
MATERIAL = [K1, CERTIFICATE, COMPRESSED, pem("PUBLIC KEY", K1), pem("RSA PUBLIC KEY", K1), k1_pem()]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Give key material with a few octets changed, left out or put in."""
    content = bytearray(draw(st.sampled_from(MATERIAL)))
    for _ in range(draw(st.integers(0, 4))):
        position = draw(st.integers(0, max(0, len(content) - 1)))
        content[position : position + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(content)


def check(data: bytes) -> None:
    found: tuple[bytes, ...] = ()
    said = ""
    try:
        found = public_keys(data, "k")
    except KeyFileError as error:
        said = str(error)
    assert bool(found) != said.startswith("k: ")
    assert said.isprintable()
    for spki in found:
        load_der_public_key(spki)
        assert describe(spki)
        assert len(authenticator(spki)) == len(key_id(spki)) == 20


@given(data=st.binary(max_size=300))
def test_any_octets(data: bytes) -> None:
    check(data)


@given(data=mutated())
def test_mutated_keys_and_certificates(data: bytes) -> None:
    check(data)


@given(label=st.sampled_from(["PUBLIC KEY", "CERTIFICATE", "RSA PUBLIC KEY"]), data=st.binary(max_size=200))
def test_any_octets_in_pem(label: str, data: bytes) -> None:
    check(pem(label, data))


@given(data=mutated())
def test_private_key_files(data: bytes) -> None:
    try:
        spki = identity_from_pem(data, "k").spki
    except KeyFileError as error:
        said = str(error)
    else:
        said = "k: " + describe(spki)
    assert said.startswith("k: ")
    assert said.isprintable()
