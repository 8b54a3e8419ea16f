"""A softwire, and what charon 5.9.8 said of it (recorded)."""

from __future__ import annotations

import hashlib
from ipaddress import ip_address, ip_network

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from softmesh.bgp.codepoints import TunnelType
from softmesh.charon.packet import Section
from softmesh.mesh.credential import OwnKey, PinnedKey
from softmesh.mesh.softwire import Level, Mode, Profile, Selector, SelectorPair, Softwire, SoftwireId

PROFILE = Profile(Level.ENCRYPT, ("aes256gcm16-prfsha384-x25519",), ("aes256gcm16-x25519",))
LOCAL, REMOTE = "2001:db8:f::1", "2001:db8:f::2"
FIRST = ("10.1.0.0/24", "10.2.0.0/24")
SECOND = ("10.1.1.0/24", "10.2.0.0/24")


def spki(seed: int) -> bytes:
    """A public key, the same for the same seed."""
    key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def pinned(seed: int) -> PinnedKey:
    return PinnedKey(hashlib.sha1(spki(seed), usedforsecurity=False).digest(), spki(seed), "keys/peer.pem")


OWN_AUTHENTICATOR = pinned(1).authenticator
OWN = (OwnKey(OWN_AUTHENTICATOR),)
PEER = pinned(2)


def pair(local: str, remote: str, protocol: int | None = None) -> SelectorPair:
    return SelectorPair(Selector(ip_network(local), protocol), Selector(ip_network(remote), protocol))


def softwire(
    *prefixes: tuple[str, str],
    keys: tuple[PinnedKey, ...] = (PEER,),
    remote: str = REMOTE,
    profile: Profile = PROFILE,
    color: int | None = None,
) -> Softwire:
    return Softwire(
        SoftwireId(ip_address(LOCAL), ip_address(remote), TunnelType.IPSEC_TUNNEL, color),
        Mode.TUNNEL,
        frozenset(pair(*prefix) for prefix in prefixes or (FIRST,)),
        keys,
        profile,
    )


def transport(protocol: int) -> Softwire:
    return Softwire(
        SoftwireId(ip_address(LOCAL), ip_address(REMOTE), TunnelType.IP_IN_IP_IPSEC_TRANSPORT),
        Mode.TRANSPORT,
        frozenset({pair(LOCAL, REMOTE, protocol)}),
        (PEER,),
        PROFILE,
    )


CONNECTION = "softmesh-2001:db8:f::2-78e57f06a452e35f"
CHILD = "10.1.0.0/24=10.2.0.0/24-ef6c96e2b28c14d3"

IKE_SA: Section = {
    "uniqueid": b"14", "version": b"2", "state": b"ESTABLISHED",
    "local-host": b"2001:db8:f::1", "local-port": b"4500",
    "local-id": b"ef:54:b4:a6:90:6b:72:ac:35:33:50:4d:76:7e:31:74:c7:b1:b4:71",
    "remote-host": b"2001:db8:f::2", "remote-port": b"4500",
    "remote-id": b"06:48:73:f0:77:a4:c3:b3:f1:39:16:70:ce:b4:0a:89:e8:1a:47:9c",
    "initiator": b"yes", "initiator-spi": b"e98556121122bd03", "responder-spi": b"8df0fbe5d9d6a153",
    "nat-remote": b"yes", "nat-any": b"yes", "encr-alg": b"AES_GCM_16", "encr-keysize": b"256",
    "prf-alg": b"PRF_HMAC_SHA2_384", "dh-group": b"CURVE_25519", "established": b"3", "rekey-time": b"13401",
    "tasks-queued": [b"CHILD_CREATE", b"CHILD_DELETE"], "tasks-active": [b"CHILD_CREATE"],
    "child-sas": {
        f"{CHILD}-15": {
            "name": CHILD.encode(), "uniqueid": b"15", "reqid": b"2", "state": b"INSTALLED",
            "mode": b"TUNNEL", "protocol": b"ESP", "encap": b"yes",
            "spi-in": b"2e05eda2", "spi-out": b"8b0495ae",
            "encr-alg": b"AES_GCM_16", "encr-keysize": b"256", "bytes-in": b"168", "packets-in": b"2",
            "bytes-out": b"84", "packets-out": b"1", "rekey-time": b"3243", "life-time": b"3959",
            "install-time": b"1", "local-ts": [b"10.1.0.0/24"], "remote-ts": [b"10.2.0.0/24"],
        }
    },
}  # fmt: skip
"""One IKE_SA of list-sas, while two children were asked for and one was to be deleted."""
