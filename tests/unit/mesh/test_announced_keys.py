"""Keys and certificates that come in announcements: whatever a peer puts there, a key that hashes or none."""

from __future__ import annotations

import base64
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.sub_tlv import Authenticator, Certificate, EgressEndpoint
from softmesh.bgp.tunnel_encapsulation import Carrier, Tunnel, decode, encode
from softmesh.cli.keygen import self_signed
from softmesh.errors import OperatorError
from softmesh.mesh.credential import PinnedKey
from softmesh.mesh.public_key import authenticator, find_keys
from softmesh.mesh.selection import Offer
from softmesh.mesh.trust import AnnouncedKeys
from tests.unit.mesh.test_key_directory import Key
from tests.unit.mesh.test_public_key import WEAK_RSA


def der(key: Key) -> bytes:
    return x509.load_pem_x509_certificate(key.certificate).public_bytes(Encoding.DER)


def announced(*hashes: bytes, keys: tuple[bytes, ...] = (), certificates: tuple[bytes, ...] = ()) -> list[PinnedKey]:
    offer = Offer(TunnelType.IPSEC_TUNNEL, ip_address("2001:db8:f::2"), None, hashes, keys, "a test", certificates)
    return list(AnnouncedKeys().keys_for(offer))


def test_a_certificate_comes_before_the_bare_key() -> None:
    key = Key()
    found = announced(key.authenticator, keys=(key.spki,), certificates=(der(key),))
    assert found == [
        PinnedKey(key.authenticator, key.spki, "sub-TLV 254", der(key)),
        PinnedKey(key.authenticator, key.spki, "sub-TLV 126"),
    ]


def test_only_what_hashes_to_an_authenticator_counts() -> None:
    key, other = Key(), Key()
    assert announced(key.authenticator, keys=(other.spki,), certificates=(der(other),)) == []


def pem_in_a_name(*blocks: bytes) -> bytes:
    """A certificate whose DER a careless reader takes for PEM."""
    private = ed25519.Ed25519PrivateKey.generate()
    name = x509.NameAttribute(x509.NameOID.USER_ID, b"".join(blocks).decode())
    honest = self_signed(private, "peer")
    certificate = (
        x509.CertificateBuilder(x509.Name([name]), x509.Name([name]), private.public_key())
        .serial_number(1)
        .not_valid_before(honest.not_valid_before_utc)
        .not_valid_after(honest.not_valid_after_utc)
        .sign(private, None)
    )
    return certificate.public_bytes(Encoding.DER)


@pytest.mark.parametrize("blocks", [1, 2])
def test_pem_within_der_is_no_key(blocks: int) -> None:
    keys = [Key() for _ in range(blocks)]
    octets = pem_in_a_name(*(key.pem for key in keys))
    assert len(find_keys(octets, "there")) == blocks, "the reader of files does take it for PEM"
    hashes = [key.authenticator for key in keys]
    assert announced(*hashes, keys=(octets,), certificates=(octets,)) == []


def test_a_key_in_the_wrong_sub_tlv_is_none() -> None:
    key = Key()
    assert announced(key.authenticator, certificates=(key.spki,)) == []
    assert announced(key.authenticator, keys=(der(key),)) == []


def test_a_key_that_is_too_weak_is_none() -> None:
    weak = base64.b64decode("".join(WEAK_RSA.decode().splitlines()[1:-1]))
    assert announced(authenticator(weak), keys=(weak,)) == []


@pytest.mark.parametrize("octets", [b"\x30\x03\x02\x01\x00", b"\x30\x01\x00", b""])
def test_garbage_is_no_key(octets: bytes) -> None:
    assert announced(authenticator(octets), keys=(octets,), certificates=(octets,)) == []


def test_certificates_survive_the_wire_up_to_a_size() -> None:
    key = Key()
    octets = encode(
        [
            Tunnel(
                TunnelType.IPSEC_TUNNEL,
                (EgressEndpoint(ip_address("2001:470::2")), Authenticator(key.authenticator), Certificate(der(key))),
            )
        ]
    )
    (tunnel,) = decode(octets, Carrier.UNICAST).usable_tunnels
    assert tunnel.certificates == (der(key),)
    assert tunnel.public_keys == ()
    with pytest.raises(OperatorError, match="2049 octets does not fit sub-TLV 254"):
        encode([Tunnel(TunnelType.IPSEC_TUNNEL, (Certificate(bytes(2049)),))])
