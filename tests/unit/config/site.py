"""A directory with everything a configuration names, and the configuration in it."""

from __future__ import annotations

import functools
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from softmesh.config import Examination, Severity, examine
from tests.unit.config.authority import Authority, private_pem

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"

GOOD = """\
endpoint: 2001:db8:f::1
bgp:
  managed: true
  asn: 65000
  router_id: 10.255.0.1
  neighbors:
    - address: 2001:db8:f::fe
      password_file: bgp.password
announce:
  prefixes: [10.1.0.0/24]
identity:
  private_key: identity.key
admission:
  endpoints: [2001:db8:f::/64]
  prefixes: [10.0.0.0/8]
"""
"""A configuration without an error or a warning."""

K1_PRIVATE = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
"""Ed25519 private key of RFC 8032 §7.1 test 1."""
K1_AUTHENTICATOR = "a566be19840173413a61048350eff23e8fe22266"
PEERS = {
    "afbr2": "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    "afbr3": "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
}
"""Ed25519 public keys of RFC 8032 §7.1 tests 2 and 3, the peers of the configured softwires in docs/examples."""
PEER_AUTHENTICATOR = "bdae41eb5dbf88b9df18dabb2deea91a4e0338e4"
K1_KEY_ID = "5b27aa5589179770e47575b162a1ded97b8bfc6d"


@functools.cache
def k1_pem() -> bytes:
    """The Ed25519 private key of RFC 8032 §7.1 test 1 as PKCS#8."""
    key = ed25519.Ed25519PrivateKey.from_private_bytes(K1_PRIVATE)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@functools.cache
def rsa_pem() -> bytes:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def write(path: Path, content: bytes, mode: int = 0o600) -> Path:
    """Write a file with a mode, whatever the mask."""
    path.write_bytes(content)
    path.chmod(mode)
    return path


@functools.cache
def certified() -> dict[str, bytes]:
    """What a CA has to do with: its certificate and CRL, and ours for K1 and for the next key, serials 7 and 8."""
    authority, following = Authority(), private_pem(2)
    return {
        "ca.pem": authority.pem,
        "ca.crl": authority.crl(99),
        "identity.crt": authority.certificate(k1_pem(), serial=7),
        "next.crt": authority.certificate(following, serial=8),
    }


class Site:
    """A router's /etc/softmesh in a temporary directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / "mesh.yaml"
        self.key = write(directory / "identity.key", k1_pem())
        self.password = write(directory / "bgp.password", b"opensesame\n")
        write(directory / "next.key", private_pem(2))
        self.group_key = write(directory / "group.key", b"correct-horse-battery-staple\n")
        for name, content in certified().items():
            write(directory / name, content, 0o644)
        self.keys = directory / "keys"
        self.keys.mkdir(mode=0o755)
        for name, key in PEERS.items():
            public = ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(key))
            pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            write(self.keys / f"{name}.pem", pem, 0o644)

    def examine(self, text: str | bytes) -> Examination:
        """Examine a configuration."""
        self.file.write_bytes(text.encode() if isinstance(text, str) else text)
        return examine(self.file)

    def problems(self, text: str | bytes, severity: Severity = Severity.ERROR) -> list[str]:
        """The problems of one severity, as printed, without the directory."""
        return [
            str(problem).replace(f"{self.directory}/", "").removeprefix("mesh.yaml:")
            for problem in self.examine(text).problems
            if problem.severity is severity
        ]

    def errors(self, text: str | bytes) -> list[str]:
        """The errors, as printed, without the directory."""
        return self.problems(text)

    def warnings(self, text: str | bytes) -> list[str]:
        """The warnings, as printed; there must be no errors."""
        assert self.errors(text) == []
        return self.problems(text, Severity.WARNING)


def changed(old: str, new: str) -> str:
    """The good configuration with one thing changed, which must be there exactly once."""
    assert GOOD.count(old) == 1, old
    return GOOD.replace(old, new)
