"""The largest packet, against what was measured on kernels and against the formats of RFC 4302 and RFC 4303."""

from __future__ import annotations

import pytest

from softmesh.dataplane.mtu import inner_mtu
from softmesh.mesh.softwire import InterfaceKind, Level

VTI, XFRM, IP_IN_IP, GRE = InterfaceKind.VTI, InterfaceKind.XFRM, InterfaceKind.IP_IN_IP, InterfaceKind.GRE
ENCRYPT, INTEGRITY, AH = Level.ENCRYPT, Level.INTEGRITY, Level.AH


@pytest.mark.parametrize(
    ("kind", "level", "proposal", "over_ipv4", "over_ipv6"),
    [
        (VTI, ENCRYPT, "aes256gcm16-x25519", 1446, 1426),
        (XFRM, ENCRYPT, "aes256gcm16-x25519", 1446, 1426),
        (IP_IN_IP, ENCRYPT, "aes256gcm16-x25519", 1446, 1426),
        (GRE, ENCRYPT, "aes256gcm16-x25519", 1442, 1422),
        (IP_IN_IP, INTEGRITY, "null-sha256-x25519", 1454, 1434),
        (IP_IN_IP, AH, "sha256-x25519", 1452, 1428),
    ],
)
def test_what_a_kernel_lets_through_whole_at_1500(
    kind: InterfaceKind, level: Level, proposal: str, over_ipv4: int, over_ipv6: int
) -> None:
    assert inner_mtu(1500, kind, 4, level, [proposal]) == over_ipv4
    assert inner_mtu(1500, kind, 6, level, [proposal]) == over_ipv6


@pytest.mark.parametrize(
    ("proposal", "iv", "block", "icv"),
    [
        ("aes128gcm8", 8, 4, 8),
        ("aes128gcm64", 8, 4, 8),
        ("aes192gcm12", 8, 4, 12),
        ("aes256ccm96", 8, 4, 12),
        ("aes256gcm128-ecp384", 8, 4, 16),
        ("aes256gmac", 8, 4, 16),
        ("chacha20poly1305-x25519-ke1_mlkem768", 8, 4, 16),
        ("aes128-sha1-modp2048", 16, 16, 12),
        ("aes256-sha256-esn", 16, 16, 16),
        ("aes256-sha2_384", 16, 16, 24),
        ("aes256-sha512", 16, 16, 32),
        ("aes128ctr-aescmac", 8, 4, 12),
        ("3des-md5", 8, 8, 12),
        ("camellia256-sha256", 16, 16, 16),
        ("null-sha384", 0, 4, 24),
        ("null-sha256_96", 0, 4, 12),
        ("AES128-SHA1-SHA256", 16, 16, 16),
        ("aes128ctr-aes128-sha1", 16, 16, 12),
        # Whatever is meant, there is room for it.
        ("default", 16, 16, 32),
        ("saturn7-sha1", 16, 16, 32),
        ("aes256gcm99", 8, 4, 32),
    ],
)
def test_a_packet_of_that_size_fits_and_none_larger(proposal: str, iv: int, block: int, icv: int) -> None:
    for core in range(1480, 1580):
        largest = inner_mtu(core, XFRM, 4, ENCRYPT, [proposal])
        assert esp(largest, iv, block, icv) <= core < esp(largest + 1, iv, block, icv)


def esp(payload: int, iv: int, block: int, icv: int) -> int:
    """Octets of an IPv4 packet with ESP (RFC 4303 §2): pad length and next header end a multiple of the block."""
    padded = payload + 2
    while padded % block:
        padded += 1
    return 20 + 8 + iv + padded + icv


@pytest.mark.parametrize(("proposal", "icv"), [("sha256", 16), ("sha384", 24), ("sha2_512-x25519", 32), ("sha1", 12)])
def test_authentication_headers_end_on_the_boundary_of_their_ip_version(proposal: str, icv: int) -> None:
    for version, outer, alignment in ((4, 20, 4), (6, 40, 8)):
        header = 12 + icv
        while header % alignment:
            header += 1
        assert inner_mtu(1500, IP_IN_IP, version, AH, [proposal]) == 1500 - outer - header


def test_the_proposal_that_adds_most_counts() -> None:
    together = inner_mtu(1500, XFRM, 6, ENCRYPT, ["aes256gcm16", "aes256-sha512", "aes128gcm8"])
    assert together == inner_mtu(1500, XFRM, 6, ENCRYPT, ["aes256-sha512"]) < inner_mtu(1500, XFRM, 6, ENCRYPT, ["aes"])
    assert inner_mtu(1500, XFRM, 6, ENCRYPT, []) == inner_mtu(1500, XFRM, 6, ENCRYPT, ["default"])


def test_esp_in_udp_takes_eight_octets_more() -> None:
    plain = inner_mtu(1500, XFRM, 4, ENCRYPT, ["aes256gcm16"])
    assert inner_mtu(1500, XFRM, 4, ENCRYPT, ["aes256gcm16"], encapsulated_in_udp=True) == plain - 8


@pytest.mark.parametrize(("kind", "least"), [(XFRM, 1280), (VTI, 1280), (GRE, 1280), (IP_IN_IP, 1284)])
def test_never_less_than_ipv6_and_its_label_need(kind: InterfaceKind, least: int) -> None:
    assert inner_mtu(1280, kind, 6, ENCRYPT, ["aes256gcm16"]) == least
    assert inner_mtu(9000, kind, 6, ENCRYPT, ["aes256gcm16"]) > 8900
