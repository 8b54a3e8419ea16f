"""Octets of a certificate may be anything: what is told of it is a verdict, never an exception."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.authority import Authority
from softmesh.mesh.certificate import RevocationLists, flaw
from softmesh.mesh.public_key import KeyFileError, find_keys

CA = Authority("mesh")
CA_DER = CA.certificate.public_bytes(Encoding.DER)
NAMES = ["2001:db8:f::2", "router.example", "192.0.2.1"]
CERTIFICATE = CA.certify(Ed25519PrivateKey.generate().public_key(), NAMES).public_bytes(Encoding.DER)
changes = st.lists(st.tuples(st.integers(0, len(CERTIFICATE) - 1), st.integers(0, 255)), min_size=1, max_size=3)


@given(changes, st.sampled_from([*NAMES, "nobody"]))
@settings(deadline=None, max_examples=1000)
def test_a_damaged_certificate_is_judged(octets: list[tuple[int, int]], identity: str) -> None:
    damaged = bytearray(CERTIFICATE)
    for at, octet in octets:
        damaged[at] = octet
    try:
        found, *_ = find_keys(bytes(damaged), "sub-TLV 254")
    except KeyFileError:
        return
    if found.certificate is not None and found.certificate == bytes(damaged) != CERTIFICATE:
        why = flaw(found.certificate, identity, (CA_DER,), RevocationLists())
        assert why is not None
        assert why.isprintable()
