"""Keys, certificates and revocation lists, in files or out of BGP."""

from __future__ import annotations

import base64
from functools import cache
from random import Random

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from fuzz import mutation
from fuzz.target import Target, demand
from lab.authority import Authority
from softmesh.file_error import FileError
from softmesh.mesh.certificate import RevocationLists, authorities, certificates, flaw, revocation_lists
from softmesh.mesh.identity import identity_from_pem
from softmesh.mesh.key_store import key_in
from softmesh.mesh.public_key import KeyFileError, authenticator, describe, find_keys, key_id
from tests.unit.config.site import certified, k1_pem, rsa_pem

NAME = "2001:db8:f::2"


@cache
def _authority() -> Authority:
    return Authority("mesh")


def _corpus() -> tuple[bytes, ...]:
    keys = (
        Ed25519PrivateKey.generate(),
        ec.generate_private_key(ec.SECP256R1()),
        rsa.generate_private_key(65537, 2048),
    )
    material = [*certified().values(), k1_pem(), rsa_pem()]
    for key in keys:
        public = key.public_key()
        certificate = _authority().certify(public, [NAME, "router.example"])
        for encoding in (Encoding.DER, Encoding.PEM):
            material += [
                public.public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo),
                certificate.public_bytes(encoding),
            ]
    return (*material, material[-1] + material[-2])


def mutate(content: bytes, chance: Random) -> bytes:
    """Damaged octets; of PEM often those that it stands for."""
    if b"-----BEGIN" in content and chance.random() < 0.7:
        head, *body, tail = content.splitlines()[: content.count(b"\n") + 1]
        try:
            der = base64.b64decode(b"".join(line for line in body if b"-----" not in line))
        except ValueError:
            return mutation.octets(content, chance)
        changed = base64.encodebytes(mutation.octets(der, chance))
        return head + b"\n" + changed + tail + b"\n"
    return mutation.octets(content, chance)


def check(content: bytes) -> str:
    """What it was taken for."""
    found = [kind for kind, holds in _KINDS.items() if holds(content)]
    return ", ".join(found) or "nothing"


def _refused(error: FileError) -> bool:
    demand(str(error).startswith("k: ") and str(error).isprintable(), f"the error is one line: {str(error)!r}")
    return False


def _keys(content: bytes) -> bool:
    try:
        found = find_keys(content, "k")
    except KeyFileError as error:
        return _refused(error)
    for key in found:
        load_der_public_key(key.spki)
        demand(describe(key.spki).isprintable(), "a key can be shown")
        demand(len(authenticator(key.spki)) == len(key_id(key.spki)) == 20, "and hashed")
        demand(key_in(content, authenticator(key.spki), "k").spki == key.spki, "and found by its hash")
        if key.certificate is not None:
            why = flaw(key.certificate, NAME, (_authority_der(),), RevocationLists())
            demand(why is None or why.isprintable(), f"what is wrong with it can be shown: {why!r}")
    return bool(found)


@cache
def _authority_der() -> bytes:
    return _authority().certificate.public_bytes(Encoding.DER)


def _identity(content: bytes) -> bool:
    try:
        identity_from_pem(content, "k")
    except KeyFileError as error:
        return _refused(error)
    return True


def _pem(der: bytes) -> bytes:
    return b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE-----\n"


def _certificates(content: bytes) -> bool:
    try:
        found = certificates(content, "k")
    except KeyFileError as error:
        return _refused(error)
    demand(certificates(b"".join(map(_pem, found)), "k") == found, "what was found is found again")
    return True


def _authorities(content: bytes) -> bool:
    try:
        authorities(content, "k")
    except KeyFileError as error:
        return _refused(error)
    return True


def _revocation_list(content: bytes) -> bool:
    try:
        revocation_lists([(content, "k")], authorities(certified()["ca.pem"], "ca"))
    except KeyFileError as error:
        return _refused(error)
    return True


_KINDS = {
    "keys": _keys,
    "our key": _identity,
    "certificates": _certificates,
    "authorities": _authorities,
    "a revocation list": _revocation_list,
}

TARGET = Target(_corpus(), mutate, check)
